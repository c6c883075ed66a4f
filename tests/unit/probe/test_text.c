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

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct probe_style plain = {.columns = 80, .utf8 = true}, ascii = {.columns = 80};

/* What the rules find is tested elsewhere; here each failure has one finding, long enough to be wrapped. */
size_t probe_diagnose(const struct probe_result *result, struct probe_finding findings[PROBE_FINDINGS_MAX])
{
    if (result->verdict.reason == ERR_OK && !result->require_any)
        return 0;
    findings[0].word = "found";
    (void)snprintf(findings[0].text, sizeof(findings[0].text),
                   "Something is wrong with the path to %s, and this sentence explains it, at some length.",
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
static char *text_of(const struct probe_result *result, const struct probe_style *style)
{
    struct written written;
    written_open(&written);
    probe_report_text(result, style, written.out);
    return written_close(&written);
}

static char *text_of_sample(enum probe_sample which, const struct probe_style *style)
{
    struct probe_result result;
    probe_sample_make(which, &result);
    char *text = text_of(&result, style);
    probe_result_fini(&result);
    return text;
}

static void assert_text(enum probe_sample which, const struct probe_style *style, const char *expected)
{
    char *text = text_of_sample(which, style);
    assert_string_equal(text, expected);
    free(text);
}

static void an_ok_result_has_few_lines(void **state)
{
    (void)state;
    assert_text(PROBE_SAMPLE_OK, &plain,
                "localhost:6000: OK, 2/2 addresses OK, 670 µs\n"
                "IPv6: 1 address in 312 µs; IPv4: 1 address in 298 µs\n"
                "\n"
                "                │0 µs          │200 µs        │400 µs         │600 µs\n"
                "[::1]:6000      ░░░░░░░░░░░░░░░░░░░░░░░░▒▒▒▒▄▄▄▄▄▄▄▄▄▄▄███████▀▀▀▀▀   670 µs  OK\n"
                "127.0.0.1:6000  ░░░░░░░░░░░░░░░░░░░░░░░▒▒▒▄▄▄▄▄▄▄▄▄▄███████▀▀▀▀       618 µs  OK\n"
                "░ resolve   ▒ connect   ▄ welcome   █ name   ▀ close\n"
                "\n"
                "Happy Eyeballs: a client would use [::1]:6000, connected after 58.0 µs; no\n"
                "  fallback needed.\n"
                "\n"
                "All checks passed.\n");
}

static void an_unreachable_address_leaves_the_short_bars_of_the_others_visible(void **state)
{
    (void)state;
    assert_text(PROBE_SAMPLE_V6_UNREACHABLE, &ascii,
                "greet.example.net:6000: degraded, 1/2 addresses OK, 10.0 s\n"
                "IPv6: 1 address in 1.21 ms; IPv4: 1 address in 1.09 ms\n"
                "\n"
                "                        |0 s           |5 s           |10 s\n"
                "[2001:db8:10::25]:6000  rccccccccccccccccccccccccccccc!  10.0 s  connect-timeout\n"
                "192.0.2.25:6000         rcwnx                           2.84 ms  OK\n"
                "r resolve   c connect   w welcome   n name   x close   ! failed\n"
                "\n"
                "[2001:db8:10::25]:6000: no answer within 10 s\n"
                "    resolve 1.21 ms, connect 10.0 s (failed)\n"
                "    from [2001:db8:77::14]:53500 on eth0, SYN retransmitted 4 times\n"
                "\n"
                "Happy Eyeballs: a client would start [2001:db8:10::25]:6000 at 0 ms,\n"
                "  192.0.2.25:6000 at 250 ms; it would use 192.0.2.25:6000, connected after\n"
                "  250 ms.\n"
                "\n"
                "- Something is wrong with the path to greet.example.net, and this sentence\n"
                "  explains it, at some length.\n");
}

static void a_family_that_this_machine_lacks_is_remarked_once(void **state)
{
    (void)state;
    assert_text(PROBE_SAMPLE_NO_IPV6, &plain,
                "localhost:6000: OK, 1/1 address OK, 618 µs\n"
                "IPv6: 1 address in 312 µs; IPv4: 1 address in 298 µs\n"
                "\n"
                "                │0 µs      │200 µs    │400 µs    │600 µs\n"
                "[::1]:6000      ░░░░░░░░░░░░░░░░░▒▒▒×                370 µs  connect-unreachable\n"
                "127.0.0.1:6000  ░░░░░░░░░░░░░░░░▒▒▒▄▄▄▄▄▄▄█████▀▀▀   618 µs  OK\n"
                "░ resolve   ▒ connect   ▄ welcome   █ name   ▀ close   × failed\n"
                "\n"
                "Happy Eyeballs: a client would start [::1]:6000 at 0 ms, 127.0.0.1:6000 at\n"
                "  58.0 µs; it would use 127.0.0.1:6000, connected after 102 µs.\n"
                "\n"
                "IPv6 is switched off on this machine, and this sentence explains it.\n"
                "All checks passed.\n");
    char *colored = text_of_sample(PROBE_SAMPLE_NO_IPV6, &(struct probe_style){.columns = 80, .color = true});
    assert_non_null(strstr(colored, "\x1b[2mconnect-unreachable\x1b[0m")); /* faint, not red */
    free(colored);
}

static void a_name_that_is_not_found_shows_how_long_it_took(void **state)
{
    (void)state;
    assert_text(PROBE_SAMPLE_NOT_FOUND, &ascii,
                "gret.example.net:6000: resolve-not-found, no address, 4.12 ms\n"
                "IPv6: none (no such name); IPv4: none (no such name)\n"
                "\n"
                "      |0 ms      |1 ms      |2 ms      |3 ms       |4 ms\n"
                "IPv6  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr! 4.12 ms  resolve-not-found\n"
                "IPv4  rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr!   3.98 ms  resolve-not-found\n"
                "r resolve   ! failed\n"
                "\n"
                "- Something is wrong with the path to gret.example.net, and this sentence\n"
                "  explains it, at some length.\n");
}

static void assert_ends(struct probe_result *result, const char *end)
{
    char *text = text_of(result, &plain);
    size_t length = strlen(text);

    assert_true(length > strlen(end));
    assert_string_equal(text + length - strlen(end), end);
    free(text);
    probe_result_fini(result);
}

static void the_verdict_is_printed_without_a_finding(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_OK, &result);
    result.require_any = true; /* there is a finding all the same */
    assert_ends(&result, "some length.\nAll other checks passed.\n");
    probe_sample_make(PROBE_SAMPLE_THRESHOLD, &result);
    assert_ends(&result,
                "some length.\nthe certificate is valid for 42 days more, --expect-days asks for 60\n");
    probe_sample_make(PROBE_SAMPLE_VOLUME, &result);
    result.verdict.reason = ERR_INTERRUPTED;
    assert_ends(&result, "then nothing for 5 s\n");
}

static void a_refused_certificate_is_shown_once_with_what_is_wrong_with_it(void **state)
{
    char *text = text_of_sample(PROBE_SAMPLE_CERT_EXPIRED, &plain);

    (void)state;
    const char *part = "\nCertificate of every address\n"
                       "    for greet.example.net\n"
                       "    expired 3 days ago, on 2025-12-29, issued by Example Issuing CA 3, RSA 2048\n"
                       "    chain as sent: greet.example.net < Example Issuing CA 3\n"
                       "    pin sha256:11c40f5de2b7394488d05b7c31f2a9e06a1c0f5de2b7394488d05b7c31f2a911\n"
                       "    not trusted: it expired on 2025-12-29 00:00 UTC, 3 days ago\n"
                       "\n";
    assert_non_null(strstr(text, part));
    free(text);
}

static void assert_validity(int64_t not_before, int64_t not_after, const char *expected)
{
    struct probe_result result;

    probe_sample_make(PROBE_SAMPLE_THRESHOLD, &result);
    result.address_count = 1;
    result.addresses[0].tls.not_before = not_before;
    result.addresses[0].tls.not_after = not_after;
    char *text = text_of(&result, &plain);
    assert_non_null(strstr(text, expected));
    free(text);
    probe_result_fini(&result);
}

static void a_date_is_whole_in_every_century(void **state)
{
    (void)state;
    assert_validity(0, INT64_C(253402300799), "\n    2912442 days left, until 9999-12-31, issued");
    assert_validity(INT64_C(253402300799), INT64_C(253402300799),
                    "\n    not valid before 9999-12-31, issued");
    assert_validity(0, -1, "\n    expired 20454 days ago, on 1969-12-31, issued");
    assert_validity(INT64_C(-62167219200), INT64_C(-62135596801), "0-12-31, issued");
}

static void a_date_that_is_less_than_a_day_away_has_its_time(void **state)
{
    const int64_t started = 1767225600; /* 2026-01-01 00:00:00 UTC */
    (void)state;
    assert_validity(started + 7500, started + 86400,
                    "\n    not valid before 2026-01-01 02:05:00 UTC, issued");
    assert_validity(started + 86400, started + 86400, "\n    not valid before 2026-01-02, issued");
    assert_validity(0, started + 7500, "\n    less than a day left, until 2026-01-01 02:05:00 UTC, issued");
    assert_validity(0, started - 60, "\n    expired less than a day ago, on 2025-12-31 23:59:00 UTC, issued");
}

static size_t times_in(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        count++;
    return count;
}

static void each_certificate_is_shown_once_with_whose_it_is(void **state)
{
    char *text = text_of_sample(PROBE_SAMPLE_EIGHT, &plain);

    (void)state;
    assert_int_equal(times_in(text, "pin sha256:"), 2);
    assert_int_equal(times_in(text, "\nCertificate of 192.0.2.22:6000\n"), 1);
    assert_int_equal(times_in(text, "TLS_AES_128_GCM_SHA256"),
                     2); /* resumption differs: it is printed for each */
    free(text);
    text = text_of_sample(PROBE_SAMPLE_TLS_OK, &plain);
    assert_int_equal(times_in(text, "pin sha256:"), 1);
    assert_non_null(
        strstr(text, "\nTLSv1.3, TLS_AES_128_GCM_SHA256, x25519, ALPN greet; resumption: works\n"));
    free(text);
}

/* Widths, bytes, addresses and reasons of every sample on every page. */
static void assert_fits(const char *text, const struct probe_style *style)
{
    size_t most = style->columns > 40 ? (size_t)style->columns : 40;
    size_t column = 0;

    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        column = byte == '\n' ? 0 : column + ((byte & 0xc0) != 0x80);
        if (column > most)
            fail_msg("a line over %zu columns in:\n%s", most, text);
        if ((byte < 0x20 && byte != '\n') || byte == 0x7f || (byte >= 0x80 && !style->utf8))
            fail_msg("byte %02x in:\n%s", byte, text);
        if (byte == ' ' && at[1] == '\n')
            fail_msg("a line that ends in a space in:\n%s", text);
    }
    assert_true(text[0] != '\0' && column == 0);
}

