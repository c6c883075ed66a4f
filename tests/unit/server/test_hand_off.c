#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "server/worker.h"
#include "support/caller.h"
#include "support/host.h"
#include "tcpgreet/base/trace.h"

enum {
    PEERS = 2,
    ACCEPTING = PEERS, /* started last, so it knows the others; its turn is after theirs */
    WORKERS
};

struct fixture {
    struct gate gate;
    struct session_policy policy;
    struct worker_config config;
    struct endpoint at;
    struct limits_config limit;
    struct limits *limits;
    struct accept_log accept_log;
    atomic_uint stopped;
    struct worker *workers[WORKERS];
    size_t worker_count;
};

static void on_stopped(void *context)
{
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->stopped, 1);
}

static void hold_at_read(void *context, const struct trace_event *event)
{
    if (event->step == TRACE_READ)
        gate_pass(context);
}

static int set_up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    fixture->accept_log = (struct accept_log)ACCEPT_LOG_INIT;
    fixture->policy =
        (struct session_policy){.idle_ms = HOST_LONG_MS, .name_ms = HOST_LONG_MS, .pause_ms = 0};
    fixture->limit = (struct limits_config){
        .max_connections = 1000, .max_per_address = 1000, .max_handshakes = 1000, .max_rejections = 10};
    fixture->config = (struct worker_config){.policy = &fixture->policy,
                                             .accept_log = &fixture->accept_log,
                                             .handshake_ms = HOST_LONG_MS,
                                             .drain_ms = HOST_LONG_MS,
                                             .stopped = on_stopped,
                                             .context = fixture};
    trace_to(hold_at_read, &fixture->gate);
    *state = fixture;
    return 0;
}

static void start(struct fixture *fixture)
{
    struct listener listener = host_listen();
    struct worker_config *config = &fixture->config;
    struct err err = {0};

    fixture->at = listener.at;
    config->listeners = &listener;
    config->peers = fixture->workers;
    config->limits = fixture->limits = limits_new(&fixture->limit, &err);
    assert_non_null(fixture->limits);
    for (size_t i = 0; i < WORKERS; i++) {
        config->listener_count = i == ACCEPTING ? 1 : 0;
        config->peer_count = i == ACCEPTING ? PEERS : 0;
        fixture->workers[i] = worker_new(config, &err);
        if (fixture->workers[i] == NULL || worker_start(fixture->workers[i], &err) < 0)
            fail_msg("%s", err.text);
        fixture->worker_count++;
    }
}

static uint64_t connections(const struct fixture *fixture, size_t worker)
{
    struct counters_sum sum = {0};
    worker_count(fixture->workers[worker], &sum);
    return sum.connections;
}

static void expect_connections(const struct fixture *fixture, uint64_t first, uint64_t second, uint64_t own)
{
    const uint64_t due[WORKERS] = {first, second, own};
    for (size_t i = 0; i < WORKERS; i++) {
        for (int patience = CALLER_PATIENCE_S * 1000; connections(fixture, i) != due[i] && patience > 0;
             patience--)
            poll(NULL, 0, 1);
        assert_int_equal(connections(fixture, i), due[i]);
    }
}

/* Waits for as many to have a place, served or handed off. */
static void expect_places(const struct fixture *fixture, size_t due)
{
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && limits_open(fixture->limits) != due; i++)
        poll(NULL, 0, 1);
    assert_int_equal(limits_open(fixture->limits), due);
}

static void expect_stopped(const struct fixture *fixture, unsigned due)
{
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && atomic_load(&fixture->stopped) != due; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&fixture->stopped), due);
}

static void stop_all(const struct fixture *fixture, bool at_once)
{
    for (size_t i = 0; i < fixture->worker_count; i++)
        worker_stop(fixture->workers[i], at_once);
}

static void free_all(struct fixture *fixture)
{
    alarm(CALLER_PATIENCE_S);
    while (fixture->worker_count > 0)
        worker_free(fixture->workers[--fixture->worker_count]);
    alarm(0);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->gate.closed, false);
    stop_all(fixture, true);
    free_all(fixture);
    trace_to(NULL, NULL);
    limits_free(fixture->limits);
    test_free(fixture);
    return 0;
}

static int enter(const struct fixture *fixture)
{
    int fd = caller_connect(&fixture->at);
    caller_expect(fd, HOST_WELCOME);
    return fd;
}

