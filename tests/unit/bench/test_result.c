#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/result.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct bench_result one, two, sum;

/* Whole numbers of nanoseconds, some of them too fine for a bucket. */
static void fill(struct bench_result *result, int64_t step)
{
    memset(result, 0, sizeof(*result));
    (void)snprintf(result->target, sizeof(result->target), "[::1]:6000");
    result->tls = true;
    result->connections_asked = 50;
    result->duration_s = 10.000731;
    result->slot_s = 10.0 / 240;
    result->runs = 1;
    result->connections = 40;
    result->resumed = 30;
    for (int64_t i = 1; i <= 2000; i++) {
        histogram_record(&result->answers, i * step);
        result->slots[i % BENCH_SLOTS]++;
        result->names++;
    }
    for (int64_t i = 1; i <= 40; i++)
        histogram_record(&result->connects, 1000000 + i * step);
}

static int start(void **state)
{
    (void)state;
    fill(&one, 1237);
    fill(&two, 4003);
    memset(&sum, 0, sizeof(sum));
    return 0;
}

/* Returns: what a face writes, to be freed. */
static char *face(void (*write)(const struct bench_result *, FILE *), const struct bench_result *result)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    write(result, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strlen(text), length);
    return text;
}

static void assert_output(void (*write)(const struct bench_result *, FILE *),
                          const struct bench_result *result, const char *expected)
{
    char *text = face(write, result);
    assert_string_equal(text, expected);
    free(text);
}

static void assert_has(void (*write)(const struct bench_result *, FILE *), const struct bench_result *result,
                       const char *part, bool wanted)
{
    char *text = face(write, result);
    if ((strstr(text, part) != NULL) != wanted)
        fail_msg("%s \"%s\" in:\n%s", wanted ? "no" : "unwanted", part, text);
    free(text);
}

static void failures_are_summed(void **state)
{
    (void)state;
    assert_int_equal(bench_result_failed(&one), 0);
    one.failures[ERR_CONNECT_REFUSED] = 3;
    one.failures[ERR_INTERRUPTED] = 4;
    assert_int_equal(bench_result_failed(&one), 7);
}

static void adding_to_nothing_copies(void **state)
{
    (void)state;
    bench_result_add(&sum, &one);
    assert_memory_equal(&sum, &one, sizeof(one));
}

static void adding_is_the_same_in_either_order(void **state)
{
    (void)state;
    two.failures[ERR_DIALOGUE_RESET] = 5;
    two.duration_s = 12;
    two.late = 7;
    memcpy(&sum, &two, sizeof(sum));
    bench_result_add(&sum, &one);
    bench_result_add(&one, &two);
    assert_memory_equal(&sum, &one, sizeof(one));
    assert_int_equal(one.names, 4000);
    assert_int_equal(one.answers.total, 4000);
    assert_int_equal(one.connections_asked, 100);
    assert_int_equal(one.connections, 80);
    assert_int_equal(one.resumed, 60);
    assert_int_equal(one.runs, 2);
    assert_int_equal(one.late, 7);
    assert_int_equal(one.failures[ERR_DIALOGUE_RESET], 5);
    assert_int_equal(one.slots[1], 18);
    assert_true(one.duration_s == 12);
    assert_string_equal(one.target, "[::1]:6000");
}

static void slots_of_different_widths_are_dropped(void **state)
{
    (void)state;
    two.slot_s = 1;
    bench_result_add(&one, &two);
    assert_true(one.slot_s == 0);
    assert_int_equal(one.slots[1], 0);
    bench_result_add(&one, &two);
    assert_true(one.slot_s == 0);
    assert_int_equal(one.slots[1], 0);
}

static void different_proxies_become_several_proxies(void **state)
{
    (void)state;
    (void)snprintf(one.proxy, sizeof(one.proxy), "http://proxy:3128");
    bench_result_add(&sum, &one);
    bench_result_add(&sum, &one);
    assert_string_equal(sum.proxy, "http://proxy:3128");
    bench_result_add(&sum, &two);
    assert_string_equal(sum.proxy, "several proxies");
    bench_result_add(&two, &one);
    assert_string_equal(two.proxy, "several proxies");
}

