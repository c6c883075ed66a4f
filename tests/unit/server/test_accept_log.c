#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/accept_log.h"
#include "support/collector.h"
#include "tcpgreet/base/log.h"

enum { PLENTY_MS = 20 * 1000, HOUR_MS = 3600 * 1000 };

static struct collector collector;
static struct accept_log accept_log;

static int set_up(void **state)
{
    (void)state;
    accept_log = (struct accept_log)ACCEPT_LOG_INIT;
    if (collector_open(&collector) < 0)
        return -1;
    return log_open(&(struct log_config){.fd = collector.writer, .level = LOG_NOTICE, .format = LOG_TEXT});
}

static int tear_down(void **state)
{
    (void)state;
    log_close(PLENTY_MS);
    collector_close(&collector);
    return 0;
}

static void fail_at(int64_t now_ms, int native, bool is_first)
{
    struct err err = {0};
    err_set(&err, ERR_SYSTEM_OTHER, native, "error %d", native);
    accept_log_failure(&accept_log, &err, is_first, now_ms);
}

static void expect_log(const char *text)
{
    log_close(PLENTY_MS);
    collector_finish(&collector);
    assert_string_equal(collector.text, text);
}

static void a_failure_is_logged_at_once_and_then_once_a_minute_with_the_number_in_between(void **state)
{
    (void)state;
    fail_at(HOUR_MS, 1, true);
    for (int64_t ms = 100; ms <= 2 * ACCEPT_LOG_INTERVAL_MS; ms += 100)
        fail_at(HOUR_MS + ms, 1, false);
    expect_log("Accepting is paused: error 1\n"
               "Accepting is paused: error 1; failures since the last message: 600\n"
               "Accepting is paused: error 1; failures since the last message: 600\n");
}

static void a_failure_right_after_the_clock_started_is_logged(void **state)
{
    (void)state;
    fail_at(0, 1, true);
    expect_log("Accepting is paused: error 1\n");
}

static void recovery_is_logged_once_with_the_number_of_failures(void **state)
{
    (void)state;
    fail_at(0, 1, true);
    fail_at(10, 1, false);
    fail_at(30, 1, false);
    accept_log_recovery(&accept_log);
    expect_log("Accepting is paused: error 1\n"
               "Accepting connections again, failed attempts: 3\n");
}

static void accepting_works_again_when_every_listener_works(void **state)
{
    (void)state;
    fail_at(0, 1, true);
    fail_at(1, 1, true);
    accept_log_recovery(&accept_log);
    fail_at(2, 1, false);
    accept_log_recovery(&accept_log);
    expect_log("Accepting is paused: error 1\n"
               "Accepting connections again, failed attempts: 3\n");
}

static void recurring_failures_do_not_fill_the_log(void **state)
{
    (void)state;
    for (int64_t ms = 0; ms <= ACCEPT_LOG_INTERVAL_MS; ms++) {
        fail_at(ms, 1, true);
        accept_log_recovery(&accept_log);
    }
    expect_log("Accepting is paused: error 1\n"
               "Accepting connections again, failed attempts: 1\n"
               "Accepting is paused: error 1; failures since the last message: 60000\n"
               "Accepting connections again, failed attempts: 1\n");
}

static void each_errno_is_limited_separately(void **state)
{
    (void)state;
    fail_at(0, 1, true);
    fail_at(1, 2, false);
    fail_at(2, 1, false);
    fail_at(3, 2, false);
    accept_log_recovery(&accept_log);
    expect_log("Accepting is paused: error 1\n"
               "Accepting is paused: error 2\n"
               "Accepting connections again, failed attempts: 4\n");
}

static void errnos_beyond_the_table_share_its_last_place(void **state)
{
    char text[1024] = "";
    (void)state;
    for (int i = 1; i <= ACCEPT_LOG_CAUSES + 3; i++)
        fail_at(i, i, i == 1);
    for (int i = 1; i <= ACCEPT_LOG_CAUSES; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "Accepting is paused: error %d\n", i);
    expect_log(text);
}

int main(void)
{
#define ACCEPT_LOG_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ACCEPT_LOG_TEST(a_failure_is_logged_at_once_and_then_once_a_minute_with_the_number_in_between),
        ACCEPT_LOG_TEST(a_failure_right_after_the_clock_started_is_logged),
        ACCEPT_LOG_TEST(recovery_is_logged_once_with_the_number_of_failures),
        ACCEPT_LOG_TEST(accepting_works_again_when_every_listener_works),
        ACCEPT_LOG_TEST(recurring_failures_do_not_fill_the_log),
        ACCEPT_LOG_TEST(each_errno_is_limited_separately),
        ACCEPT_LOG_TEST(errnos_beyond_the_table_share_its_last_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
