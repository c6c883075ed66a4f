#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/guard.h"
#include "tcpgreet/base/escape.h"

#define VIEW(literal)                                                                                        \
    (struct bytes)                                                                                           \
    {                                                                                                        \
        (literal), sizeof(literal) - 1                                                                       \
    }

static const struct escape_style plain;

/* Every distinguished case, including cut characters. */
static const char sample[] = "Mi\\\n\x1b[2J\xc3\xbc\xe2\x82\xac\xf0\x9f\x91\x8b\xe2\x80\xae\xc3\xf0\x9f\x91"
                             "a\xc2\x9b\xff\xed\xa0\x80\xf0\x9f";

/* Escapes a copy of bytes that must not be overread. */
static size_t escape_guarded(struct bytes bytes, struct escape_style style, struct sink *sink)
{
    const char *copy = guard_bytes(bytes.data, bytes.length);
    size_t taken = escape((struct bytes){copy, bytes.length}, style, sink);
    guard_free(copy, bytes.length);
    return taken;
}

static void assert_escaped(struct bytes in, struct escape_style style, const char *expected)
{
    char text[256];
    struct sink sink = {text, 0, sizeof(text) - 1};
    assert_int_equal(escape_guarded(in, style, &sink), in.length);
    text[sink.length] = '\0';
    assert_string_equal(text, expected);
}

static void printable_text_passes_as_it_is(void **state)
{
    (void)state;
    assert_escaped(VIEW(""), plain, "");
    assert_escaped(VIEW(" !\"#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~"), plain,
                   " !\"#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~");
    assert_escaped(VIEW("M\xc3\xbcller \xe2\x82\xac \xe5\xb1\xb1 \xf0\x9f\x91\x8b\xef\xb8\x8f"), plain,
                   "M\xc3\xbcller \xe2\x82\xac \xe5\xb1\xb1 \xf0\x9f\x91\x8b\xef\xb8\x8f");
}

static void controls_and_backslashes_are_escaped(void **state)
{
    (void)state;
    assert_escaped(VIEW("a\nb\rc\td\\e"), plain, "a\\nb\\rc\\td\\\\e");
    assert_escaped(VIEW("\0\x01\x1b[31m\x1f\x7f"), plain, "\\x00\\x01\\x1b[31m\\x1f\\x7f");
}

static void quotes_are_escaped_in_text_that_is_quoted(void **state)
{
    struct escape_style quoted = {.quoted = true};
    char text[16];
    (void)state;
    assert_escaped(VIEW("its \"hi\" \\"), quoted, "its \\\"hi\\\" \\\\");
    assert_string_equal(escape_quoted(VIEW("\"a\""), text, sizeof(text)), "\\\"a\\\"");
    assert_string_equal(escape_quoted(VIEW("\"\"\"\"\"\"\"\"\"\""), text, 9), "\\\"\\\"...");
    assert_string_equal(escape_text(VIEW("\"a\""), text, sizeof(text)), "\"a\"");
}