static void a_sum_that_no_reader_accepts_does_not_fit(void **state)
{
    static const uint64_t most = UINT64_C(1) << 53;
    uint64_t *const counts[] = {&sum.connections_asked,
                                &sum.names,
                                &sum.connections,
                                &sum.resumed,
                                &sum.late,
                                &sum.answers.total,
                                &sum.connects.total,
                                &sum.failures[ERR_CONNECT_REFUSED],
                                &sum.slots[BENCH_SLOTS - 1]};

    (void)state;
    for (size_t i = 0; i < COUNT(counts); i++) {
        *counts[i] = most;
        assert_true(bench_result_fits(&sum));
        ++*counts[i];
        assert_false(bench_result_fits(&sum));
        *counts[i] = 0;
    }
    sum.rate_asked = (double)most;
    sum.runs = INT_MAX;
    assert_true(bench_result_fits(&sum));
    sum.runs++;
    assert_false(bench_result_fits(&sum));
    sum.runs = 1;
    sum.rate_asked *= 2;
    assert_false(bench_result_fits(&sum));
}

static void different_targets_become_several_targets(void **state)
{
    (void)state;
    (void)snprintf(two.target, sizeof(two.target), "elsewhere 6000");
    bench_result_add(&one, &two);
    assert_string_equal(one.target, "several targets");
}

static void the_text_report_of_a_complete_result(void **state)
{
    (void)state;
    assert_output(bench_result_text, &one,
                  "Bench of [::1]:6000 over TLS\n"
                  "50 connections, closed loop\n"
                  "\n"
                  "  time                          10.0 s\n"
                  "  names                          2,000                 200 /s\n"
                  "  connections                       40                 4.0 /s\n"
                  "    resumed                         30                75.0 %\n"
                  "\n"
                  "  latency               mean       p50       p90       p99     p99.9       max\n"
                  "  answer             1.24 ms   1.24 ms   2.23 ms   2.45 ms   2.47 ms   2.47 ms\n"
                  "  connect + TLS      1.03 ms   1.03 ms   1.04 ms   1.05 ms   1.05 ms   1.05 ms\n"
                  "\n"
                  "OK: 2,000 answers, every byte verified\n");
}

static void the_text_of_failures_has_the_most_frequent_first(void **state)
{
    (void)state;
    memset(&one, 0, sizeof(one));
    (void)snprintf(one.target, sizeof(one.target), "localhost 6000");
    one.open_loop = true;
    one.rate_asked = 1500;
    one.connections_asked = 1;
    one.duration_s = 2;
    one.late = 2990;
    one.failures[ERR_CONNECT_REFUSED] = 3;
    one.failures[ERR_DIALOGUE_WRONG_ANSWER] = 7;
    assert_output(bench_result_text, &one,
                  "Bench of localhost 6000\n"
                  "one connection, open loop: 1,500 names/s\n"
                  "latency measured from the scheduled send time\n"
                  "\n"
                  "  time                          2.00 s\n"
                  "  names                              0                   0 /s\n"
                  "  connections                        0                   0 /s\n"
                  "  scheduled but not sent         2,990               1,495 /s\n"
                  "\n"
                  "  failures                            10\n"
                  "    dialogue-wrong-answer              7\n"
                  "    connect-refused                    3\n"
                  "\n"
                  "No answer received.\n");
}

static void only_a_run_without_failures_reports_every_byte_verified(void **state)
{
    (void)state;
    assert_has(bench_result_text, &one, "every byte verified", true);
    assert_has(bench_result_plot, &one, "every byte verified", true);
    one.failures[ERR_DIALOGUE_WRONG_ANSWER] = 1;
    assert_has(bench_result_text, &one, "every byte verified", false);
    assert_has(bench_result_plot, &one, "every byte verified", false);
    assert_has(bench_result_plot, &one, "1 failed: dialogue-wrong-answer", true);
}

static void latencies_have_three_digits_and_the_unit_that_fits(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {{0, "  0 s\n"},          {850, "  0.85 us\n"},      {9994, "  9.99 us\n"},
                 {9996, "  10.0 us\n"},   {99960, "  100 us\n"},     {999400, "  999 us\n"},
                 {999600, "  1.00 ms\n"}, {999600000, "  1.00 s\n"}, {100000000000, "  100 s\n"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        memset(&one.answers, 0, sizeof(one.answers));
        memset(&one.connects, 0, sizeof(one.connects));
        histogram_record(&one.answers, cases[i].ns);
        assert_has(bench_result_text, &one, cases[i].text, true);
    }
}

static size_t columns(const char *line, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)line[i] & 0xc0) != 0x80;
    return count;
}

