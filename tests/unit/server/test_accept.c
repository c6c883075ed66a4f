#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/worker.h"
#include "support/accept_fault.h"
#include "support/caller.h"
#include "support/host.h"
#include "tcpgreet/net/stream_tcp.h"

/* Of accept.c. */
enum { MIN_MS = 10, MAX_MS = 1000, EXHAUSTED_MAX_MS = 100, LOST_IN_A_ROW = 256 };

static const int exhaustion[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
static const int refusal[] = {EPERM, EACCES, EIO};
static const int loss[] = {ECONNABORTED, EPROTO,     ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
                           EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EINTR};
static const int final[] = {ENOSYS, EBADF, ENOTSOCK, EFAULT, EINVAL};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static int64_t now_ms(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Returns: how many attempts may have been made since a time, where the first came at once and each pause is
 * twice as long as the one before, up to max_ms. A machine that is busy makes fewer. */
static unsigned attempts_allowed(int64_t since_ms, int64_t max_ms)
{
    enum { TICK_MS = 5 }; /* of the loop's clock */
    int64_t left = now_ms() - since_ms + TICK_MS, pause = MIN_MS;
    unsigned attempts = 1;
    for (; left >= pause; attempts++) {
        left -= pause;
        pause = pause * 2 < max_ms ? pause * 2 : max_ms;
    }
    return attempts;
}

static void await_attempts(unsigned due)
{
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && accept_fault_count() < due; i++)
        poll(NULL, 0, 1);
    assert_true(accept_fault_count() >= due);
}

/* Every attempt fails until the sixth; then the connection that waited is served. */
static void expect_growing_pauses(struct host *host, int native, int64_t max_ms, unsigned calls_an_attempt)
{
    enum { ATTEMPTS = 6 };
    uint64_t pauses = host_counters(host).pauses;

    accept_fault_set(ACCEPT_FAULT_ANY, native, ACCEPT_FAULT_ALWAYS);
    int64_t since = now_ms();
    int fd = caller_connect(&host->at);
    await_attempts(ATTEMPTS * calls_an_attempt);
    unsigned attempts = accept_fault_count() / calls_an_attempt;
    assert_true(attempts <= attempts_allowed(since, max_ms));
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    caller_expect(fd, HOST_WELCOME);
    host_leave(fd);
    HOST_EXPECT_COUNTER(host, open, 0);
    assert_int_equal(host_counters(host).pauses, pauses + 1);
}

static void exhausted_descriptors_or_memory_pause_accepting_with_a_growing_delay(void **state)
{
    host_start(*state);
    for (size_t i = 0; i < COUNT(exhaustion); i++)
        expect_growing_pauses(*state, exhaustion[i], EXHAUSTED_MAX_MS, 1);
}

static void a_refusal_of_the_system_pauses_accepting_with_a_growing_delay(void **state)
{
    host_start(*state);
    for (size_t i = 0; i < COUNT(refusal); i++)
        expect_growing_pauses(*state, refusal[i], MAX_MS, 1);
}

static void connections_lost_without_end_pause_accepting_with_a_growing_delay(void **state)
{
    host_start(*state);
    for (size_t i = 0; i < 2; i++)
        expect_growing_pauses(*state, loss[i], MAX_MS, LOST_IN_A_ROW);
}

static void lost_connections_do_not_delay_the_next_one(void **state)
{
    enum { LOST = 200 };
    struct host *host = *state;
    host_start(host);
    for (size_t i = 0; i < COUNT(loss); i++) {
        accept_fault_set(ACCEPT_FAULT_ANY, loss[i], LOST);
        host_leave(host_greet(host));
        assert_int_equal(accept_fault_count(), LOST);
    }
    assert_int_equal(host_counters(host).pauses, 0);
}

static void connections_that_waited_during_a_pause_are_served(void **state)
{
    enum { CONNECTIONS = 30 };
    struct host *host = *state;
    int fds[CONNECTIONS];

    host_start(host);
    accept_fault_set(ACCEPT_FAULT_ANY, EPERM, ACCEPT_FAULT_ALWAYS);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = caller_connect(&host->at);
    await_attempts(3);
    assert_int_equal(host_counters(host).connections, 0);
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        caller_expect(fds[i], HOST_WELCOME);
        host_leave(fds[i]);
    }
    HOST_EXPECT_COUNTER(host, connections, CONNECTIONS);
    assert_int_equal(host_counters(host).pauses, 1);
}