static void malformed_utf8_is_escaped_byte_for_byte(void **state)
{
    (void)state;
    static const struct {
        struct bytes in;
        const char *expected;
    } cases[] = {
        {{"\x80", 1}, "\\x80"},
        {{"\xc3", 1}, "\\xc3"},
        {{"\xc3(", 2}, "\\xc3("},
        {{"\xc3\xc3\xbc", 3}, "\\xc3\xc3\xbc"},
        {{"\xc0\xaf", 2}, "\\xc0\\xaf"},                   /* overlong */
        {{"\xc1\xbf", 2}, "\\xc1\\xbf"},                   /* overlong */
        {{"\xe0\x9f\xbf", 3}, "\\xe0\\x9f\\xbf"},          /* overlong */
        {{"\xf0\x8f\xbf\xbf", 4}, "\\xf0\\x8f\\xbf\\xbf"}, /* overlong */
        {{"\xed\xa0\x80", 3}, "\\xed\\xa0\\x80"},          /* surrogate */
        {{"\xed\xbf\xbf", 3}, "\\xed\\xbf\\xbf"},          /* surrogate */
        {{"\xf4\x90\x80\x80", 4}, "\\xf4\\x90\\x80\\x80"}, /* over U+10FFFF */
        {{"\xf5\x80\x80\x80", 4}, "\\xf5\\x80\\x80\\x80"},
        {{"\xe2\x82", 2}, "\\xe2\\x82"},
        {{"\xe2\x82z", 3}, "\\xe2\\x82z"},
        {{"\xf0\x9f\x91", 3}, "\\xf0\\x9f\\x91"},
        {{"\xf0\x9f\x91\xf0\x9f\x91\x8b", 7}, "\\xf0\\x9f\\x91\xf0\x9f\x91\x8b"},
        {{"\xff\xfe", 2}, "\\xff\\xfe"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_escaped(cases[i].in, plain, cases[i].expected);
}

static size_t encode(uint32_t code_point, char out[4])
{
    if (code_point < 0x800) {
        out[0] = (char)(0xc0 | code_point >> 6);
        out[1] = (char)(0x80 | (code_point & 0x3f));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = (char)(0xe0 | code_point >> 12);
        out[1] = (char)(0x80 | (code_point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code_point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code_point >> 18);
    out[1] = (char)(0x80 | (code_point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code_point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code_point & 0x3f));
    return 4;
}

static bool passes(uint32_t code_point)
{
    char in[4];
    char out[16];
    struct sink sink = {out, 0, sizeof(out)};
    size_t length = encode(code_point, in);
    assert_int_equal(escape((struct bytes){in, length}, plain, &sink), length);
    bool same = sink.length == length && memcmp(in, out, length) == 0;
    assert_true(same || sink.length == 4 * length);
    return same;
}

static void characters_that_control_reorder_or_hide_text_are_escaped(void **state)
{
    (void)state;
    static const uint32_t ranges[][2] = {
        {0x80, 0x9f},       {0xad, 0xad},       {0x61c, 0x61c},     {0x200b, 0x200f},     {0x2028, 0x202e},
        {0x2060, 0x206f},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfdd0, 0xfdef},     {0xfffe, 0xffff},
        {0x1fffe, 0x1ffff}, {0xe0000, 0xe0fff}, {0xffffe, 0xfffff}, {0x10fffe, 0x10ffff}, {0x3164, 0x3164},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        for (uint32_t code_point = ranges[i][0]; code_point <= ranges[i][1]; code_point++)
            assert_false(passes(code_point));
    }
}

static void their_neighbours_pass(void **state)
{
    (void)state;
    static const uint32_t neighbours[] = {
        0xa0,   0xac,   0xae,   0x61b,  0x61d,   0x200a,  0x2010,  0x2027,  0x202f,   0x205f,
        0x2070, 0x3163, 0x3165, 0xd7ff, 0xe000,  0xfdcf,  0xfdf0,  0xfe00,  0xfe0f,   0xfefe,
        0xff00, 0xffef, 0xfffc, 0xfffd, 0x10000, 0x1fffd, 0x20000, 0xdfffd, 0x10fffd,
    };
    for (size_t i = 0; i < sizeof(neighbours) / sizeof(neighbours[0]); i++)
        assert_true(passes(neighbours[i]));
}

static void ascii_style_lets_nothing_over_0x7e_pass(void **state)
{
    (void)state;
    const struct escape_style ascii = {.ascii = true, .partial = true};
    assert_escaped(VIEW("M\xc3\xbcller~\x7f"), ascii, "M\\xc3\\xbcller~\\x7f");
    assert_escaped(VIEW("\xc3"), ascii, "\\xc3");
}

static void kept_newline_is_the_only_control_that_passes(void **state)
{
    (void)state;
    assert_escaped(VIEW("a\r\n\tb\x1b\n"), (struct escape_style){.keep_newline = true}, "a\\r\n\\tb\\x1b\n");
}

static void kept_layout_passes_tabs_and_line_ends_and_no_carriage_return_that_overwrites(void **state)
{
    (void)state;
    const struct escape_style layout = {.keep_newline = true, .keep_layout = true};
    assert_escaped(VIEW("a\tb\r\n\r\r\nc\rd\x1b\b\v\r"), layout, "a\tb\r\n\\r\r\nc\\rd\\x1b\\x08\\x0b\\r");

    char text[8];
    struct sink sink = {text, 0, sizeof(text)};
    const struct escape_style partial = {.keep_newline = true, .keep_layout = true, .partial = true};
    assert_int_equal(escape_guarded(VIEW("a\r"), partial, &sink), 1);
}

static void cut_character_waits_for_its_rest_where_more_may_follow(void **state)
{
    (void)state;
    const struct escape_style partial = {.partial = true};
    static const struct {
        struct bytes in;
        size_t taken;
    } cases[] = {
        {{"a\xc3", 2}, 1},    {{"a\xe2\x82", 3}, 1}, {{"\xf0\x9f\x91", 3}, 0}, {{"\xf0", 1}, 0},
        {{"\xc3\xbc", 2}, 2}, {{"\xe2(", 2}, 2},     {{"\xed\xa0", 2}, 2},     {{"\xff", 1}, 1},
        {{"\xf4\x90", 2}, 2}, {{"\xc0", 1}, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        struct sink sink = {text, 0, sizeof(text)};
        assert_int_equal(escape_guarded(cases[i].in, partial, &sink), cases[i].taken);
    }
}

/* Escapes bytes.length bytes, given as [0, first), then up to `second`, then all, into sinks of `room`. */
static size_t escape_in_pieces(struct bytes bytes, size_t first, size_t second, size_t room, char *text)
{
    const size_t ends[] = {first, second, bytes.length};
    size_t taken = 0;
    size_t length = 0;
    for (size_t i = 0; i < 3; i++) {
        struct escape_style style = {.partial = i < 2};
        for (size_t before = SIZE_MAX; taken != before;) {
            before = taken;
            struct sink sink = {text + length, 0, room};
            taken += escape_guarded((struct bytes){bytes.data + taken, ends[i] - taken}, style, &sink);
            length += sink.length;
        }
    }
    assert_int_equal(taken, bytes.length);
    return length;
}

static void any_way_of_cutting_the_bytes_gives_the_same_text(void **state)
{
    (void)state;
    const struct bytes bytes = VIEW(sample);
    char whole[256];
    char pieces[256];
    struct sink sink = {whole, 0, sizeof(whole)};
    assert_int_equal(escape(bytes, plain, &sink), bytes.length);
    for (size_t first = 0; first <= bytes.length; first++) {
        for (size_t second = first; second <= bytes.length; second++) {
            size_t length = escape_in_pieces(bytes, first, second, 4 + (first + second) % 13, pieces);
            assert_int_equal(length, sink.length);
            assert_memory_equal(pieces, whole, length);
        }
    }
}

static void full_sink_never_gets_half_an_escape(void **state)
{
    (void)state;
    static const struct {
        struct bytes in;
        size_t needed;
    } cases[] = {
        {{"\\", 1}, 2}, {{"\n", 1}, 2}, {{"\x1b", 1}, 4}, {{"\xc3\xbc", 2}, 2}, {{"\xf0\x9f\x91\x8b", 4}, 4}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t room = 0; room <= cases[i].needed; room++) {
            char text[8];
            struct sink sink = {text, 0, room};
            bool fits = room == cases[i].needed;
            assert_int_equal(escape(cases[i].in, plain, &sink), fits ? cases[i].in.length : 0);
            assert_int_equal(sink.length, fits ? room : 0);
        }
    }
}

static void text_is_cut_with_dots_where_it_does_not_fit(void **state)
{
    (void)state;
    static const struct {
        struct bytes in;
        size_t room;
        const char *expected;
    } cases[] = {
        {{"", 0}, 4, ""},
        {{"abc", 3}, 4, "abc"},
        {{"abcd", 4}, 4, "..."},
        {{"abcd", 4}, 5, "abcd"},
        {{"abcde", 5}, 5, "a..."},
        {{"\x1b\x1b", 2}, 9, "\\x1b\\x1b"},
        {{"\x1b\x1b", 2}, 8, "\\x1b..."},
        {{"\x1b\x1b", 2}, 7, "..."},
        {{"a\xc3\xbc..", 5}, 6, "a\xc3\xbc.."},
        {{"a\xc3\xbc...", 6}, 6, "a..."},
        {{"\xc3", 1}, 8, "\\xc3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        memset(text, '#', sizeof(text));
        assert_ptr_equal(escape_text(cases[i].in, text, cases[i].room), text);
        assert_string_equal(text, cases[i].expected);
        assert_int_equal(text[cases[i].room], '#');
    }
}

static void trimmed_text_ends_with_a_whole_unit(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t length;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"ab\\", 2},
        {"ab\\\\", 4},
        {"a\\\\\\", 3},
        {"\\x", 0},
        {"\\x1", 0},
        {"\\x1b", 4},
        {"a\\n", 3},
        {"a\xc3", 1},
        {"a\xc3\xbc", 3},
        {"\xe2\x82", 0},
        {"\xf0\x9f\x91", 0},
        {"\xf0\x9f\x91\x8b", 4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = strlen(cases[i].in);
        const char *copy = guard_bytes(cases[i].in, size);
        assert_int_equal(escape_trim((struct bytes){copy, size}), cases[i].length);
        guard_free(copy, size);
    }
}

static void what_is_quoted_has_no_end_of_its_line_unless_that_is_all(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},       {"a", "a"},
        {"a\r\n", "a"}, {"a\n\nb\n\n", "a\n\nb"},
        {"\n", "\n"},   {"\r\n\r\n", "\r\n\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes kept = escape_without_end((struct bytes){cases[i][0], strlen(cases[i][0])});
        assert_int_equal(kept.length, strlen(cases[i][1]));
        assert_ptr_equal(kept.data, cases[i][0]);
    }
}

static void the_character_set_is_that_of_the_first_variable_that_is_set(void **state)
{
    static const struct {
        const char *all, *type, *lang;
        bool is_utf8;
    } cases[] = {
        {"C.UTF-8", "C", "C", true},
        {"C", "C.UTF-8", "C.UTF-8", false},
        {"", "de_DE.utf8@euro", "C", true},
        {"", "", "en_US.utf-8", true},
        {"", "", "", false},
        {"", "", "UTF-8", false},
        {"", "", "ja_JP.UTF-16", false},
        {"", "", "de_DE.UTF-8x", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(setenv("LC_ALL", cases[i].all, 1), 0);
        assert_int_equal(setenv("LC_CTYPE", cases[i].type, 1), 0);
        assert_int_equal(setenv("LANG", cases[i].lang, 1), 0);
        assert_int_equal(escape_is_utf8_environment(), cases[i].is_utf8);
    }
    assert_int_equal(unsetenv("LC_ALL"), 0);
    assert_int_equal(unsetenv("LC_CTYPE"), 0);
    assert_int_equal(unsetenv("LANG"), 0);
    assert_false(escape_is_utf8_environment());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_passes_as_it_is),
        cmocka_unit_test(controls_and_backslashes_are_escaped),
        cmocka_unit_test(quotes_are_escaped_in_text_that_is_quoted),
        cmocka_unit_test(malformed_utf8_is_escaped_byte_for_byte),
        cmocka_unit_test(characters_that_control_reorder_or_hide_text_are_escaped),
        cmocka_unit_test(their_neighbours_pass),
        cmocka_unit_test(ascii_style_lets_nothing_over_0x7e_pass),
        cmocka_unit_test(kept_newline_is_the_only_control_that_passes),
        cmocka_unit_test(kept_layout_passes_tabs_and_line_ends_and_no_carriage_return_that_overwrites),
        cmocka_unit_test(cut_character_waits_for_its_rest_where_more_may_follow),
        cmocka_unit_test(any_way_of_cutting_the_bytes_gives_the_same_text),
        cmocka_unit_test(full_sink_never_gets_half_an_escape),
        cmocka_unit_test(text_is_cut_with_dots_where_it_does_not_fit),
        cmocka_unit_test(trimmed_text_ends_with_a_whole_unit),
        cmocka_unit_test(what_is_quoted_has_no_end_of_its_line_unless_that_is_all),
        cmocka_unit_test(the_character_set_is_that_of_the_first_variable_that_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