static void assert_reports_every_address(const char *text, const struct probe_result *result)
{
    for (size_t i = 0; i < result->address_count; i++) {
        char peer[ENDPOINT_TEXT_BYTES];
        const char *found = strstr(text, endpoint_format(&result->addresses[i].peer, peer));
        if (found == NULL)
            fail_msg("no %s in:\n%s", peer, text);
        const char *word =
            result->addresses[i].err.reason == ERR_OK ? "OK" : err_word(result->addresses[i].err.reason);
        if (strstr(found, word) == NULL)
            fail_msg("no %s behind %s in:\n%s", word, peer, text);
    }
}

static void no_line_is_wider_than_the_page(void **state)
{
    static const int pages[] = {-1, 40, 53, 80, 81, 132, 5000};

    (void)state;
    for (unsigned i = 0; i < PROBE_SAMPLES * COUNT(pages) * 4; i++) {
        struct probe_style style = {
            .columns = pages[i / 4 % COUNT(pages)], .utf8 = i % 2 == 0, .verbose = i / 2 % 2 == 0};
        struct probe_result result;
        probe_sample_make((enum probe_sample)(i / 4 / COUNT(pages)), &result);
        char *text = text_of(&result, &style);
        assert_fits(text, &style);
        if (style.columns >= 53)
            assert_reports_every_address(text, &result);
        free(text);
        probe_result_fini(&result);
    }
}

