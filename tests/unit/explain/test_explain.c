#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/explain/explain.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LINE_BYTES = 1024, TERMINAL_COLUMNS = 80, MS = 1000 * 1000 };

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

static void every_step_has_a_title_and_a_reason(void **state)
{
    (void)state;
    for (unsigned step = 0; step < TRACE_STEPS; step++) {
        const char *title = explain_title((enum trace_step)step);
        const char *why = explain_why((enum trace_step)step);
        if (title == NULL || title[0] == '\0' || !is_printable(title))
            fail_msg("step %u has no title", step);
        if (why == NULL || strlen(why) < 20 || !is_printable(why) || why[strlen(why) - 1] != '.')
            fail_msg("%s has no whole sentence as its reason", title);
    }
    assert_null(explain_title(TRACE_STEPS));
    assert_null(explain_why(TRACE_STEPS));
}

static void each_event_becomes_one_line(void **state)
{
    static const struct {
        struct trace_event event;
        const char *line;
    } cases[] = {
        {{.step = TRACE_SOCKET, .fd = -1, .arguments = "AF_INET6", .result = 3}, "socket(AF_INET6) = 3"},
        {{.step = TRACE_SOCKET, .fd = -1, .result = -1, .native = EACCES}, "socket() = Permission denied"},
        {{.step = TRACE_BIND, .fd = 3, .arguments = "[::1]:80"}, "bind(3, [::1]:80)"},
        {{.step = TRACE_BIND, .fd = 3, .arguments = "[::1]:80", .result = -1, .native = EACCES},
         "bind(3, [::1]:80) = Permission denied"},
        {{.step = TRACE_ACCEPT, .fd = 3, .arguments = "[::1]:5", .result = 7}, "accept4(3, [::1]:5) = 7"},
        {{.step = TRACE_NODELAY, .fd = 7}, "setsockopt TCP_NODELAY(7)"},
        {{.step = TRACE_BIND_NO_PORT, .fd = 7}, "setsockopt IP_BIND_ADDRESS_NO_PORT(7)"},
        {{.step = TRACE_RESOLVED, .fd = -1, .arguments = "AAAA", .result = 1},
         "getaddrinfo result for AAAA: 1 address"},
        {{.step = TRACE_RESOLVED, .fd = -1, .arguments = "A", .result = 2},
         "getaddrinfo result for A: 2 addresses"},
        {{.step = TRACE_RESOLVED, .fd = -1, .arguments = "A", .result = -1, .data = {"why", 3}},
         "getaddrinfo result for A: failed: \"why\""},
        {{.step = TRACE_RESOLVE_CANCEL, .fd = -1, .arguments = "AAAA"}, "getaddrinfo: cancel for AAAA"},
        {{.step = TRACE_RACE_HOLD, .fd = -1, .result = 50}, "race: wait: 50 ms"},
        {{.step = TRACE_RACE_WON, .fd = 5}, "race: this connection is used (socket 5)"},
        {{.step = TRACE_READ, .fd = 7, .result = 4, .data = {"Ann\n", 4}}, "recv(7) = 4 bytes: \"Ann\\n\""},
        {{.step = TRACE_READ, .fd = 7, .result = 1, .data = {"A", 1}}, "recv(7) = 1 byte: \"A\""},
        {{.step = TRACE_READ, .fd = 7, .result = -1, .native = ECONNRESET},
         "recv(7) = Connection reset by peer"},
        {{.step = TRACE_READ, .fd = 7, .result = 4, .data = {"Ann\n", 4}, .bytes = TRACE_BYTES_HANDSHAKE},
         "recv(7) = 4 bytes during the TLS handshake"},
        {{.step = TRACE_READ, .fd = 7, .result = 4, .data = {"Ann\n", 4}, .bytes = TRACE_BYTES_ENCRYPTED},
         "recv(7) = 4 encrypted bytes"},
        {{.step = TRACE_WRITE, .fd = 7, .result = 1, .data = {"A", 1}, .bytes = TRACE_BYTES_ENCRYPTED},
         "send(7) = 1 encrypted byte"},
        {{.step = TRACE_END, .fd = 7}, "recv(7) = 0 bytes"},
        {{.step = TRACE_WRITE, .fd = 7, .result = 2, .data = {"\x1b\xff", 2}},
         "send(7) = 2 bytes: \"\\x1b\\xff\""},
        {{.step = TRACE_NAME_SPLIT, .fd = 7, .result = 3},
         "the data read does not end where a name ends (socket 7): 3 names"},
        {{.step = TRACE_SHUTDOWN, .fd = 7, .arguments = "SHUT_WR"}, "shutdown(7, SHUT_WR)"},
        {{.step = TRACE_CLOSE, .fd = 7}, "close(7)"},
        {{.step = TRACE_CLOSE, .fd = 7, .begin_ns = 13 * MS}, "close(7)  [2.000 ms]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char line[LINE_BYTES], expected[LINE_BYTES];
        snprintf(expected, sizeof expected, "     5.000 ms  %s", cases[i].line);
        assert_string_equal(explain_format(&cases[i].event, 10 * MS, 15 * MS, line, sizeof line), expected);
    }
}

/* Every step, with any bytes, arguments and results. */
static void every_byte_of_a_line_is_printable(void **state)
{
    char data[256], line[LINE_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)i;
    for (unsigned step = 0; step < TRACE_STEPS; step++) {
        for (int result = -1; result < 3; result++) {
            for (size_t from = 0; from < sizeof data; from += 32) {
                struct trace_event event = {.step = (enum trace_step)step,
                                            .fd = result,
                                            .arguments = result == 0 ? NULL : "[fe80::1%eth0]:6000",
                                            .result = result,
                                            .native = result < 0 ? ENOENT : 0,
                                            .begin_ns = 1,
                                            .data = {data + from, 32}};
                explain_format(&event, 0, MS, line, sizeof line);
                assert_true(is_printable(line));
                assert_non_null(strstr(line, explain_title((enum trace_step)step)));
            }
        }
    }
}

static void a_line_fits_into_any_buffer(void **state)
{
    char data[2000], arguments[600];
    (void)state;
    memset(data, '\n', sizeof data);
    memset(arguments, 'a', sizeof arguments);
    arguments[sizeof arguments - 1] = '\0';
    for (size_t room = 128; room < 1200; room += 67) {
        char *line = malloc(room); /* so that a sanitizer sees its end */
        struct trace_event event = {.step = TRACE_READ,
                                    .fd = 7,
                                    .arguments = arguments,
                                    .result = sizeof data,
                                    .begin_ns = 1,
                                    .data = {data, sizeof data}};
        assert_non_null(line);
        explain_format(&event, 0, MS, line, room);
        assert_true(strlen(line) < room);
        assert_true(is_printable(line));
        free(line);
    }
}

struct lines {
    size_t count;
    char text[64][LINE_BYTES];
};

static void on_line(void *context, const struct log_event *event, const char *line)
{
    struct lines *lines = context;
    assert_string_equal(event->name, "step");
    assert_null(event->fields);
    assert_true(lines->count < COUNT(lines->text));
    assert_true(is_printable(line));
    snprintf(lines->text[lines->count++], LINE_BYTES, "%s", line);
}

/* Joins the lines of a reason back together. */
static void join(const struct lines *lines, size_t from, char *text)
{
    text[0] = '\0';
    for (size_t i = from; i < lines->count; i++) {
        const char *line = lines->text[i];
        assert_true(strlen(line) <= TERMINAL_COLUMNS);
        if (i > from)
            strcat(text, " ");
        strcat(text, line + strspn(line, " "));
    }
}

static void each_step_is_printed_each_time_and_its_reason_once(void **state)
{
    static struct lines lines;
    (void)state;
    explain_start(LOG_TEXT, on_line, &lines);
    for (unsigned step = 0; step < TRACE_STEPS; step++) {
        char why[4 * LINE_BYTES];
        lines.count = 0;
        trace(.step = (enum trace_step)step, .fd = 7);
        assert_true(lines.count >= 2);
        join(&lines, 1, why);
        assert_string_equal(why, explain_why((enum trace_step)step));
        lines.count = 0;
        trace(.step = (enum trace_step)step, .fd = 7);
        assert_int_equal(lines.count, 1);
        assert_non_null(strstr(lines.text[0], explain_title((enum trace_step)step)));
    }
    trace_to(NULL, NULL);
}

/* "name=value; " of each fact that is known. */
static void put_facts(const struct log_field *field, char *text, size_t room)
{
    text[0] = '\0';
    for (; field->name != NULL; field++) {
        size_t length = strlen(text);
        if (field->kind == LOG_FIELD_COUNT)
            snprintf(text + length, room - length, "%s=%u; ", field->name, (unsigned)field->count);
        else if (field->kind == LOG_FIELD_NUMBER)
            snprintf(text + length, room - length, "%s; ", field->name);
        else if (field->text != NULL && field->text[0] != '\0')
            snprintf(text + length, room - length, "%s=%s; ", field->name, field->text);
    }
}

struct events {
    size_t count;
    char facts[LINE_BYTES];
    char line[LINE_BYTES];
};

static void on_event(void *context, const struct log_event *event, const char *line)
{
    struct events *events = context;
    events->count++;
    put_facts(event->fields, events->facts, sizeof events->facts);
    snprintf(events->line, sizeof events->line, "%s", line);
}

static void as_json_a_step_is_one_event_with_facts(void **state)
{
    static struct events events;
    static const struct {
        struct trace_event event;
        const char *facts;
    } cases[] = {
        {{.step = TRACE_BIND, .fd = 3, .arguments = "[::1]:80"},
         "call=bind; arguments=[::1]:80; fd=3; result=0; "},
        {{.step = TRACE_SOCKET, .fd = -1, .arguments = "AF_INET6", .result = 3},
         "call=socket; arguments=AF_INET6; result=3; "},
        {{.step = TRACE_READ, .fd = 7, .result = 4, .data = {"Ann\n", 4}, .begin_ns = 1},
         "call=recv; fd=7; result=4; duration_seconds; "},
        {{.step = TRACE_READ, .fd = 7, .result = -1, .native = ECONNRESET},
         "call=recv; fd=7; error=Connection reset by peer; "},
        {{.step = TRACE_RESOLVED, .fd = -1, .arguments = "A", .result = -1, .data = {"w\n", 2}},
         "call=getaddrinfo result for; arguments=A; error=w\\n; "},
        {{.step = TRACE_RACE_LOST, .fd = 5}, "call=race: this attempt is cancelled; fd=5; "},
    };
    (void)state;
    explain_start(LOG_JSON, on_event, &events);
    for (unsigned step = 0; step < TRACE_STEPS; step++) {
        events.count = 0;
        trace(.step = (enum trace_step)step, .fd = 7);
        trace(.step = (enum trace_step)step, .fd = 7);
        assert_int_equal(events.count, 2);
        assert_int_not_equal(events.line[0], ' ');
    }
    for (size_t i = 0; i < COUNT(cases); i++) {
        trace_emit(&cases[i].event);
        assert_string_equal(events.facts, cases[i].facts);
    }
    trace_to(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_has_a_title_and_a_reason),
        cmocka_unit_test(each_event_becomes_one_line),
        cmocka_unit_test(every_byte_of_a_line_is_printable),
        cmocka_unit_test(a_line_fits_into_any_buffer),
        cmocka_unit_test(each_step_is_printed_each_time_and_its_reason_once),
        cmocka_unit_test(as_json_a_step_is_one_event_with_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
