#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "probe/report.h"
#include "support/probe_samples.h"
#include "support/written.h"

enum { OK, WARNING, CRITICAL, UNKNOWN };

static struct probe_result result;
static struct thresholds thresholds;

static void use(enum probe_sample which)
{
    probe_result_fini(&result);
    probe_sample_make(which, &result);
}

static int start(void **state)
{
    (void)state;
    thresholds = (struct thresholds){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    probe_result_fini(&result);
    return 0;
}

static void hold_to(const char *warn, const char *crit)
{
    struct err err = {0};
    thresholds = (struct thresholds){0};
    if (warn != NULL)
        assert_int_equal(threshold_parse(&thresholds.warn, "--warn", warn, &err), 0);
    if (crit != NULL)
        assert_int_equal(threshold_parse(&thresholds.crit, "--crit", crit, &err), 0);
}

static char *line(int *status)
{
    struct written written;
    written_open(&written);
    *status = probe_report_nagios(&result, &thresholds, written.out);
    return written_close(&written);
}

/* text: what stands before the performance data. */
static void assert_message(int expected, const char *text)
{
    int status;
    char *whole = line(&status);
    size_t length = strcspn(whole, "|\n");
    if (strlen(text) != length - (whole[length] == '|') || strncmp(whole, text, strlen(text)) != 0)
        fail_msg("not %s but %s", text, whole);
    assert_int_equal(status, expected);
    free(whole);
}

static void assert_performance(const char *part, bool wanted)
{
    int status;
    char *whole = line(&status);
    if ((strstr(whole + strcspn(whole, "|"), part) != NULL) != wanted)
        fail_msg("%s %s in %s", wanted ? "no" : "unwanted", part, whole);
    free(whole);
}

static void the_line_of_two_addresses_that_are_ok(void **state)
{
    (void)state;
    int status;
    use(PROBE_SAMPLE_OK);
    char *whole = line(&status);
    assert_string_equal(whole, "TCPGREET OK - localhost:6000: 2/2 addresses OK, slowest total "
                               "0.000670 s | 'total'=0.000670s;;;0; 'resolve'=0.000312s;;;0; "
                               "'connect'=0.000058s;;;0; 'welcome'=0.000143s;;;0; 'name'=0.000096s;;;0; "
                               "'close'=0.000061s;;;0;\n");
    assert_int_equal(status, OK);
    free(whole);
    use(PROBE_SAMPLE_LITERAL);
    assert_message(OK, "TCPGREET OK - [::1]:6000: 1/1 address OK through TCP, slowest total 0.000047 s");
}

static void what_stands_against_an_ok_is_on_its_line(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    result.addresses[1].tls.not_after = result.started_s + 1 - INT64_C(2) * 86400;
    result.addresses[0].tls.not_after = result.addresses[1].tls.not_after;
    assert_message(
        OK, "TCPGREET OK - greet.example.net:6000: 2/2 addresses OK, slowest total 0.061730 s; At both "
            "addresses the certificate expired 1 day ago, on 2025-12-30; it was not verified here, but "
            "other clients reject it: ask its operator to renew it.");
    use(PROBE_SAMPLE_OK);
    result.addresses[0].peer = endpoint_wildcard(AF_INET6, 6000);
    assert_message(OK,
                   "TCPGREET OK - localhost:6000: 2/2 addresses OK, slowest total 0.000670 s; localhost "
                   "resolves to ::, which is no host's address and leads to this machine: usually the answer "
                   "of a DNS filter that blocks the name.");
}

static void what_this_machine_cannot_reach_does_not_count(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_NO_IPV6);
    assert_message(
        OK, "TCPGREET OK - localhost:6000: 1/1 address OK, slowest total 0.000618 s; IPv6 is "
            "switched off on this machine: [::1]:6000 cannot be reached from here and does not count.");
    assert_performance("'connect'=0.000044s;", true);
}

static void a_verdict_is_a_status_and_its_text(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_NOT_FOUND);
    assert_message(CRITICAL, "TCPGREET CRITICAL - gret.example.net:6000: there is no address for "
                             "gret.example.net: no such name");
    assert_performance("|", false);
    use(PROBE_SAMPLE_EIGHT);
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: 2 of 8 addresses failed: "
                            "192.0.2.23:6000: the peer sent nothing within 1.5 s");
    use(PROBE_SAMPLE_CERT_EXPIRED);
    assert_message(
        CRITICAL,
        "TCPGREET CRITICAL - greet.example.net:6000: none of 2 addresses is OK; the one that got furthest "
        "is [2001:db8:10::25]:6000: the certificate expired on 2025-12-29 00:00 UTC, 3 days ago");
}