/* The worker that has this connection does nothing more until the gate is opened, and then greets Ann. */
static void hold(struct fixture *fixture, int fd)
{
    unsigned before = atomic_load(&fixture->gate.reached);
    atomic_store(&fixture->gate.closed, true);
    caller_send(fd, "Ann\n");
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && atomic_load(&fixture->gate.reached) == before; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&fixture->gate.reached), before + 1);
}

static void open_gate(struct fixture *fixture)
{
    atomic_store(&fixture->gate.closed, false);
}

/* Each worker has a connection, in the order of workers; those of the peers hold them. */
static void start_with_held_peers(struct fixture *fixture, int fds[WORKERS])
{
    start(fixture);
    for (size_t i = 0; i < WORKERS; i++)
        fds[i] = enter(fixture);
    for (size_t i = 0; i < PEERS; i++)
        hold(fixture, fds[i]);
}

static void leave_as_ann(const int *fds)
{
    for (size_t i = 0; i < WORKERS; i++) {
        if (i != ACCEPTING)
            caller_expect(fds[i], HOST_HELLO("Ann"));
        host_leave(fds[i]);
    }
}

static void connections_are_handed_off_in_turn_and_served_to_the_end(void **state)
{
    enum { CONNECTIONS = 10 * WORKERS };
    struct fixture *fixture = *state;
    int fds[CONNECTIONS];

    start(fixture);
    for (uint64_t i = 0; i < CONNECTIONS; i++) {
        fds[i] = enter(fixture);
        expect_connections(fixture, (i + 3) / 3, (i + 2) / 3, (i + 1) / 3);
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        caller_send(fds[i], "Ann\nBo");
        caller_expect(fds[i], HOST_HELLO("Ann"));
        caller_send(fds[i], "b\n");
        caller_expect(fds[i], HOST_HELLO("Bob"));
    }
    expect_places(fixture, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++)
        host_leave(fds[i]);
    expect_places(fixture, 0);
}

static void nothing_is_pushed_to_a_full_queue(void **state)
{
    enum { MORE = 2, CONNECTIONS = (WORKER_QUEUE + MORE) * WORKERS };
    struct fixture *fixture = *state;
    int holders[WORKERS], fds[CONNECTIONS];

    start_with_held_peers(fixture, holders);
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = caller_connect(&fixture->at);
    expect_connections(fixture, 1, 1, 1 + WORKER_QUEUE + MORE + MORE * PEERS);
    open_gate(fixture);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        caller_expect(fds[i], HOST_WELCOME);
        host_leave(fds[i]);
    }
    expect_connections(fixture, 1 + WORKER_QUEUE, 1 + WORKER_QUEUE, 1 + WORKER_QUEUE + MORE + MORE * PEERS);
    leave_as_ann(holders);
    expect_places(fixture, 0);
}

static void what_was_handed_off_is_served_under_a_drain(void **state)
{
    enum { CONNECTIONS = 10 * WORKERS };
    struct fixture *fixture = *state;
    int holders[WORKERS], fds[CONNECTIONS];

    start_with_held_peers(fixture, holders);
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = caller_connect(&fixture->at);
    expect_places(fixture, CONNECTIONS + WORKERS);
    expect_connections(fixture, 1, 1, 11);
    stop_all(fixture, false);
    open_gate(fixture);
    for (size_t i = 0; i < CONNECTIONS; i++)
        caller_expect(fds[i], HOST_WELCOME);
    expect_connections(fixture, 11, 11, 11);
    assert_int_equal(atomic_load(&fixture->stopped), 0);
    for (size_t i = 0; i < CONNECTIONS; i++)
        host_leave(fds[i]);
    leave_as_ann(holders);
    expect_stopped(fixture, WORKERS);
    expect_places(fixture, 0);
}

