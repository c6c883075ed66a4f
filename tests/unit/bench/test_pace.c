#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/pace.h"

enum { WORKERS_MAX = 8 };

static const uint64_t SECOND = 1000000000;

/* A moment long after boot: a double has no nanoseconds left there. */
static const uint64_t LATE = UINT64_C(1) << 60;

static uint64_t take_all(struct pace *pace, uint64_t now_ns)
{
    uint64_t due_ns, taken = 0;
    while (pace_take(pace, now_ns, &due_ns))
        taken++;
    return taken;
}

static void the_first_name_is_scheduled_at_the_start(void **state)
{
    (void)state;
    struct pace pace = pace_begin(LATE, 1000, 0, 1);
    uint64_t due_ns;
    assert_false(pace_take(&pace, LATE - 1, &due_ns));
    assert_true(pace_take(&pace, LATE, &due_ns));
    assert_int_equal(due_ns, LATE);
}

static void each_name_is_scheduled_once(void **state)
{
    (void)state;
    struct pace pace = pace_begin(LATE, 1000, 0, 1);
    uint64_t due_ns;
    assert_true(pace_take(&pace, LATE, &due_ns));
    assert_false(pace_take(&pace, LATE + 999999, &due_ns));
    assert_true(pace_take(&pace, LATE + 1000000, &due_ns));
    assert_int_equal(due_ns, LATE + 1000000);
}

static void a_failed_take_changes_nothing(void **state)
{
    (void)state;
    struct pace pace = pace_begin(LATE, 10, 0, 1);
    uint64_t due_ns;
    assert_true(pace_take(&pace, LATE, &due_ns));
    for (int i = 0; i < 5; i++)
        assert_false(pace_take(&pace, LATE + 1, &due_ns));
    assert_int_equal(pace_due_ns(&pace), LATE + SECOND / 10);
}

static void names_delayed_by_a_stall_keep_their_scheduled_time(void **state)
{
    (void)state;
    struct pace pace = pace_begin(LATE, 1000, 0, 1);
    uint64_t now_ns = LATE + SECOND / 2, due_ns;
    for (uint64_t i = 0; i <= 500; i++) {
        assert_true(pace_take(&pace, now_ns, &due_ns));
        assert_int_equal(due_ns, LATE + i * 1000000);
    }
    assert_false(pace_take(&pace, now_ns, &due_ns));
}

/* Counted between two names: where one is due, the last bit of a double decides, and x87 has others. */
static void all_workers_together_have_the_requested_rate(void **state)
{
    (void)state;
    static const double rates[] = {0.5, 1, 3, 999.5, 7919, 123456.7}; /* each has whole names in 10 s */
    for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
        for (unsigned count = 1; count <= WORKERS_MAX; count++) {
            uint64_t sum = 0, half_ns = (uint64_t)((double)SECOND / 2 / rates[r]);
            for (unsigned i = 0; i < count; i++) {
                struct pace pace = pace_begin(LATE, rates[r], i, count);
                sum += take_all(&pace, LATE + 10 * SECOND + half_ns);
            }
            assert_int_equal(sum, (uint64_t)(rates[r] * 10 + 0.5) + 1);
        }
    }
}

static void workers_take_turns(void **state)
{
    (void)state;
    struct pace paces[WORKERS_MAX];
    uint64_t due_ns;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        paces[i] = pace_begin(LATE, 1000, i, WORKERS_MAX);
    for (uint64_t n = 0; n < 10 * WORKERS_MAX; n++) {
        assert_true(pace_take(&paces[n % WORKERS_MAX], LATE + n * 1000000, &due_ns));
        assert_int_equal(due_ns, LATE + n * 1000000);
        for (unsigned i = 0; i < WORKERS_MAX; i++)
            assert_true(pace_due_ns(&paces[i]) > due_ns);
    }
}

static void the_pace_does_not_drift_in_a_week(void **state)
{
    (void)state;
    const uint64_t week_s = 7 * 24 * 3600;
    struct pace pace = pace_begin(LATE, 3, 0, 1);
    pace.next = 3 * week_s;
    assert_in_range(pace_due_ns(&pace), LATE + week_s * SECOND - 1000, LATE + week_s * SECOND + 1000);
}

static void behind_counts_the_names_that_can_be_taken(void **state)
{
    (void)state;
    static const uint64_t waits[] = {0, 1, 999999, 1000000, 1000001, 77777777, 500000000};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        struct pace pace = pace_begin(LATE, 1000, 0, 1);
        uint64_t due_ns;
        for (int taken = 0; taken < 2; taken++) {
            uint64_t behind = pace_behind(&pace, LATE + waits[i]);
            struct pace copy = pace;
            assert_int_equal(behind, take_all(&copy, LATE + waits[i]));
            (void)pace_take(&pace, LATE + waits[i], &due_ns);
        }
    }
}

static void nothing_is_behind_before_the_start(void **state)
{
    (void)state;
    struct pace pace = pace_begin(LATE, 1000, 3, 4);
    assert_int_equal(pace_behind(&pace, 0), 0);
    assert_int_equal(pace_behind(&pace, LATE + 2999999), 0);
    assert_int_equal(pace_behind(&pace, LATE + 3000000), 1);
}

static void a_worker_ahead_of_the_schedule_is_not_behind(void **state)
{
    (void)state;
    struct pace pace = pace_begin(LATE, 1000, 0, 1);
    assert_int_equal(take_all(&pace, LATE + SECOND), 1001);
    assert_int_equal(pace_behind(&pace, LATE + SECOND), 0);
    assert_int_equal(pace_behind(&pace, LATE + SECOND / 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_name_is_scheduled_at_the_start),
        cmocka_unit_test(each_name_is_scheduled_once),
        cmocka_unit_test(a_failed_take_changes_nothing),
        cmocka_unit_test(names_delayed_by_a_stall_keep_their_scheduled_time),
        cmocka_unit_test(all_workers_together_have_the_requested_rate),
        cmocka_unit_test(workers_take_turns),
        cmocka_unit_test(the_pace_does_not_drift_in_a_week),
        cmocka_unit_test(behind_counts_the_names_that_can_be_taken),
        cmocka_unit_test(nothing_is_behind_before_the_start),
        cmocka_unit_test(a_worker_ahead_of_the_schedule_is_not_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
