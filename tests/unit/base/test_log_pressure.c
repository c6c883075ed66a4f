#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/collector.h"

static ssize_t scripted_writev(int fd, const struct iovec *parts, int count);

/* The module is compiled into this program, with a writev that is controlled by the test. */
#define writev scripted_writev
#include "base/log.c"
#undef writev

enum { PLENTY_MS = 20000, THREADS = 4, LINES_PER_THREAD = 400 };

static struct {
    atomic_int failure; /* errno of every write */
    atomic_int piece;   /* bytes of a write at most, every other one interrupted instead */
    atomic_int calls;
} script;

static struct collector collector;

static ssize_t scripted_writev(int fd, const struct iovec *parts, int count)
{
    int call = atomic_fetch_add(&script.calls, 1);
    int failure = atomic_load(&script.failure);
    size_t piece = (size_t)atomic_load(&script.piece);
    if (failure != 0 || (piece > 0 && call % 2 == 0)) {
        errno = failure != 0 ? failure : EINTR;
        return -1;
    }
    if (piece > 0)
        return write(fd, parts[0].iov_base, piece < parts[0].iov_len ? piece : parts[0].iov_len);
    return writev(fd, parts, count);
}

static int set_up(void **state)
{
    (void)state;
    atomic_store(&script.failure, 0);
    atomic_store(&script.piece, 0);
    atomic_store(&script.calls, 0);
    return collector_open(&collector);
}

static int tear_down(void **state)
{
    (void)state;
    collector_close_reader(&collector); /* so that a blocked write ends */
    log_close(PLENTY_MS);
    collector_close(&collector);
    return 0;
}

static void start(void)
{
    const struct log_config config = {.fd = collector.writer, .level = LOG_INFO, .format = LOG_TEXT};
    assert_int_equal(log_open(&config), 0);
}

/* Stops the log while it is read. */
static void finish(void)
{
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, collector_main, &collector), 0);
    log_close(PLENTY_MS);
    collector_close_writer(&collector);
    assert_int_equal(pthread_join(reader, NULL), 0);
}

/* Line i's padding, so that the queue's end falls inside lines. */
static int padding(uint64_t i)
{
    return (int)(i % 59);
}

static void write_lines(uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++)
        log_write(LOG_INFO, "line %08" PRIu64 " %0*d", i, padding(i), 0);
}

/* Returns: how many of these lines stand at the front, whole and in order; *at is behind them. */
static uint64_t count_lines(const char **at, uint64_t first)
{
    char expected[128];
    for (uint64_t i = first;; i++) {
        int length = snprintf(expected, sizeof(expected), "line %08" PRIu64 " %0*d\n", i, padding(i), 0);
        if (strncmp(*at, expected, (size_t)length) != 0)
            return i - first;
        *at += length;
    }
}

/* Returns: how many lines were written, the last of them dropped. */
static uint64_t overflow(void)
{
    uint64_t written = 0;
    while (log_dropped() == 0 && written < RING_BYTES)
        write_lines(written++, 1);
    assert_true(log_dropped() == 1);
    return written;
}

static void await_calls(int calls)
{
    while (atomic_load(&script.calls) < calls)
        sched_yield();
}

static void assert_reported(const char **at, uint64_t dropped, const char *why)
{
    char expected[128];
    int length = snprintf(expected, sizeof(expected), "%" PRIu64 " log line%s dropped: %s\n", dropped,
                          dropped == 1 ? " was" : "s were", why);
    assert_memory_equal(*at, expected, (size_t)length);
    *at += length;
}

static void assert_drops_are_reported_when_there_is_space(void)
{
    size_t filled = collector_fill(&collector);
    const char *at = collector.text + filled;
    start();
    uint64_t written = overflow();
    log_write(LOG_INFO, "%s", ""); /* would fit, but must not stand before the count */
    write_lines(written, 1000);
    assert_true(log_dropped() == 1002);
    while (collector.length <= filled ||
           strstr(at, " dropped: standard error was not read in time\n") == NULL)
        assert_true(collector_read(&collector));
    write_lines(written + 1000, 1);
    finish();
    assert_true(log_dropped() == 1002);
    assert_true(count_lines(&at, 0) == written - 1);
    assert_in_range((size_t)(at - collector.text) - filled, RING_BYTES - 128, RING_BYTES);
    assert_reported(&at, 1002, "standard error was not read in time");
    assert_true(count_lines(&at, written + 1000) == 1);
    assert_string_equal(at, "");
}