static void no_peer_drives_the_terminal(void **state)
{
    static const char *const pieces[] = {"\x1b[2J", "a\nb\r",       "\xc3\xa9 \\x1b",
                                         "W",       "\xff\xc2\x9b", "\u202e"};

    (void)state;
    for (size_t i = 0; i < COUNT(pieces) * 2; i++) {
        struct probe_style style = {.columns = 80, .utf8 = i % 2 == 0, .verbose = true};
        struct probe_result result;
        probe_sample_make(PROBE_SAMPLE_EIGHT, &result);
        probe_spoil(&result, pieces[i / 2]);
        char *text = text_of(&result, &style);
        assert_fits(text, &style);
        assert_non_null(strstr(text, "[2001:db8:10::21]:6000  "));
        free(text);
        probe_result_fini(&result);
    }
}

/* Returns: the row of an address in plain letters, without its label. */
static const char *bars_of(const char *text, const char *peer)
{
    const char *line = text;
    do {
        line = strstr(line + 1, peer);
        assert_non_null(line);
    } while (line[-1] != '\n');
    line += strlen(peer);
    return line + strspn(line, " \n");
}

static void every_phase_that_was_reached_has_a_letter_in_its_order(void **state)
{
    static const char letters[PROBE_PHASES + 1] = "rcpstwnxev";

    (void)state;
    for (unsigned which = 0; which < PROBE_SAMPLES; which++) {
        struct probe_result result;
        probe_sample_make((enum probe_sample)which, &result);
        char *text = text_of(&result, &ascii);
        for (size_t i = 0; i < result.address_count; i++) {
            const struct probe_address *address = &result.addresses[i];
            char peer[ENDPOINT_TEXT_BYTES];
            const char *at = bars_of(text, endpoint_format(&address->peer, peer));
            for (int phase = 0; phase < PROBE_PHASES; phase++) {
                size_t length = strspn(at, (const char[]){letters[phase], '\0'});
                assert_int_equal(length > 0, address->spans[phase].begin_ns >= 0);
                at += length;
            }
            assert_int_equal(*at == '!', address->err.reason != ERR_OK);
        }
        free(text);
        probe_result_fini(&result);
    }
}

