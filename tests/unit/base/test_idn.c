#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/library.h"

static const char *scripted_load(const char *file, const struct library_function *functions, size_t count,
                                 void *table);

/* The module is compiled into this program, with a library that is loaded as the test has it. */
#undef TCPGREET_IDN_LIBRARY
#define TCPGREET_IDN_LIBRARY "scripted"
#define library_load scripted_load
#include "base/idn.c"
#undef library_load

static bool is_missing;

static int to_ascii(const char *host, char **labels, int flags)
{
    (void)flags;
    *labels = strdup("xn--bcher-kva.example");
    return *labels != NULL && strchr(host, ' ') == NULL ? IDN2_OK : IDN2_DISALLOWED;
}

static const char *explain(int failure)
{
    return failure == IDN2_DISALLOWED ? "disallowed" : NULL;
}

static const char *scripted_load(const char *file, const struct library_function *functions, size_t count,
                                 void *table)
{
    (void)functions;
    assert_string_equal(file, "scripted");
    assert_int_equal(count, 3);
    if (!is_missing)
        *(struct idn *)table = (struct idn){to_ascii, free, explain};
    return is_missing ? "no descriptor is left" : NULL;
}

static void library_that_could_not_be_loaded_is_tried_again(void **state)
{
    char ascii[64];
    const char *why = NULL;
    (void)state;
    is_missing = true;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(idn_to_ascii("b\xc3\xbc"
                                      "cher.example",
                                      ascii, sizeof ascii, &why),
                         IDN_NOT_AVAILABLE);
        assert_string_equal(why, "libidn2 cannot be loaded");
    }
    is_missing = false;
    assert_int_equal(idn_to_ascii("b\xc3\xbc"
                                  "cher.example",
                                  ascii, sizeof ascii, &why),
                     IDN_OK);
    assert_string_equal(ascii, "xn--bcher-kva.example");
}

static void host_that_is_no_name_is_refused_with_the_reason(void **state)
{
    char ascii[64];
    const char *why = NULL;
    (void)state;
    is_missing = false;
    assert_int_equal(idn_to_ascii("\xc3\xbc a", ascii, sizeof ascii, &why), IDN_NOT_A_NAME);
    assert_string_equal(why, "disallowed");
    assert_int_equal(idn_to_ascii("b\xc3\xbc"
                                  "cher.example",
                                  ascii, 4, &why),
                     IDN_NOT_A_NAME);
    assert_string_equal(why, "it is too long");
}

static void host_in_ascii_needs_no_library(void **state)
{
    char ascii[64];
    const char *why = NULL;
    (void)state;
    is_missing = true;
    assert_int_equal(idn_to_ascii("EXAMPLE.org", ascii, sizeof ascii, &why), IDN_OK);
    assert_string_equal(ascii, "EXAMPLE.org");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(library_that_could_not_be_loaded_is_tried_again),
        cmocka_unit_test(host_that_is_no_name_is_refused_with_the_reason),
        cmocka_unit_test(host_in_ascii_needs_no_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