static void the_text_keeps_to_eighty_columns(void **state)
{
    (void)state;
    memset(one.target, 'x', sizeof(one.target) - 1);
    one.names = one.connections = one.resumed = UINT64_C(1) << 53;
    one.connections_asked = 1000000;
    one.open_loop = true;
    one.rate_asked = 1e9;
    one.late = UINT64_C(1) << 53;
    one.failures[ERR_SYSTEM_ADDRESS_NOT_AVAILABLE] = 1000000000;
    char *text = face(bench_result_text, &one);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        if (columns(line, strcspn(line, "\n")) > 80)
            fail_msg("too wide: %.*s", (int)strcspn(line, "\n"), line);
    free(text);
}

static void the_json_of_a_small_result(void **state)
{
    (void)state;
    memset(&one, 0, sizeof(one));
    (void)snprintf(one.target, sizeof(one.target), "a \"b\" \\\\");
    one.connections_asked = one.connections = one.names = one.runs = 1;
    one.duration_s = 0.5;
    one.slot_s = 0.1;
    one.slots[2] = 1;
    one.failures[ERR_DIALOGUE_RESET] = 2;
    histogram_record(&one.answers, 1500);
    assert_output(
        bench_result_json, &one,
        "{\"schema\":\"tcpgreet.bench.v1\",\"target\":\"a \\\"b\\\" \\\\\\\\\",\"proxy\":null,\"tls\":false,"
        "\"open_loop\":false,\"rate_asked\":0,\"connections_asked\":1,\"duration_seconds\":0.5,"
        "\"runs\":1,\"names\":1,\"names_per_second\":2,\"connections\":1,\"resumed\":0,\"late\":0,"
        "\"failures\":{\"dialogue-reset\":2},\"slot_seconds\":0.1,\"slots\":[0,0,1],"
        "\"answers\":{\"count\":1,\"min\":1.5e-06,\"mean\":1.5e-06,\"p50\":1.5e-06,\"p90\":1.5e-06,"
        "\"p99\":1.5e-06,\"p99.9\":1.5e-06,\"max\":1.5e-06,\"buckets\":[[1500,1]]},"
        "\"connects\":{\"count\":0,\"min\":null,\"mean\":null,\"p50\":null,\"p90\":null,"
        "\"p99\":null,\"p99.9\":null,\"max\":null,\"buckets\":[]}}\n");
}

static void prometheus_has_base_units_and_escaped_labels(void **state)
{
    (void)state;
    (void)snprintf(one.target, sizeof(one.target), "a \"b\" \\\\");
    one.failures[ERR_CONNECT_TIMEOUT] = 9;
    static const char *const parts[] = {
        "# TYPE tcpgreet_bench_info gauge\n",
        "tcpgreet_bench_info{target=\"a \\\"b\\\" \\\\\\\\\",tls=\"yes\",loop=\"closed\",proxy=\"\"} 1\n",
        "# TYPE tcpgreet_bench_names_total counter\ntcpgreet_bench_names_total{",
        "} 2000\n",
        ",reason=\"connect-timeout\"} 9\n",
        ",reason=\"connect-refused\"} 0\n",
        "# TYPE tcpgreet_bench_answer_latency_seconds summary\n",
        ",quantile=\"1\"} 0.002474\n",
        "tcpgreet_bench_answer_latency_seconds_sum{",
        "} 2.475",
        "tcpgreet_bench_answer_latency_seconds_count{",
    };
    for (size_t i = 0; i < COUNT(parts); i++)
        assert_has(bench_result_prometheus, &one, parts[i], true);
    assert_has(bench_result_prometheus, &one, "NaN", false);
    (void)snprintf(one.proxy, sizeof(one.proxy), "http://proxy:3128");
    assert_has(bench_result_prometheus, &one, ",loop=\"closed\",proxy=\"http://proxy:3128\"} 1\n", true);
    assert_has(bench_result_prometheus, &sum, ",quantile=\"0.99\"} NaN\n", true);
}

