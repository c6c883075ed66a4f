#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/line.h"

enum { WORDS_MAX = 6 };

static const char *words[OPTION_LINE_WORDS_MAX];
static const char *operands[OPTION_LINE_WORDS_MAX + 1];

/* Copied to where a byte too many is found by a sanitizer. */
static char *copy(const char *text, size_t length)
{
    char *line = malloc(length + 1);
    assert_non_null(line);
    memcpy(line, text, length);
    return line;
}

static void a_line_is_split_as_a_shell_does_without_expansions(void **state)
{
    static const struct {
        const char *line;
        const char *words[WORDS_MAX];
    } cases[] = {
        {"", {NULL}},
        {"  \t ", {NULL}},
        {"# a comment", {NULL}},
        {"a 1#2 #3", {"a", "1#2"}},
        {"\ta  b\t", {"a", "b"}},
        {"'a b' \"c d\"", {"a b", "c d"}},
        {"a'b'\"c\"d", {"abcd"}},
        {"'' \"\" x", {"", "", "x"}},
        {"'a\"\\$#b'", {"a\"\\$#b"}},
        {"\"a\\\"\\\\\\$\\`\\n'b\"", {"a\"\\$`\\n'b"}},
        {"a\\ b \\# \\'", {"a b", "#", "'"}},
        {"$HOME ~ *", {"$HOME", "~", "*"}},
        {"\xc3\xa4\xc3\xb6 1", {"\xc3\xa4\xc3\xb6", "1"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        size_t length = strlen(cases[i].line);
        char *line = copy(cases[i].line, length);
        int count = option_split_line(line, length, words, &err);
        for (int w = 0; w < count; w++)
            assert_string_equal(words[w], cases[i].words[w]);
        if (count < 0 || cases[i].words[count] != NULL)
            fail_msg("%d words of: %s", count, cases[i].line);
        free(line);
    }
}

static void refuse_split(const char *text, size_t length, const char *message)
{
    struct err err = {0};
    char *line = copy(text, length);
    assert_int_equal(option_split_line(line, length, words, &err), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    assert_string_equal(err.text, message);
    free(line);
}

static void a_line_that_is_none_is_refused(void **state)
{
    static char longest[OPTION_LINE_BYTES + 1];
    struct err err = {0};

    (void)state;
    refuse_split("a 'b", 4, "the quote ' is not closed");
    refuse_split("a \"b'\\\"", 7, "the quote \" is not closed");
    refuse_split("a b\\", 4, "a backslash at the end of the line: a target has one line");
    refuse_split("a\0b", 3, "the line has a NUL byte: text in UTF-8 is expected");
    memset(longest, ' ', sizeof(longest));
    refuse_split(longest, sizeof(longest), "the line has more than 4096 bytes");
    for (size_t i = 0; i < OPTION_LINE_BYTES; i += 2)
        longest[i] = 'a';
    char *line = copy(longest, OPTION_LINE_BYTES);
    assert_int_equal(option_split_line(line, OPTION_LINE_BYTES, words, &err), OPTION_LINE_BYTES / 2);
    free(line);
}

/* A command line, and a line of its list. */
struct pair {
    struct options base, options;
    char *text;
    int result;
    struct err err;
};

static void parse(struct pair *pair, int argc, const char *const *argv, const char *text)
{
    *pair = (struct pair){.text = copy(text, strlen(text))};
    if (options_parse(&pair->base, argc, argv, &pair->err) < 0)
        fail_msg("%s", pair->err.text);
    int count = option_split_line(pair->text, strlen(text), words, &pair->err);
    const struct option_line line = {words, count, operands, &pair->base};
    pair->result = option_parse_line(&pair->options, &line, &pair->err);
}

static void end(struct pair *pair)
{
    option_line_fini(&pair->options.probe, &pair->base);
    options_fini(&pair->base);
    free(pair->text);
}

#define BASE(...)                                                                                            \
    {                                                                                                        \
        "tcpgreet", "--probe", "--targets", "list", __VA_ARGS__                                              \
    }
#define PARSE(pair, text, base) parse(pair, (int)(sizeof(base) / sizeof(base[0])), base, text)

static void the_target_has_one_word_or_two_at_any_place(void **state)
{
    static const char *const base[] = BASE("-q");
    static const char *const lines[] = {"host 6000", "host:6000", "--until tls host 6000", "host --tls 6000",
                                        "-4 host:6000 --tls"};
    static struct pair pair;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        PARSE(&pair, lines[i], base);
        if (pair.result < 0)
            fail_msg("%s: %s", lines[i], pair.err.text);
        assert_string_equal(pair.options.probe.target.host, "host");
        assert_string_equal(pair.options.probe.target.service, "6000");
        end(&pair);
    }
    PARSE(&pair, "[::1]:6000", base);
    assert_int_equal(pair.options.probe.target.kind, TARGET_IPV6);
    end(&pair);
}

static void a_line_overrides_the_command_line(void **state)
{
    static const char *const base[] =
        BASE("-4", "--tls", "--connect-timeout", "5s", "--pin",
             "sha256:0000000000000000000000000000000000000000000000000000000000000000", "--cert", "a",
             "--key", "b", "--warn", "total=1", "--timeout", "9s");
    static struct pair pair;

    (void)state;
    PARSE(&pair,
          "host 1 -6 --connect-timeout 1s --pin "
          "sha256:1111111111111111111111111111111111111111111111111111111111111111 --cert c --warn connect=2",
          base);
    if (pair.result < 0)
        fail_msg("%s", pair.err.text);
    const struct probe_config *probe = &pair.options.probe;
    assert_true(probe->ipv6_only);
    assert_false(probe->ipv4_only);
    assert_true(probe->use_tls);
    assert_int_equal(probe->connect_timeout_ms, 1000);
    assert_int_equal(probe->tls.pins.count, 1);
    assert_int_equal(probe->tls.pins.list[0].sha256[0], 0x11);
    assert_string_equal(probe->tls.identity.cert, "c");
    assert_null(probe->tls.identity.key);
    assert_null(threshold_find(&probe->limits.warn, "total"));
    assert_non_null(threshold_find(&probe->limits.warn, "connect"));
    assert_int_equal(probe->timeout_ms, 0); /* that is the whole run's */
    assert_int_equal(pair.base.probe.timeout_ms, 9000);
    end(&pair);

    PARSE(&pair, "host 1", base);
    assert_int_equal(pair.result, 0);
    assert_true(pair.options.probe.ipv4_only);
    assert_int_equal(pair.options.probe.connect_timeout_ms, 5000);
    assert_string_equal(pair.options.probe.tls.identity.key, "b");
    end(&pair);
}

static void an_option_of_the_command_line_may_be_for_some_lines_only(void **state)
{
    static const char *const base[] = BASE("--ca", "x", "--warn", "tls=1");
    static struct pair pair;

    (void)state;
    PARSE(&pair, "host 1", base);
    assert_int_equal(pair.result, 0);
    assert_false(pair.options.probe.use_tls);
    end(&pair);
    PARSE(&pair, "host 1 --until tls", base);
    assert_int_equal(pair.result, 0);
    assert_true(pair.options.probe.use_tls);
    assert_string_equal(pair.options.probe.tls.ca, "x");
    end(&pair);
}

static void an_exchange_of_a_line_replaces_that_of_the_command_line(void **state)
{
    static const char *base[4 + 2 * SCRIPT_STEPS_MAX] = BASE();
    static const char *const lines[] = {"host 1 --expect b", "host 1 --send b --expect c",
                                        "host 1 --reject b"};
    static struct pair pair;
    struct err err = {0};

    (void)state;
    if (script_check_built(&err) < 0)
        skip();
    for (size_t i = 4; i < sizeof(base) / sizeof(base[0]); i += 2) {
        base[i] = "--expect";
        base[i + 1] = "a";
    }
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        for (int given = 1; given <= SCRIPT_STEPS_MAX; given += given == 1 ? 6 : 57) {
            parse(&pair, 4 + 2 * given, base, lines[i]);
            if (pair.result < 0)
                fail_msg("%s: %s", lines[i], pair.err.text);
            assert_int_equal(pair.options.probe.script.count, i == 1 ? 2 : 1);
            assert_int_equal(pair.base.probe.script.count, given);
            end(&pair);
        }
}

static void a_wrong_line_is_refused_in_words(void **state)
{
    static const char *const base[] = BASE("-4");
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"host", "the port is missing: HOST PORT"},
        {"--tls", "the target is missing: HOST PORT"},
        {"host 0", "port 0 cannot be connected to"},
        {"host 1 2", "unexpected argument: \"2\" (a line has HOST PORT [OPTION...])"},
        {"host:1 2", "unexpected argument: \"2\" (a line has HOST PORT [OPTION...])"},
        {"host 1 -- ls", "unexpected argument: \"ls\" (a line has HOST PORT [OPTION...])"},
        {"host 1 --probe a 2", "--probe concerns the whole run: give it on the command line"},
        {"host 1 --format json", "--format concerns the whole run: give it on the command line"},
        {"host 1 -v", "-v/--verbose concerns the whole run: give it on the command line"},
        {"host 1 -h", "-h/--help concerns the whole run: give it on the command line"},
        {"host 1 --targets x", "--targets concerns the whole run: give it on the command line"},
        {"host 1 --workers 2", "--workers is for --listen or --bench, not for --probe"},
        {"host 1 --ca x", "--ca needs --tls"},
        {"host 1 --tls --tls", "--tls is given twice"},
        {"host 1 -4 -6", "-4 and -6 exclude each other (both families are used without them)"},
        {"::1 1", "-4 allows IPv4 only, but the --probe address ::1 is IPv6"},
        {"host 1 --warn tls=1",
         "--warn limits tls, which is not measured (see --until, --proxy, --tls, --starttls, --volume and --expect)"},
        {"host 1 --proxy http://me@proxy:3128",
         "a proxy with a user is given on the command line, and its password in the environment"},
    };
    static struct pair pair;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PARSE(&pair, cases[i].line, base);
        if (pair.result == 0)
            fail_msg("accepted: %s", cases[i].line);
        assert_string_equal(pair.err.text, cases[i].message);
        assert_int_equal(pair.err.reason, ERR_USAGE);
        end(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_split_as_a_shell_does_without_expansions),
        cmocka_unit_test(a_line_that_is_none_is_refused),
        cmocka_unit_test(the_target_has_one_word_or_two_at_any_place),
        cmocka_unit_test(a_line_overrides_the_command_line),
        cmocka_unit_test(an_option_of_the_command_line_may_be_for_some_lines_only),
        cmocka_unit_test(an_exchange_of_a_line_replaces_that_of_the_command_line),
        cmocka_unit_test(a_wrong_line_is_refused_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