static void a_bar_is_as_long_as_its_phase(void **state)
{
    char *text = text_of_sample(PROBE_SAMPLE_OK, &(struct probe_style){.columns = 400});
    const char *at = bars_of(text, "[::1]:6000");
    double all = (double)strspn(at, "rcwnx");

    (void)state;
    assert_true(all > 350);
    assert_true(abs((int)strspn(at, "r") - (int)(all * 312 / 670)) <= 1);
    at += strspn(at, "r");
    assert_true(abs((int)strspn(at, "c") - (int)(all * 58 / 670)) <= 1);
    free(text);
}

static void a_crowd_has_a_line_each_and_few_facts(void **state)
{
    (void)state;
    char *text = text_of_sample(PROBE_SAMPLE_CROWD, &ascii);
    assert_int_equal(times_in(text, ": the first 64 addresses in "), 2); /* there may be more */
    assert_int_equal(times_in(text, "  OK\n"), 116);
    assert_int_equal(times_in(text, "  connect-refused\n"), 12);
    assert_int_equal(times_in(text, "(failed)"), 8);
    assert_int_equal(times_in(text, "\n4 more; -v shows each\n"), 1);
    free(text);
    text = text_of_sample(PROBE_SAMPLE_CROWD, &(struct probe_style){.columns = 80, .verbose = true});
    assert_int_equal(times_in(text, "    resolve "), 128);
    assert_int_equal(times_in(text, "-v prints"), 0);
    free(text);
}

static void facts_are_printed_of_an_ok_address_with_a_retransmission(void **state)
{
    char *text = text_of_sample(PROBE_SAMPLE_EIGHT, &plain);

    (void)state;
    assert_non_null(strstr(text, "\n[2001:db8:10::22]:6000: OK\n    resolve 5.21 ms, connect 1.03 s, TLS"));
    assert_non_null(strstr(text, "SYN retransmitted once, "));
    assert_null(strstr(text, "[2001:db8:10::23]:6000: OK"));
    free(text);
}

static void negotiated_parameters_are_printed_once(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_TLS_OK, &result);
    for (size_t failed = 0; failed <= result.address_count; failed++) {
        char *text = text_of(&result, &plain);
        bool apart = failed < result.address_count; /* of those without facts of their own */
        assert_int_equal(times_in(text, "TLS_AES_128_GCM_SHA256"), failed + apart);
        free(text);
        if (apart)
            err_set(&result.addresses[failed].err, ERR_DIALOGUE_RESET, 0, "reset");
    }
    probe_result_fini(&result);
}

static void a_common_name_is_not_what_a_certificate_is_for(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_TLS_OK, &result);
    for (size_t i = 0; i < result.address_count; i++) {
        result.addresses[i].tls.nameless = true;
        (void)snprintf(result.addresses[i].tls.subject, sizeof(result.addresses[i].tls.subject), "::1");
    }
    char *text = text_of(&result, &plain);
    assert_non_null(strstr(text, "\n    for no host name or address (it has: ::1)\n"));
    free(text);
    probe_result_fini(&result);
}

static void one_family_cannot_show_that_a_name_does_not_exist(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_NOT_FOUND, &result);
    result.answers[RACE_V4].asked = false;
    char *text = text_of(&result, &plain);
    assert_non_null(strstr(text, "IPv6: none (no such address); IPv4: not asked\n"));
    free(text);
    probe_result_fini(&result);
}

