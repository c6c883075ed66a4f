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
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/worker.h"
#include "support/caller.h"
#include "support/collector.h"
#include "support/host.h"
#include "support/launcher.h"
#include "support/skip.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/base/trace.h"

static void connections_are_served_at_once_and_counted(void **state)
{
    enum { CONNECTIONS = 20 };
    struct host *host = *state;
    int fds[CONNECTIONS];

    host_start(host);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = host_greet(host);
    HOST_EXPECT_COUNTER(host, connections, CONNECTIONS);
    HOST_EXPECT_COUNTER(host, open, CONNECTIONS);
    HOST_EXPECT_COUNTER(host, names, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++)
        host_leave(fds[i]);
    HOST_EXPECT_COUNTER(host, open, 0);
    struct counters_sum end = host_counters(host);
    assert_int_equal(end.connections, CONNECTIONS);
    assert_int_equal(
        end.failed + end.silent + end.timed_out + end.unknown_protocol + end.rejected + end.pauses, 0);
}

static void counters_add_up(void **state)
{
    struct host *host = *state;
    struct counters_sum sum = {.connections = 5, .names = 7};
    host_start(host);
    host_leave(host_greet(host));
    HOST_EXPECT_COUNTER(host, open, 0);
    worker_count(host->worker, &sum);
    assert_int_equal(sum.connections, 6);
    assert_int_equal(sum.names, 8);
}

static void a_connection_too_many_is_rejected_and_the_next_is_served(void **state)
{
    struct host *host = *state;
    int waiting[5];

    host->limit.max_connections = 1;
    host_start(host);
    int fd = host_greet(host);
    for (int i = 0; i < 5; i++) { /* two of them may linger */
        waiting[i] = caller_connect(&host->at);
        caller_expect(waiting[i], HOST_SORRY);
        caller_expect_end(waiting[i]);
    }
    HOST_EXPECT_COUNTER(host, rejected, 5);
    for (int i = 0; i < 5; i++)
        close(waiting[i]);
    host_leave(fd);
    HOST_EXPECT_COUNTER(host, open, 0);
    host_leave(host_greet(host));
    HOST_EXPECT_COUNTER(host, connections, 2);
    assert_int_equal(host_counters(host).silent, 0);
}

static void each_way_to_end_has_its_counter(void **state)
{
    enum { SILENT = 30 };
    struct host *host = *state;
    host_start(host);

    for (int i = 0; i < SILENT; i++)
        close(caller_connect(&host->at));
    HOST_EXPECT_COUNTER(host, silent, SILENT);
    caller_reset(caller_connect(&host->at));
    HOST_EXPECT_COUNTER(host, silent, SILENT + 1);

    caller_reset(host_greet(host));
    HOST_EXPECT_COUNTER(host, failed, 1);

    int http = caller_connect(&host->at);
    caller_send(http, "GET / HTTP/1.1\r\n");
    caller_expect(http, HOST_WELCOME);
    caller_expect_end(http);
    close(http);
    HOST_EXPECT_COUNTER(host, unknown_protocol, 1);

    int half = host_greet(host);
    shutdown(half, SHUT_WR);
    caller_expect_end(half);
    close(half);
    HOST_EXPECT_COUNTER(host, open, 0);
    struct counters_sum end = host_counters(host);
    assert_int_equal(end.connections, SILENT + 4);
    assert_int_equal(end.silent, SILENT + 1);
    assert_int_equal(end.failed, 1);
    assert_int_equal(end.timed_out, 0);
}

static void an_idle_connection_is_counted_as_timed_out(void **state)
{
    struct host *host = *state;
    host->policy.idle_ms = 10;
    host_start(host);
    int fd = caller_connect(&host->at);
    caller_expect(fd, HOST_WELCOME HOST_BYE);
    caller_expect_end(fd);
    close(fd);
    HOST_EXPECT_COUNTER(host, timed_out, 1);
    HOST_EXPECT_COUNTER(host, open, 0);
    assert_int_equal(host_counters(host).silent, 0);
}

static atomic_uint_fast64_t most_open;

static void note_open(void *context, const struct trace_event *event)
{
    const struct host *host = context;
    if (event->step != TRACE_CLOSE || host->worker == NULL)
        return;
    uint64_t open = host_counters(host).open;
    if (open > most_open)
        most_open = open;
}

/* Its reset has come before it is accepted, so that the first write fails. */
static void a_connection_that_ends_when_it_begins_is_counted_as_open_before(void **state)
{
    struct host *host = *state;
    struct listener listener = host_listen();
    caller_reset(caller_connect(&listener.at));
    most_open = 0;
    trace_to(note_open, host);
    host_start_on(host, &listener, 1);
    HOST_EXPECT_COUNTER(host, connections, 1);
    HOST_EXPECT_COUNTER(host, open, 0);
    assert_in_range(most_open, 0, 1);
}

