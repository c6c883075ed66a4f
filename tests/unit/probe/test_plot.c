#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "probe/report.h"
#include "support/probe_samples.h"
#include "support/probe_spoiled.h"
#include "support/written.h"

enum { DEPTH_MAX = 16, WIDTH = 1000 };

/* What the rules find is tested elsewhere. */
size_t probe_diagnose(const struct probe_result *result, struct probe_finding findings[PROBE_FINDINGS_MAX])
{
    if (result->verdict.reason == ERR_OK)
        return 0;
    findings[0].word = "found";
    (void)snprintf(findings[0].text, sizeof(findings[0].text), "<b>&amp;</b> is wrong with the path to %s.",
                   result->host);
    return 1;
}

/* And what does not count has a remark. */
size_t probe_remarks(const struct probe_result *result, struct probe_finding remarks[PROBE_REMARKS_MAX])
{
    if (probe_result_counted(result) == result->address_count)
        return 0;
    remarks[0].word = "remark";
    (void)snprintf(remarks[0].text, sizeof(remarks[0].text),
                   "IPv6 is switched off on this machine, and this sentence explains it.");
    return 1;
}

/* Returns: to be freed. */
static char *plot_of(const struct probe_result *result)
{
    struct written written;
    written_open(&written);
    probe_report_plot(result, written.out);
    return written_close(&written);
}

static char *plot_of_sample(enum probe_sample which)
{
    struct probe_result result;
    probe_sample_make(which, &result);
    char *plot = plot_of(&result);
    probe_result_fini(&result);
    return plot;
}

static void assert_has(const char *plot, const char *part)
{
    if (strstr(plot, part) == NULL)
        fail_msg("no %s in:\n%s", part, plot);
}

static void assert_lacks(const char *plot, const char *part)
{
    if (strstr(plot, part) != NULL)
        fail_msg("%s in:\n%s", part, plot);
}

/* Returns: what follows a reference or a character that may stand in text. */
static const char *skip_text(const char *at)
{
    static const char *const references[] = {"&amp;", "&lt;", "&gt;"};
    unsigned char byte = (unsigned char)*at;

    if (byte == '&') {
        for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++)
            if (strncmp(at, references[i], strlen(references[i])) == 0)
                return at + strlen(references[i]);
        fail_msg("a bare & at %.40s", at);
    }
    if ((byte < 0x20 && byte != '\n') || byte == 0x7f || byte == '>')
        fail_msg("byte %02x at %.40s", byte, at);
    return at + 1;
}

/* Returns: what follows a tag's name: its attributes, each name="value", to its end. */
static const char *skip_attributes(const char *at)
{
    while (*at == ' ') {
        at += 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyzBVT-0123456789");
        if (strncmp(at, "=\"", 2) != 0)
            fail_msg("no =\" at %.40s", at);
        at += 2;
        at += strcspn(at, "\"<&");
        if (*at++ != '"')
            fail_msg("an attribute has no end at %.40s", at);
    }
    return at;
}

/* XML of the plain kind that a plot is: one element, whose tags are balanced. */
static void assert_well_formed(const char *plot)
{
    const char *open[DEPTH_MAX];
    size_t depth = 0;
    const char *at = plot;

    while (*at != '\0') {
        if (*at != '<') {
            at = depth > 0 ? skip_text(at) : at + (*at == '\n' ? 1 : 0);
            assert_true(depth > 0 || at[-1] == '\n');
            continue;
        }
        bool closes = at[1] == '/';
        const char *name = at + 1 + closes;
        size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz");
        assert_true(length > 0);
        at = skip_attributes(name + length);
        if (closes) {
            assert_true(depth > 0);
            assert_memory_equal(name, open[--depth], length + (*at == '>' ? 0 : 1));
        } else if (*at == '/') {
            at++;
        } else {
            assert_true(depth < DEPTH_MAX);
            open[depth++] = name;
        }
        if (*at++ != '>')
            fail_msg("a tag has no end at %.40s", name);
    }
    assert_int_equal(depth, 0);
}

static double number_behind(const char *at, const char *name)
{
    const char *found = strstr(at, name);
    assert_non_null(found);
    return strtod(found + strlen(name), NULL);
}

/* Returns: how many bars stand in the waterfall; each is wide enough to be seen, and none leaves the paper.
 */
static size_t assert_bars(const char *plot)
{
    size_t count = 0;

    for (const char *at = strstr(plot, "<rect class=\"bar"); at != NULL;
         at = strstr(at + 1, "<rect class=\"bar")) {
        double x = number_behind(at, " x=\"");
        double width = number_behind(at, " width=\"");
        assert_true(x >= 0 && width >= 4 && x + width <= (double)WIDTH);
        count += at > plot + 8 && strncmp(at - 8, "</title>", 8) == 0;
    }
    return count;
}

/* Returns: how many bytes the words have that end before so many. */
static size_t words_of(const char *text, size_t most)
{
    size_t length = strlen(text);
    while (length > most || (text[length] != '\0' && text[length] != ' '))
        length--;
    return length;
}

