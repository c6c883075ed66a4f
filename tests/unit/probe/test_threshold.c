#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tcpgreet/probe/threshold.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct threshold_list list;

static void accept(const char *text)
{
    struct err err = {0};
    if (threshold_parse(&list, "--warn", text, &err) != 0)
        fail_msg("%s is refused: %s", text, err.text);
    assert_int_equal(err.reason, ERR_OK);
}

static void refuse(const char *text, const char *sent)
{
    struct err err = {0};
    if (threshold_parse(&list, "--warn", text, &err) == 0)
        fail_msg("%s is accepted, but expected: %s", text, sent);
    assert_int_equal(err.reason, ERR_USAGE);
    assert_string_equal(err.text, sent);
}

static void ranges_are_those_of_the_plugin_guidelines(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        double start, end;
        bool inside;
        const char *text;
    } cases[] = {
        {"10", 0, 10, false, "10"},
        {"10:", 10, INFINITY, false, "10:"},
        {"~:10", -INFINITY, 10, false, "~:10"},
        {"10:20", 10, 20, false, "10:20"},
        {"@10:20", 10, 20, true, "@10:20"},
        {"@5", 0, 5, true, "@5"},
        {"@10:", 10, INFINITY, true, "@10:"},
        {"@~:10", -INFINITY, 10, true, "@~:10"},
        {"0:10", 0, 10, false, "10"},
        {":10", 0, 10, false, "10"},
        {"~:", -INFINITY, INFINITY, false, "~:"},
        {"0", 0, 0, false, "0"},
        {"0.25", 0, 0.25, false, "0.25"},
        {".5", 0, 0.5, false, "0.5"},
        {"3:3", 3, 3, false, "3:3"},
        {"200ms", 0, 0.2, false, "0.2"},
        {"1s", 0, 1, false, "1"},
        {"1.5s:2s", 1.5, 2, false, "1.5:2"},
        {"0.00001", 0, 0.00001, false, "0.00001"},
        {"1:1000000000", 1, 1e9, false, "1:1000000000"},
        {"@5ms:0.1", 0.005, 0.1, true, "@0.005:0.1"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        accept(cases[i].word);
        assert_int_equal(list.count, 1);
        assert_string_equal(list.terms[0].name, "total");
        const struct threshold_range *range = &list.terms[0].range;
        if (range->start != cases[i].start || range->end != cases[i].end || range->inside != cases[i].inside)
            fail_msg("%s is %g..%g", cases[i].word, range->start, range->end);
        assert_string_equal(range->text, cases[i].text);
    }
}

static void a_value_alerts_outside_and_with_an_at_sign_inside(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        double quiet[3], loud[3];
    } cases[] = {
        {"10", {0, 5, 10}, {-0.1, 10.1, 1e9}},        {"10:", {10, 10.5, 1e9}, {9.9, 0, -1}},
        {"~:10", {-1e9, 0, 10}, {10.1, 11, 1e9}},     {"10:20", {10, 15, 20}, {9.9, 20.1, 0}},
        {"@10:20", {9.9, 20.1, 0}, {10, 15, 20}},     {"@~:1", {1.1, 2, 3}, {-1, 0, 1}},
        {"200ms", {0, 0.1, 0.2}, {0.2001, 0.3, 200}},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        accept(cases[i].word);
        for (size_t j = 0; j < 3; j++) {
            if (threshold_alerts(&list.terms[0].range, cases[i].quiet[j]))
                fail_msg("%s alerts at %g", cases[i].word, cases[i].quiet[j]);
            if (!threshold_alerts(&list.terms[0].range, cases[i].loud[j]))
                fail_msg("%s is quiet at %g", cases[i].word, cases[i].loud[j]);
        }
    }
}

static void each_time_has_a_range_of_its_own(void **state)
{
    (void)state;
    accept("connect=0.1,total=0.5,tls=@1:2");
    assert_int_equal(list.count, 3);
    assert_string_equal(threshold_find(&list, "connect")->text, "0.1");
    assert_string_equal(threshold_find(&list, "total")->text, "0.5");
    assert_string_equal(threshold_find(&list, "tls")->text, "@1:2");
    assert_null(threshold_find(&list, "name"));

    accept("resolve=1,connect=1,tls=1,welcome=1,name=1,close=1,volume=1,total=1");
    assert_int_equal(list.count, 8);

    accept("close=2s,300ms"); /* a range alone is of the total */
    assert_string_equal(threshold_find(&list, "total")->text, "0.3");
    assert_int_equal(list.count, 2);
}

static void a_fault_is_reported_with_its_remedy(void **state)
{
    (void)state;
    refuse("", "--warn: the range \"\" has no number: give 10, 10:, ~:10, 10:20 or @10:20");
    refuse("@", "--warn: the range \"@\" has no number: give 10, 10:, ~:10, 10:20 or @10:20");
    refuse(":", "--warn: the range \":\" has no number: give 10, 10:, ~:10, 10:20 or @10:20");
    refuse("connect=", "--warn: the range \"\" has no number: give 10, 10:, ~:10, 10:20 or @10:20");
    refuse("1,", "--warn: the range \"\" has no number: give 10, 10:, ~:10, 10:20 or @10:20");
    refuse("20:10", "--warn: the range \"20:10\" begins above its end");
    refuse("1s:200ms", "--warn: the range \"1s:200ms\" begins above its end");
    refuse("conect=1",
           "--warn: unknown time \"conect\": give resolve, connect, proxy, starttls, tls, welcome, name, "
           "close, exchange, volume, total or days");
    refuse("=1",
           "--warn: unknown time \"\": give resolve, connect, proxy, starttls, tls, welcome, name, close, "
           "exchange, volume, total or days");
    refuse("days=7d:", "--warn: \"7d\" is not a number of days: give days=30: or days=7:");
    refuse("days=7:,days=8:", "--warn limits days twice");
    refuse("con\x1b=1",
           "--warn: unknown time \"con\\x1b\": give resolve, connect, proxy, starttls, tls, welcome, name, "
           "close, exchange, volume, total or days");
    refuse("tls=1,tls=2", "--warn limits tls twice");
    refuse("1,total=2", "--warn limits total twice");
    refuse("1000000001", "--warn: \"1000000001\" is more than 1000000000 s");
    refuse("1,5s", "--warn limits total twice");
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"x",     "1x", "1 s",   "-1",  "+1",   "1e3",    "1m",
                                        "1.2.3", ".",  "1:2:3", "@@1", "0x1",  "nan",    "~",
                                        "1:~",   "ms", "inf",   "1,x", "1:-2", "1000ss", "name=s"};

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct err err = {0};
        if (threshold_parse(&list, "--crit", wrong[i], &err) == 0)
            fail_msg("%s is accepted", wrong[i]);
        assert_int_equal(err.reason, ERR_USAGE);
        if (strncmp(err.text, "--crit", 6) != 0)
            fail_msg("%s: %s", wrong[i], err.text);
    }
    refuse("0.2.1",
           "--warn: \"0.2.1\" is not a time: give seconds such as 0.2, or a unit such as 200ms or 1s");
    refuse("1111111111111111111111111",
           "--warn: \"1111111111111111111111111\" is not a time: give seconds such as 0.2, or a unit such as "
           "200ms or 1s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_those_of_the_plugin_guidelines),
        cmocka_unit_test(a_value_alerts_outside_and_with_an_at_sign_inside),
        cmocka_unit_test(each_time_has_a_range_of_its_own),
        cmocka_unit_test(a_fault_is_reported_with_its_remedy),
        cmocka_unit_test(what_is_no_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
