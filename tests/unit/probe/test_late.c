#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "probe/output.h"

static struct probe_result given_up(bool literal)
{
    struct probe_result result = {.literal = literal, .host = "::1"};
    result.answers[RACE_V6].asked = true;
    err_set(&result.answers[RACE_V6].err, ERR_INTERRUPTED, 0, "given up");
    return result;
}

static void a_slow_name_server_is_reported(void **state)
{
    struct probe_result result = given_up(false);
    (void)state;
    probe_late(&result, 1200000);
    assert_int_equal(result.verdict.reason, ERR_RESOLVE_TEMPORARY);
    assert_non_null(strstr(result.verdict.text,
                           "no name server answered for the IPv6 addresses of ::1 before "
                           "--timeout (1200 s) expired"));
}

static void of_an_address_no_name_server_is_asked(void **state)
{
    struct probe_result result = given_up(true);
    (void)state;
    probe_late(&result, 1);
    assert_int_equal(result.verdict.reason, ERR_CONNECT_TIMEOUT);
    assert_string_equal(result.verdict.text, "--timeout (0.001 s) expired before ::1 was tried");
}

static void what_an_address_has_sent_is_kept_and_quoted(void **state)
{
    struct probe_address address = {.last = PROBE_TLS};
    struct probe_result result = {.addresses = &address, .address_count = 1};
    (void)state;
    err_set_facts(
        &address.err, ERR_INTERRUPTED,
        &(struct err_facts){.awaited = ERR_TLS_PLAINTEXT_PEER, .received = BYTES_LITERAL("220\x1b\"")},
        "interrupted");
    probe_late(&result, 300);
    assert_int_equal(address.err.reason, ERR_TLS_PLAINTEXT_PEER);
    assert_string_equal(address.err.text, "--timeout (0.3 s) expired: received \"220\\x1b\\\"\"");
    assert_int_equal(err_received(&address.err).length, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_name_server_is_reported),
        cmocka_unit_test(what_an_address_has_sent_is_kept_and_quoted),
        cmocka_unit_test(of_an_address_no_name_server_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
