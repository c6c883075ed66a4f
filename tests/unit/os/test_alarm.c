#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tcpgreet/os/alarm.h"

enum { NS_PER_US = 1000, SOON_US = 300, LATER_US = 60 * 1000 * 1000 };

static uv_loop_t loop;
static struct alarm alarm_clock;
static unsigned dues, closes;
static uint64_t due_at_ns;

static void on_closed(void *context)
{
    assert_ptr_equal(context, &dues);
    closes++;
}

static void on_due(void *context)
{
    assert_ptr_equal(context, &dues);
    dues++;
    due_at_ns = uv_hrtime();
    alarm_close(&alarm_clock, on_closed);
}

static int open_alarm(void **state)
{
    (void)state;
    dues = closes = 0;
    memset(&alarm_clock, 0, sizeof alarm_clock);
    return uv_loop_init(&loop) == 0 && !alarm_is_open(&alarm_clock) &&
                   alarm_open(&alarm_clock, &loop, on_due, &dues) == 0 && alarm_is_open(&alarm_clock)
               ? 0
               : -1;
}

static int close_loop(void **state)
{
    (void)state;
    assert_false(alarm_is_open(&alarm_clock));
    assert_int_equal(closes, 1);
    return uv_loop_close(&loop);
}

static void it_is_due_once_and_not_before_its_time(void **state)
{
    (void)state;
    uint64_t when_ns = uv_hrtime() + SOON_US * NS_PER_US;

    alarm_set(&alarm_clock, when_ns);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(dues, 1);
    assert_true(due_at_ns >= when_ns);
}

static void a_time_that_has_passed_is_due_at_once(void **state)
{
    (void)state;
    alarm_set(&alarm_clock, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(dues, 1);
}

static void another_time_replaces_the_first(void **state)
{
    (void)state;
    alarm_set(&alarm_clock, uv_hrtime() + (uint64_t)LATER_US * NS_PER_US);
    alarm_set(&alarm_clock, uv_hrtime() + SOON_US * NS_PER_US);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(dues, 1);
}

static void it_is_not_due_once_it_is_closed(void **state)
{
    (void)state;
    alarm_set(&alarm_clock, 1);
    alarm_close(&alarm_clock, on_closed);
    assert_false(alarm_is_open(&alarm_clock));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(dues, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_due_once_and_not_before_its_time, open_alarm, close_loop),
        cmocka_unit_test_setup_teardown(a_time_that_has_passed_is_due_at_once, open_alarm, close_loop),
        cmocka_unit_test_setup_teardown(another_time_replaces_the_first, open_alarm, close_loop),
        cmocka_unit_test_setup_teardown(it_is_not_due_once_it_is_closed, open_alarm, close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