/* Connections end one after another while every accept fails. Returns: attempts beyond those of the timer. */
static unsigned extra_attempts(struct host *host, int native, int64_t max_ms)
{
    enum { CONNECTIONS = 40 };
    int fds[CONNECTIONS];

    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = host_greet(host);
    accept_fault_set(ACCEPT_FAULT_ANY, native, ACCEPT_FAULT_ALWAYS);
    int64_t since = now_ms();
    int fd = caller_connect(&host->at);
    await_attempts(1);
    for (int i = 0; i < CONNECTIONS; i++) {
        host_leave(fds[i]);
        HOST_EXPECT_COUNTER(host, open, (uint64_t)(CONNECTIONS - 1 - i));
    }
    unsigned allowed = attempts_allowed(since, max_ms), made = accept_fault_count();
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    caller_expect(fd, HOST_WELCOME);
    host_leave(fd);
    HOST_EXPECT_COUNTER(host, open, 0);
    return made > allowed ? made - allowed : 0;
}

static void a_connection_that_ends_ends_a_pause_for_descriptors_and_no_other(void **state)
{
    struct host *host = *state;
    host_start(host);
    assert_true(extra_attempts(host, EMFILE, EXHAUSTED_MAX_MS) > 0);
    assert_int_equal(extra_attempts(host, EPERM, MAX_MS), 0);
}

static void a_listener_that_pauses_does_not_delay_another(void **state)
{
    struct host *host = *state;
    struct listener listeners[2] = {host_listen(), host_listen()};
    struct endpoint at = listeners[0].at;

    accept_fault_set(listeners[0].fd, EPERM, ACCEPT_FAULT_ALWAYS);
    host_start_on(host, listeners, 2);
    int fd = caller_connect(&at);
    await_attempts(2);
    host_leave(host_greet(host));
    assert_int_equal(host_counters(host).connections, 1);
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    caller_expect(fd, HOST_WELCOME);
    host_leave(fd);
}

static void a_drain_during_a_pause_ends_the_worker(void **state)
{
    struct host *host = *state;
    host_start(host);
    accept_fault_set(ACCEPT_FAULT_ANY, EPERM, ACCEPT_FAULT_ALWAYS);
    int fd = caller_connect(&host->at);
    await_attempts(3);
    worker_stop(host->worker, false);
    host_expect_stopped(host);
    close(fd);
}

static void a_drain_while_connections_are_lost_without_end_ends_the_worker(void **state)
{
    struct host *host = *state;
    host_start(host);
    accept_fault_set(ACCEPT_FAULT_ANY, ECONNABORTED, ACCEPT_FAULT_ALWAYS);
    int fd = caller_connect(&host->at);
    await_attempts(1);
    worker_stop(host->worker, false);
    host_expect_stopped(host);
    close(fd);
}

static void a_drain_accepts_connections_that_waited_during_a_pause(void **state)
{
    struct host *host = *state;
    host_start(host);
    accept_fault_set(ACCEPT_FAULT_ANY, EPERM, ACCEPT_FAULT_ALWAYS);
    int fd = caller_connect(&host->at);
    await_attempts(8); /* the next one comes after a second */
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    worker_stop(host->worker, false);
    caller_expect(fd, HOST_WELCOME);
    host_leave(fd);
    host_expect_stopped(host);
}

/* What the worker reported. */
static struct {
    atomic_uint count;
    struct err err;
    void *context;
} failure;

static void on_failed(void *context, const struct err *err)
{
    failure.err = *err;
    failure.context = context;
    atomic_fetch_add(&failure.count, 1);
}

static void expect_failure(struct host *host, int native)
{
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && atomic_load(&failure.count) == 0; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&failure.count), 1);
    assert_ptr_equal(failure.context, host);
    assert_int_equal(failure.err.reason, ERR_SYSTEM_OTHER);
    assert_int_equal(failure.err.native, native);
}

/* Returns: a connection that is served. */
static int start_reporting(struct host *host)
{
    atomic_store(&failure.count, 0);
    host->config.failed = on_failed;
    host_start(host);
    return host_greet(host);
}

/* After the failure: one report, no further attempt, and the dialogues go on until a drain ends. */
static void expect_end(struct host *host, int fd)
{
    caller_send(fd, "Bob\n");
    caller_expect(fd, HOST_HELLO("Bob"));
    assert_int_equal(host_counters(host).pauses, 0);
    worker_stop(host->worker, false);
    caller_send(fd, "Eve\n");
    caller_expect(fd, HOST_HELLO("Eve"));
    host_leave(fd);
    host_expect_stopped(host);
    assert_int_equal(atomic_load(&failure.count), 1);
    assert_int_equal(limits_open(host->limits), 0);
}

