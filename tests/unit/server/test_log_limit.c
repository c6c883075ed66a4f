#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/log_limit.h"

enum { NOW = 1000 * 1000 };

static void admit(struct log_limit *limit, int64_t now_ms, unsigned count)
{
    uint64_t suppressed = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_true(log_limit_admits(limit, now_ms, &suppressed));
        assert_int_equal(suppressed, 0);
    }
}

static void lines_beyond_the_limit_of_a_window_are_counted_once(void **state)
{
    struct log_limit limit = LOG_LIMIT_INIT;
    uint64_t suppressed = 0;
    (void)state;
    admit(&limit, NOW, LOG_LIMIT_LINES);
    for (int i = 0; i < 7; i++)
        assert_false(log_limit_admits(&limit, NOW + LOG_LIMIT_WINDOW_MS - 1, &suppressed));
    assert_true(log_limit_admits(&limit, NOW + LOG_LIMIT_WINDOW_MS, &suppressed));
    assert_int_equal(suppressed, 7);
    admit(&limit, NOW + LOG_LIMIT_WINDOW_MS, LOG_LIMIT_LINES - 1);
    assert_false(log_limit_admits(&limit, NOW + LOG_LIMIT_WINDOW_MS, &suppressed));
}

static void a_window_begins_with_its_first_line(void **state)
{
    struct log_limit limit = LOG_LIMIT_INIT;
    uint64_t suppressed = 0;
    (void)state;
    admit(&limit, NOW, 1);
    admit(&limit, NOW + 2 * LOG_LIMIT_WINDOW_MS, LOG_LIMIT_LINES);
    assert_false(log_limit_admits(&limit, NOW + 3 * LOG_LIMIT_WINDOW_MS - 1, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_beyond_the_limit_of_a_window_are_counted_once),
        cmocka_unit_test(a_window_begins_with_its_first_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
