#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "support/no_thread.h"
#include "tcpgreet/base/log.h"

/* The module is compiled into this program, and no thread can be started. */
#define pthread_create no_thread
#include "base/log.c"
#undef pthread_create

static void a_log_that_cannot_start_is_closed(void **state)
{
    const struct log_config config = {.fd = STDERR_FILENO, .level = LOG_INFO};
    (void)state;

    assert_int_equal(log_open(&config), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(log_enabled(LOG_ERROR));
}

static void a_held_log_that_cannot_start_is_closed(void **state)
{
    const struct log_config config = {.fd = STDERR_FILENO, .level = LOG_INFO, .is_held = true};
    (void)state;

    assert_int_equal(log_open(&config), 0);
    assert_true(log_enabled(LOG_INFO));
    assert_int_equal(log_release(), -1);
    assert_int_equal(errno, EAGAIN);
    log_close(0);
    assert_false(log_enabled(LOG_ERROR)); /* or a message would be queued for nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_cannot_start_is_closed),
        cmocka_unit_test(a_held_log_that_cannot_start_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
