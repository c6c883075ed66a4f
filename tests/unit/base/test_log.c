#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/collector.h"
#include "support/skip.h"
#include "tcpgreet/base/log.h"

enum { PLENTY_MS = 20000 };

static struct collector collector;

static int set_up(void **state)
{
    (void)state;
    return collector_open(&collector);
}

static int tear_down(void **state)
{
    (void)state;
    log_close(PLENTY_MS);
    collector_close(&collector);
    return 0;
}

static void start(enum log_level level, enum log_format format)
{
    const struct log_config config = {.fd = collector.writer, .level = level, .format = format};
    assert_int_equal(log_open(&config), 0);
}

static void start_stamped(enum log_stamp stamp)
{
    const struct log_config config = {.fd = collector.writer, .level = LOG_DEBUG, .stamp = stamp};
    assert_int_equal(log_open(&config), 0);
}

/* Stops the log and collects what it wrote. */
static void finish(void)
{
    log_close(PLENTY_MS);
    collector_finish(&collector);
}

static void lines_come_out_as_they_are_and_in_order(void **state)
{
    (void)state;
    start(LOG_INFO, LOG_TEXT);
    log_write(LOG_INFO, "Accept new connection from %s", "[::1]:53503");
    log_write(LOG_ERROR, "cannot \"accept\" \\x1b: %d", 7);
    log_write(LOG_WARNING, "%s", "");
    finish();
    assert_string_equal(collector.text,
                        "Accept new connection from [::1]:53503\ncannot \"accept\" \\x1b: 7\n\n");
    assert_true(log_dropped() == 0);
}

static void text_is_escaped_where_the_locale_is_not_utf_8(void **state)
{
    static char longest[6000];
    (void)state;
    start(LOG_INFO, LOG_TEXT);
    log_write(LOG_INFO, "\xc3\x80 \\x1b");
    memset(longest, '\xff', sizeof longest - 1);
    log_write(LOG_INFO, "%s", longest);
    finish();
    assert_memory_equal(collector.text, "\\xc3\\x80 \\x1b\n\\xff", 18);
    assert_int_equal(strlen(collector.text), 14 + 4 * (sizeof longest - 1) + 1);
}

static void text_is_not_escaped_where_the_environment_names_utf_8(void **state)
{
    (void)state;
    assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
    start(LOG_INFO, LOG_TEXT);
    log_write(LOG_INFO, "\xc3\x80");
    finish();
    assert_int_equal(setenv("LC_ALL", "C", 1), 0);
    assert_string_equal(collector.text, "\xc3\x80\n");
}

static void lines_above_the_level_are_not_written(void **state)
{
    (void)state;
    start(LOG_WARNING, LOG_TEXT);
    assert_true(log_enabled(LOG_ERROR));
    assert_true(log_enabled(LOG_WARNING));
    assert_false(log_enabled(LOG_NOTICE));
    assert_false(log_enabled(LOG_INFO));
    log_write(LOG_NOTICE, "notice");
    log_write(LOG_INFO, "info");
    log_write(LOG_DEBUG, "debug");
    log_write(LOG_WARNING, "warning");
    log_write(LOG_ERROR, "error");
    finish();
    assert_string_equal(collector.text, "warning\nerror\n");
}

static void lines_outside_of_open_and_close_are_lost_silently(void **state)
{
    (void)state;
    assert_false(log_enabled(LOG_ERROR));
    log_write(LOG_ERROR, "before");
    start(LOG_DEBUG, LOG_TEXT);
    log_write(LOG_DEBUG, "between");
    log_close(PLENTY_MS);
    assert_false(log_enabled(LOG_ERROR));
    log_write(LOG_ERROR, "after");
    log_close(PLENTY_MS);
    finish();
    assert_string_equal(collector.text, "between\n");
    assert_true(log_dropped() == 0);
}

static void lines_of_a_log_that_is_held_are_written_when_it_is_released(void **state)
{
    (void)state;
    struct log_config config = {.fd = collector.writer, .level = LOG_INFO, .is_held = true};
    assert_int_equal(log_open(&config), 0);
    assert_int_equal(log_open(&config), -1);
    assert_int_equal(errno, EBUSY);
    log_write(LOG_INFO, "held");
    assert_false(log_drain(0));
    assert_int_equal(log_release(), 0);
    assert_int_equal(log_release(), 0);
    assert_true(log_drain(PLENTY_MS));
    finish();
    assert_string_equal(collector.text, "held\n");
}

static void lines_of_a_log_that_is_still_held_are_written_when_it_is_closed(void **state)
{
    (void)state;
    struct log_config config = {.fd = collector.writer, .level = LOG_INFO, .is_held = true};
    assert_int_equal(log_open(&config), 0);
    log_write(LOG_INFO, "held");
    finish();
    assert_string_equal(collector.text, "held\n");
}