static void every_reason_has_its_status(void **state)
{
    (void)state;
    static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    use(PROBE_SAMPLE_NOT_FOUND);
    for (int reason = ERR_OK + 1; reason < ERR_REASON_COUNT; reason++) {
        int code = err_exit_code((enum err_reason)reason);
        bool ours = code == 1 || code == 2 || code == 8 || code >= 128;
        int expected = ours ? UNKNOWN : code >= 9 ? WARNING : CRITICAL;
        char sent[120];
        err_clear(&result.verdict);
        err_set(&result.verdict, (enum err_reason)reason, 0, "why");
        (void)snprintf(sent, sizeof(sent), "TCPGREET %s - gret.example.net:6000: why", words[expected]);
        assert_message(expected, sent);
    }
}

static void one_ok_address_is_enough_with_require_any(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_V6_UNREACHABLE);
    result.require_any = true;
    err_clear(&result.verdict);
    hold_to(NULL, "5");
    assert_message(OK, "TCPGREET OK - greet.example.net:6000: 1/2 addresses OK, slowest total "
                       "0.002840 s");
    assert_performance("'connect'=0.000410s", true);
}

static void what_fails_beside_an_ok_address_is_held_to_no_limit_with_require_any(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    result.addresses[0].tls.not_after = result.started_s - 1;
    err_set(&result.addresses[0].err, ERR_CERT_EXPIRED, 0, "the certificate expired");
    hold_to(NULL, "connect=11ms");
    thresholds.expect_days.warning = 30;
    assert_message(CRITICAL, "TCPGREET CRITICAL - greet.example.net:6000: connect took 0.011320 s at "
                             "[2001:db8:10::25]:6000, outside --crit connect=0.011; the certificate at "
                             "[2001:db8:10::25]:6000 is no longer valid, --expect-days asks for 30 days");
    result.require_any = true;
    result.addresses[1].tls.pin[0] = '\0'; /* which nothing differs from */
    assert_message(OK, "TCPGREET OK - greet.example.net:6000: 1/2 addresses OK, slowest total 0.059790 s");
    assert_performance("'days'=42;30:;;;\n", true);
    assert_performance("'connect'=0.011", false);
    err_set(&result.addresses[1].err, ERR_CERT_EXPIRED, 0, "the certificate expired");
    assert_performance("'days'=-1;30:;;;\n", true);
}

static void performance_data_are_the_slowest_of_the_ok_addresses(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_CERT_EXPIRED);
    assert_performance("| 'resolve'=0.001840s;;;0; 'connect'=0.008120s;;;0; 'days'=-3;;;;\n", true);
    use(PROBE_SAMPLE_EIGHT);
    assert_performance("'connect'=1.031200s;;;0;", true);
    assert_performance("'welcome'=0.000250s;;;0;", true); /* not that of the mute one */
    assert_performance("'days'=42;;;;\n", true);          /* not those of the other certificate */
    use(PROBE_SAMPLE_VOLUME);
    assert_performance("'total'", false);
    assert_performance("'volume'", false);
}

static void a_broken_limit_is_named(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    hold_to("connect=10ms", NULL);
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: connect took 0.011320 s at "
                            "[2001:db8:10::25]:6000, outside --warn connect=0.01");
    assert_performance("'connect'=0.011320s;0.01;;0;", true);
    hold_to("connect=10ms", "connect=11ms");
    assert_message(CRITICAL, "TCPGREET CRITICAL - greet.example.net:6000: connect took 0.011320 s at "
                             "[2001:db8:10::25]:6000, outside --crit connect=0.011");
    assert_performance("'connect'=0.011320s;0.01;0.011;0;", true);
    hold_to("tls=@0.02:0.024", NULL);
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: tls took 0.023760 s at "
                            "192.0.2.25:6000, inside --warn tls=@0.02:0.024");
    assert_performance("'tls'=0.024180s;@0.02:0.024;;0;", true);
    hold_to("welcome=0.0003,50ms", "close=5ms");
    assert_message(CRITICAL, "TCPGREET CRITICAL - greet.example.net:6000: close took 0.011390 s at "
                             "[2001:db8:10::25]:6000, outside --crit close=0.005; total took 0.061730 s at "
                             "[2001:db8:10::25]:6000, outside --warn total=0.05");
    assert_performance("'total'=0.061730s;0.05;;0;", true);
    assert_performance("'welcome'=0.000240s;0.0003;;0;", true);
}