static void exhausted_descriptors_pause_accepting(void **state)
{
    struct host *host = *state;
    struct rlimit before, now;

    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    host_start(host);
    int fd = host_greet(host), late = socket(AF_INET, SOCK_STREAM, 0), next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int connected = connect(late, &host->at.address.any, endpoint_length(&host->at));
    HOST_EXPECT_COUNTER(host, pauses, 1);
    caller_send(fd, "Bob\n"); /* the others go on */
    caller_expect(fd, HOST_HELLO("Bob"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    assert_int_equal(connected, 0);
    caller_expect(late, HOST_WELCOME);
    host_leave(late);
    host_leave(fd);
    HOST_EXPECT_COUNTER(host, open, 0);
    HOST_EXPECT_COUNTER(host, pauses, 1);
}

/* Accepting takes the last descriptor, so none is left for the pair that a delay needs. */
static void a_connection_without_descriptors_is_logged_with_its_address_and_the_reason(void **state)
{
    static struct collector collector;
    struct host *host = *state;
    struct rlimit before, now;

    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    assert_int_equal(collector_open(&collector), 0);
    assert_int_equal(
        log_open(&(struct log_config){.fd = collector.writer, .level = LOG_ERROR, .format = LOG_TEXT}), 0);
    host->config.streams.misbehaviour = (struct stream_misbehaviour){STREAM_MISBEHAVE_DELAY, 1};
    host_start(host);
    int fd = socket(AF_INET, SOCK_STREAM, 0), last = dup(0);
    close(last);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){(rlim_t)last + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int connected = connect(fd, &host->at.address.any, endpoint_length(&host->at));
    if (connected == 0)
        caller_expect_end(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(connected, 0);
    close(fd);
    worker_stop(host->worker, true); /* the peer sees the end before the worker logs it */
    host_expect_stopped(host);
    log_close(CALLER_PATIENCE_S * 1000);
    collector_finish(&collector);
    assert_non_null(strstr(collector.text, "Connection from 127.0.0.1:"));
    assert_non_null(strstr(collector.text, " is dropped: cannot make a connection misbehave: too many open"));
    collector_close(&collector);
    assert_int_equal(limits_open(host->limits), 0);
}

static void a_worker_that_cannot_start_closes_its_listeners(void **state)
{
    struct host *host = *state;
    FILE *file = tmpfile(); /* cannot be waited for */
    struct listener listeners[2] = {host_listen(), {.fd = dup(fileno(file))}};
    struct err err = {0};

    assert_int_equal(fclose(file), 0);
    host->config.listeners = listeners;
    host->config.listener_count = 2;
    assert_null(worker_new(&host->config, &err));
    assert_int_equal(err.reason, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "cannot start a worker: "));
    assert_int_equal(atomic_load(&host->stopped), 0);

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct endpoint *at = &listeners[0].at;
    assert_int_equal(connect(fd, &at->address.any, endpoint_length(at)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
}

/* A worker that is not started yet. */
static void new_worker(struct host *host, const struct listener *listener)
{
    struct err err = {0};
    host->config.listeners = listener;
    host->config.listener_count = 1;
    host->config.limits = host->limits = limits_new(&host->limit, &err);
    host->worker = worker_new(&host->config, &err);
    assert_non_null(host->worker);
}

static void a_worker_answers_a_ping_once_its_thread_runs(void **state)
{
    struct host *host = *state;
    struct listener listener = host_listen();
    struct err err = {0};

    new_worker(host, &listener);
    assert_true(worker_has_answered(host->worker));
    worker_ping(host->worker);
    assert_false(worker_has_answered(host->worker));
    assert_int_equal(worker_start(host->worker, &err), 0);
    while (!worker_has_answered(host->worker))
        poll(NULL, 0, 1);
}

static void what_a_shared_listener_has_queued_is_left_to_the_other_process(void **state)
{
    struct host *host = *state;
    struct listener listener = host_listen(), again;
    struct err err = {0};

    listener.is_shared = true;
    assert_int_equal(listener_adopt_again(&listener, &again, &err), 0);
    new_worker(host, &again);
    int waiting = caller_connect(&listener.at);
    worker_stop(host->worker, false);
    assert_int_equal(worker_start(host->worker, &err), 0);
    host_expect_stopped(host);
    int fd = -1;
    struct endpoint peer;
    assert_int_equal(listener_accept(&listener, &fd, &peer, &err), LISTENER_ACCEPTED);
    close(fd);
    close(waiting);
    listener_close(&listener);
}

/* Its peer waits in the kernel's queue meanwhile. */
static void a_worker_that_was_not_started_ends_and_closes_its_listeners(void **state)
{
    struct host *host = *state;
    struct listener listener = host_listen();

    new_worker(host, &listener);
    int fd = caller_connect(&listener.at);
    worker_stop(host->worker, true);
    worker_free(host->worker);
    host->worker = NULL;
    assert_int_equal(atomic_load(&host->stopped), 0);
    assert_true(recv(fd, &(char){0}, 1, 0) <= 0);
    close(fd);
}

int main(void)
{
#define WORKER_TEST(test) cmocka_unit_test_setup_teardown(test, host_set_up, host_tear_down)
    const struct CMUnitTest tests[] = {
        WORKER_TEST(connections_are_served_at_once_and_counted),
        WORKER_TEST(counters_add_up),
        WORKER_TEST(a_connection_too_many_is_rejected_and_the_next_is_served),
        WORKER_TEST(each_way_to_end_has_its_counter),
        WORKER_TEST(an_idle_connection_is_counted_as_timed_out),
        WORKER_TEST(a_connection_that_ends_when_it_begins_is_counted_as_open_before),
        WORKER_TEST(exhausted_descriptors_pause_accepting),
        WORKER_TEST(a_connection_without_descriptors_is_logged_with_its_address_and_the_reason),
        WORKER_TEST(a_worker_that_cannot_start_closes_its_listeners),
        WORKER_TEST(a_worker_answers_a_ping_once_its_thread_runs),
        WORKER_TEST(what_a_shared_listener_has_queued_is_left_to_the_other_process),
        WORKER_TEST(a_worker_that_was_not_started_ends_and_closes_its_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
