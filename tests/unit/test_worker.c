#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/launcher.h"
#include "tcpgreet/trace.h"
#include "tcpgreet/worker.h"

#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define HELLO(name) "Server: Hello " name "!\n" QUESTION
#define BYE "Server: Good bye!\n"
#define SORRY "Server: Sorry, too many guests.\n"

enum { LONG_MS = 1000 * 1000 };

/* Holds the worker at its first guest, so that the test can do several things at once. */
struct gate {
    atomic_bool closed;
    atomic_bool reached;
};

struct fixture {
    struct gate gate;
    struct session_policy policy;
    struct worker_config config;
    struct endpoint at;
    atomic_size_t guests;
    atomic_uint pausing;
    struct worker *worker;
    atomic_uint stopped;
    pthread_t tester;
    bool stopped_elsewhere; /* in another thread than the test's */
};

static void on_stopped(void *context)
{
    struct fixture *fixture = context;
    fixture->stopped_elsewhere = pthread_equal(fixture->tester, pthread_self()) == 0;
    atomic_fetch_add(&fixture->stopped, 1);
}

static int set_up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    fixture->tester = pthread_self();
    fixture->policy = (struct session_policy){.idle_ms = LONG_MS, .name_ms = LONG_MS, .pause_ms = 0};
    fixture->config = (struct worker_config){.policy = &fixture->policy,
                                             .max_connections = 100,
                                             .guests = &fixture->guests,
                                             .pausing = &fixture->pausing,
                                             .max_refusals = 2,
                                             .handshake_ms = LONG_MS,
                                             .drain_ms = LONG_MS,
                                             .stopped = on_stopped,
                                             .context = fixture};
    *state = fixture;
    return 0;
}

static struct listener listen_at_loopback(void)
{
    const struct listener_options options = {.backlog = 256, .want_v4 = true};
    struct listener listener;
    struct target target;
    struct err err = {0};
    assert_int_equal(target_parse(&target, "127.0.0.1", "0", &err), 0);
    if (listener_open(&target, &options, &listener, 1, &err) != 1)
        fail_msg("%s", err.text);
    return listener;
}

static void start(struct fixture *fixture)
{
    struct listener listener = listen_at_loopback();
    struct err err = {0};
    fixture->at = listener.at;
    fixture->config.listeners = &listener;
    fixture->config.listener_count = 1;
    fixture->worker = worker_start(&fixture->config, &err);
    if (fixture->worker == NULL)
        fail_msg("%s", err.text);
}

static struct worker_counters counters(const struct fixture *fixture)
{
    struct worker_counters sum = {0};
    worker_count(fixture->worker, &sum);
    return sum;
}

/* Waits for a counter to reach a value that it does not go beyond. */
static void expect_counter(const struct fixture *fixture, size_t offset, uint64_t due, const char *name)
{
    uint64_t value = 0;
    for (int i = 0; i < CALLER_PATIENCE_S * 1000; i++) {
        struct worker_counters now = counters(fixture);
        memcpy(&value, (const char *)&now + offset, sizeof value);
        if (value == due)
            return;
        poll(NULL, 0, 1);
    }
    fail_msg("%s stays at %llu, not %llu", name, (unsigned long long)value, (unsigned long long)due);
}

#define EXPECT_COUNTER(fixture, name, due)                                                                   \
    expect_counter(fixture, offsetof(struct worker_counters, name), due, #name)

/* The worker ends by itself, for it was asked to. */
static void expect_stopped(struct fixture *fixture)
{
    struct worker *worker = fixture->worker;
    fixture->worker = NULL;
    alarm(CALLER_PATIENCE_S);
    worker_free(worker);
    alarm(0);
    assert_int_equal(atomic_load(&fixture->stopped), 1);
    assert_true(fixture->stopped_elsewhere);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->gate.closed, false);
    if (fixture->worker != NULL) {
        worker_stop(fixture->worker, true);
        expect_stopped(fixture);
    }
    trace_to(NULL, NULL);
    test_free(fixture);
    return 0;
}

static int greet(const struct fixture *fixture)
{
    int fd = caller_connect(&fixture->at);
    caller_expect(fd, WELCOME);
    caller_say(fd, "Ann\n");
    caller_expect(fd, HELLO("Ann"));
    return fd;
}

static void leave(int fd)
{
    caller_say(fd, "exit\n");
    caller_expect(fd, BYE);
    caller_expect_end(fd);
    close(fd);
}

