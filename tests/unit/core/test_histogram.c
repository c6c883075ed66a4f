#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tcpgreet/core/histogram.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct histogram one, two, both;

static int forget(void **state)
{
    (void)state;
    memset(&one, 0, sizeof(one));
    memset(&two, 0, sizeof(two));
    memset(&both, 0, sizeof(both));
    return 0;
}

/* The same numbers in every run. */
static int64_t next_value(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (int64_t)(*seed >> (27 + (*seed >> 59)));
}

static void buckets_follow_each_other_without_gap(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket_low_ns(0), 0);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        int64_t low = histogram_bucket_low_ns(i);
        int64_t high = histogram_bucket_high_ns(i);
        assert_true(low <= high);
        assert_int_equal(histogram_bucket(low), i);
        assert_int_equal(histogram_bucket(high), i);
        if (i + 1 < HISTOGRAM_BUCKETS)
            assert_int_equal(histogram_bucket_low_ns(i + 1), high + 1);
        else
            assert_int_equal(high, HISTOGRAM_MAX_NS);
    }
}

static void a_bucket_is_narrower_than_a_thousandth_of_its_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_true((histogram_bucket_high_ns(i) - histogram_bucket_low_ns(i)) * 1000 <=
                    histogram_bucket_low_ns(i));
}

static void a_hundred_seconds_fit(void **state)
{
    (void)state;
    assert_true(HISTOGRAM_MAX_NS >= INT64_C(100000000000));
}

static void values_out_of_range_count_as_the_nearest(void **state)
{
    (void)state;
    histogram_record(&one, -5);
    assert_int_equal(one.least_ns, 0);
    assert_int_equal(one.most_ns, 0);
    histogram_record(&one, INT64_MAX);
    assert_int_equal(one.most_ns, HISTOGRAM_MAX_NS);
    assert_int_equal(one.counts[0], 1);
    assert_int_equal(one.counts[HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(one.total, 2);
}

static void quantiles_are_the_value_that_a_share_does_not_exceed(void **state)
{
    (void)state;
    static const struct {
        double share;
        int64_t ns;
    } cases[] = {{0, 1},      {0.001, 1}, {0.01, 1},  {0.011, 2},   {0.07, 7},    {0.5, 50},
                 {0.505, 51}, {0.9, 90},  {0.99, 99}, {0.991, 100}, {0.999, 100}, {1, 100}};
    for (int64_t value = 100; value >= 1; value--)
        histogram_record(&one, value);
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(histogram_quantile_ns(&one, cases[i].share), cases[i].ns);
}

static void a_quantile_is_the_top_of_its_bucket_but_never_above_the_largest_value(void **state)
{
    (void)state;
    histogram_record(&one, 1000000);
    assert_int_equal(histogram_quantile_ns(&one, 0.5), 1000000);
    histogram_record(&one, 9000000);
    size_t bucket = histogram_bucket(1000000);
    assert_true(histogram_bucket_high_ns(bucket) > 1000000);
    assert_int_equal(histogram_quantile_ns(&one, 0.5), histogram_bucket_high_ns(bucket));
    assert_int_equal(histogram_quantile_ns(&one, 1), 9000000);
}

static void the_mean_is_exact_where_buckets_are_single_values(void **state)
{
    (void)state;
    for (int64_t value = 1; value <= 100; value++)
        histogram_record(&one, value);
    assert_true(histogram_mean_ns(&one) == 50.5);
}

static void nothing_recorded_is_zero_throughout(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile_ns(&one, 0.5), 0);
    assert_int_equal(histogram_quantile_ns(&one, 1), 0);
    assert_true(histogram_mean_ns(&one) == 0);
}

static void adding_is_the_same_as_recording_both(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        int64_t value = next_value(&seed);
        histogram_record(i % 3 == 0 ? &one : &two, value);
        histogram_record(&both, value);
    }
    histogram_add(&one, &two);
    assert_memory_equal(&one, &both, sizeof(both));
}

static void adding_nothing_changes_nothing(void **state)
{
    (void)state;
    histogram_record(&one, 4711);
    histogram_record(&both, 4711);
    histogram_add(&one, &two);
    assert_memory_equal(&one, &both, sizeof(both));
    histogram_add(&two, &one);
    assert_memory_equal(&two, &both, sizeof(both));
}

static void what_is_put_counts_like_what_is_recorded(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 1000; i++)
        histogram_record(&one, next_value(&seed));
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_int_equal(histogram_put(&two, i, one.counts[i]), 0);
    assert_int_equal(two.total, one.total);
    assert_memory_equal(two.counts, one.counts, sizeof(one.counts));
    assert_int_equal(histogram_bucket(two.least_ns), histogram_bucket(one.least_ns));
    assert_int_equal(histogram_bucket(two.most_ns), histogram_bucket(one.most_ns));
}

static void there_is_no_bucket_past_the_last(void **state)
{
    (void)state;
    assert_int_equal(histogram_put(&one, HISTOGRAM_BUCKETS, 1), -1);
    assert_int_equal(histogram_put(&one, SIZE_MAX, 1), -1);
    assert_memory_equal(&one, &two, sizeof(one));
}

#define TEST(name) cmocka_unit_test_setup(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buckets_follow_each_other_without_gap),
        TEST(a_bucket_is_narrower_than_a_thousandth_of_its_values),
        TEST(a_hundred_seconds_fit),
        TEST(values_out_of_range_count_as_the_nearest),
        TEST(quantiles_are_the_value_that_a_share_does_not_exceed),
        TEST(a_quantile_is_the_top_of_its_bucket_but_never_above_the_largest_value),
        TEST(the_mean_is_exact_where_buckets_are_single_values),
        TEST(nothing_recorded_is_zero_throughout),
        TEST(adding_is_the_same_as_recording_both),
        TEST(adding_nothing_changes_nothing),
        TEST(what_is_put_counts_like_what_is_recorded),
        TEST(there_is_no_bucket_past_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