static void dropped_lines_are_counted_and_reported_when_a_blocking_reader_stops(void **state)
{
    (void)state;
    assert_drops_are_reported_when_there_is_space();
}

static void dropped_lines_are_counted_and_reported_on_a_non_blocking_descriptor(void **state)
{
    (void)state;
    assert_int_equal(fcntl(collector.writer, F_SETFL, O_WRONLY | O_NONBLOCK), 0);
    assert_drops_are_reported_when_there_is_space();
}

static void collect_lines(size_t count)
{
    size_t collected = 0;
    for (size_t seen = 0; collected < count; seen++) {
        while (seen == collector.length)
            assert_true(collector_read(&collector));
        collected += collector.text[seen] == '\n';
    }
}

static void nothing_is_lost_while_a_process_reads(void **state)
{
    (void)state;
    enum { ROUNDS = 8, LINES = 2000 };
    const char *at = collector.text;
    start();
    for (size_t round = 0; round < ROUNDS; round++) {
        write_lines(round * LINES, LINES);
        collect_lines((round + 1) * LINES);
    }
    finish();
    assert_in_range(collector.length, RING_BYTES + 1, sizeof(collector.text) - 1);
    assert_true(count_lines(&at, 0) == ROUNDS * LINES);
    assert_string_equal(at, "");
    assert_true(log_dropped() == 0);
}

static void short_and_interrupted_writes_lose_and_double_nothing(void **state)
{
    (void)state;
    const char *at = collector.text;
    atomic_store(&script.piece, 7);
    start();
    write_lines(0, 1000);
    finish();
    assert_true(count_lines(&at, 0) == 1000);
    assert_string_equal(at, "");
    assert_in_range(atomic_load(&script.calls), 2 * (collector.length / 7), SIZE_MAX);
}

static void reader_that_is_gone_costs_the_lines_but_not_the_program(void **state)
{
    (void)state;
    start();
    collector_close_reader(&collector);
    write_lines(0, 1);
    await_calls(1);
    assert_false(log_drain(PLENTY_MS)); /* which does not wait for another reader */
    write_lines(1, 100);
    log_close(PLENTY_MS);
    assert_true(log_dropped() == 101);
    assert_in_range(atomic_load(&script.calls), 2, 102);
}

