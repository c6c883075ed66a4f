#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/launcher.h"
#include "support/skip.h"
#include "tcpgreet/base/library.h"

/* Returns: errno of a load that fails. */
static int load(void)
{
    static const struct library_function none[1];
    char table[1];

    errno = EINVAL;
    assert_non_null(library_load("libthat-is-not-there.so", none, 0, table));
    return errno;
}

static void a_missing_library_is_not_mistaken_for_want_of_anything(void **state)
{
    (void)state;
    assert_int_equal(load(), 0);
}

static void want_of_descriptors_is_noticed(void **state)
{
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit three = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &three), 0);
    int native = load();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(native, EMFILE);
    assert_int_equal(load(), 0);
}

/* Returns: how much is mapped of what RLIMIT_DATA limits; 0: not known. */
static rlim_t count_mapped(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        (void)fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* There is enough for the loader's text, and not for a library. */
static void want_of_memory_is_noticed(void **state)
{
    enum { SOME_BYTES = 2 * 1024 * 1024 };
    struct rlimit limit;
    (void)state;
    if (count_mapped() == 0 || !launcher_has_real_limits())
        skip_because("a limit that counts what is mapped");
    assert_int_equal(getrlimit(RLIMIT_DATA, &limit), 0);
    const struct rlimit little = {.rlim_cur = count_mapped() + SOME_BYTES, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_DATA, &little), 0);
    int native = load();
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
    assert_int_equal(native, ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_not_mistaken_for_want_of_anything),
        cmocka_unit_test(want_of_descriptors_is_noticed),
        cmocka_unit_test(want_of_memory_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
