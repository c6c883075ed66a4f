#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/host.h"
#include "tcpgreet/base/trace.h"

/* Returns: 0, or what connect failed with. */
static int try_connect(const struct endpoint *at)
{
    int fd, why = caller_try(at, &fd);
    if (fd >= 0)
        close(fd);
    return why;
}

/* Connects until it is refused. A connection that the kernel completes after the last accept is reset when
 * the listener is closed, before or after connect has returned: that can be one at most, for the next one
 * comes later. */
static void expect_closing_listener(const struct endpoint *at)
{
    int why = 0;
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && why == 0; i++) {
        why = try_connect(at);
        if (why == 0)
            poll(NULL, 0, 1); /* the worker has not seen the command yet */
    }
    if (why == ECONNRESET)
        why = try_connect(at);
    assert_int_equal(why, ECONNREFUSED);
}

static void a_drain_lets_dialogues_finish_and_accepts_no_connection(void **state)
{
    struct host *host = *state;
    host_start(host);
    int fd = host_greet(host);
    worker_stop(host->worker, false);
    worker_stop(host->worker, false);
    expect_closing_listener(&host->at);

    caller_send(fd, "Bob\n");
    caller_expect(fd, HOST_HELLO("Bob"));
    assert_int_equal(atomic_load(&host->stopped), 0);
    host_leave(fd);
    host_expect_stopped(host);
}

static void hold_at_accept(void *context, const struct trace_event *event)
{
    if (event->step == TRACE_ACCEPT)
        gate_pass(context);
}

/* All connections but the first are still in the kernel's queue when the worker gets the command to drain. */
static void drain_with_a_queue(struct host *host, int *fds, int count)
{
    atomic_store(&host->gate.closed, true);
    trace_to(hold_at_accept, &host->gate);
    host_start(host);
    for (int i = 0; i < count; i++) {
        fds[i] = caller_connect(&host->at);
        while (atomic_load(&host->gate.reached) == 0)
            poll(NULL, 0, 1);
    }
    worker_stop(host->worker, false);
    atomic_store(&host->gate.closed, false);
}

static void connections_in_the_kernels_queue_are_served_before_a_drain(void **state)
{
    enum { CONNECTIONS = 200 }; /* more than are accepted at a time */
    struct host *host = *state;
    int fds[CONNECTIONS];

    host->limit.max_connections = host->limit.max_per_address = CONNECTIONS;
    drain_with_a_queue(host, fds, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        caller_expect(fds[i], HOST_WELCOME);
        host_leave(fds[i]);
    }
    host_expect_stopped(host);
}

static void connections_too_many_in_the_kernels_queue_are_rejected_before_a_drain(void **state)
{
    enum { CONNECTIONS = 200 };
    struct host *host = *state;
    int fds[CONNECTIONS];

    host->limit.max_connections = 1;
    drain_with_a_queue(host, fds, CONNECTIONS);
    caller_expect(fds[0], HOST_WELCOME);
    for (int i = 1; i < CONNECTIONS; i++) {
        caller_expect(fds[i], HOST_SORRY);
        caller_expect_end(fds[i]);
        close(fds[i]);
    }
    host_leave(fds[0]);
    host_expect_stopped(host);
}

static void after_the_drain_every_peer_receives_the_final_message(void **state)
{
    struct host *host = *state;
    int fds[3];

    host->config.drain_ms = 1;
    host_start(host);
    for (int i = 0; i < 3; i++)
        fds[i] = host_greet(host);
    caller_send(fds[2], "unfinis");
    worker_stop(host->worker, false);
    for (int i = 0; i < 3; i++) {
        caller_expect(fds[i], HOST_BYE);
        caller_expect_end(fds[i]);
        close(fds[i]);
    }
    host_expect_stopped(host);
}

static void a_peer_that_stays_after_the_final_message_does_not_delay_the_end(void **state)
{
    struct host *host = *state;
    host->config.drain_ms = 0;
    host_start(host);
    int fd = host_greet(host);
    worker_stop(host->worker, false);
    caller_expect(fd, HOST_BYE);
    host_expect_stopped(host);
    close(fd);
}

static void a_stop_at_once_sends_nothing(void **state)
{
    struct host *host = *state;
    host_start(host);
    int fd = host_greet(host);
    worker_stop(host->worker, true);
    host_expect_stopped(host);
    caller_expect_end(fd);
    close(fd);
}

static void a_second_stop_ends_a_drain(void **state)
{
    struct host *host = *state;
    host_start(host);
    int fd = host_greet(host);
    worker_stop(host->worker, false);
    worker_stop(host->worker, true);
    worker_stop(host->worker, false);
    host_expect_stopped(host);
    caller_expect_end(fd);
    close(fd);
}

struct stopper {
    struct worker *worker;
    atomic_uint *ready;
    bool at_once;
};

static void *stop_with_the_other(void *context)
{
    struct stopper *stopper = context;
    atomic_fetch_add(stopper->ready, 1);
    while (atomic_load(stopper->ready) < 2)
        continue; /* to be as close to each other as can be */
    worker_stop(stopper->worker, stopper->at_once);
    return NULL;
}

static void stop_both_ways(struct worker *worker)
{
    atomic_uint ready = 0;
    struct stopper stoppers[2] = {{worker, &ready, true}, {worker, &ready, false}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, stop_with_the_other, &stoppers[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* The worker is held until both have asked. Were the drain to undo the stop at once, the connection would
 * stay. */
static void of_two_stops_at_the_same_time_the_stricter_holds(void **state)
{
    enum { TIMES = 200 };
    struct host *host = *state;

    trace_to(hold_at_accept, &host->gate);
    for (unsigned i = 0; i < TIMES; i++) {
        atomic_store(&host->gate.closed, true);
        host_start(host);
        int fd = caller_connect(&host->at);
        while (atomic_load(&host->gate.reached) == i)
            poll(NULL, 0, 1);
        stop_both_ways(host->worker);
        atomic_store(&host->gate.closed, false);
        host_expect_stopped(host);
        atomic_store(&host->stopped, 0);
        close(fd);
    }
}

static void a_worker_without_connections_stops_at_once(void **state)
{
    struct host *host = *state;
    host_start(host);
    worker_stop(host->worker, false);
    host_expect_stopped(host);
    worker_free(NULL);
}

int main(void)
{
#define STOP_TEST(test) cmocka_unit_test_setup_teardown(test, host_set_up, host_tear_down)
    const struct CMUnitTest tests[] = {
        STOP_TEST(a_drain_lets_dialogues_finish_and_accepts_no_connection),
        STOP_TEST(connections_in_the_kernels_queue_are_served_before_a_drain),
        STOP_TEST(connections_too_many_in_the_kernels_queue_are_rejected_before_a_drain),
        STOP_TEST(after_the_drain_every_peer_receives_the_final_message),
        STOP_TEST(a_peer_that_stays_after_the_final_message_does_not_delay_the_end),
        STOP_TEST(a_stop_at_once_sends_nothing),
        STOP_TEST(a_second_stop_ends_a_drain),
        STOP_TEST(of_two_stops_at_the_same_time_the_stricter_holds),
        STOP_TEST(a_worker_without_connections_stops_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
