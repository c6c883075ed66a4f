#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/page.h"
#include "support/probe_samples.h"
#include "support/probe_spoiled.h"
#include "support/written.h"

enum { NOW_S = 1767225600 };

static struct recent recent;
static char *page;

static int tear_down(void **state)
{
    (void)state;
    free(page);
    page = NULL;
    recent_fini(&recent);
    return 0;
}

static struct probe_result *sample(enum probe_sample which, const char *target)
{
    struct probe_result *result = malloc(sizeof(*result));

    if (result == NULL)
        abort();
    probe_sample_make(which, result);
    if (target != NULL)
        snprintf(result->target, sizeof(result->target), "%s", target);
    return result;
}

static void put(size_t in_flight, int64_t now_s)
{
    struct written written;

    free(page);
    written_open(&written);
    page_put(&recent, in_flight, now_s, written.out);
    page = written_close(&written);
}

static size_t times(const char *part)
{
    size_t found = 0;

    for (const char *at = page; (at = strstr(at, part)) != NULL; at += strlen(part))
        found++;
    return found;
}

static void assert_has(const char *part)
{
    if (times(part) == 0)
        fail_msg("no %s in:\n%s", part, page);
}

/* Whether every element that is opened is closed, in that order; attributes stand in double quotes, and what
 * is void in HTML is not closed. */
static void assert_well_formed(void)
{
    enum { DEPTH = 32, NAME = 24 };
    char open[DEPTH][NAME];
    size_t depth = 0;

    for (const char *at = page; (at = strchr(at, '<')) != NULL;) {
        bool closes = *++at == '/';
        const char *name = at + closes;
        size_t length = strcspn(name, " />\n");
        bool in_quotes = false;
        assert_in_range(length, 1, NAME - 1);
        for (at = name + length; *at != '>' || in_quotes; at++) {
            assert_true(*at != '\0' && *at != '<');
            in_quotes ^= *at == '"';
        }
        if (closes) {
            assert_true(depth > 0);
            if (strncmp(open[--depth], name, length) != 0 || open[depth][length] != '\0')
                fail_msg("%s is closed by %.40s", open[depth], name);
        } else if (at[-1] != '/' && *name != '!' && strncmp(name, "meta", 4) != 0 &&
                   strncmp(name, "link", 4) != 0) {
            assert_in_range(depth, 0, DEPTH - 1);
            snprintf(open[depth++], NAME, "%.*s", (int)length, name);
        }
    }
    assert_int_equal(depth, 0);
}

static void without_a_probe_the_page_explains_how_to_ask_for_one(void **state)
{
    (void)state;
    put(0, NOW_S);
    assert_has("No target has been probed yet");
    assert_has("0 targets, 0 failed, 0 in flight");
    assert_int_equal(times("<section"), 1);
    assert_well_formed();
}

static void the_head_counts_targets_failures_and_probes_in_flight(void **state)
{
    (void)state;
    recent_add(&recent, sample(PROBE_SAMPLE_OK, "a:1"));
    put(3, NOW_S);
    assert_has(">1 target, 0 failed, 3 in flight ");
    recent_add(&recent, sample(PROBE_SAMPLE_CERT_EXPIRED, "b:1"));
    recent_add(&recent, sample(PROBE_SAMPLE_V6_UNREACHABLE, "c:1"));
    recent_add(&recent, sample(PROBE_SAMPLE_OK, "b:1")); /* the last round counts */
    put(0, NOW_S);
    assert_has(">3 targets, 1 failed, 0 in flight ");
    assert_int_equal(times("<section"), 3);
}

static void a_failure_has_its_reason_and_its_sentence_and_is_open(void **state)
{
    (void)state;
    recent_add(&recent, sample(PROBE_SAMPLE_CERT_EXPIRED, "bad:1"));
    recent_add(&recent, sample(PROBE_SAMPLE_OK, "good:1"));
    recent_add(&recent, sample(PROBE_SAMPLE_OK, "last:1"));
    put(0, NOW_S);
    assert_has("<p><code>cert-expired</code>: ");
    assert_has("the certificate expired on 2025-12-29 00:00 UTC, 3 days ago");
    assert_int_equal(times("<code>"), 1);
    assert_int_equal(times("<details open>"), 2); /* the one that failed, and the last one */
    assert_int_equal(times("<details>"), 1);
    assert_int_equal(times("class=\"state ok\""), 2);
    assert_int_equal(times("class=\"state failed\""), 1);
    assert_well_formed();
}