static void json_lines_are_objects_with_time_level_and_message(void **state)
{
    (void)state;
    static const char pattern[] =
        "^\\{\"schema\":\"tcpgreet.log.v1\",\"time\":\"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
        "\\.[0-9]{3}Z\",\"level\":\"(error|warning|info|debug)\",\"event\":\"message\",\"message\":\"";
    static const char *const tails[] = {"a \\\"b\\\" \\\\x1b\"}\n", "m\xc3\xbcller\"}\n", "n\"}\n", "\"}\n",
                                        "4\"}\n"};
    static const char *const levels[] = {"error", "warning", "info", "info", "debug"};
    regex_t regex;
    regmatch_t match[2];
    char *at = collector.text;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED), 0);
    start(LOG_DEBUG, LOG_JSON);
    log_write(LOG_ERROR, "a \"b\" \\x1b");
    log_write(LOG_WARNING, "m\xc3\xbcller");
    log_write(LOG_NOTICE, "n");
    log_write(LOG_INFO, "%s", "");
    log_write(LOG_DEBUG, "%d", 4);
    finish();
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(regexec(&regex, at, 2, match, 0), 0);
        assert_memory_equal(at + match[1].rm_so, levels[i], strlen(levels[i]));
        assert_memory_equal(at + match[0].rm_eo, tails[i], strlen(tails[i]));
        at += (size_t)match[0].rm_eo + strlen(tails[i]);
    }
    assert_string_equal(at, "");
    regfree(&regex);
}

static int64_t now_ms(clockid_t id)
{
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void json_time_is_now(void **state)
{
    (void)state;
    struct tm utc = {0};
    start(LOG_INFO, LOG_JSON);
    int64_t before = now_ms(CLOCK_REALTIME) / 1000;
    log_write(LOG_INFO, "x");
    int64_t after = now_ms(CLOCK_REALTIME) / 1000;
    finish();
    assert_non_null(
        strptime(collector.text, "{\"schema\":\"tcpgreet.log.v1\",\"time\":\"%Y-%m-%dT%H:%M:%S", &utc));
    assert_in_range(timegm(&utc), before, after);
}

static void facts_are_fields_of_a_json_line(void **state)
{
    (void)state;
    start(LOG_INFO, LOG_JSON);
    log_event(&(struct log_event){LOG_INFO, "closed",
                                  LOG_FACTS(log_text("peer", "[::1]:1"), log_text("sni", ""),
                                            log_text("group", NULL), log_count("names", UINT64_MAX),
                                            log_number("duration_seconds", 0.25), log_flag("resumed", true),
                                            log_flag("kept", false),
                                            log_shown(log_text("subject", "a \"b\"\\x1b\xff\n")))},
              "%s", "Closed");
    finish();
    assert_non_null(
        strstr(collector.text,
               "\",\"level\":\"info\",\"event\":\"closed\",\"message\":\"Closed\",\"peer\":\"[::1]:1\","
               "\"names\":18446744073709551615,\"duration_seconds\":0.25,\"resumed\":true,\"kept\":false,"
               "\"subject\":\"a \\\"b\\\"\\\\x1b\\\\xff?\"}\n"));
}

static void shown_facts_stand_behind_the_message(void **state)
{
    (void)state;
    start(LOG_INFO, LOG_TEXT);
    log_event(&(struct log_event){LOG_INFO, "closed",
                                  LOG_FACTS(log_text("peer", "[::1]:1"), log_shown(log_count("bytes_in", 7)),
                                            log_shown(log_text("sni", "localhost")),
                                            log_shown(log_text("group", "")),
                                            log_shown(log_text("subject", "a \"b\" c")))},
              "Closed");
    finish();
    assert_string_equal(collector.text, "Closed bytes_in=7 sni=localhost subject=\"a \\\"b\\\" c\"\n");
}

static void json_line_that_is_too_long_stays_whole(void **state)
{
    (void)state;
    enum { FIELDS = 60 };
    static char long_text[4096];
    struct log_field fields[FIELDS + 1] = {0};
    memset(long_text, '\x80', sizeof(long_text) - 1);
    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = log_text("field", long_text);
    start(LOG_INFO, LOG_JSON);
    log_event(&(struct log_event){LOG_INFO, "long", fields}, "%s%s", long_text, long_text);
    finish();
    size_t length = strcspn(collector.text, "\n");
    assert_in_range(length, 24000, 64 * 1024);
    assert_memory_equal(collector.text + length - 6, "\\x80\"}\n", 7);
}

static void stamped_lines_begin_with_the_time_and_the_level(void **state)
{
    (void)state;
    static const char pattern[] = "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
                                  "\\.[0-9]{3}Z (error: |warning: |debug: |)x\n";
    static const char *const levels[] = {"error: ", "warning: ", "", "", "debug: "};
    regex_t regex;
    regmatch_t match[2];
    char *at = collector.text;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED), 0);
    start_stamped(LOG_STAMP_TIME);
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++)
        log_write((enum log_level)level, "x");
    finish();
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(regexec(&regex, at, 2, match, 0), 0);
        assert_int_equal(match[1].rm_eo - match[1].rm_so, strlen(levels[i]));
        assert_memory_equal(at + match[1].rm_so, levels[i], strlen(levels[i]));
        at += match[0].rm_eo;
    }
    assert_string_equal(at, "");
    regfree(&regex);
}