static void a_listener_that_can_never_work_is_reported_once(void **state)
{
    struct host *host = *state;
    for (size_t i = 0; i < COUNT(final); i++) {
        accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
        int fd = start_reporting(host);
        accept_fault_set(ACCEPT_FAULT_ANY, final[i], ACCEPT_FAULT_ALWAYS);
        int waiting = caller_connect(&host->at);
        expect_failure(host, final[i]);
        assert_int_equal(accept_fault_count(), 1);
        expect_end(host, fd);
        assert_int_equal(accept_fault_count(), 2); /* the last attempt, before the listener is closed */
        close(waiting);
        atomic_store(&host->stopped, 0);
    }
}

static void start_with(struct host *host, struct listener listener)
{
    atomic_store(&failure.count, 0);
    host->config.failed = on_failed;
    host_start_on(host, &listener, 1);
}

static void a_listener_that_is_shut_down_is_reported_once(void **state)
{
    struct host *host = *state;
    struct listener listener = host_listen();

    start_with(host, listener);
    int fd = host_greet(host);
    assert_int_equal(shutdown(listener.fd, SHUT_RD), 0);
    expect_failure(host, EINVAL);
    assert_non_null(strstr(failure.err.text, "no longer listens"));
    expect_end(host, fd);
}

/* Returns: a socket that has an error pending. */
static struct listener refused_socket(void)
{
    struct listener refusing = host_listen(), refused = {.at = refusing.at};
    refused.fd = stream_tcp_socket(AF_INET, &(struct err){0});
    assert_true(refused.fd >= 0);
    listener_close(&refusing);
    assert_int_equal(connect(refused.fd, &refused.at.address.any, endpoint_length(&refused.at)), -1);
    struct pollfd event = {.fd = refused.fd, .events = POLLIN};
    assert_int_equal(poll(&event, 1, CALLER_PATIENCE_S * 1000), 1);
    assert_true((event.revents & POLLERR) != 0);
    return refused;
}

/* libuv stops polling it; the worker must not wait for an event that never comes. */
static void a_listener_with_a_pending_error_is_tried_again(void **state)
{
    struct host *host = *state;
    accept_fault_set(ACCEPT_FAULT_ANY, EAGAIN, ACCEPT_FAULT_ALWAYS);
    start_with(host, refused_socket());
    await_attempts(5);
    assert_int_equal(atomic_load(&failure.count), 0);
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    expect_failure(host, EINVAL);
}

static void a_listener_that_fails_during_a_drain_is_not_reported(void **state)
{
    struct host *host = *state;
    int fd = start_reporting(host);
    accept_fault_set(ACCEPT_FAULT_ANY, ENOSYS, ACCEPT_FAULT_ALWAYS);
    worker_stop(host->worker, false);
    host_leave(fd);
    host_expect_stopped(host);
    assert_int_equal(accept_fault_count(), 1);
    assert_int_equal(atomic_load(&failure.count), 0);
}

static int set_up(void **state)
{
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    return host_set_up(state);
}

static int tear_down(void **state)
{
    accept_fault_set(ACCEPT_FAULT_ANY, 0, 0);
    return host_tear_down(state);
}

int main(void)
{
#define ACCEPT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ACCEPT_TEST(exhausted_descriptors_or_memory_pause_accepting_with_a_growing_delay),
        ACCEPT_TEST(a_refusal_of_the_system_pauses_accepting_with_a_growing_delay),
        ACCEPT_TEST(connections_lost_without_end_pause_accepting_with_a_growing_delay),
        ACCEPT_TEST(lost_connections_do_not_delay_the_next_one),
        ACCEPT_TEST(connections_that_waited_during_a_pause_are_served),
        ACCEPT_TEST(a_connection_that_ends_ends_a_pause_for_descriptors_and_no_other),
        ACCEPT_TEST(a_listener_that_pauses_does_not_delay_another),
        ACCEPT_TEST(a_drain_during_a_pause_ends_the_worker),
        ACCEPT_TEST(a_drain_while_connections_are_lost_without_end_ends_the_worker),
        ACCEPT_TEST(a_drain_accepts_connections_that_waited_during_a_pause),
        ACCEPT_TEST(a_listener_that_can_never_work_is_reported_once),
        ACCEPT_TEST(a_listener_that_is_shut_down_is_reported_once),
        ACCEPT_TEST(a_listener_with_a_pending_error_is_tried_again),
        ACCEPT_TEST(a_listener_that_fails_during_a_drain_is_not_reported),
    };
    if (!accept_fault_is_available()) {
        puts("skipped: accept4 cannot be made to fail on this system");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