static void limits_that_hold_are_quiet(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    hold_to("total=1,connect=0.01132,volume=1", "2");
    thresholds.expect_days.warning = 42;
    assert_message(OK, "TCPGREET OK - greet.example.net:6000: 2/2 addresses OK, slowest total "
                       "0.061730 s");
    assert_performance("'days'=42;42:;;;\n", true);
}

static void a_failure_and_an_exceeded_limit_are_both_reported(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_EIGHT);
    hold_to(NULL, "connect=1");
    assert_message(CRITICAL, "TCPGREET CRITICAL - greet.example.net:6000: 2 of 8 addresses failed: "
                             "192.0.2.23:6000: the peer sent nothing within 1.5 s; connect "
                             "took 1.031200 s at [2001:db8:10::22]:6000, outside --crit connect=1");
    err_clear(&result.verdict);
    err_set(&result.verdict, ERR_SYSTEM_DESCRIPTORS, 0, "too many open files");
    assert_message(UNKNOWN, "TCPGREET UNKNOWN - greet.example.net:6000: too many open files; connect took "
                            "1.031200 s at [2001:db8:10::22]:6000, outside --crit connect=1");
}

static void the_days_a_certificate_has_left_are_a_warning(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    thresholds.expect_days.warning = 43;
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: the certificate at "
                            "[2001:db8:10::25]:6000 is valid for 42 days more, --expect-days asks for 43");
    assert_performance("'days'=42;43:;;;\n", true);
    result.addresses[1].tls.not_after = result.started_s + 90000;
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: the certificate at "
                            "192.0.2.25:6000 is valid for 1 day more, --expect-days asks for 43");
    result.addresses[1].tls.not_after = result.started_s - 1;
    thresholds.expect_days.warning = 2;
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: the certificate at "
                            "192.0.2.25:6000 is no longer valid, --expect-days asks for 2 days");
    use(PROBE_SAMPLE_OK);
    assert_message(OK, "TCPGREET OK - localhost:6000: 2/2 addresses OK, slowest total 0.000670 s");
}

/* The chain counts as a whole: the CA that expires first is named, and its days are what is measured. */
static void a_ca_that_expires_first_is_held_to_the_limits_by_its_name(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    snprintf(result.addresses[1].tls.expires_first, sizeof result.addresses[1].tls.expires_first, "Old CA");
    result.addresses[1].tls.expires_first_at = result.started_s + 5 * INT64_C(86400) + 3600;
    thresholds.expect_days = (struct threshold_days){.warning = 30, .critical = 5};
    assert_message(WARNING,
                   "TCPGREET WARNING - greet.example.net:6000: the CA certificate \"Old CA\" above that at "
                   "192.0.2.25:6000 is valid for 5 days more, --expect-days asks for 30");
    assert_performance("'days'=5;30:;5:;;\n", true);
    thresholds.expect_days.critical = 6;
    assert_message(CRITICAL,
                   "TCPGREET CRITICAL - greet.example.net:6000: the CA certificate \"Old CA\" above that at "
                   "192.0.2.25:6000 is valid for 5 days more, --expect-days asks for 6");
    thresholds.expect_days = (struct threshold_days){0};
    hold_to("days=30:", "days=6:");
    assert_message(CRITICAL,
                   "TCPGREET CRITICAL - greet.example.net:6000: the CA certificate \"Old CA\" above that at "
                   "192.0.2.25:6000 is valid for 5 days more, outside --crit days=6:");
    assert_performance("'days'=5;30:;6:;;\n", true);
    hold_to("days=@5:9", NULL);
    assert_message(WARNING,
                   "TCPGREET WARNING - greet.example.net:6000: the CA certificate \"Old CA\" above that at "
                   "192.0.2.25:6000 is valid for 5 days more, inside --warn days=@5:9");
    hold_to("days=5:", "days=4:");
    assert_performance("'days'=5;5:;4:;;\n", true);
    result.addresses[1].tls.expires_first_at = result.started_s - 1;
    assert_message(CRITICAL,
                   "TCPGREET CRITICAL - greet.example.net:6000: the CA certificate \"Old CA\" above that at "
                   "192.0.2.25:6000 is no longer valid, outside --crit days=4:");
}