static void a_plot_names_what_is_missing(void **state)
{
    (void)state;
    (void)snprintf(one.target, sizeof(one.target), "<script>&");
    assert_has(bench_result_plot, &one, "<title>Bench of &lt;script&gt;&amp; over TLS</title>", true);
    assert_has(bench_result_plot, &one, "<script", false);
    assert_has(bench_result_plot, &one, ">99.9</text>", true);
    assert_has(bench_result_plot, &one, ">99.99</text>", false); /* of 2,000 */
    assert_has(bench_result_plot, &one, "prefers-color-scheme:dark", true);
    assert_has(bench_result_plot, &one, "no answer received", false);
    assert_has(bench_result_plot, &one, "through", false);
    (void)snprintf(one.proxy, sizeof(one.proxy), "http://[::1]:3128");
    assert_has(bench_result_plot, &one, "closed loop \u00b7 through http://[::1]:3128</text>", true);
    one.slot_s = 0;
    assert_has(bench_result_plot, &one, "no rate over time recorded", true);
    assert_has(bench_result_plot, &sum, "no answer received", true);
}

/* What must never stand in a number's place. */
static void no_plot_contains_nan_or_infinity(void **state)
{
    (void)state;
    static struct bench_result cases[6];
    memset(cases, 0, sizeof(cases));
    cases[1].duration_s = 1;
    histogram_record(&cases[1].answers, 0);
    histogram_record(&cases[2].connects, HISTOGRAM_MAX_NS);
    memcpy(&cases[3], &one, sizeof(one));
    histogram_record(&cases[3].answers, 0);
    histogram_record(&cases[3].answers, HISTOGRAM_MAX_NS);
    memcpy(&cases[4], &one, sizeof(one));
    cases[4].duration_s = 1e-9;
    memcpy(&cases[5], &one, sizeof(one));
    cases[5].open_loop = true;
    cases[5].rate_asked = 1e9;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_has(bench_result_plot, &cases[i], "nan", false);
        assert_has(bench_result_plot, &cases[i], "inf", false);
        assert_has(bench_result_plot, &cases[i], "</svg>\n", true);
    }
}

static void a_target_that_is_not_printable_is_escaped_everywhere(void **state)
{
    (void)state;
    (void)snprintf(one.target, sizeof(one.target), "\x1b[2J\xff\n");
    assert_has(bench_result_text, &one, "\x1b", false);
    assert_has(bench_result_text, &one, "Bench of \\x1b[2J\\xff\\n over", true);
    assert_has(bench_result_json, &one, "\"\\\\x1b[2J\\\\xff\\\\n\"", true);
    assert_has(bench_result_plot, &one, "\x1b", false);
    assert_has(bench_result_prometheus, &one, "\"\\\\x1b[2J\\\\xff\\\\n\"", true);
}

#ifdef TCPGREET_HAVE_JANSSON

static int read_text(const char *text, size_t length, struct bench_result *result, struct err *err)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, length, "r");
    assert_non_null(in);
    int status = bench_result_read(in, "a.json", result, err);
    (void)fclose(in);
    return status;
}

static void assert_reads_back(const struct bench_result *result)
{
    struct err err = {0};
    char *text = face(bench_result_json, result);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    if (read_text(text, strlen(text), &sum, &err) != 0)
        fail_msg("%s", err.text);
    assert_memory_equal(&sum, result, sizeof(sum));
    free(text);
}

static char *replaced(const char *text, const char *from, const char *to);

static void a_result_of_before_there_was_a_proxy_is_read(void **state)
{
    struct err err = {0};
    char *text = face(bench_result_json, &one), *older = replaced(text, "\"proxy\":null,", "");
    (void)state;
    assert_int_equal(read_text(older, strlen(older), &sum, &err), 0);
    assert_memory_equal(&sum, &one, sizeof(sum));
    free(older);
    free(text);
}

static void json_reads_back_to_the_bit(void **state)
{
    (void)state;
    assert_reads_back(&one);
    one.open_loop = true;
    one.rate_asked = 1.0 / 3;
    one.duration_s = 9.1 + 0.2;
    one.late = UINT64_C(1) << 53;
    one.slots[BENCH_SLOTS - 1] = 5;
    for (size_t i = 0; i < ERR_REASON_COUNT; i++)
        one.failures[i] = i;
    (void)snprintf(one.target, sizeof(one.target), "\\x1b \"m\u00fcller\" 6000");
    (void)snprintf(one.proxy, sizeof(one.proxy), "http://proxy:3128");
    histogram_record(&one.answers, 0);
    histogram_record(&one.answers, HISTOGRAM_MAX_NS);
    histogram_record(&one.connects, 123456789);
    assert_reads_back(&one);
    memset(&one, 0, sizeof(one));
    one.runs = 1;
    assert_reads_back(&one);
    memset(one.target, 'x', sizeof(one.target) - 1);
    assert_reads_back(&one);
}