static void colours_add_nothing_but_colours(void **state)
{
    struct probe_style color = {.columns = 80, .utf8 = true, .color = true};

    (void)state;
    for (unsigned which = 0; which < PROBE_SAMPLES; which++) {
        char *painted = text_of_sample((enum probe_sample)which, &color);
        char *text = text_of_sample((enum probe_sample)which, &plain);
        char *to = painted;
        size_t escapes = 0;
        for (const char *at = painted; *at != '\0'; at++) {
            if (strncmp(at, "\x1b[", 2) == 0) {
                at += 2 + strspn(at + 2, "0123456789;");
                assert_int_equal(*at, 'm');
                escapes++;
            } else {
                *to++ = *at;
            }
        }
        *to = '\0';
        assert_true(escapes > 8);
        assert_string_equal(painted, text);
        free(painted);
        free(text);
    }
}

static void a_round_that_was_interrupted_shows_what_was_going_on(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_V6_UNREACHABLE, &result);
    result.addresses[0].spans[PROBE_CONNECT].end_ns = -1;
    result.addresses[0].err = (struct err){0};
    err_set(&result.addresses[0].err, ERR_INTERRUPTED, 0, "it was still connecting when the round ended");
    char *text = text_of(&result, &ascii);
    assert_non_null(strstr(text, "  rcccccccccc"));
    assert_non_null(strstr(text, "    resolve 1.21 ms, connect 10.0 s (failed)\n"));
    free(text);
    probe_result_fini(&result);
}

static void a_family_whose_name_service_fails_has_a_row(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_THRESHOLD, &result);
    char *text = text_of(&result, &ascii);
    assert_null(strstr(text, "\nIPv6  "));
    assert_non_null(strstr(text, "IPv6: none (no such address); IPv4: 1 address"));
    free(text);
    result.answers[RACE_V6].err = (struct err){0};
    err_set(&result.answers[RACE_V6].err, ERR_RESOLVE_TEMPORARY, 0, "the name servers failed on it");
    text = text_of(&result, &ascii);
    assert_non_null(strstr(text, "\nIPv6             rrr!"));
    assert_non_null(strstr(text, "resolve-temporary\n"));
    assert_non_null(strstr(text, "IPv6: none (the name servers failed on it); IPv4: 1 address"));
    free(text);
    probe_result_fini(&result);
}

static void an_address_given_as_such_was_not_resolved(void **state)
{
    struct probe_result result;

    (void)state;
    probe_sample_make(PROBE_SAMPLE_LITERAL, &result);
    result.addresses[0].spans[PROBE_RESOLVE] = (struct probe_span){0, 90000};
    char *text = text_of(&result, &plain);
    assert_null(strstr(text, "resolve"));
    assert_null(strstr(text, "IPv"));
    free(text);
    probe_result_fini(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ok_result_has_few_lines),
        cmocka_unit_test(an_unreachable_address_leaves_the_short_bars_of_the_others_visible),
        cmocka_unit_test(a_family_that_this_machine_lacks_is_remarked_once),
        cmocka_unit_test(a_name_that_is_not_found_shows_how_long_it_took),
        cmocka_unit_test(the_verdict_is_printed_without_a_finding),
        cmocka_unit_test(a_refused_certificate_is_shown_once_with_what_is_wrong_with_it),
        cmocka_unit_test(a_date_is_whole_in_every_century),
        cmocka_unit_test(a_date_that_is_less_than_a_day_away_has_its_time),
        cmocka_unit_test(each_certificate_is_shown_once_with_whose_it_is),
        cmocka_unit_test(no_line_is_wider_than_the_page),
        cmocka_unit_test(no_peer_drives_the_terminal),
        cmocka_unit_test(every_phase_that_was_reached_has_a_letter_in_its_order),
        cmocka_unit_test(a_bar_is_as_long_as_its_phase),
        cmocka_unit_test(a_crowd_has_a_line_each_and_few_facts),
        cmocka_unit_test(facts_are_printed_of_an_ok_address_with_a_retransmission),
        cmocka_unit_test(negotiated_parameters_are_printed_once),
        cmocka_unit_test(a_common_name_is_not_what_a_certificate_is_for),
        cmocka_unit_test(one_family_cannot_show_that_a_name_does_not_exist),
        cmocka_unit_test(colours_add_nothing_but_colours),
        cmocka_unit_test(a_round_that_was_interrupted_shows_what_was_going_on),
        cmocka_unit_test(an_address_given_as_such_was_not_resolved),
        cmocka_unit_test(a_family_whose_name_service_fails_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
