#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tcpgreet/core/query.h"
#include "tcpgreet/format/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void parameters_are_decoded(void **state)
{
    static const struct {
        const char *query;
        const char *shown; /* "name=value;" of each */
    } cases[] = {
        {"", ""},
        {"a=b", "a=b;"},
        {"a", "a=;"},
        {"a=", "a=;"},
        {"=b", "=b;"},
        {"a=b=c", "a=b=c;"},
        {"a=1&&b=2&", "a=1;b=2;"},
        {"a=1&a=2", "a=1;a=2;"},
        {"target=%5B%3a%3A1%5d:443", "target=[::1]:443;"},
        {"t=a+b%2Bc", "t=a b+c;"},
        {"%74ls=%31", "tls=1;"},
        {"t=%2e%2E%2f", "t=../;"},
        {"t=a%0Ab%22", "t=a\nb\";"},
        {"t=m%c3%bcller", "t=m\xc3\xbcller;"},
        {"t=a%26b%3Dc", "t=a&b=c;"},
        {"t=a#b", "t=a;"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text_line shown = {0};
        struct query_parameter parameter;
        const char *at = cases[i].query;
        enum query_result result;
        while ((result = query_next(&at, &parameter)) == QUERY_PARAMETER)
            text_append(&shown, "%s=%s;", parameter.name, parameter.value);
        assert_int_equal(result, QUERY_END);
        assert_string_equal(shown.text, cases[i].shown);
    }
}

static void what_cannot_be_decoded_is_refused(void **state)
{
    static const struct {
        const char *query;
        enum query_result result;
    } cases[] = {
        {"t=%", QUERY_BAD_ESCAPE},   {"t=%4", QUERY_BAD_ESCAPE},   {"t=%4&x", QUERY_BAD_ESCAPE},
        {"t=%zz", QUERY_BAD_ESCAPE}, {"t=%%41", QUERY_BAD_ESCAPE}, {"t=%u0041", QUERY_BAD_ESCAPE},
        {"%=1", QUERY_BAD_ESCAPE},   {"t=%-1", QUERY_BAD_ESCAPE},  {"t=% 1", QUERY_BAD_ESCAPE},
        {"t=a%00b", QUERY_BAD_BYTE}, {"t%00=b", QUERY_BAD_BYTE},   {"t=%00", QUERY_BAD_BYTE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct query_parameter parameter;
        const char *at = cases[i].query;
        assert_int_equal(query_next(&at, &parameter), cases[i].result);
    }
}

static void a_name_or_value_that_does_not_fit_is_refused(void **state)
{
    char query[QUERY_VALUE_BYTES + 16];
    struct query_parameter parameter;
    const char *at = query;
    (void)state;

    snprintf(query, sizeof(query), "t=%0*d", QUERY_VALUE_BYTES - 1, 0);
    assert_int_equal(query_next(&at, &parameter), QUERY_PARAMETER);
    assert_int_equal(strlen(parameter.value), QUERY_VALUE_BYTES - 1);
    at = query;
    snprintf(query, sizeof(query), "t=%0*d", QUERY_VALUE_BYTES, 0);
    assert_int_equal(query_next(&at, &parameter), QUERY_TOO_LONG);
    at = query;
    snprintf(query, sizeof(query), "%0*d", QUERY_NAME_BYTES, 0);
    assert_int_equal(query_next(&at, &parameter), QUERY_TOO_LONG);
}

static void the_query_begins_behind_the_path(void **state)
{
    (void)state;
    assert_int_equal(query_path_length("/probe?a"), 6);
    assert_int_equal(query_path_length("/probe"), 6);
    assert_int_equal(query_path_length("/probe#a?b"), 6);
    assert_int_equal(query_path_length(""), 0);
    assert_true(query_has_path("/probe?a", "/probe"));
    assert_false(query_has_path("/probes", "/probe"));
    assert_false(query_has_path("/prob", "/probe"));
    assert_false(query_has_path("/%70robe", "/probe"));
    assert_string_equal(query_begin("/probe?a=1"), "a=1");
    assert_string_equal(query_begin("/probe?"), "");
    assert_string_equal(query_begin("/probe"), "");
    assert_string_equal(query_begin("/probe#?a"), "");
}

static void an_absolute_form_begins_with_scheme_and_authority(void **state)
{
    (void)state;
    assert_string_equal(query_origin_form("/a?b"), "/a?b");
    assert_string_equal(query_origin_form("http://host:1/a?b"), "/a?b");
    assert_string_equal(query_origin_form("http://host?b"), "?b");
    assert_string_equal(query_origin_form("http://host"), "");
    assert_string_equal(query_origin_form("http:/a"), "http:/a");
    assert_string_equal(query_origin_form("*"), "*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_decoded),
        cmocka_unit_test(what_cannot_be_decoded_is_refused),
        cmocka_unit_test(a_name_or_value_that_does_not_fit_is_refused),
        cmocka_unit_test(the_query_begins_behind_the_path),
        cmocka_unit_test(an_absolute_form_begins_with_scheme_and_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