static void guests_are_served_at_once_and_counted(void **state)
{
    enum { GUESTS = 20 };
    struct fixture *fixture = *state;
    int fds[GUESTS];

    start(fixture);
    for (int i = 0; i < GUESTS; i++)
        fds[i] = greet(fixture);
    EXPECT_COUNTER(fixture, connections, GUESTS);
    EXPECT_COUNTER(fixture, open, GUESTS);
    EXPECT_COUNTER(fixture, names, GUESTS);
    for (int i = 0; i < GUESTS; i++)
        leave(fds[i]);
    EXPECT_COUNTER(fixture, open, 0);
    struct worker_counters end = counters(fixture);
    assert_int_equal(end.connections, GUESTS);
    assert_int_equal(end.failed + end.silent + end.timed_out + end.strangers + end.refused + end.pauses, 0);
}

static void counters_add_up(void **state)
{
    struct fixture *fixture = *state;
    struct worker_counters sum = {.connections = 5, .names = 7};
    start(fixture);
    leave(greet(fixture));
    EXPECT_COUNTER(fixture, open, 0);
    worker_count(fixture->worker, &sum);
    assert_int_equal(sum.connections, 6);
    assert_int_equal(sum.names, 8);
}

static void a_guest_too_many_hears_so_and_the_next_finds_a_place(void **state)
{
    struct fixture *fixture = *state;
    int waiting[5];

    fixture->config.max_connections = 1;
    start(fixture);
    int fd = greet(fixture);
    for (int i = 0; i < 5; i++) { /* two of them may linger */
        waiting[i] = caller_connect(&fixture->at);
        caller_expect(waiting[i], SORRY);
        caller_expect_end(waiting[i]);
    }
    EXPECT_COUNTER(fixture, refused, 5);
    for (int i = 0; i < 5; i++)
        close(waiting[i]);
    leave(fd);
    EXPECT_COUNTER(fixture, open, 0);
    leave(greet(fixture));
    EXPECT_COUNTER(fixture, connections, 2);
    assert_int_equal(counters(fixture).silent, 0);
}

static void a_drain_lets_dialogues_finish_and_nobody_in(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    int fd = greet(fixture);
    worker_stop(fixture->worker, false);
    worker_stop(fixture->worker, false);

    int late = socket(AF_INET, SOCK_STREAM, 0);
    int refused = 0;
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && refused == 0; i++) {
        refused = connect(late, &fixture->at.address.any, endpoint_length(&fixture->at));
        if (refused == 0) { /* the worker has not heard yet */
            close(late);
            late = socket(AF_INET, SOCK_STREAM, 0);
            poll(NULL, 0, 1);
        }
    }
    assert_int_equal(refused, -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(late);

    caller_say(fd, "Bob\n");
    caller_expect(fd, HELLO("Bob"));
    assert_int_equal(atomic_load(&fixture->stopped), 0);
    leave(fd);
    expect_stopped(fixture);
}

static void wait_at_gate(void *context, const struct trace_event *event)
{
    struct gate *gate = context;
    if (event->step != TRACE_ACCEPT)
        return;
    atomic_store(&gate->reached, true);
    while (atomic_load(&gate->closed))
        poll(NULL, 0, 1);
}

static void guests_in_the_kernels_queue_are_served_before_a_drain(void **state)
{
    enum { GUESTS = 200 }; /* more than are accepted before the stop is heard of */
    struct fixture *fixture = *state;
    int fds[GUESTS];

    fixture->config.max_connections = GUESTS;
    atomic_store(&fixture->gate.closed, true);
    trace_to(wait_at_gate, &fixture->gate);
    start(fixture);
    for (int i = 0; i < GUESTS; i++) {
        fds[i] = caller_connect(&fixture->at);
        while (!atomic_load(&fixture->gate.reached))
            poll(NULL, 0, 1);
    }
    worker_stop(fixture->worker, false);
    atomic_store(&fixture->gate.closed, false);
    for (int i = 0; i < GUESTS; i++) {
        caller_expect(fds[i], WELCOME);
        leave(fds[i]);
    }
    expect_stopped(fixture);
}

static void after_the_drain_everybody_hears_a_farewell(void **state)
{
    struct fixture *fixture = *state;
    int fds[3];

    fixture->config.drain_ms = 1;
    start(fixture);
    for (int i = 0; i < 3; i++)
        fds[i] = greet(fixture);
    caller_say(fds[2], "unfinis");
    worker_stop(fixture->worker, false);
    for (int i = 0; i < 3; i++) {
        caller_expect(fds[i], BYE);
        caller_expect_end(fds[i]);
        close(fds[i]);
    }
    expect_stopped(fixture);
}

static void a_guest_that_stays_after_the_farewell_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.drain_ms = 0;
    start(fixture);
    int fd = greet(fixture);
    worker_stop(fixture->worker, false);
    caller_expect(fd, BYE);
    expect_stopped(fixture);
    close(fd);
}

static void a_stop_at_once_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    int fd = greet(fixture);
    worker_stop(fixture->worker, true);
    expect_stopped(fixture);
    caller_expect_end(fd);
    close(fd);
}

