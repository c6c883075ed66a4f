#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/recent.h"
#include "support/probe_samples.h"

static struct recent recent;

static int tear_down(void **state)
{
    (void)state;
    recent_fini(&recent);
    assert_int_equal(recent.count, 0);
    return 0;
}

/* Adds what was found of a target at a time; a failure at every odd one. */
static void add(const char *target, int64_t started_s)
{
    struct probe_result *result = malloc(sizeof(*result));

    if (result == NULL)
        abort();
    probe_sample_make(started_s % 2 == 0 ? PROBE_SAMPLE_OK : PROBE_SAMPLE_CERT_EXPIRED, result);
    snprintf(result->target, sizeof(result->target), "%s", target);
    result->started_s = started_s;
    result->total_ns = started_s * 10;
    recent_add(&recent, result);
}

static void add_number(int number)
{
    char target[32];

    snprintf(target, sizeof(target), "host:%d", number);
    add(target, number);
}

static const char *target_at(size_t i)
{
    return probe_result_brief(recent.targets[i].result).target;
}

static void the_target_that_was_probed_last_comes_first(void **state)
{
    (void)state;
    add("a:1", 1);
    add("b:1", 2);
    add("c:1", 3);
    add("a:1", 4);
    assert_int_equal(recent.count, 3);
    assert_string_equal(target_at(0), "a:1");
    assert_string_equal(target_at(1), "c:1");
    assert_string_equal(target_at(2), "b:1");
    add("c:1", 5);
    assert_string_equal(target_at(0), "c:1");
    assert_string_equal(target_at(1), "a:1");
    assert_string_equal(target_at(2), "b:1");
}

static void targets_are_distinguished_by_their_whole_text(void **state)
{
    (void)state;
    add("a:1", 1);
    add("a:11", 2);
    add("A:1", 3);
    add("", 4);
    assert_int_equal(recent.count, 4);
}

static void the_last_rounds_stay_with_their_times_and_reasons(void **state)
{
    (void)state;
    for (int i = 1; i <= RECENT_ROUNDS; i++) {
        add("a:1", i);
        assert_int_equal(recent.targets[0].round_count, i);
    }
    add("b:1", 1000);
    add("a:1", RECENT_ROUNDS + 1);
    const struct recent_target *target = &recent.targets[0];
    assert_int_equal(target->round_count, RECENT_ROUNDS);
    for (int i = 0; i < RECENT_ROUNDS; i++) {
        int64_t started_s = RECENT_ROUNDS + 1 - i;
        assert_int_equal(target->rounds[i].started_s, started_s);
        assert_int_equal(target->rounds[i].total_ns, started_s * 10);
        assert_int_equal(target->rounds[i].reason, started_s % 2 == 0 ? ERR_OK : ERR_CERT_EXPIRED);
    }
    assert_int_equal(probe_result_brief(target->result).started_s, RECENT_ROUNDS + 1);
    assert_int_equal(recent.targets[1].round_count, 1);
}

static void beyond_the_bound_the_target_that_was_probed_longest_ago_goes(void **state)
{
    (void)state;
    for (int i = 0; i < RECENT_TARGETS; i++)
        add_number(i);
    assert_int_equal(recent.count, RECENT_TARGETS);
    add_number(0); /* so that 1 is the oldest */
    add_number(RECENT_TARGETS);
    assert_int_equal(recent.count, RECENT_TARGETS);
    assert_string_equal(target_at(0), "host:100");
    assert_string_equal(target_at(1), "host:0");
    assert_string_equal(target_at(RECENT_TARGETS - 1), "host:2");
    assert_int_equal(recent.targets[0].round_count, 1); /* none of the target that went */
    assert_int_equal(recent.targets[1].round_count, 2);
    add_number(1);
    assert_int_equal(recent.targets[0].round_count, 1);
    assert_string_equal(target_at(RECENT_TARGETS - 1), "host:3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_target_that_was_probed_last_comes_first, tear_down),
        cmocka_unit_test_teardown(targets_are_distinguished_by_their_whole_text, tear_down),
        cmocka_unit_test_teardown(the_last_rounds_stay_with_their_times_and_reasons, tear_down),
        cmocka_unit_test_teardown(beyond_the_bound_the_target_that_was_probed_longest_ago_goes, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