static void every_plot_is_xml_with_a_bar_a_phase(void **state)
{
    (void)state;
    for (unsigned which = 0; which < PROBE_SAMPLES; which++) {
        struct probe_result result;
        probe_sample_make((enum probe_sample)which, &result);
        char *plot = plot_of(&result);
        size_t phases = result.address_count == 0 ? 2 : 0; /* a row a family */
        assert_well_formed(plot);
        for (size_t i = 0; i < result.address_count; i++) {
            char peer[ENDPOINT_TEXT_BYTES];
            char reason[64];
            (void)snprintf(
                reason, sizeof(reason), ">%s</text>",
                result.addresses[i].err.reason == ERR_OK ? "OK" : err_word(result.addresses[i].err.reason));
            assert_has(plot, endpoint_format(&result.addresses[i].peer, peer));
            assert_has(strstr(plot, peer), reason);
            for (int phase = 0; phase < PROBE_PHASES; phase++)
                phases += result.addresses[i].spans[phase].begin_ns >= 0;
        }
        assert_int_equal(assert_bars(plot), phases);
        result.verdict.text[words_of(result.verdict.text, 80)] = '\0'; /* of the first line */
        if (result.verdict.reason == ERR_OK)
            assert_has(plot, ">All checks passed.</text>");
        else if (result.verdict.reason == ERR_THRESHOLD)
            assert_has(plot, result.verdict.text);
        else /* the finding has reported it */
            assert_null(strstr(plot, result.verdict.text));
        assert_has(plot, ">2026-01-01 00:00:00 UTC</text>");
        free(plot);
        probe_result_fini(&result);
    }
}

static void a_bar_shows_its_phase_its_time_and_its_failure(void **state)
{
    char *plot = plot_of_sample(PROBE_SAMPLE_V6_UNREACHABLE);

    (void)state;
    assert_has(plot, "<title>Probe of greet.example.net:6000</title>");
    assert_has(plot, "<title>resolve: 1.21 ms, from 0 ms on</title>");
    assert_has(plot, "<title>connect: 10.0 s, from 1.21 ms on; failed: connect-timeout</title>");
    assert_has(plot, ">connect 10.0 s</text>");
    assert_has(plot, "<title>welcome: 520 \u00b5s, from 1.50 ms on</title>");
    assert_has(plot, "resolve 1.21 ms, connect 10.0 s (failed), SYN retransmitted 4 times<");
    assert_has(
        plot,
        "Happy Eyeballs: a client would start [2001:db8:10::25]:6000 at 0 ms, 192.0.2.25:6000 at 250 ms; ");
    assert_has(plot, "&lt;b&gt;&amp;amp;&lt;/b&gt; is wrong with the path to greet.example.net.");
    assert_has(plot, "class=\"cross\"");
    free(plot);
    plot = plot_of_sample(PROBE_SAMPLE_TLS_OK);
    assert_has(plot, "<title>Probe of greet.example.net:6000 over TLS</title>");
    assert_has(plot, "<tspan class=\"good\">OK</tspan>, 2/2 addresses OK, 61.7 ms");
    assert_lacks(plot, "class=\"cross\"");
    assert_lacks(plot, "failed");
    free(plot);
}

static void a_plot_needs_nothing_but_itself(void **state)
{
    char *plot = plot_of_sample(PROBE_SAMPLE_EIGHT);

    (void)state;
    assert_has(plot, "<svg xmlns=\"http://www.w3.org/2000/svg\" ");
    assert_has(plot, "@media(prefers-color-scheme:dark){");
    assert_lacks(strstr(plot, "svg\" ") + 1, "http");
    assert_lacks(plot, "<script");
    assert_lacks(plot, "url(");
    assert_lacks(plot, "@import");
    assert_lacks(plot, "href");
    assert_lacks(plot, "nan");
    free(plot);
}

static void no_peer_writes_into_the_picture(void **state)
{
    static const char *const pieces[] = {"</text><script>alert(1)</script>", "\x1b[2J", "&\"'<>",
                                         "\xff\xc2\x9b", "\xef\xbf\xbf"};

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct probe_result result;
        probe_sample_make(PROBE_SAMPLE_EIGHT, &result);
        result.answers[RACE_V6].count = 0;
        err_set(&result.answers[RACE_V6].err, ERR_RESOLVE_TEMPORARY, 0, "-");
        probe_spoil(&result, pieces[i]);
        char *plot = plot_of(&result);
        assert_well_formed(plot);
        assert_lacks(plot, "<script");
        assert_lacks(plot, "\xef\xbf\xbf");
        assert_lacks(plot, "\xc2\x9b");
        free(plot);
        probe_result_fini(&result);
    }
}

static void a_result_without_any_time_is_a_picture_still(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_NOT_FOUND, &result);
    result.answers[RACE_V6] = result.answers[RACE_V4] = (struct probe_answer){0};
    result.total_ns = 0;
    char *plot = plot_of(&result);
    assert_well_formed(plot);
    assert_int_equal(assert_bars(plot), 0);
    free(plot);
    result.answers[RACE_V4] = (struct probe_answer){.asked = true, .span = {0, -1}};
    plot = plot_of(&result);
    assert_well_formed(plot);
    assert_int_equal(assert_bars(plot), 1);
    assert_lacks(plot, "nan");
    assert_lacks(plot, "inf");
    free(plot);
    probe_result_fini(&result);
}

static void what_does_not_count_is_remarked_and_not_bad(void **state)
{
    (void)state;
    char *plot = plot_of_sample(PROBE_SAMPLE_NO_IPV6);
    assert_has(plot, "class=\"sub\" text-anchor=\"start\">IPv6 is switched off on this machine, and this");
    assert_has(plot, "class=\"sub\" text-anchor=\"start\">connect-unreachable");
    assert_lacks(plot, "class=\"bad\"");
    free(plot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plot_is_xml_with_a_bar_a_phase),
        cmocka_unit_test(a_bar_shows_its_phase_its_time_and_its_failure),
        cmocka_unit_test(a_plot_needs_nothing_but_itself),
        cmocka_unit_test(no_peer_writes_into_the_picture),
        cmocka_unit_test(a_result_without_any_time_is_a_picture_still),
        cmocka_unit_test(what_does_not_count_is_remarked_and_not_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
