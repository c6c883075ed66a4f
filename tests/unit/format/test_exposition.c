#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/format/exposition.h"

static void a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed(void **state)
{
    (void)state;
    assert_int_equal(exposition_bucket(0), 0);
    assert_int_equal(exposition_bucket(0.0005), 0);
    assert_int_equal(exposition_bucket(0.00051), 1);
    assert_int_equal(exposition_bucket(10), EXPOSITION_BUCKETS - 2);
    assert_int_equal(exposition_bucket(10.1), EXPOSITION_BUCKETS - 1);
}

static void a_histogram_is_cumulative_and_ends_with_its_count(void **state)
{
    struct exposition_histogram histogram = {.name = "t_seconds", .help = "Times.", .sum_s = 12.25};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    (void)state;

    assert_non_null(out);
    histogram.buckets[0] = 2;
    histogram.buckets[10] = 3;
    histogram.buckets[EXPOSITION_BUCKETS - 1] = 1;
    exposition_put_histogram(out, &histogram);
    assert_int_equal(fclose(out), 0);
    assert_ptr_equal(strstr(text, "# HELP t_seconds Times.\n# TYPE t_seconds histogram\n"), text);
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"0.0005\"} 2\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"0.5\"} 2\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"1\"} 5\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"10\"} 5\n"));
    assert_non_null(
        strstr(text, "t_seconds_bucket{le=\"+Inf\"} 6\nt_seconds_sum 12.25\nt_seconds_count 6\n"));
    free(text);
}

static void what_a_process_does_not_know_is_left_out(void **state)
{
    const struct process_usage usage = {.cpu_s = 1.5};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    (void)state;

    assert_non_null(out);
    exposition_process(out, &usage);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "process_cpu_seconds_total 1.5\n"));
    assert_null(strstr(text, "process_open_fds"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed),
        cmocka_unit_test(a_histogram_is_cumulative_and_ends_with_its_count),
        cmocka_unit_test(what_a_process_does_not_know_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
