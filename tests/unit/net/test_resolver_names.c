#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/idn.h"

static enum idn_result scripted_idn(const char *host, char *ascii, size_t room, const char **why);

/* The module is compiled into this program, with a conversion that ends as the test has it. */
#define idn_to_ascii scripted_idn
#include "net/resolver_names.c"
#undef idn_to_ascii

static enum idn_result result;
static const char *labels; /* NULL: as the host */

static enum idn_result scripted_idn(const char *host, char *ascii, size_t room, const char **why)
{
    (void)snprintf(ascii, room, "%s", labels != NULL ? labels : host);
    *why = "of this";
    return result;
}

static void assert_fails(enum idn_result how, enum err_reason reason, const char *text)
{
    char out[TARGET_HOST_BYTES];
    struct err err = {0};
    result = how;
    assert_int_equal(resolver_a_labels("b\xc3\xbc\x1b.example", out, &err), -1);
    assert_int_equal(err.reason, reason);
    assert_string_equal(err.text, text);
}

static void host_that_is_no_domain_name_is_not_found(void **state)
{
    (void)state;
    assert_fails(IDN_NOT_A_NAME, ERR_RESOLVE_NOT_FOUND,
                 "b\xc3\xbc\\x1b.example is not a domain name: of this");
}

static void name_that_cannot_be_converted_is_an_internal_error(void **state)
{
    (void)state;
    assert_fails(IDN_NOT_AVAILABLE, ERR_INTERNAL, "cannot convert b\xc3\xbc\\x1b.example: of this");
}

static void name_that_this_build_leaves_as_it_is_is_refused(void **state)
{
    (void)state;
    assert_fails(
        IDN_OK, ERR_USAGE,
        "internationalized names are not available in this build: write the host as A-labels (xn--...)");
}

static void host_that_can_be_converted_is_kept(void **state)
{
    char out[TARGET_HOST_BYTES];
    struct err err = {0};
    (void)state;
    result = IDN_OK;
    assert_int_equal(resolver_a_labels("example.org", out, &err), 0);
    assert_string_equal(out, "example.org");
}

static void host_that_becomes_a_number_or_no_name_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"1", "\xef\xbc\x91: 1 is not an IPv4 address: write all four numbers"},
        {"127.1", "\xef\xbc\x91: 127.1 is not an IPv4 address"},
        {"a/b", "\xef\xbc\x91: a/b is not a host name: it may hold"},
    };
    char out[TARGET_HOST_BYTES];
    (void)state;
    result = IDN_OK;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        labels = cases[i][0];
        assert_int_equal(resolver_a_labels("\xef\xbc\x91", out, &err), -1);
        assert_int_equal(err.reason, ERR_USAGE);
        assert_memory_equal(err.text, cases[i][1], strlen(cases[i][1]));
    }
    labels = "xn--bcher-kva.example";
    assert_int_equal(resolver_a_labels("b\xc3\xbc"
                                       "cher.example",
                                       out, NULL),
                     0);
    labels = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_that_is_no_domain_name_is_not_found),
        cmocka_unit_test(name_that_cannot_be_converted_is_an_internal_error),
        cmocka_unit_test(name_that_this_build_leaves_as_it_is_is_refused),
        cmocka_unit_test(host_that_can_be_converted_is_kept),
        cmocka_unit_test(host_that_becomes_a_number_or_no_name_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