static void lines_for_journald_begin_with_their_priority(void **state)
{
    (void)state;
    start_stamped(LOG_STAMP_PRIORITY);
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++)
        log_write((enum log_level)level, "x");
    finish();
    assert_string_equal(collector.text, "<3>x\n<4>x\n<5>x\n<6>x\n<7>x\n");
}

static void journal_stream_must_be_the_descriptors_own(void **state)
{
    (void)state;
    struct stat at = {0};
    char stream[64];
    assert_int_equal(fstat(collector.writer, &at), 0);
    (void)snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)at.st_dev, (uintmax_t)at.st_ino);
    (void)unsetenv("JOURNAL_STREAM");
    assert_int_equal(log_stamp_of(collector.writer), LOG_STAMP_TIME);
    (void)setenv("JOURNAL_STREAM", stream, 1);
    assert_int_equal(log_stamp_of(collector.writer), LOG_STAMP_PRIORITY);
    (void)snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)at.st_dev, (uintmax_t)at.st_ino + 1);
    (void)setenv("JOURNAL_STREAM", stream, 1);
    assert_int_equal(log_stamp_of(collector.writer), LOG_STAMP_TIME);
    (void)setenv("JOURNAL_STREAM", "journal", 1);
    assert_int_equal(log_stamp_of(collector.writer), LOG_STAMP_TIME);
    (void)unsetenv("JOURNAL_STREAM");
}

static void one_line_stays_one_line(void **state)
{
    (void)state;
    start(LOG_INFO, LOG_TEXT);
    log_write(LOG_INFO, "a\nConnection from x\r\x1b[2J\x7f");
    finish();
    assert_string_equal(collector.text, "a?Connection from x??[2J?\n");
}

static void long_line_is_cut_between_escapes(void **state)
{
    (void)state;
    enum { ESCAPES = 4000 };
    char line[4 * ESCAPES + 1];
    for (size_t i = 0; i < ESCAPES; i++)
        memcpy(line + 4 * i, "\\x1b", 5);
    start(LOG_INFO, LOG_TEXT);
    log_write(LOG_INFO, "x%s", line);
    log_write(LOG_INFO, "next");
    finish();
    size_t length = strcspn(collector.text, "\n");
    assert_in_range(length, 4096, sizeof(line));
    assert_int_equal(length % 4, 1);
    assert_string_equal(collector.text + length, "\nnext\n");
}

static void errno_survives_a_line(void **state)
{
    (void)state;
    start(LOG_INFO, LOG_JSON);
    errno = ENETUNREACH;
    log_write(LOG_INFO, "%s", "x");
    assert_int_equal(errno, ENETUNREACH);
}

static void descriptor_keeps_its_flags(void **state)
{
    (void)state;
    int before = fcntl(collector.writer, F_GETFL);
    start(LOG_INFO, LOG_TEXT);
    log_write(LOG_INFO, "x");
    assert_int_equal(fcntl(collector.writer, F_GETFL), before);
    log_close(PLENTY_MS);
    assert_int_equal(fcntl(collector.writer, F_GETFL), before);
}

static void signal_waits_for_the_threads_of_the_program(void **state)
{
    (void)state;
    sigset_t usr1, before, pending;
    int taken;
    start(LOG_INFO, LOG_TEXT);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &usr1, &before), 0);
    assert_false(sigismember(&before, SIGUSR1));
    assert_int_equal(kill(getpid(), SIGUSR1), 0); /* would kill the program if the log's thread took it */
    log_write(LOG_INFO, "running");
    log_close(PLENTY_MS);
    assert_int_equal(sigpending(&pending), 0);
    assert_true(sigismember(&pending, SIGUSR1));
    assert_int_equal(sigwait(&usr1, &taken), 0); /* before it is unblocked */
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    if (setenv("LC_ALL", "C", 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(lines_come_out_as_they_are_and_in_order),
        TEST(text_is_escaped_where_the_locale_is_not_utf_8),
        TEST(text_is_not_escaped_where_the_environment_names_utf_8),
        TEST(lines_above_the_level_are_not_written),
        TEST(lines_outside_of_open_and_close_are_lost_silently),
        TEST(lines_of_a_log_that_is_held_are_written_when_it_is_released),
        TEST(lines_of_a_log_that_is_still_held_are_written_when_it_is_closed),
        TEST(json_lines_are_objects_with_time_level_and_message),
        TEST(json_time_is_now),
        TEST(facts_are_fields_of_a_json_line),
        TEST(shown_facts_stand_behind_the_message),
        TEST(json_line_that_is_too_long_stays_whole),
        TEST(stamped_lines_begin_with_the_time_and_the_level),
        TEST(lines_for_journald_begin_with_their_priority),
        TEST(journal_stream_must_be_the_descriptors_own),
        TEST(one_line_stays_one_line),
        TEST(long_line_is_cut_between_escapes),
        TEST(errno_survives_a_line),
        TEST(descriptor_keeps_its_flags),
        TEST(signal_waits_for_the_threads_of_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
