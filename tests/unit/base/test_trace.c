#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tcpgreet/base/trace.h"

struct record {
    int calls;
    struct trace_event last;
};

static void record_and_spoil_errno(void *context, const struct trace_event *event)
{
    struct record *record = context;
    record->calls++;
    record->last = *event;
    errno = EDOM;
}

static int turn_off(void **state)
{
    (void)state;
    trace_to(NULL, NULL);
    return 0;
}

static void step_reaches_the_sink_whole(void **state)
{
    (void)state;
    struct record record = {0};
    trace_to(record_and_spoil_errno, &record);
    uint64_t begin = trace_begin();
    assert_true(begin > 0);
    assert_true(trace_begin() >= begin);
    trace(.step = TRACE_BIND, .fd = 7, .arguments = "[::1]:6000", .result = -1, .native = EADDRINUSE,
          .begin_ns = begin, .data = BYTES_LITERAL("x"));
    assert_int_equal(record.calls, 1);
    assert_int_equal(record.last.step, TRACE_BIND);
    assert_int_equal(record.last.fd, 7);
    assert_string_equal(record.last.arguments, "[::1]:6000");
    assert_int_equal(record.last.result, -1);
    assert_int_equal(record.last.native, EADDRINUSE);
    assert_true(record.last.begin_ns == begin);
    assert_int_equal(record.last.data.length, 1);
}

static void errno_survives_a_traced_step(void **state)
{
    (void)state;
    struct record record = {0};
    trace_to(record_and_spoil_errno, &record);
    errno = ENETUNREACH;
    trace(.step = TRACE_CONNECT, .fd = 3, .begin_ns = trace_begin());
    assert_int_equal(errno, ENETUNREACH);
    assert_int_equal(record.calls, 1);
}

static void nothing_is_evaluated_while_the_trace_is_off(void **state)
{
    (void)state;
    struct record record = {0};
    int evaluated = 0;
    trace_to(record_and_spoil_errno, &record);
    trace_to(NULL, NULL);
    assert_true(trace_begin() == 0);
    trace(.step = TRACE_READ, .fd = ++evaluated);
    trace_emit(&(struct trace_event){.step = TRACE_READ});
    assert_int_equal(evaluated, 0);
    assert_int_equal(record.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(step_reaches_the_sink_whole, turn_off),
        cmocka_unit_test_teardown(errno_survives_a_traced_step, turn_off),
        cmocka_unit_test_teardown(nothing_is_evaluated_while_the_trace_is_off, turn_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
