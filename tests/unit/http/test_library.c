#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tcpgreet/base/library.h"

static const char *scripted_load(const char *file, const struct library_function *functions, size_t count,
                                 void *table);

/* The module is compiled into this program, with a library that cannot be loaded. */
#undef TCPGREET_HTTP_LIBRARY
#define TCPGREET_HTTP_LIBRARY "scripted"
#define library_load scripted_load
#include "http/library.c"
#undef library_load

static int exhausted;

static const char *scripted_load(const char *file, const struct library_function *functions, size_t count,
                                 void *table)
{
    (void)functions;
    (void)count;
    (void)table;
    assert_string_equal(file, "scripted");
    errno = exhausted;
    return "the loader's text";
}

static void a_library_that_cannot_be_loaded_is_reported_with_its_cause(void **state)
{
    static const struct {
        int exhausted;
        enum err_reason reason;
        const char *text;
    } cases[] = {
        {0, ERR_USAGE, "--metrics is not available here: libmicrohttpd cannot be loaded: the loader's text"},
        {EMFILE, ERR_SYSTEM_DESCRIPTORS,
         "--metrics: libmicrohttpd cannot be loaded: the loader's text (raise ulimit -n)"},
        {ENFILE, ERR_SYSTEM_DESCRIPTORS,
         "--metrics: libmicrohttpd cannot be loaded: the loader's text (raise ulimit -n)"},
        {ENOMEM, ERR_INTERNAL,
         "--metrics: libmicrohttpd cannot be loaded, memory is exhausted: the loader's text"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        exhausted = cases[i].exhausted;
        assert_int_equal(http_available("--metrics", &err), -1);
        assert_string_equal(err.text, cases[i].text);
        assert_int_equal(err.reason, cases[i].reason);
        assert_int_equal(err.native, cases[i].exhausted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_that_cannot_be_loaded_is_reported_with_its_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
