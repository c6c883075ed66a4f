#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/format/serialize.h"

static void a_number_is_the_shortest_decimal_that_reads_back(void **state)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0, "0"},
                 {-1, "-1"},
                 {0.1, "0.1"},
                 {1.5, "1.5"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1796000000, "1796000000"},
                 {999999999999999, "999999999999999"},
                 {1e15, "1e+15"},
                 {9007199254740992, "9007199254740992"},
                 {1e300, "1e+300"},
                 {INFINITY, "0"},
                 {-INFINITY, "0"},
                 {NAN, "0"}};
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(serialize_number(cases[i].number).text, cases[i].text);
}

static void assert_quoted(const char *text, const char *expected)
{
    char *written = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&written, &length);

    assert_non_null(out);
    serialize_quoted(out, text);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(written, expected);
    free(written);
}

static void quotes_and_backslashes_are_escaped_wherever_they_stand(void **state)
{
    (void)state;
    assert_quoted("", "\"\"");
    assert_quoted("plain", "\"plain\"");
    assert_quoted("\"", "\"\\\"\"");
    assert_quoted("\"\"a\\b\"", "\"\\\"\\\"a\\\\b\\\"\"");
    assert_quoted("a\nb\x1b", "\"a\\\\nb\\\\x1b\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_the_shortest_decimal_that_reads_back),
        cmocka_unit_test(quotes_and_backslashes_are_escaped_wherever_they_stand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
