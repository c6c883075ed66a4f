#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/service_hint.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void expect_hint(const char *word, const char *due)
{
    char text[SERVICE_HINT_BYTES];
    assert_string_equal(service_hint(word, text), due);
}

static void a_mistyped_service_is_found_with_its_port(void **state)
{
    (void)state;
    expect_hint("htps", " (did you mean https, 443?)");
    expect_hint("htpps", " (did you mean https, 443?)");
    expect_hint("htttp", " (did you mean http, 80?)");
    expect_hint("smpt", " (did you mean smtp, 25?)");
    expect_hint("imps", " (did you mean imaps, 993?)");
    expect_hint("postgrsql", " (did you mean postgresql, 5432?)");
    expect_hint("submissoin", " (did you mean submission, 587?)");
}

static void a_service_that_the_system_does_not_know_is_named_with_its_port(void **state)
{
    (void)state;
    expect_hint("https", " (https is 443)");
    expect_hint("HTTPS", " (https is 443)");
    expect_hint("rdp", " (rdp is 3389)");
}

static void a_word_that_is_near_none_has_no_hint(void **state)
{
    static const char *const words[] = {
        "", "x", "ab", "nosuch", "nosuchservice", "greeting", "a-name-of-twenty-six-bytes"};
    (void)state;
    for (size_t i = 0; i < COUNT(words); i++)
        expect_hint(words[i], "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistyped_service_is_found_with_its_port),
        cmocka_unit_test(a_service_that_the_system_does_not_know_is_named_with_its_port),
        cmocka_unit_test(a_word_that_is_near_none_has_no_hint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
