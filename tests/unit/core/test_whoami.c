#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tcpgreet/core/whoami.h"

static void the_longest_values_of_all_keys_have_room(void **state)
{
    static char longest[WHOAMI_VALUE_MAX + 1], room[WHOAMI_BYTES];
    const char *values[WHOAMI_KEY_COUNT];
    struct sink out = {room, 0, sizeof room};
    (void)state;

    memset(longest, 'x', WHOAMI_VALUE_MAX);
    for (size_t key = 0; key < WHOAMI_KEY_COUNT; key++)
        values[key] = longest;
    assert_true(whoami_put(values, &out));
}

static void an_answer_without_room_appends_nothing(void **state)
{
    char room[32] = "before";
    const char *values[WHOAMI_KEY_COUNT] = {
        [WHOAMI_PEER] = "127.0.0.1:5000", [WHOAMI_LOCAL] = "127.0.0.1:6000"};
    struct sink out = {room, 6, sizeof room};
    (void)state;

    for (size_t key = WHOAMI_LOCAL + 1; key < WHOAMI_KEY_COUNT; key++)
        values[key] = "";
    assert_false(whoami_put(values, &out));
    assert_int_equal(out.length, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_values_of_all_keys_have_room),
        cmocka_unit_test(an_answer_without_room_appends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
