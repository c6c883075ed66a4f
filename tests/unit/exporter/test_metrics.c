#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "exporter/metrics.h"
#include "support/written.h"

#define NS_PER_S INT64_C(1000000000)

static struct metrics metrics;

static int set_up(void **state)
{
    (void)state;
    metrics = (struct metrics){.meter = {.memory = -1}};
    return 0;
}

static void count(enum err_reason reason, int64_t total_ns)
{
    const struct probe_brief brief = {.target = "a:1", .reason = reason, .total_ns = total_ns};
    metrics_count(&metrics, &brief);
}

/* Returns: how often a line stands in the exposition. */
static size_t lines(const char *wanted)
{
    struct written written;
    size_t found = 0;

    written_open(&written);
    metrics_put(&metrics, 7, 256, written.out);
    char *text = written_close(&written);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        found += strcmp(line, wanted) == 0;
    free(text);
    return found;
}

#define ASSERT_LINE(text) assert_int_equal(lines(text), 1)
#define ASSERT_NO_LINE(text) assert_int_equal(lines(text), 0)

static void before_any_probe_the_series_of_ok_and_of_refusals_exist(void **state)
{
    (void)state;
    ASSERT_LINE("tcpgreet_exporter_probes_total{reason=\"ok\"} 0");
    ASSERT_NO_LINE("tcpgreet_exporter_probes_total{reason=\"connect-refused\"} 0");
    ASSERT_LINE("tcpgreet_exporter_requests_refused_total{cause=\"bad-request\"} 0");
    ASSERT_LINE("tcpgreet_exporter_requests_refused_total{cause=\"forbidden\"} 0");
    ASSERT_LINE("tcpgreet_exporter_requests_refused_total{cause=\"busy\"} 0");
    ASSERT_LINE("tcpgreet_exporter_probes_in_flight 7");
    ASSERT_LINE("tcpgreet_exporter_probes_in_flight_limit 256");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_count 0");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_sum 0");
}

static void each_metric_has_its_type_once(void **state)
{
    (void)state;
    count(ERR_OK, 1);
    count(ERR_TLS_ALERT, 1);
    ASSERT_LINE("# TYPE tcpgreet_exporter_probes_total counter");
    ASSERT_LINE("# TYPE tcpgreet_exporter_requests_refused_total counter");
    ASSERT_LINE("# TYPE tcpgreet_exporter_probes_in_flight gauge");
    ASSERT_LINE("# TYPE tcpgreet_exporter_probes_in_flight_limit gauge");
    ASSERT_LINE("# TYPE tcpgreet_exporter_probe_duration_seconds histogram");
    ASSERT_LINE("# TYPE tcpgreet_build_info gauge");
}

static void probes_are_counted_by_the_reason_of_their_verdict(void **state)
{
    (void)state;
    count(ERR_OK, NS_PER_S);
    count(ERR_OK, NS_PER_S);
    count(ERR_DEGRADED, NS_PER_S);
    for (int reason = 0; reason < METRICS_REASONS; reason++)
        count((enum err_reason)reason, 0);
    ASSERT_LINE("tcpgreet_exporter_probes_total{reason=\"ok\"} 3");
    ASSERT_LINE("tcpgreet_exporter_probes_total{reason=\"degraded\"} 2");
    ASSERT_LINE("tcpgreet_exporter_probes_total{reason=\"threshold\"} 1");
    ASSERT_LINE("tcpgreet_exporter_probes_total{reason=\"dialogue-reset\"} 1");
    ASSERT_LINE("tcpgreet_exporter_probes_total{reason=\"cert-revoked\"} 1");
}

static void a_reason_beyond_the_list_is_timed_and_nothing_else(void **state)
{
    (void)state;
    count((enum err_reason)METRICS_REASONS, NS_PER_S);
    count((enum err_reason) - 1, NS_PER_S);
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_count 2");
    for (int reason = 0; reason < METRICS_REASONS; reason++)
        assert_int_equal(metrics.probes[reason], 0);
    for (int cause = 0; cause < METRICS_REFUSALS; cause++)
        assert_int_equal(metrics.refusals[cause], 0);
}

static void durations_fall_into_buckets_that_add_up(void **state)
{
    (void)state;
    count(ERR_OK, 0);
    count(ERR_OK, NS_PER_S / 2000); /* the bound belongs to its bucket */
    count(ERR_OK, NS_PER_S / 2000 + 1);
    count(ERR_OK, NS_PER_S);
    count(ERR_OK, 10 * NS_PER_S);
    count(ERR_OK, 10 * NS_PER_S + 1);
    count(ERR_OK, 3600 * NS_PER_S);
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_bucket{le=\"0.0005\"} 2");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_bucket{le=\"0.001\"} 3");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_bucket{le=\"0.5\"} 3");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_bucket{le=\"1\"} 4");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_bucket{le=\"10\"} 5");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_bucket{le=\"+Inf\"} 7");
    ASSERT_LINE("tcpgreet_exporter_probe_duration_seconds_count 7");
}

static void refusals_are_counted_by_their_cause(void **state)
{
    (void)state;
    metrics.refusals[METRICS_BAD_REQUEST] = 18;
    metrics.refusals[METRICS_FORBIDDEN] = UINT64_MAX;
    metrics.refusals[METRICS_BUSY] = 1;
    ASSERT_LINE("tcpgreet_exporter_requests_refused_total{cause=\"bad-request\"} 18");
    ASSERT_LINE("tcpgreet_exporter_requests_refused_total{cause=\"forbidden\"} 18446744073709551615");
    ASSERT_LINE("tcpgreet_exporter_requests_refused_total{cause=\"busy\"} 1");
}

static void assert_probe(enum err_reason reason, int64_t total_ns, const char *success, const char *duration)
{
    const struct probe_brief brief = {.target = "a:1", .reason = reason, .total_ns = total_ns};
    struct written written;

    written_open(&written);
    metrics_put_probe(&brief, written.out);
    char *text = written_close(&written);
    if (strstr(text, success) == NULL || strstr(text, duration) == NULL)
        fail_msg("%s and %s, but:\n%s", success, duration, text);
    free(text);
}

static void a_probe_has_the_two_metrics_of_every_exporter_of_probes(void **state)
{
    (void)state;
    assert_probe(ERR_OK, 1500 * NS_PER_S / 1000, "\nprobe_success 1\n", "\nprobe_duration_seconds 1.5\n");
    assert_probe(ERR_OK, 0, "\nprobe_success 1\n", "\nprobe_duration_seconds 0\n");
    assert_probe(ERR_DEGRADED, 1, "\nprobe_success 0\n", "\nprobe_duration_seconds 1e-09\n");
    assert_probe(ERR_THRESHOLD, NS_PER_S, "\nprobe_success 0\n", "\nprobe_duration_seconds 1\n");
    assert_probe(ERR_INTERRUPTED, NS_PER_S, "\nprobe_success 0\n", "\nprobe_duration_seconds 1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(before_any_probe_the_series_of_ok_and_of_refusals_exist, set_up),
        cmocka_unit_test_setup(each_metric_has_its_type_once, set_up),
        cmocka_unit_test_setup(probes_are_counted_by_the_reason_of_their_verdict, set_up),
        cmocka_unit_test_setup(a_reason_beyond_the_list_is_timed_and_nothing_else, set_up),
        cmocka_unit_test_setup(durations_fall_into_buckets_that_add_up, set_up),
        cmocka_unit_test_setup(refusals_are_counted_by_their_cause, set_up),
        cmocka_unit_test_setup(a_probe_has_the_two_metrics_of_every_exporter_of_probes, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
