#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "server/busy.h"
#include "server/connection.h"
#include "support/loop_close.h"
#include "support/sockets.h"

enum { PEERS = 2 * BUSY_PER_TURN };

/* A connection that has this many parts to send. */
struct peer {
    struct busy busy;
    unsigned parts, sent;
};

struct stage {
    uv_loop_t loop;
    uv_async_t wake; /* keeps the loop running, as in a worker */
    struct busy_queue queue;
    struct peer peers[PEERS];
};

static struct stage *stage;

static void proceed(struct busy *busy)
{
    struct peer *peer = (struct peer *)busy;
    if (++peer->sent < peer->parts)
        busy_request(&stage->queue, busy);
}

static int enter(void **state)
{
    (void)state;
    stage = calloc(1, sizeof *stage);
    if (stage == NULL || uv_loop_init(&stage->loop) != 0)
        return -1;
    stage->queue.proceed = proceed;
    return uv_async_init(&stage->loop, &stage->wake, NULL) == 0 && busy_init(&stage->queue, &stage->loop) == 0
               ? 0
               : -1;
}

static int leave(void **state)
{
    (void)state;
    loop_close(&stage->loop);
    free(stage);
    return 0;
}

static void ask(size_t i, unsigned parts)
{
    stage->peers[i].parts = parts;
    busy_request(&stage->queue, &stage->peers[i].busy);
}

/* Returns: how many parts were sent in all. */
static unsigned turn(void)
{
    unsigned sent = 0;
    uv_run(&stage->loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < PEERS; i++)
        sent += stage->peers[i].sent;
    return sent;
}

static void others_get_their_turn_after_a_few_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        ask(i, 2);
    for (unsigned i = 1; i <= 2 * PEERS / BUSY_PER_TURN; i++)
        assert_int_equal(turn(), i * BUSY_PER_TURN);
    assert_false(uv_is_active((uv_handle_t *)&stage->queue.turn));
}

static void each_sends_one_part_before_any_sends_two(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEERS; i++)
        ask(i, 2);
    for (unsigned i = 0; i < PEERS / BUSY_PER_TURN; i++)
        turn();
    for (size_t i = 0; i < PEERS; i++)
        assert_int_equal(stage->peers[i].sent, 1);
}

static void few_send_one_part_each_a_turn(void **state)
{
    (void)state;
    ask(0, 9);
    ask(1, 9);
    for (unsigned i = 1; i <= 9; i++)
        assert_int_equal(turn(), 2 * i);
}

static void one_that_ends_while_it_waits_is_forgotten(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        ask(i, 1);
    busy_end(&stage->queue, &stage->peers[1].busy);
    busy_end(&stage->queue, &stage->peers[1].busy);
    assert_int_equal(turn(), 2);
    assert_int_equal(stage->peers[1].sent, 0);
    ask(1, 1);
    busy_end(&stage->queue, &stage->peers[1].busy);
    assert_int_equal(turn(), 2);
    assert_false(uv_is_active((uv_handle_t *)&stage->queue.turn));
}

static void ignore(void *context)
{
    (void)context;
}

/* Returns: how many bytes wait for the peers. */
static size_t received(const int *peers)
{
    size_t sum = 0;
    for (size_t i = 0; i < PEERS; i++) {
        int count;
        assert_int_equal(ioctl(peers[i], FIONREAD, &count), 0);
        sum += (size_t)count;
    }
    return sum;
}

/* Returns: the server's end of a connection whose peer has sent a flood of names. */
static int flooded(int *peer)
{
    static char names[8 * 1024];
    int fds[2];
    for (size_t i = 0; i < sizeof names; i += 2)
        memcpy(names + i, "x\n", 2);
    sockets_open_pair(fds);
    assert_int_equal(send(fds[1], names, sizeof names, 0), sizeof names);
    *peer = fds[1];
    return fds[0];
}

/* Connections that flood are sent a part at once, and then so many parts a turn as others can wait for. */
static void a_turn_of_the_loop_sends_a_few_parts(void **state)
{
    static struct connections connections;
    static struct counters counters;
    static struct measures measures;
    static const struct session_policy policy = {
        .idle_ms = 1000 * 1000, .name_ms = 1000 * 1000, .pause_ms = 1000};
    const struct limits_config config = {
        .max_connections = PEERS, .max_per_address = PEERS, .max_handshakes = 1, .max_rejections = 1};
    struct err err = {0};
    struct limits *limits = limits_new(&config, &err);
    int peers[PEERS];
    (void)state;

    assert_non_null(limits);
    assert_int_equal(connections_init(&connections,
                                      &(struct connections_config){.loop = &stage->loop,
                                                                   .policy = &policy,
                                                                   .limits = limits,
                                                                   .handshake_ms = 1000 * 1000,
                                                                   .counters = &counters,
                                                                   .measures = &measures,
                                                                   .wake = ignore,
                                                                   .ended = ignore},
                                      &(struct acceptor_policy){0}),
                     0);
    for (size_t i = 0; i < PEERS; i++) {
        const struct accepted_socket accepted = {.fd = flooded(&peers[i]),
                                                 .peer = endpoint_wildcard(AF_INET, 6000)};
        assert_true(connections_reserve(&connections, &accepted));
        connections_serve(&connections, &accepted);
    }
    uv_run(&stage->loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 4; i++) {
        size_t before = received(peers);
        uv_run(&stage->loop, UV_RUN_NOWAIT);
        assert_in_range(received(peers) - before, 1, BUSY_PER_TURN * DIALOGUE_OUT_BYTES);
    }
    connections_abort(&connections);
    while (connections.first != NULL)
        uv_run(&stage->loop, UV_RUN_NOWAIT);
    assert_int_equal(connections.busy.count, 0);
    connections_fini(&connections);
    limits_free(limits);
    for (size_t i = 0; i < PEERS; i++)
        close(peers[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(others_get_their_turn_after_a_few_parts), TEST(each_sends_one_part_before_any_sends_two),
        TEST(few_send_one_part_each_a_turn),           TEST(one_that_ends_while_it_waits_is_forgotten),
        TEST(a_turn_of_the_loop_sends_a_few_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
