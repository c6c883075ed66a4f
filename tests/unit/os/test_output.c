#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/watched.h"
#include "tcpgreet/os/output.h"

enum { PIECE = 10007, PIECES = 300 }; /* 3 MB: more than the queue and a pipe hold */

struct fixture {
    struct watched watched;
    struct output *output;
    int fds[2];
    bool is_changed;
};

static void on_changed(void *context)
{
    struct fixture *fixture = context;
    fixture->is_changed = true;
}

static void open_fixture(struct fixture *fixture)
{
    struct err err = {0};

    *fixture = (struct fixture){0};
    (void)signal(SIGPIPE, SIG_IGN);
    watched_open(&fixture->watched);
    assert_int_equal(pipe(fixture->fds), 0);
    fixture->output = output_open(&fixture->watched.loop, fixture->fds[1], on_changed, fixture, &err);
    assert_non_null(fixture->output);
}

static void close_fixture(struct fixture *fixture)
{
    watched_close(&fixture->watched);
    if (fixture->fds[0] >= 0)
        close(fixture->fds[0]);
    if (fixture->fds[1] >= 0)
        close(fixture->fds[1]);
}

static char byte_at(size_t at)
{
    return (char)(at * 31 + (at >> 8));
}

static void write_piece(struct fixture *fixture, size_t number)
{
    char data[PIECE];
    struct err err = {0};

    for (size_t i = 0; i < PIECE; i++)
        data[i] = byte_at(number * PIECE + i);
    assert_int_equal(output_write(fixture->output, (struct bytes){data, PIECE}, &err), 0);
}

struct reader {
    int fd;
    size_t length;
    size_t wrong; /* bytes that are not the ones due */
};

static void *read_to_end(void *context)
{
    struct reader *reader = context;
    char data[1000];
    ssize_t count;

    while ((count = read(reader->fd, data, sizeof data)) > 0)
        for (ssize_t i = 0; i < count; i++)
            reader->wrong += data[i] != byte_at(reader->length++);
    return NULL;
}

static void await_change(struct fixture *fixture)
{
    fixture->is_changed = false;
    watched_run(&fixture->watched, &fixture->is_changed);
}

/* Returns: whether a write to this pipe can be refused instead of waiting: since Linux 6.4. */
static bool writes_at_once(const struct fixture *fixture)
{
#ifdef RWF_NOWAIT
    char byte = 'x';
    return pwritev2(fixture->fds[1], &(struct iovec){&byte, 1}, 1, -1, RWF_NOWAIT) == 1 &&
           read(fixture->fds[0], &byte, 1) == 1;
#else
    (void)fixture;
    return false;
#endif
}

static void what_a_pipe_has_room_for_is_written_before_the_loop_goes_on(void **state)
{
    struct fixture fixture;
    struct err err = {0};
    char data[PIECE];
    (void)state;

    open_fixture(&fixture);
    bool is_possible = writes_at_once(&fixture);
    for (size_t i = 0; i < 2 && is_possible; i++) {
        write_piece(&fixture, i);
        assert_false(output_is_pending(fixture.output));
        assert_int_equal(read(fixture.fds[0], data, sizeof data), PIECE);
        assert_int_equal(data[1], byte_at(i * PIECE + 1));
    }
    assert_int_equal(output_close(fixture.output, 0, &err), 0);
    close_fixture(&fixture);
    if (!is_possible)
        skip();
}

static void a_slow_reader_receives_every_byte_in_order(void **state)
{
    struct fixture fixture;
    struct err err = {0};
    pthread_t thread;
    unsigned waits = 0;
    (void)state;

    open_fixture(&fixture);
    struct reader reader = {.fd = fixture.fds[0]};
    for (size_t i = 0; i < PIECES; i++) {
        for (; output_is_full(fixture.output); waits++) {
            if (waits == 0) /* it begins to read when nothing more fits */
                assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
            await_change(&fixture);
        }
        write_piece(&fixture, i);
    }
    assert_in_range(waits, 1, PIECES);
    while (output_is_pending(fixture.output))
        await_change(&fixture);
    assert_int_equal(output_close(fixture.output, 0, &err), 0);
    close(fixture.fds[1]);
    fixture.fds[1] = open("/dev/null", O_WRONLY);
    pthread_join(thread, NULL);
    assert_int_equal(reader.length, PIECE * PIECES);
    assert_int_equal(reader.wrong, 0);
    close_fixture(&fixture);
}