static void a_second_stop_ends_a_drain(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    int fd = greet(fixture);
    worker_stop(fixture->worker, false);
    worker_stop(fixture->worker, true);
    worker_stop(fixture->worker, false);
    expect_stopped(fixture);
    caller_expect_end(fd);
    close(fd);
}

static void a_worker_without_guests_stops_by_itself(void **state)
{
    struct fixture *fixture = *state;
    start(fixture);
    worker_stop(fixture->worker, false);
    expect_stopped(fixture);
    worker_free(NULL);
}

static void each_way_to_end_has_its_counter(void **state)
{
    enum { SILENT = 30 };
    struct fixture *fixture = *state;
    start(fixture);

    for (int i = 0; i < SILENT; i++)
        close(caller_connect(&fixture->at));
    EXPECT_COUNTER(fixture, silent, SILENT);
    caller_reset(caller_connect(&fixture->at));
    EXPECT_COUNTER(fixture, silent, SILENT + 1);

    caller_reset(greet(fixture));
    EXPECT_COUNTER(fixture, failed, 1);

    int stranger = caller_connect(&fixture->at);
    caller_say(stranger, "GET / HTTP/1.1\r\n");
    caller_expect(stranger, WELCOME);
    caller_expect_end(stranger);
    close(stranger);
    EXPECT_COUNTER(fixture, strangers, 1);

    int half = greet(fixture);
    shutdown(half, SHUT_WR);
    caller_expect_end(half);
    close(half);
    EXPECT_COUNTER(fixture, open, 0);
    struct worker_counters end = counters(fixture);
    assert_int_equal(end.connections, SILENT + 4);
    assert_int_equal(end.silent, SILENT + 1);
    assert_int_equal(end.failed, 1);
    assert_int_equal(end.timed_out, 0);
}

static void silence_is_counted_as_such(void **state)
{
    struct fixture *fixture = *state;
    fixture->policy.idle_ms = 10;
    start(fixture);
    int fd = caller_connect(&fixture->at);
    caller_expect(fd, WELCOME BYE);
    caller_expect_end(fd);
    close(fd);
    EXPECT_COUNTER(fixture, timed_out, 1);
    EXPECT_COUNTER(fixture, open, 0);
    assert_int_equal(counters(fixture).silent, 0);
}

static void exhausted_descriptors_pause_the_accepting_for_a_while(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, now;

    if (!launcher_has_real_limits())
        skip();
    start(fixture);
    int fd = greet(fixture), late = socket(AF_INET, SOCK_STREAM, 0), next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int connected = connect(late, &fixture->at.address.any, endpoint_length(&fixture->at));
    EXPECT_COUNTER(fixture, pauses, 1);
    caller_say(fd, "Bob\n"); /* the others go on */
    caller_expect(fd, HELLO("Bob"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    assert_int_equal(connected, 0);
    caller_expect(late, WELCOME);
    leave(late);
    leave(fd);
    EXPECT_COUNTER(fixture, open, 0);
    EXPECT_COUNTER(fixture, pauses, 1);
}

static void a_worker_that_cannot_start_closes_its_listeners(void **state)
{
    struct fixture *fixture = *state;
    FILE *file = tmpfile(); /* cannot be waited for */
    struct listener listeners[2] = {listen_at_loopback(), {.fd = dup(fileno(file))}};
    struct err err = {0};

    fclose(file);
    fixture->config.listeners = listeners;
    fixture->config.listener_count = 2;
    assert_null(worker_start(&fixture->config, &err));
    assert_int_equal(err.reason, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "cannot start a worker: "));
    assert_int_equal(atomic_load(&fixture->stopped), 0);

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct endpoint *at = &listeners[0].at;
    assert_int_equal(connect(fd, &at->address.any, endpoint_length(at)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
}

int main(void)
{
#define WORKER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WORKER_TEST(guests_are_served_at_once_and_counted),
        WORKER_TEST(counters_add_up),
        WORKER_TEST(a_guest_too_many_hears_so_and_the_next_finds_a_place),
        WORKER_TEST(a_drain_lets_dialogues_finish_and_nobody_in),
        WORKER_TEST(guests_in_the_kernels_queue_are_served_before_a_drain),
        WORKER_TEST(after_the_drain_everybody_hears_a_farewell),
        WORKER_TEST(a_guest_that_stays_after_the_farewell_holds_nobody_up),
        WORKER_TEST(a_stop_at_once_says_nothing),
        WORKER_TEST(a_second_stop_ends_a_drain),
        WORKER_TEST(a_worker_without_guests_stops_by_itself),
        WORKER_TEST(each_way_to_end_has_its_counter),
        WORKER_TEST(silence_is_counted_as_such),
        WORKER_TEST(exhausted_descriptors_pause_the_accepting_for_a_while),
        WORKER_TEST(a_worker_that_cannot_start_closes_its_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
