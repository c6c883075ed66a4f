#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/handshakes.h"
#include "support/clock.h"
#include "support/loop_close.h"

enum { PEERS = 64, LOTS = 1000 };

/* A handshake of two steps, whose peer is at a given address. */
struct peer {
    struct handshake handshake;
    struct endpoint at;
    unsigned steps;
    bool displaced;
};

static unsigned steps; /* of all */

static void proceed(struct handshake *handshake)
{
    ((struct peer *)handshake)->steps++;
    steps++;
}

static void displace(struct handshake *handshake)
{
    ((struct peer *)handshake)->displaced = true;
}

static unsigned wakes;

static void count_wake(void *context)
{
    (void)context;
    wakes++;
}

struct stage {
    uv_loop_t loop;
    uv_async_t wake; /* keeps the loop running, as in a worker */
    struct limits *limits;
    struct handshakes one, other; /* of two workers */
    struct peer peers[PEERS];
};

static struct stage *stage_of(void **state, size_t max_handshakes)
{
    static const struct limits_waiter waiter = {.wake = count_wake};
    const struct limits_config config = {
        .max_connections = LOTS, .max_per_address = LOTS, .max_handshakes = max_handshakes};
    struct err err = {0};
    if (!clock_freeze())
        skip();
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    *state = stage;
    steps = wakes = 0;
    stage->limits = limits_new(&config, &err);
    assert_non_null(stage->limits);
    assert_int_equal(uv_loop_init(&stage->loop), 0);
    assert_int_equal(uv_async_init(&stage->loop, &stage->wake, NULL), 0);
    struct handshakes *const both[] = {&stage->one, &stage->other};
    for (size_t i = 0; i < 2; i++) {
        both[i]->proceed = proceed;
        both[i]->displace = displace;
        assert_int_equal(handshakes_init(both[i], &stage->loop, stage->limits, &waiter), 0);
    }
    return stage;
}

static int leave(void **state)
{
    struct stage *stage = *state;
    if (stage == NULL)
        return 0;
    handshakes_fini(&stage->one);
    handshakes_fini(&stage->other);
    loop_close(&stage->loop);
    limits_free(stage->limits);
    free(stage);
    clock_thaw();
    return 0;
}

static void turn(struct stage *stage)
{
    uv_run(&stage->loop, UV_RUN_NOWAIT);
}

/* The peer number i of an address sends its ClientHello. */
static struct peer *ask(struct stage *stage, struct handshakes *handshakes, size_t i, const char *address)
{
    struct peer *peer = &stage->peers[i];
    peer->at = endpoint_wildcard(AF_INET, 6000);
    assert_int_equal(inet_pton(AF_INET, address, &peer->at.address.v4.sin_addr), 1);
    peer->handshake.peer = &peer->at;
    assert_int_equal(limits_take(stage->limits, &(struct limits_peer){&peer->at, true}, 0), LIMITS_ACCEPTED);
    handshakes_request(handshakes, &peer->handshake);
    return peer;
}

static void dialogues_get_their_turn_after_a_few_steps(void **state)
{
    struct stage *stage = stage_of(state, LOTS);
    for (size_t i = 0; i < PEERS; i++)
        ask(stage, &stage->one, i, "192.0.2.1");
    for (unsigned i = 1; i <= PEERS / HANDSHAKES_PER_TURN; i++) {
        turn(stage);
        assert_int_equal(steps, i * HANDSHAKES_PER_TURN);
    }
    turn(stage);
    assert_int_equal(steps, PEERS);
    assert_false(uv_is_active((uv_handle_t *)&stage->one.turn));
}

static void an_address_with_one_handshake_overtakes_a_burst(void **state)
{
    struct stage *stage = stage_of(state, LOTS);
    for (size_t i = 1; i < PEERS; i++)
        ask(stage, &stage->one, i, "192.0.2.1");
    turn(stage);
    struct peer *late = ask(stage, &stage->one, 0, "192.0.2.2");
    turn(stage);
    assert_int_equal(late->steps, 1);
    handshakes_request(&stage->one, &late->handshake); /* its second flight */
    turn(stage);
    assert_int_equal(late->steps, 2);
    assert_true(steps < PEERS);
}

/* Each turn has one step for those of whom there are most. */
static void a_burst_goes_on_behind_others(void **state)
{
    struct stage *stage = stage_of(state, LOTS);
    struct peer *last = NULL;
    char address[] = "192.0.2.10";
    for (size_t i = 0; i < 9; i++)
        last = ask(stage, &stage->one, i, "192.0.2.1");
    for (size_t i = 9; i < 60; i++) {
        memcpy(address + 8, (char[]){(char)('1' + i / 10), (char)('0' + i % 10)}, 2);
        ask(stage, &stage->one, i, address);
    }
    turn(stage);
    assert_int_equal(last->steps, 1);
}

