#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "client/next_address.h"

enum { TIMEOUT_MS = 60 * 1000 };

static struct endpoint address(unsigned number)
{
    struct endpoint endpoint = endpoint_wildcard(AF_INET, 6000);
    endpoint.address.v4.sin_addr.s_addr = htonl(0x7f000000u + number);
    return endpoint;
}

/* A client that has just begun, connected to 127.0.0.1, with so many others. */
static struct next_address connected(size_t others, bool is_partial)
{
    struct next_address next = {.timeout_ms = TIMEOUT_MS, .start_ns = uv_hrtime()};
    struct dialer_facts facts = {.peer = address(1), .other_count = others, .is_partial = is_partial};

    for (size_t i = 0; i < others; i++)
        facts.others[i] = address(2 + (unsigned)i);
    next_address_connected(&next, &facts);
    return next;
}

static struct err failure(enum err_reason reason, enum err_detail detail)
{
    struct err err = {0};
    err_set_facts(&err, reason, &(struct err_facts){.detail = detail}, "it failed");
    return err;
}

static void only_what_is_no_answer_goes_on(void **state)
{
    static const struct {
        enum err_reason reason;
        enum err_detail detail;
        bool is_due;
    } cases[] = {
        {ERR_TLS_SILENT_PEER, 0, true},
        {ERR_TLS_TIMEOUT, 0, true},
        {ERR_DIALOGUE_RESET, 0, true},
        {ERR_TLS_PROTOCOL, ERR_DETAIL_TLS_CUT, true},
        {ERR_TLS_PROTOCOL, ERR_DETAIL_TLS_UNANSWERED, true},
        {ERR_TLS_PROTOCOL, ERR_DETAIL_TLS_VERSION, false},
        {ERR_TLS_ALERT, 0, false},
        {ERR_TLS_PLAINTEXT_PEER, 0, false},
        {ERR_CERT_EXPIRED, 0, false},
        {ERR_CERT_NAME, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct next_address next = connected(1, false);
        struct err why = failure(cases[i].reason, cases[i].detail);
        assert_int_equal(next_address_is_due(&next, &why), cases[i].is_due);
        assert_int_equal(next.failed_count, cases[i].is_due);
    }
}

static void without_another_address_there_is_none_to_go_on_to(void **state)
{
    struct err why = failure(ERR_TLS_SILENT_PEER, 0);
    struct next_address none = connected(0, false), unknown = connected(0, true);
    (void)state;
    assert_false(next_address_is_due(&none, &why));
    assert_true(next_address_is_due(&unknown, &why)); /* a name server has not answered for one family yet */
}

static void what_is_left_of_the_time_is_no_share(void **state)
{
    struct err why = failure(ERR_TLS_SILENT_PEER, 0);
    (void)state;
    for (int left_ms = 0; left_ms <= TIMEOUT_MS / 4; left_ms += TIMEOUT_MS / 4) {
        struct next_address next = connected(1, false);
        next.start_ns -=
            (uint64_t)(TIMEOUT_MS - left_ms - 1000) * 1000 * 1000; /* and a second for this test */
        assert_int_equal(next_address_is_due(&next, &why), left_ms > 0);
    }
}

static void each_address_has_its_share_and_a_quarter_at_least(void **state)
{
    static const struct {
        size_t others;
        bool is_partial;
        int64_t parts;
    } cases[] = {{0, false, 1}, {0, true, 2}, {1, false, 2}, {2, false, 3}, {2, true, 4}, {8, false, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct next_address next = connected(cases[i].others, cases[i].is_partial);
        int64_t share_ms = TIMEOUT_MS / cases[i].parts;
        int64_t given_ms = next_address_handshake_ms(&next);
        assert_true(given_ms <= share_ms && given_ms > share_ms - TIMEOUT_MS / 12);
    }
}

static void no_more_addresses_are_tried_than_there_are_shares(void **state)
{
    struct next_address next = connected(DIALER_OTHERS_MAX, false);
    struct err why = failure(ERR_TLS_SILENT_PEER, 0);
    (void)state;
    for (int i = 0; i < NEXT_ADDRESS_TURNS; i++)
        assert_true(next_address_is_due(&next, &why));
    assert_false(next_address_is_due(&next, &why));
}

static void the_failure_names_what_failed_and_what_was_not_tried(void **state)
{
    struct next_address next = connected(2, false);
    struct err why = failure(ERR_TLS_SILENT_PEER, 0), err = {0};
    (void)state;
    assert_true(next_address_is_due(&next, &why));
    next.peer = address(2);
    next.other_count = 1;
    next.others[0] = address(3);
    next_address_fail(&next, false, &why, &err);
    assert_int_equal(err.reason, ERR_TLS_SILENT_PEER);
    assert_string_equal(err.text,
                        "127.0.0.1:6000: it failed; 127.0.0.2:6000: it failed; not tried: 127.0.0.3:6000");
}

static void where_no_other_was_found_the_failure_is_that_of_the_first(void **state)
{
    static const enum err_reason none[] = {ERR_OK, ERR_RESOLVE_NOT_FOUND};
    struct err why = failure(ERR_TLS_SILENT_PEER, 0);
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct next_address next = connected(0, true);
        struct err other = {.reason = none[i], .text = "there is no other address"}, err = {0};
        assert_true(next_address_is_due(&next, &why));
        next_address_fail(&next, true, &other, &err);
        assert_int_equal(err.reason, ERR_TLS_SILENT_PEER);
        assert_string_equal(err.text, "127.0.0.1:6000: it failed");
    }
}

static void a_failure_to_connect_to_the_others_stands_behind_the_first(void **state)
{
    struct next_address next = connected(1, false);
    struct err why = failure(ERR_TLS_SILENT_PEER, 0), other = failure(ERR_CONNECT_REFUSED, 0), err = {0};
    (void)state;
    assert_true(next_address_is_due(&next, &why));
    next_address_fail(&next, true, &other, &err);
    assert_int_equal(err.reason, ERR_TLS_SILENT_PEER);
    assert_string_equal(err.text, "127.0.0.1:6000: it failed; it failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_no_answer_goes_on),
        cmocka_unit_test(without_another_address_there_is_none_to_go_on_to),
        cmocka_unit_test(what_is_left_of_the_time_is_no_share),
        cmocka_unit_test(each_address_has_its_share_and_a_quarter_at_least),
        cmocka_unit_test(no_more_addresses_are_tried_than_there_are_shares),
        cmocka_unit_test(the_failure_names_what_failed_and_what_was_not_tried),
        cmocka_unit_test(where_no_other_was_found_the_failure_is_that_of_the_first),
        cmocka_unit_test(a_failure_to_connect_to_the_others_stands_behind_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