static void a_sum_of_files_is_the_sum_of_the_results(void **state)
{
    (void)state;
    static struct bench_result from_files;
    assert_reads_back(&one);
    memcpy(&from_files, &sum, sizeof(sum));
    assert_reads_back(&two);
    bench_result_add(&from_files, &sum);
    bench_result_add(&one, &two);
    assert_memory_equal(&from_files, &one, sizeof(one));
}

/* text with its first from replaced by to, to be freed. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *changed = NULL;
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    return changed;
}

static const struct {
    const char *from;
    const char *to;
    const char *why;
} refusals[] = {
    {"bench.v1", "bench.v2", "\"schema\" is not \"tcpgreet.bench.v1\""},
    {"\"schema\":\"tcpgreet.bench.v1\",", "", "\"schema\" is not \"tcpgreet.bench.v1\""},
    {"\"names\":2000,", "", "\"names\" is missing"},
    {"\"names\":2000", "\"names\":-1", "\"names\" is not a count"},
    {"\"names\":2000", "\"names\":2000.5", "\"names\" is not a count"},
    {"\"names\":2000", "\"names\":9007199254740993", "\"names\" is not a count"},
    {"\"names\":2000", "\"names\":2000,\"names\":2000", "not one JSON object: line 1"},
    {"\"names\":2000", "\"names\":2000,\"nomes\":1", "\"nomes\" is unknown"},
    {"\"names\":2000", "\"names\":2000,\"\\u001b[2J\":1", "\"\\x1b[2J\" is unknown"},
    {"\"tls\":true", "\"tls\":1", "\"tls\" is neither true nor false"},
    {"\"runs\":1", "\"runs\":0", "\"runs\" is not a number of runs"},
    {"\"runs\":1", "\"runs\":4294967297", "\"runs\" is not a number of runs"},
    {"\"duration_seconds\":", "\"duration_seconds\":-", "\"duration_seconds\" is not a number of at least 0"},
    {"\"duration_seconds\":", "\"duration_seconds\":1e999,\"x\":", "not one JSON object: line 1"},
    {"[::1]", "\\u001b[2J", "\"target\" is not a short printable string"},
    {"[::1]", "a\\u202eb", "\"target\" is not a short printable string"},
    {"\"failures\":{}", "\"failures\":[]", "\"failures\" is not an object"},
    {"\"failures\":{}", "\"failures\":{\"bad-luck\":1}", "\"failures.bad-luck\" is unknown"},
    {"\"failures\":{}", "\"failures\":{\"internal\":-1}", "\"failures.internal\" is not a count"},
    {"\"failures\":{}", "\"failures\":{\"ok\":5}", "\"failures.ok\" is unknown"},
    {"\"resumed\":30", "\"resumed\":41", "\"resumed\" exceeds \"connections\""},
    {"\"rate_asked\":0", "\"rate_asked\":1.7e308", "\"rate_asked\" is out of range"},
    {"\"duration_seconds\":", "\"duration_seconds\":5e-324,\"x\":", "\"duration_seconds\" is out of range"},
    {"\"slot_seconds\":", "\"slot_seconds\":1e300,\"x\":", "\"slot_seconds\" is out of range"},
    {"\"slots\":[", "\"slots\":[1,", "\"slots\" has too many elements"},
    {"\"slots\":[8", "\"slots\":[-8", "\"slots\" contains an element that is not a count"},
    {"\"count\":2000", "\"count\":2001", "\"answers.count\" is not the sum of the buckets"},
    {"\"min\":1.237e-06", "\"min\":1.236e-06", "\"answers.min\" is not in the first bucket"},
    {"\"min\":1.237e-06", "\"min\":null", "\"answers.min\" is not a number of at least 0"},
    {"\"max\":0.002474", "\"max\":0.0025", "\"answers.max\" is not in the last bucket"},
    {"\"max\":0.002474", "\"max\":1e9", "\"answers.max\" exceeds the range of the histogram"},
    {"\"p99\":", "\"p98\":", "\"answers.p99\" is missing"},
    {"\"p99\":", "\"p98\":1,\"p99\":", "\"answers.p98\" is unknown"},
    {"\"buckets\":[[", "\"buckets\":[[1,0],[", "\"answers.buckets\" has a count out of range"},
    {"\"buckets\":[[", "\"buckets\":[[-1,1],[", "\"answers.buckets\" has a bucket out of range"},
    {"\"buckets\":[[", "\"buckets\":[[28672,1],[", "\"answers.buckets\" has a bucket out of range"},
    {"\"buckets\":[[", "\"buckets\":[[20000,1],[", "\"answers.buckets\" is not in ascending order"},
    {"\"buckets\":[[", "\"buckets\":[[1,9007199254740992],[", "\"answers.buckets\" has a count out of range"},
    {"\"buckets\":[[", "\"buckets\":[7,[",
     "\"answers.buckets\" contains an element that is not a [bucket, count] pair"},
    {"\"buckets\":[[", "\"buckets\":[[1,1,1],[",
     "\"answers.buckets\" contains an element that is not a [bucket, count] pair"},
    {"}\n", "}{}\n", "not one JSON object: line 1"},
    {"{", "[{", "not one JSON object: line 2"},
};

static void assert_rejected(const char *text, size_t length, const char *why)
{
    static const struct bench_result nothing;
    static const char before[] = "a.json: not a JSON result of --bench: ";
    struct err err = {0};

    memset(&sum, 7, sizeof(sum));
    assert_int_equal(read_text(text, length, &sum, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_memory_equal(err.text, before, strlen(before));
    assert_memory_equal(err.text + strlen(before), why, strlen(why));
    assert_memory_equal(&sum, &nothing, sizeof(sum));
}

static void anything_else_is_rejected_with_a_message(void **state)
{
    (void)state;
    char *text = face(bench_result_json, &one);
    for (size_t i = 0; i < COUNT(refusals); i++) {
        char *changed = replaced(text, refusals[i].from, refusals[i].to);
        assert_rejected(changed, strlen(changed), refusals[i].why);
        free(changed);
    }
    assert_rejected(text, strlen(text) / 2, "not one JSON object: line 1");
    assert_rejected("[]", 2, "not a JSON object");
    assert_rejected("hello", 5, "not one JSON object: line 1");
    assert_rejected(" ", 1, "not one JSON object");
    free(text);
}

static void a_folder_is_reported_as_unreadable(void **state)
{
    (void)state;
    struct err err = {0};
    FILE *in = fopen("/", "r");
    assert_non_null(in);
    assert_int_equal(bench_result_read(in, "/", &sum, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_non_null(strstr(err.text, "cannot be read"));
    (void)fclose(in);
}

#else

static void reading_without_jansson_is_a_usage_error(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(bench_result_read(stdin, "a.json", &sum, &err), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    assert_non_null(strstr(err.text, "jansson"));
}

#endif

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
    if (setenv("LC_ALL", "C", 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(failures_are_summed),
        TEST(adding_to_nothing_copies),
        TEST(adding_is_the_same_in_either_order),
        TEST(slots_of_different_widths_are_dropped),
        TEST(different_proxies_become_several_proxies),
        TEST(a_sum_that_no_reader_accepts_does_not_fit),
        TEST(different_targets_become_several_targets),
        TEST(the_text_report_of_a_complete_result),
        TEST(the_text_of_failures_has_the_most_frequent_first),
        TEST(only_a_run_without_failures_reports_every_byte_verified),
        TEST(latencies_have_three_digits_and_the_unit_that_fits),
        TEST(the_text_keeps_to_eighty_columns),
        TEST(the_json_of_a_small_result),
        TEST(prometheus_has_base_units_and_escaped_labels),
        TEST(a_plot_names_what_is_missing),
        TEST(no_plot_contains_nan_or_infinity),
        TEST(a_target_that_is_not_printable_is_escaped_everywhere),
#ifdef TCPGREET_HAVE_JANSSON
        TEST(json_reads_back_to_the_bit),
        TEST(a_result_of_before_there_was_a_proxy_is_read),
        TEST(a_sum_of_files_is_the_sum_of_the_results),
        TEST(anything_else_is_rejected_with_a_message),
        TEST(a_folder_is_reported_as_unreadable),
#else
        TEST(reading_without_jansson_is_a_usage_error),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