static void what_was_handed_off_is_closed_by_a_stop_at_once(void **state)
{
    enum { CONNECTIONS = 10 * WORKERS };
    struct fixture *fixture = *state;
    int holders[WORKERS], fds[CONNECTIONS];

    start_with_held_peers(fixture, holders);
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = caller_connect(&fixture->at);
    expect_places(fixture, CONNECTIONS + WORKERS);
    expect_connections(fixture, 1, 1, 11);
    stop_all(fixture, false);
    stop_all(fixture, true);
    open_gate(fixture);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (i % WORKERS == ACCEPTING)
            caller_expect(fds[i], HOST_WELCOME);
        caller_expect_end(fds[i]);
        close(fds[i]);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        if (i != ACCEPTING)
            caller_expect(holders[i], HOST_HELLO("Ann"));
        caller_expect_end(holders[i]);
        close(holders[i]);
    }
    expect_stopped(fixture, WORKERS);
    expect_connections(fixture, 1, 1, 11);
    assert_int_equal(limits_open(fixture->limits), 0);
}

static void connections_waiting_in_queues_have_their_places(void **state)
{
    enum { LIMIT = 6, TOO_MANY = 5 };
    struct fixture *fixture = *state;
    int holders[WORKERS], fds[LIMIT - WORKERS];
    struct counters_sum sum = {0};

    fixture->limit.max_connections = LIMIT;
    start_with_held_peers(fixture, holders);
    for (size_t i = 0; i < LIMIT - WORKERS; i++)
        fds[i] = caller_connect(&fixture->at);
    for (size_t i = 0; i < TOO_MANY; i++) {
        int fd = caller_connect(&fixture->at);
        caller_expect(fd, HOST_SORRY);
        caller_expect_end(fd);
        close(fd);
    }
    expect_places(fixture, LIMIT);
    open_gate(fixture);
    for (size_t i = 0; i < LIMIT - WORKERS; i++)
        caller_expect(fds[i], HOST_WELCOME);
    expect_connections(fixture, 2, 2, 2);
    for (size_t i = 0; i < WORKERS; i++)
        worker_count(fixture->workers[i], &sum);
    assert_int_equal(sum.rejected, TOO_MANY);

    host_leave(fds[0]);
    expect_places(fixture, LIMIT - 1);
    fds[0] = enter(fixture);
    for (size_t i = 0; i < LIMIT - WORKERS; i++)
        host_leave(fds[i]);
    leave_as_ann(holders);
    expect_places(fixture, 0);
}

static void nothing_is_handed_off_to_a_worker_that_has_ended(void **state)
{
    enum { CONNECTIONS = 9 };
    struct fixture *fixture = *state;
    int fds[CONNECTIONS];

    start(fixture);
    worker_stop(fixture->workers[0], false);
    expect_stopped(fixture, 1);
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = enter(fixture);
    expect_connections(fixture, 0, 3, 6);
    for (size_t i = 0; i < CONNECTIONS; i++)
        host_leave(fds[i]);
    expect_places(fixture, 0);
}

static void the_kernels_queue_is_served_after_the_peers_have_ended(void **state)
{
    enum { CONNECTIONS = 200 };
    struct fixture *fixture = *state;
    int holders[WORKERS], fds[CONNECTIONS];

    start(fixture);
    for (size_t i = 0; i < WORKERS; i++)
        holders[i] = enter(fixture);
    for (size_t i = 0; i < PEERS; i++)
        host_leave(holders[i]);
    expect_places(fixture, 1);
    hold(fixture, holders[ACCEPTING]);
    for (size_t i = 0; i < CONNECTIONS; i++)
        fds[i] = caller_connect(&fixture->at);
    stop_all(fixture, false);
    expect_stopped(fixture, PEERS);
    open_gate(fixture);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        caller_expect(fds[i], HOST_WELCOME);
        host_leave(fds[i]);
    }
    caller_expect(holders[ACCEPTING], HOST_HELLO("Ann"));
    host_leave(holders[ACCEPTING]);
    expect_stopped(fixture, WORKERS);
    expect_connections(fixture, 1, 1, 1 + CONNECTIONS);
}

int main(void)
{
#define HAND_OFF_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        HAND_OFF_TEST(connections_are_handed_off_in_turn_and_served_to_the_end),
        HAND_OFF_TEST(nothing_is_pushed_to_a_full_queue),
        HAND_OFF_TEST(what_was_handed_off_is_served_under_a_drain),
        HAND_OFF_TEST(what_was_handed_off_is_closed_by_a_stop_at_once),
        HAND_OFF_TEST(connections_waiting_in_queues_have_their_places),
        HAND_OFF_TEST(nothing_is_handed_off_to_a_worker_that_has_ended),
        HAND_OFF_TEST(the_kernels_queue_is_served_after_the_peers_have_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
