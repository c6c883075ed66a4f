#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "support/stream_fault.h"
#include "support/stream_memory.h"
#include "tcpgreet/tls/stream_tls.h"
#include "tcpgreet/tls/tls.h"

#define SIXTEEN "0123456789abcdef"

static void expect_refusal(const struct err *err)
{
    assert_int_equal(err->reason, ERR_USAGE);
    assert_string_equal(err->text, "--tls is not available in this build (it needs OpenSSL 3)");
}

static void contexts_are_refused_in_words(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(tls_available(&err), -1);
    expect_refusal(&err);
    err_clear(&err);
    assert_null(tls_client_new(&(struct tls_client_config){0}, &err));
    expect_refusal(&err);
    err_clear(&err);
    assert_null(tls_server_new(&(struct tls_server_config){0}, &err));
    expect_refusal(&err);
    err_clear(&err);
    assert_null(tls_session_new(NULL, &err));
    expect_refusal(&err);
    assert_false(tls_session_has_ticket(NULL));
    tls_session_free(NULL);
    tls_client_free(NULL);
    tls_server_free(NULL);
}

/* The caller takes over what is below, also here. */
static void streams_are_refused_and_what_is_below_is_freed(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct stream_faults faults = {0};
        struct err err = {0};
        struct stream *ends[2];
        stream_memory_pair(ends, 1);
        struct stream *lower = stream_fault_new(ends[0], &faults);
        assert_null(i == 0   ? tls_client_stream(NULL, lower, "localhost", &err)
                    : i == 1 ? tls_session_stream(NULL, lower, "localhost", &err)
                             : tls_server_stream(NULL, lower, &err));
        expect_refusal(&err);
        assert_int_equal(faults.frees, 1);
        stream_free(ends[1]);
    }
}

static void nothing_is_known_of_tls(void **state)
{
    struct stream_tls_facts facts;
    struct tls_identity_facts identity;
    struct tls_pin pin;
    struct stream *ends[2];
    char text[TLS_PIN_TEXT_BYTES] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    (void)state;

    stream_memory_pair(ends, 1);
    assert_false(stream_tls_facts(ends[0], &facts));
    assert_string_equal(facts.version, "");
    stream_free(ends[0]);
    stream_free(ends[1]);
    assert_false(tls_server_identity(NULL, 0, &identity));
    assert_int_equal(tls_pin_parse("sha256:" SIXTEEN SIXTEEN SIXTEEN SIXTEEN, &pin), 0);
    tls_pin_format(&pin, text);
    assert_string_equal(text, "sha256:" SIXTEEN SIXTEEN SIXTEEN SIXTEEN);
    tls_server_inherit(NULL, NULL);
    tls_version_put(out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "without TLS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_are_refused_in_words),
        cmocka_unit_test(streams_are_refused_and_what_is_below_is_freed),
        cmocka_unit_test(nothing_is_known_of_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
