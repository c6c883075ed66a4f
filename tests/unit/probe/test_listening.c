#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "probe/listening.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { ALERT = 116, OTHER_ALERT = 48 };

static void a_peer_is_what_it_did_before_it_received_anything(void **state)
{
    static const struct {
        enum probe_until until;
        size_t first_count;
        enum err_reason met;
        enum probe_peer peer;
        int accepted;
        enum err_reason failure;
    } rows[] = {
        {PROBE_UNTIL_AUTO, 0, ERR_DIALOGUE_TIMEOUT, PROBE_PEER_SILENT, 0, ERR_OK},
        {PROBE_UNTIL_AUTO, 9, ERR_DIALOGUE_WRONG_ANSWER, PROBE_PEER_OTHER, 0, ERR_OK},
        {PROBE_UNTIL_AUTO, 9, ERR_DIALOGUE_TLS_PEER, PROBE_PEER_OTHER, 0, ERR_OK},
        {PROBE_UNTIL_AUTO, 9, ERR_DIALOGUE_TIMEOUT, PROBE_PEER_UNKNOWN, -1, ERR_OK},
        {PROBE_UNTIL_AUTO, 9, ERR_DIALOGUE_EARLY_END, PROBE_PEER_UNKNOWN, -1, ERR_OK},
        {PROBE_UNTIL_AUTO, 0, ERR_DIALOGUE_EARLY_END, PROBE_PEER_CLOSED, -1, ERR_DIALOGUE_EARLY_END},
        {PROBE_UNTIL_AUTO, 0, ERR_DIALOGUE_TRUNCATED, PROBE_PEER_CLOSED, -1, ERR_DIALOGUE_EARLY_END},
        {PROBE_UNTIL_AUTO, 0, ERR_DIALOGUE_RESET, PROBE_PEER_RESET, -1, ERR_OK},
        {PROBE_UNTIL_AUTO, 0, ERR_TLS_CLIENT_CERTIFICATE, PROBE_PEER_UNKNOWN, -1, ERR_OK},
        {PROBE_UNTIL_TLS, 0, ERR_DIALOGUE_EARLY_END, PROBE_PEER_CLOSED, 0, ERR_OK},
        {PROBE_UNTIL_CONNECT, 0, ERR_DIALOGUE_RESET, PROBE_PEER_RESET, 0, ERR_OK},
        {PROBE_UNTIL_CONNECT, 1, ERR_DIALOGUE_TIMEOUT, PROBE_PEER_OTHER, 0, ERR_OK},
        {PROBE_UNTIL_TLS, 0, ERR_TLS_CLIENT_CERTIFICATE, PROBE_PEER_UNKNOWN, -1, ERR_OK},
        {PROBE_UNTIL_TLS, 0, ERR_TLS_ALERT, PROBE_PEER_UNKNOWN, -1, ERR_OK},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct probe_plan plan = {.until = rows[i].until};
        struct probe_address record = {.first_count = rows[i].first_count};
        struct err met = {0}, err = {0};
        err_set(&met, rows[i].met, 0, "met");
        record.peer_is = probe_peer_of(&plan, &record, &met);
        if (record.peer_is != rows[i].peer)
            fail_msg("row %zu: peer %d", i, record.peer_is);
        if (probe_judge_peer(&plan, &record, &err) != rows[i].accepted || err.reason != rows[i].failure)
            fail_msg("row %zu: %s", i, err_word(err.reason));
    }
}

static void an_alert_is_the_expected_one_another_or_none(void **state)
{
    struct probe_plan plan = {.until = PROBE_UNTIL_TLS, .expect_alert = ALERT};
    struct err met = {0}, err = {0};
    (void)state;
    err_set_facts(&met, ERR_TLS_CLIENT_CERTIFICATE, &(struct err_facts){.alert = ALERT}, "refused");
    assert_int_equal(probe_judge_alert(&plan, true, &met, &err), 0);
    met.alert = OTHER_ALERT;
    assert_int_equal(probe_judge_alert(&plan, false, &met, &err), -1);
    assert_int_equal(err.reason, ERR_TLS_ALERT);
    assert_string_equal(err.text, "the peer sent the TLS alert unknown_ca, not certificate_required");
    err_clear(&err);
    met.alert = 0;
    assert_int_equal(probe_judge_alert(&plan, true, &met, &err), -1);
    assert_int_equal(err.reason, ERR_TLS_NO_ALERT);
    err_clear(&err);
    assert_int_equal(probe_judge_alert(&plan, true, NULL, &err), -1); /* it sent the welcome */
    assert_int_equal(err.reason, ERR_TLS_NO_ALERT);
    err_clear(&err);
    assert_int_equal(probe_judge_alert(&plan, false, &met, &err),
                     -1); /* the handshake's own failure reports it */
    assert_int_equal(err.reason, ERR_OK);
}