static void an_exceeded_limit_is_reported_once(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    thresholds.expect_days.warning = 60;
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: the certificate at "
                            "192.0.2.25:6000 is valid for 42 days more, --expect-days asks for 60");
    thresholds.expect_days.warning = 0;
    assert_message(WARNING, "TCPGREET WARNING - greet.example.net:6000: the certificate is valid for 42 days "
                            "more, --expect-days asks for 60");
}

static void a_target_that_the_verdict_names_is_not_named_twice(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_LITERAL);
    err_set(&result.verdict, ERR_CONNECT_REFUSED, 0, "[::1]:6000: nothing listens there");
    result.verdict_names_target = true;
    assert_message(CRITICAL, "TCPGREET CRITICAL - [::1]:6000: nothing listens there");
}

static void a_result_without_addresses_has_only_its_verdict(void **state)
{
    (void)state;
    probe_result_fini(&result);
    result = (struct probe_result){0};
    err_set(&result.verdict, ERR_USAGE, 0, "--warn: \"x\" is not a time");
    assert_message(UNKNOWN, "TCPGREET UNKNOWN - --warn: \"x\" is not a time");
}

static void every_line_keeps_to_the_guidelines(void **state)
{
    (void)state;
    regex_t form;
    assert_int_equal(regcomp(&form,
                             "^TCPGREET (OK|WARNING|CRITICAL|UNKNOWN) - [^|[:cntrl:]]+"
                             "( [|]( '[a-z]+'=-?[0-9]+([.][0-9]+s)?;[0-9.:@~]*;[0-9.:@~]*;0?;)+)?\n$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    for (int i = 0; i < PROBE_SAMPLES; i++) {
        int status;
        use((enum probe_sample)i);
        hold_to("connect=~:0.5,@0.01:0.02", "tls=5:,total=9");
        char *whole = line(&status);
        if (regexec(&form, whole, 0, NULL, 0) != 0)
            fail_msg("malformed: %s", whole);
        assert_true(status >= OK && status <= UNKNOWN);
        free(whole);
    }
    regfree(&form);
}

static void bytes_of_a_peer_cannot_break_the_line(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_NOT_FOUND);
    (void)snprintf(result.target, sizeof(result.target), "a|b\nc");
    err_clear(&result.verdict);
    err_set(&result.verdict, ERR_DIALOGUE_WRONG_ANSWER, 0, "it sent \"|'x'=1;;;\n\x1b[2J\xff\"");
    assert_message(CRITICAL, "TCPGREET CRITICAL - a/b\\nc: it sent \"/'x'=1;;;\\n\\x1b[2J\\xff\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_line_of_two_addresses_that_are_ok, start),
        cmocka_unit_test_setup(what_stands_against_an_ok_is_on_its_line, start),
        cmocka_unit_test_setup(what_this_machine_cannot_reach_does_not_count, start),
        cmocka_unit_test_setup(a_verdict_is_a_status_and_its_text, start),
        cmocka_unit_test_setup(every_reason_has_its_status, start),
        cmocka_unit_test_setup(one_ok_address_is_enough_with_require_any, start),
        cmocka_unit_test_setup(what_fails_beside_an_ok_address_is_held_to_no_limit_with_require_any, start),
        cmocka_unit_test_setup(performance_data_are_the_slowest_of_the_ok_addresses, start),
        cmocka_unit_test_setup(a_broken_limit_is_named, start),
        cmocka_unit_test_setup(limits_that_hold_are_quiet, start),
        cmocka_unit_test_setup(a_failure_and_an_exceeded_limit_are_both_reported, start),
        cmocka_unit_test_setup(the_days_a_certificate_has_left_are_a_warning, start),
        cmocka_unit_test_setup(a_ca_that_expires_first_is_held_to_the_limits_by_its_name, start),
        cmocka_unit_test_setup(an_exceeded_limit_is_reported_once, start),
        cmocka_unit_test_setup(a_target_that_the_verdict_names_is_not_named_twice, start),
        cmocka_unit_test_setup(a_result_without_addresses_has_only_its_verdict, start),
        cmocka_unit_test_setup(every_line_keeps_to_the_guidelines, start),
        cmocka_unit_test_setup(bytes_of_a_peer_cannot_break_the_line, start),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