static void no_more_than_allowed_are_in_progress_and_the_first_that_ends_makes_room(void **state)
{
    struct stage *stage = stage_of(state, 2);
    struct peer *first = ask(stage, &stage->one, 0, "192.0.2.1");
    struct peer *second = ask(stage, &stage->one, 1, "192.0.2.2");
    turn(stage);
    struct peer *third = ask(stage, &stage->other, 2, "192.0.2.3");
    turn(stage);
    turn(stage);
    assert_int_equal(third->steps, 0);
    wakes = 0;
    handshakes_request(&stage->one, &first->handshake); /* what is in progress goes on */
    turn(stage);
    assert_int_equal(first->steps, 2);
    handshakes_end(&stage->one, &second->handshake);
    assert_int_equal(wakes, 1);
    handshakes_wake(&stage->other);
    turn(stage);
    assert_int_equal(third->steps, 1);
}

static void a_waiter_that_leaves_passes_its_wake_on(void **state)
{
    struct stage *stage = stage_of(state, 1);
    struct peer *first = ask(stage, &stage->one, 0, "192.0.2.1");
    turn(stage);
    struct peer *second = ask(stage, &stage->other, 1, "192.0.2.2");
    struct peer *third = ask(stage, &stage->one, 2, "192.0.2.3");
    turn(stage);
    wakes = 0;
    handshakes_end(&stage->one, &first->handshake);
    assert_int_equal(wakes, 1);
    struct handshakes *left = stage->one.waiter.is_waiting ? &stage->other : &stage->one;
    handshakes_end(left, left == &stage->one ? &third->handshake : &second->handshake);
    handshakes_wake(left);
    assert_int_equal(wakes, 2);
}

static void where_it_is_full_the_address_with_most_gives_way(void **state)
{
    struct stage *stage = stage_of(state, 4);
    for (size_t i = 0; i < 4; i++)
        ask(stage, &stage->one, i, "192.0.2.1");
    turn(stage);
    turn(stage);
    struct peer *other = ask(stage, &stage->one, 4, "192.0.2.2");
    struct peer *same = ask(stage, &stage->one, 5, "192.0.2.1");
    for (int i = 0; i < 4; i++)
        turn(stage);
    assert_int_equal(other->steps, 1);
    assert_int_equal(same->steps, 0);
    assert_true(stage->peers[2].displaced || stage->peers[3].displaced);
    assert_false(stage->peers[0].displaced || stage->peers[1].displaced || other->displaced);
}

static void where_it_is_full_one_that_has_stalled_gives_way(void **state)
{
    struct stage *stage = stage_of(state, 1);
    struct peer *first = ask(stage, &stage->one, 0, "192.0.2.1");
    turn(stage);
    struct peer *second = ask(stage, &stage->one, 1, "192.0.2.2");
    turn(stage);
    clock_advance_ms(HANDSHAKES_STALLED_MS - 1);
    turn(stage);
    turn(stage);
    assert_false(first->displaced);
    assert_int_equal(second->steps, 0);
    clock_advance_ms(HANDSHAKES_STALLED_MS);
    turn(stage);
    turn(stage);
    assert_true(first->displaced);
    assert_int_equal(second->steps, 1);
}

static void where_it_is_full_another_worker_makes_room(void **state)
{
    struct stage *stage = stage_of(state, 2);
    for (size_t i = 0; i < 2; i++)
        ask(stage, &stage->one, i, "192.0.2.1");
    turn(stage);
    struct peer *late = ask(stage, &stage->other, 2, "192.0.2.2");
    turn(stage);
    assert_int_equal(wakes, 1);
    handshakes_wake(&stage->one);
    assert_true(stage->peers[1].displaced);
    assert_false(stage->peers[0].displaced);
    assert_int_equal(wakes, 2);
    handshakes_wake(&stage->other);
    turn(stage);
    assert_int_equal(late->steps, 1);
}

static void what_has_ended_is_in_no_list(void **state)
{
    struct stage *stage = stage_of(state, 1);
    for (size_t i = 0; i < 3; i++)
        ask(stage, &stage->one, i, "192.0.2.1");
    turn(stage);
    for (size_t i = 0; i < 3; i++) {
        handshakes_end(&stage->one, &stage->peers[i].handshake);
        handshakes_end(&stage->one, &stage->peers[i].handshake);
    }
    handshakes_wake(&stage->one);
    turn(stage);
    assert_int_equal(steps, 1);
    struct peer *next = ask(stage, &stage->one, 3, "192.0.2.1");
    assert_int_equal(next->handshake.rank, 0);
    turn(stage);
    assert_int_equal(next->steps, 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dialogues_get_their_turn_after_a_few_steps),
        TEST(an_address_with_one_handshake_overtakes_a_burst),
        TEST(a_burst_goes_on_behind_others),
        TEST(no_more_than_allowed_are_in_progress_and_the_first_that_ends_makes_room),
        TEST(a_waiter_that_leaves_passes_its_wake_on),
        TEST(where_it_is_full_the_address_with_most_gives_way),
        TEST(where_it_is_full_one_that_has_stalled_gives_way),
        TEST(where_it_is_full_another_worker_makes_room),
        TEST(what_has_ended_is_in_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