static void fifo_is_written_again_when_another_process_reads_it(void **state)
{
    char path[] = "/tmp/tcpgreet-log-XXXXXX";
    char text[64];
    (void)state;
    int place = mkstemp(path);
    assert_true(place >= 0 && close(place) == 0 && unlink(path) == 0 && mkfifo(path, S_IRUSR | S_IWUSR) == 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    int fd = open(path, O_WRONLY);
    const struct log_config config = {.fd = fd, .level = LOG_INFO, .format = LOG_TEXT};
    assert_true(reader >= 0 && fd >= 0 && close(reader) == 0);
    assert_int_equal(log_open(&config), 0);
    log_write(LOG_INFO, "without a reader");
    (void)log_drain(PLENTY_MS);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0 && unlink(path) == 0);
    log_write(LOG_INFO, "with another");
    log_close(PLENTY_MS);
    ssize_t length = read(reader, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    assert_string_equal(text, "without a reader\nwith another\n");
    assert_true(log_dropped() == 0);
    assert_true(close(reader) == 0 && close(fd) == 0);
}

static void closed_descriptor_costs_the_lines_but_not_the_program(void **state)
{
    (void)state;
    collector_close_writer(&collector);
    start();
    write_lines(0, 100);
    log_close(PLENTY_MS);
    assert_true(log_dropped() == 100);
    assert_int_equal(atomic_load(&script.calls), 1);
}

static void full_disk_is_tried_again_with_each_line_only(void **state)
{
    (void)state;
    atomic_store(&script.failure, ENOSPC);
    start();
    write_lines(0, 1);
    await_calls(1);
    write_lines(1, 99);
    log_close(PLENTY_MS);
    assert_true(log_dropped() == 100);
    assert_in_range(atomic_load(&script.calls), 2, 101);
}

static void lines_wait_for_room_on_the_disk(void **state)
{
    (void)state;
    const char *at = collector.text;
    atomic_store(&script.failure, ENOSPC);
    start();
    write_lines(0, 1000);
    await_calls(1);
    atomic_store(&script.failure, 0);
    finish();
    assert_true(count_lines(&at, 0) == 1000);
    assert_string_equal(at, "");
    assert_true(log_dropped() == 0);
}

static void lines_lost_to_a_full_disk_are_reported_with_the_reason(void **state)
{
    (void)state;
    const char *at = collector.text;
    atomic_store(&script.failure, ENOSPC);
    start();
    uint64_t written = overflow();
    await_calls(1);
    int calls = atomic_load(&script.calls);
    write_lines(written, 1);
    await_calls(calls + 1); /* so that the first failure is known to the log */
    atomic_store(&script.failure, 0);
    finish();
    assert_true(count_lines(&at, 0) == written - 1);
    assert_reported(&at, 2, strerror(ENOSPC));
    assert_string_equal(at, "");
}

static int64_t now_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_gives_up_where_the_reader_has_stopped(void **state)
{
    (void)state;
    const char *at = collector.text + collector_fill(&collector);
    start();
    (void)overflow();
    int64_t before = now_ms();
    log_close(50);
    assert_in_range(now_ms() - before, 50, PLENTY_MS / 2);

    const struct log_config config = {.fd = collector.writer, .level = LOG_INFO, .format = LOG_TEXT};
    assert_int_equal(log_open(&config), -1);
    assert_int_equal(errno, EBUSY);
    assert_false(log_enabled(LOG_ERROR));
    log_write(LOG_ERROR, "lost");
    assert_int_equal(fcntl(collector.reader, F_SETFL, O_NONBLOCK), 0);
    while (log_open(&config) < 0) { /* the thread left behind ends as soon as its write does */
        (void)collector_read(&collector);
        sched_yield();
    }
    assert_int_equal(fcntl(collector.reader, F_SETFL, 0), 0);
    log_write(LOG_INFO, "new");
    finish();
    assert_non_null(strstr(at, "\nnew\n"));
    assert_null(strstr(at, "lost"));
}

static void draining_waits_for_the_reader_and_gives_up_where_it_has_stopped(void **state)
{
    (void)state;
    start();
    log_write(LOG_INFO, "read");
    assert_true(log_drain(PLENTY_MS));
    (void)collector_fill(&collector);
    log_write(LOG_INFO, "unread");
    assert_false(log_drain(0));
    assert_false(log_drain(20));
}

static void progress_is_written_as_it_is_and_left_out_while_lines_wait(void **state)
{
    (void)state;
    const char *at = collector.text + strlen("\rhalf");
    start();
    log_write_progress(BYTES_LITERAL("\rhalf"));
    assert_true(log_drain(PLENTY_MS));
    at += collector_fill(&collector);
    log_write(LOG_INFO, " line");
    log_write_progress(BYTES_LITERAL("lost"));
    finish();
    assert_non_null(strstr(at, " line\n"));
    assert_null(strstr(at, "lost"));
    assert_int_equal(strncmp(collector.text, "\rhalf", strlen("\rhalf")), 0);
    assert_true(log_dropped() == 0);
}

static void *write_as_a_thread(void *context)
{
    for (int i = 0; i < LINES_PER_THREAD; i++)
        log_write(LOG_INFO, "thread %d line %d", *(int *)context, i);
    return NULL;
}

static void lines_of_many_threads_stay_whole_and_in_their_order(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int numbers[THREADS];
    int next[THREADS] = {0};
    start();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_as_a_thread, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    finish();
    for (const char *at = collector.text; *at != '\0'; at += strcspn(at, "\n") + 1) {
        int thread = -1;
        int line = -1;
        int length = 0;
        assert_int_equal(sscanf(at, "thread %d line %d%n", &thread, &line, &length), 2);
        assert_int_equal(at[length], '\n');
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(line, next[thread]++);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES_PER_THREAD);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dropped_lines_are_counted_and_reported_when_a_blocking_reader_stops),
        TEST(dropped_lines_are_counted_and_reported_on_a_non_blocking_descriptor),
        TEST(nothing_is_lost_while_a_process_reads),
        TEST(short_and_interrupted_writes_lose_and_double_nothing),
        TEST(reader_that_is_gone_costs_the_lines_but_not_the_program),
        TEST(fifo_is_written_again_when_another_process_reads_it),
        TEST(closed_descriptor_costs_the_lines_but_not_the_program),
        TEST(full_disk_is_tried_again_with_each_line_only),
        TEST(lines_wait_for_room_on_the_disk),
        TEST(lines_lost_to_a_full_disk_are_reported_with_the_reason),
        TEST(close_gives_up_where_the_reader_has_stopped),
        TEST(draining_waits_for_the_reader_and_gives_up_where_it_has_stopped),
        TEST(progress_is_written_as_it_is_and_left_out_while_lines_wait),
        TEST(lines_of_many_threads_stay_whole_and_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