static void a_reader_that_does_not_read_blocks_neither_writing_nor_closing(void **state)
{
    struct fixture fixture;
    struct err err = {0};
    size_t count = 0;
    (void)state;

    open_fixture(&fixture);
    int flags = fcntl(fixture.fds[1], F_GETFL);
    for (; !output_is_full(fixture.output); count++) {
        assert_true(count < PIECES);
        write_piece(&fixture, count);
    }
    assert_true(count * PIECE >= OUTPUT_QUEUE_BYTES);
    assert_true(output_is_pending(fixture.output));
    output_drain(fixture.output, 10);
    assert_int_equal(output_close(fixture.output, 10, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_OUTPUT);
    assert_int_equal(fcntl(fixture.fds[1], F_GETFL), flags);
    close(fixture.fds[0]); /* which ends the write that was left behind */
    fixture.fds[0] = -1;
    fixture.fds[1] = -1; /* left open: the thread that was left behind may still use it */
    close_fixture(&fixture);
}

static void a_write_that_fails_is_reported_without_being_asked_for(void **state)
{
    struct fixture fixture;
    struct err err = {0};
    (void)state;

    open_fixture(&fixture);
    close(fixture.fds[0]);
    fixture.fds[0] = -1;
    assert_int_equal(output_failed(fixture.output, &err), 0);
    assert_int_equal(output_write(fixture.output, BYTES_LITERAL("x"), &err), 0);
    await_change(&fixture);
    assert_int_equal(output_failed(fixture.output, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_OUTPUT);
    assert_int_equal(err.native, EPIPE);
    assert_false(output_is_pending(fixture.output));
    err_clear(&err);
    assert_int_equal(output_write(fixture.output, BYTES_LITERAL("x"), &err), -1);
    assert_int_equal(err.native, EPIPE);
    err_clear(&err);
    assert_int_equal(output_close(fixture.output, 0, &err), -1);
    assert_int_equal(err.native, EPIPE);
    close_fixture(&fixture);
}

static void a_closed_descriptor_is_reported_when_the_output_is_closed(void **state)
{
    struct fixture fixture;
    struct err err = {0};
    (void)state;

    open_fixture(&fixture);
    close(fixture.fds[1]);
    assert_int_equal(output_write(fixture.output, BYTES_LITERAL("x"), &err), 0);
    assert_int_equal(output_close(fixture.output, WATCHED_LIMIT_MS, &err), -1);
    assert_int_equal(err.native, EBADF);
    close_fixture(&fixture);
}

static void a_descriptor_that_does_not_block_is_waited_for(void **state)
{
    struct fixture fixture;
    struct err err = {0};
    pthread_t thread;
    (void)state;

    open_fixture(&fixture);
    assert_int_equal(fcntl(fixture.fds[1], F_SETFL, O_NONBLOCK), 0);
    for (size_t i = 0; i < PIECES; i++)
        write_piece(&fixture, i);
    struct reader reader = {.fd = fixture.fds[0]};
    assert_int_equal(pthread_create(&thread, NULL, read_to_end, &reader), 0);
    assert_int_equal(output_close(fixture.output, WATCHED_LIMIT_MS, &err), 0);
    close(fixture.fds[1]);
    fixture.fds[1] = open("/dev/null", O_WRONLY);
    pthread_join(thread, NULL);
    assert_int_equal(reader.length, PIECE * PIECES);
    assert_int_equal(reader.wrong, 0);
    close_fixture(&fixture);
}

static void a_text_is_queued_as_a_whole(void **state)
{
    struct fixture fixture;
    struct output_text text;
    struct err err = {0};
    char data[32] = "";
    (void)state;

    open_fixture(&fixture);
    assert_int_equal(output_text_open(&text, &err), 0);
    assert_true(fprintf(text.file, "%d names", 42) > 0);
    assert_int_equal(fflush(text.file), 0);
    assert_false(output_is_pending(fixture.output));
    assert_int_equal(output_text_close(&text, fixture.output, &err), 0);
    assert_int_equal(output_close(fixture.output, WATCHED_LIMIT_MS, &err), 0);
    assert_int_equal(read(fixture.fds[0], data, sizeof data - 1), 8);
    assert_string_equal(data, "42 names");
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_pipe_has_room_for_is_written_before_the_loop_goes_on),
        cmocka_unit_test(a_slow_reader_receives_every_byte_in_order),
        cmocka_unit_test(a_reader_that_does_not_read_blocks_neither_writing_nor_closing),
        cmocka_unit_test(a_write_that_fails_is_reported_without_being_asked_for),
        cmocka_unit_test(a_closed_descriptor_is_reported_when_the_output_is_closed),
        cmocka_unit_test(a_descriptor_that_does_not_block_is_waited_for),
        cmocka_unit_test(a_text_is_queued_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