static void listening_is_bounded_and_only_what_is_demanded_does_without(void **state)
{
    enum { FAR_US = 5 * 1000 * 1000 };
    (void)state;
    for (int until = PROBE_UNTIL_CONNECT; until <= PROBE_UNTIL_AUTO; until++) {
        struct probe_plan plan = {.until = (enum probe_until)until};
        int64_t least_us = probe_listen_us(&plan, (struct probe_pace){0}, false),
                most_us = probe_listen_us(&plan, (struct probe_pace){.rtt_us = FAR_US}, true);
        bool listens = until != PROBE_UNTIL_DIALOGUE && until != PROBE_UNTIL_EXCHANGE;
        assert_int_equal(least_us > 0, listens);
        assert_int_equal(most_us, listens ? PROBE_LISTEN_MS * 1000 : 0);
        assert_true(least_us <= most_us);
    }
}

static void a_close_after_tls_is_awaited_a_quarter_of_the_time_that_the_answer_took(void **state)
{
    const struct probe_plan plan = {.until = PROBE_UNTIL_TLS};
    int64_t least_us = probe_listen_us(&plan, (struct probe_pace){0}, false);
    (void)state;
    assert_int_equal(least_us, 250);
    assert_int_equal(probe_listen_us(&plan, (struct probe_pace){50, 600}, false), least_us + 2 * 50);
    assert_int_equal(probe_listen_us(&plan, (struct probe_pace){50, 30000}, false), 7500);
    assert_int_equal(probe_listen_us(&plan, (struct probe_pace){20000, 0}, false), least_us + 2 * 20000);
    assert_int_equal(probe_listen_us(&plan, (struct probe_pace){50, 900}, true), PROBE_LISTEN_MS * 1000);
}

static void the_whole_welcome_is_that_whatever_comes_with_it(void **state)
{
    static const char welcome[] = "Server: Welcome!\nServer: What's your name?X";
    const struct probe_plan plan = {.until = PROBE_UNTIL_AUTO};
    struct probe_address record = {.first_count = sizeof welcome - 1};
    struct err met = {0}, err = {0};
    (void)state;
    memcpy(record.first, welcome, sizeof welcome - 1);
    err_set(&met, ERR_DIALOGUE_WRONG_ANSWER, 0, "met");
    assert_int_equal(probe_judge(&plan, &record, true, &met, &err), -1);
    assert_int_equal(record.peer_is, PROBE_PEER_GREETS);
    assert_int_equal(err.reason, ERR_OK); /* what it met stands */
    record.first[sizeof "Server: Welcome!\n" - 1] = 's';
    assert_int_equal(probe_judge(&plan, &record, true, &met, &err), 0);
    assert_int_equal(record.peer_is, PROBE_PEER_OTHER);
}

static void the_end_of_the_run_cuts_no_silence_that_is_known(void **state)
{
    enum { NS_PER_MS = 1000 * 1000, BEGIN = 5 };
    static const struct {
        enum probe_until until;
        enum probe_phase last;
        size_t first_count;
        bool is_requested, has_listened;
        int64_t waited_ms;
    } rows[] = {
        {PROBE_UNTIL_AUTO, PROBE_WELCOME, 0, false, true, 300},
        {PROBE_UNTIL_AUTO, PROBE_WELCOME, 0, false, false,
         100}, /* a port that closes at once may take longer */
        {PROBE_UNTIL_AUTO, PROBE_WELCOME, 0, true, false, 300},
        {PROBE_UNTIL_AUTO, PROBE_WELCOME, 1, false, false, 300},
        {PROBE_UNTIL_AUTO, PROBE_NAME, 0, false, false, 300},
        {PROBE_UNTIL_DIALOGUE, PROBE_WELCOME, 0, false, false, 300},
        {PROBE_UNTIL_TLS, PROBE_TLS, 0, false, true, 0},
        {PROBE_UNTIL_TLS, PROBE_TLS, 0, true, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct probe_plan plan = {.until = rows[i].until};
        struct probe_address record = {.last = rows[i].last,
                                       .first_count = rows[i].first_count,
                                       .is_certificate_requested = rows[i].is_requested};
        record.spans[rows[i].last] = (struct probe_span){BEGIN, -1};
        if (probe_has_listened(&plan, &record, BEGIN + rows[i].waited_ms * NS_PER_MS) != rows[i].has_listened)
            fail_msg("row %zu", i);
        assert_int_equal(record.peer_is, i == 0 ? PROBE_PEER_SILENT : PROBE_PEER_UNKNOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_is_what_it_did_before_it_received_anything),
        cmocka_unit_test(an_alert_is_the_expected_one_another_or_none),
        cmocka_unit_test(a_close_after_tls_is_awaited_a_quarter_of_the_time_that_the_answer_took),
        cmocka_unit_test(listening_is_bounded_and_only_what_is_demanded_does_without),
        cmocka_unit_test(the_whole_welcome_is_that_whatever_comes_with_it),
        cmocka_unit_test(the_end_of_the_run_cuts_no_silence_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
