#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "server/limits.h"

enum { NOW = 1000 * 1000, PLENTY = 1000 };

static struct endpoint peer(const char *text)
{
    struct endpoint endpoint = endpoint_wildcard(AF_INET, 6000);
    if (inet_pton(AF_INET, text, &endpoint.address.v4.sin_addr) == 1)
        return endpoint;
    endpoint = endpoint_wildcard(AF_INET6, 6000);
    assert_int_equal(inet_pton(AF_INET6, text, &endpoint.address.v6.sin6_addr), 1);
    return endpoint;
}

static struct limits *make(size_t connections, size_t per_address, size_t rate)
{
    const struct limits_config config = {.max_connections = connections,
                                         .max_per_address = per_address,
                                         .max_rate_per_address = rate,
                                         .max_handshakes = 2,
                                         .max_rejections = 2};
    struct err err = {0};
    struct limits *limits = limits_new(&config, &err);
    assert_non_null(limits);
    return limits;
}

static enum limits_result take_at(struct limits *limits, const char *address, int64_t now_ms)
{
    struct endpoint at = peer(address);
    return limits_take(limits, &(struct limits_peer){&at, true}, now_ms);
}

static enum limits_result take(struct limits *limits, const char *address)
{
    return take_at(limits, address, NOW);
}

static void release(struct limits *limits, const char *address)
{
    struct endpoint at = peer(address);
    limits_release(limits, &(struct limits_peer){&at, true});
}

/* Behind a balancer, whose header names the address later. */
static void a_place_may_be_taken_before_its_address_is_known(void **state)
{
    struct limits *limits = make(3, 1, 0);
    const struct endpoint balancer = peer("192.0.2.9"), one = peer("192.0.2.1");
    const struct limits_peer unknown = {&balancer, false};
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(limits_take(limits, &unknown, NOW), LIMITS_ACCEPTED);
    assert_int_equal(limits_take(limits, &unknown, NOW), LIMITS_FULL);
    assert_int_equal(limits_count(limits, &one, NOW), LIMITS_ACCEPTED);
    assert_int_equal(limits_count(limits, &one, NOW), LIMITS_ADDRESS_FULL);
    assert_int_equal(limits_open(limits), 3);
    limits_release(limits, &unknown);
    limits_release(limits, &unknown);
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ADDRESS_FULL);
    limits_release(limits, &(struct limits_peer){&one, true});
    assert_int_equal(limits_open(limits), 0);
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    limits_free(limits);
}

static void one_address_leaves_room_for_others(void **state)
{
    struct limits *limits = make(4, 2, 0);
    (void)state;
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ADDRESS_FULL);
    assert_int_equal(take(limits, "192.0.2.2"), LIMITS_ACCEPTED);
    assert_int_equal(take(limits, "2001:db8::1"), LIMITS_ACCEPTED);
    assert_int_equal(take(limits, "192.0.2.3"), LIMITS_FULL);
    assert_int_equal(limits_open(limits), 4);
    release(limits, "192.0.2.1");
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_FULL);
    limits_free(limits);
}

static void ipv6_addresses_count_by_their_first_64_bits(void **state)
{
    static const char *const same[][2] = {{"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"},
                                          {"::ffff:192.0.2.1", "192.0.2.1"}};
    static const char *const other[][2] = {{"2001:db8:0:1::1", "2001:db8:0:2::1"},
                                           {"2001:db8:0:1::1", "2001:db8:1:1::1"},
                                           {"::1", "0.0.0.0"},
                                           {"::ffff:192.0.2.1", "192.0.2.2"},
                                           {"c000:201::", "192.0.2.1"}};
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct limits *limits = make(PLENTY, 1, 0);
        assert_int_equal(take(limits, same[i][0]), LIMITS_ACCEPTED);
        assert_int_equal(take(limits, same[i][1]), LIMITS_ADDRESS_FULL);
        limits_free(limits);
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct limits *limits = make(PLENTY, 1, 0);
        assert_int_equal(take(limits, other[i][0]), LIMITS_ACCEPTED);
        assert_int_equal(take(limits, other[i][1]), LIMITS_ACCEPTED);
        limits_free(limits);
    }
}

static void a_rate_allows_a_second_in_advance(void **state)
{
    enum { RATE = 3 };
    struct limits *limits = make(PLENTY, PLENTY, RATE);
    (void)state;
    for (int i = 0; i < RATE; i++)
        assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ADDRESS_RATE);
    assert_int_equal(take(limits, "192.0.2.2"), LIMITS_ACCEPTED);
    assert_int_equal(take_at(limits, "192.0.2.1", NOW + 333), LIMITS_ADDRESS_RATE);
    assert_int_equal(take_at(limits, "192.0.2.1", NOW + 334), LIMITS_ACCEPTED);
    assert_int_equal(take_at(limits, "192.0.2.1", NOW + 335), LIMITS_ADDRESS_RATE);
    for (int i = 0; i < RATE; i++)
        assert_int_equal(take_at(limits, "192.0.2.1", NOW + 5000), LIMITS_ACCEPTED);
    assert_int_equal(take_at(limits, "192.0.2.1", NOW + 5000), LIMITS_ADDRESS_RATE);
    limits_free(limits);
}