static void rounds_stand_from_the_oldest_to_the_last(void **state)
{
    (void)state;
    for (int i = 0; i < RECENT_ROUNDS + 2; i++) {
        struct probe_result *result = sample(i % 2 == 0 ? PROBE_SAMPLE_OK : PROBE_SAMPLE_CERT_EXPIRED, "a:1");
        result->started_s = NOW_S + 60 * i;
        result->total_ns = 1000 * 1000 * (int64_t)(i + 1);
        recent_add(&recent, result);
    }
    put(0, NOW_S + 60 * (RECENT_ROUNDS + 1) + 7);
    assert_has("<p class=\"soft\">7 s ago; last 20: ");
    assert_int_equal(times("<span class=\"mark ok\""), RECENT_ROUNDS / 2);
    assert_int_equal(times("<span class=\"mark failed\""), RECENT_ROUNDS / 2);
    const char *oldest = strstr(page, "title=\"2026-01-01 00:02:00 UTC: OK, 3.00 ms\"");
    const char *last = strstr(page, "title=\"2026-01-01 00:21:00 UTC: cert-expired, 22.0 ms\"");
    assert_non_null(oldest);
    assert_non_null(last);
    assert_true(oldest < last);
    assert_null(strstr(page, "00:01:00 UTC"));
}

static void a_clock_that_was_set_back_shows_no_negative_age(void **state)
{
    (void)state;
    recent_add(&recent, sample(PROBE_SAMPLE_OK, NULL));
    recent.targets[0].rounds[0].started_s = NOW_S;
    put(0, NOW_S - 3600);
    assert_has("<p class=\"soft\">0 s ago; last 1: ");
    put(0, NOW_S + INT64_C(4000000000));
    assert_has("<p class=\"soft\">4000000000 s ago; last 1: ");
}

static void hostile_texts_stay_texts(void **state)
{
    static const char *const pieces[] = {
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</p></section><b>",
        "&lt;&#60;&",
        "'\" x=",
        "\n\r\t\x7f\x1b[2J",
        "\xc3\xa4\xe2\x82\xac",
        "\xc3",
        "\xe2\x82",
        "\xff",
        "]]>-->",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        for (int which = 0; which < PROBE_SAMPLES; which++) {
            struct probe_result *result = sample((enum probe_sample)which, NULL);
            probe_spoil(result, pieces[i]);
            result->target[0] = (char)('A' + which); /* a target of its own */
            recent_add(&recent, result);
        }
        put(0, NOW_S);
        assert_int_equal(times("<section"), PROBE_SAMPLES);
        assert_int_equal(times("</section>"), PROBE_SAMPLES);
        assert_well_formed();
        assert_null(strpbrk(page, "\r\t\x7f\x1b"));
        assert_null(strstr(page, "<script"));
        assert_null(strstr(page, "<img"));
        assert_null(strstr(page, "<b>"));
        recent_fini(&recent);
    }
}

/* Returns: how many bytes the first character of a text has; 0: it is not UTF-8. */
static size_t utf8_length(const unsigned char *at)
{
    size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;

    for (size_t i = 1; i < length; i++)
        if (at[i] >> 6 != 2)
            return 0;
    return length;
}

static void the_page_is_utf8_wherever_a_text_was_cut(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        struct probe_result *result = sample(PROBE_SAMPLE_DEGRADED_MIXED, NULL);
        char piece[] = "aa\xe2\x82\xac\xe2\x82\xac";
        probe_spoil(result, piece + 2 - shift);
        result->target[290 - shift] = '\0'; /* within a character, or not */
        recent_add(&recent, result);
        put(0, NOW_S);
        const unsigned char *at = (const unsigned char *)page;
        for (size_t length; *at != '\0'; at += length)
            assert_int_not_equal(length = utf8_length(at), 0);
        recent_fini(&recent);
    }
}

static void the_style_has_both_schemes_and_loads_nothing(void **state)
{
    struct written written;

    (void)state;
    written_open(&written);
    page_put_style(written.out);
    page = written_close(&written);
    assert_has("prefers-color-scheme:dark");
    assert_int_equal(times("url("), 0);
    assert_int_equal(times("@import"), 0);
    assert_int_equal(times("<"), 0);
    size_t open = times("{");
    assert_int_equal(times("}"), open);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(without_a_probe_the_page_explains_how_to_ask_for_one, tear_down),
        cmocka_unit_test_teardown(the_head_counts_targets_failures_and_probes_in_flight, tear_down),
        cmocka_unit_test_teardown(a_failure_has_its_reason_and_its_sentence_and_is_open, tear_down),
        cmocka_unit_test_teardown(rounds_stand_from_the_oldest_to_the_last, tear_down),
        cmocka_unit_test_teardown(a_clock_that_was_set_back_shows_no_negative_age, tear_down),
        cmocka_unit_test_teardown(hostile_texts_stay_texts, tear_down),
        cmocka_unit_test_teardown(the_page_is_utf8_wherever_a_text_was_cut, tear_down),
        cmocka_unit_test_teardown(the_style_has_both_schemes_and_loads_nothing, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