static void connecting_again_does_not_renew_a_rate(void **state)
{
    struct limits *limits = make(PLENTY, PLENTY, 2);
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
        release(limits, "192.0.2.1");
    }
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ADDRESS_RATE);
    assert_int_equal(limits_open(limits), 0);
    limits_free(limits);
}

/* More addresses than there are entries: those that were seen first are forgotten, those open never. */
static void the_table_does_not_grow_with_addresses(void **state)
{
    struct limits *limits = make(10, 1, 1);
    char text[32];
    (void)state;
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    for (unsigned i = 0; i < 5 * LIMITS_RECENT_MAX; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u", i >> 8 & 255, i & 255);
        assert_int_equal(take(limits, text), LIMITS_ACCEPTED);
        release(limits, text);
        assert_int_equal(take(limits, text), LIMITS_ADDRESS_RATE);
    }
    assert_int_equal(take(limits, "10.1.0.0"), LIMITS_ACCEPTED); /* it is forgotten */
    assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ADDRESS_FULL);
    assert_int_equal(limits_open(limits), 2);
    limits_free(limits);
}

static void connections_being_rejected_are_limited_for_all_workers_together(void **state)
{
    struct limits *limits = make(PLENTY, PLENTY, 0);
    (void)state;
    assert_true(limits_take_rejection(limits));
    assert_true(limits_take_rejection(limits));
    assert_false(limits_take_rejection(limits));
    limits_release_rejection(limits);
    assert_true(limits_take_rejection(limits));
    assert_false(limits_take_rejection(limits));
    limits_free(limits);
}

static void count_ebb(void *context)
{
    ++*(unsigned *)context;
}

static void the_ebb_after_a_flood_is_reported_once_each_time_it_is_awaited(void **state)
{
    unsigned ebbs = 0;
    const struct limits_config config = {
        .max_connections = PLENTY, .max_per_address = PLENTY, .ebbed = count_ebb, .context = &ebbs};
    struct limits *limits = limits_new(&config, NULL);
    (void)state;
    assert_non_null(limits);
    for (unsigned flood = 1; flood <= 3; flood++) {
        for (int i = 0; i < LIMITS_EBB_MIN; i++)
            assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
        for (int i = 0; i < LIMITS_EBB_MIN; i++) {
            assert_int_equal(ebbs, i < LIMITS_EBB_MIN / 2 ? flood - 1 : flood);
            release(limits, "192.0.2.1");
        }
        assert_int_equal(ebbs, flood);
        limits_await_ebb(limits);
    }
    for (int i = 0; i < LIMITS_EBB_MIN - 1; i++)
        assert_int_equal(take(limits, "192.0.2.1"), LIMITS_ACCEPTED);
    for (int i = 0; i < LIMITS_EBB_MIN - 1; i++)
        release(limits, "192.0.2.1");
    assert_int_equal(ebbs, 3);
    limits_free(limits);
}

struct taker {
    struct limits *limits;
    atomic_uint *most;
    atomic_uint *open;
};

static void *take_and_release(void *context)
{
    struct taker *taker = context;
    for (unsigned i = 0; i < 20000; i++) {
        if (take(taker->limits, "192.0.2.1") != LIMITS_ACCEPTED)
            continue;
        unsigned open = atomic_fetch_add(taker->open, 1) + 1, most = atomic_load(taker->most);
        while (open > most && !atomic_compare_exchange_weak(taker->most, &most, open))
            continue;
        atomic_fetch_sub(taker->open, 1);
        release(taker->limits, "192.0.2.1");
    }
    return NULL;
}

static void threads_together_never_exceed_a_limit(void **state)
{
    enum { THREADS = 4, LIMIT = 2 };
    struct limits *limits = make(PLENTY, LIMIT, 0);
    atomic_uint most = 0, open = 0;
    pthread_t threads[THREADS];
    struct taker taker = {limits, &most, &open};
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_release, &taker), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_in_range(atomic_load(&most), 1, LIMIT);
    assert_int_equal(limits_open(limits), 0);
    limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_address_leaves_room_for_others),
        cmocka_unit_test(a_place_may_be_taken_before_its_address_is_known),
        cmocka_unit_test(ipv6_addresses_count_by_their_first_64_bits),
        cmocka_unit_test(a_rate_allows_a_second_in_advance),
        cmocka_unit_test(connecting_again_does_not_renew_a_rate),
        cmocka_unit_test(the_table_does_not_grow_with_addresses),
        cmocka_unit_test(connections_being_rejected_are_limited_for_all_workers_together),
        cmocka_unit_test(the_ebb_after_a_flood_is_reported_once_each_time_it_is_awaited),
        cmocka_unit_test(threads_together_never_exceed_a_limit),
    };
    limits_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
