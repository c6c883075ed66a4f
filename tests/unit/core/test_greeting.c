#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "support/guard.h"
#include "tcpgreet/core/greeting.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LITERAL(text)                                                                                        \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

static void assert_bytes(struct bytes actual, struct bytes expected, const char *about)
{
    if (!bytes_equal(actual, expected))
        fail_msg("%s: got \"%.*s\", not \"%.*s\"", about, (int)actual.length, actual.data,
                 (int)expected.length, expected.data);
}

/* The words of docs/protocol.md, letter by letter. */
static void greeting_words_are_those_of_the_protocol(void **state)
{
    (void)state;
    assert_string_equal(GREETING_WELCOME GREETING_QUESTION, "Server: Welcome!\nServer: What's your name?");
    assert_string_equal(GREETING_HELLO "N" GREETING_HELLO_END, "Server: Hello N!\n");
    assert_string_equal(GREETING_GOODBYE, "Server: Good bye!\n");
    assert_string_equal(GREETING_TOO_LONG, "Server: Sorry, a name has at most 1024 bytes.\n");
    assert_string_equal(GREETING_TOO_MANY, "Server: Sorry, too many guests.\n");
    assert_string_equal(GREETING_EXIT, "exit");
    assert_int_equal(GREETING_NAME_MAX, 1024);
}

static void greeting_exit_is_exactly_four_lower_case_letters(void **state)
{
    static const struct {
        struct bytes name;
        bool exit;
    } rows[] = {
        {LITERAL("exit"), true},    {LITERAL("Exit"), false},  {LITERAL("EXIT"), false},
        {LITERAL("exit "), false},  {LITERAL(" exit"), false}, {LITERAL("exit\r"), false},
        {LITERAL("exit\0"), false}, {LITERAL("exi"), false},   {LITERAL(""), false},
        {{NULL, 0}, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (greeting_is_exit(rows[i].name) != rows[i].exit)
            fail_msg("row %zu: \"%s\"", i, rows[i].name.data);
}

static void greeting_cut_ends_a_name_at_its_newline(void **state)
{
    static const struct {
        struct bytes in;
        enum greeting_cut cut;
        struct bytes name;
        size_t taken;
    } rows[] = {
        {LITERAL("Ann\n"), GREETING_NAME, LITERAL("Ann"), 4},
        {LITERAL("Ann\r\n"), GREETING_NAME, LITERAL("Ann"), 5},
        {LITERAL("Ann\r\r\n"), GREETING_NAME, LITERAL("Ann\r"), 6},
        {LITERAL("A\rn\n"), GREETING_NAME, LITERAL("A\rn"), 4},
        {LITERAL("\r\n"), GREETING_NAME, LITERAL(""), 2},
        {LITERAL("\n"), GREETING_NAME, LITERAL(""), 1},
        {LITERAL("\r\r\n"), GREETING_NAME, LITERAL("\r"), 3},
        {LITERAL("A\n\r\n"), GREETING_NAME, LITERAL("A"), 2},
        {LITERAL("A\nB\n"), GREETING_NAME, LITERAL("A"), 2},
        {LITERAL("\0\0\n"), GREETING_NAME, LITERAL("\0\0"), 3},
        {LITERAL("\xff\xc3\n"), GREETING_NAME, LITERAL("\xff\xc3"), 3},
        {LITERAL("Ann"), GREETING_PARTIAL, LITERAL(""), 0},
        {LITERAL("Ann\r"), GREETING_PARTIAL, LITERAL(""), 0},
        {LITERAL(""), GREETING_PARTIAL, LITERAL(""), 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *edge = guard_bytes(rows[i].in.data, rows[i].in.length);
        size_t text = rows[i].taken > 0 ? rows[i].taken - 1 : rows[i].in.length;
        for (size_t scanned = 0; scanned <= text; scanned++) {
            struct bytes name = {NULL, 0};
            size_t taken = 0;
            assert_int_equal(greeting_cut((struct bytes){edge, rows[i].in.length}, scanned, &name, &taken),
                             rows[i].cut);
            assert_bytes(name, rows[i].name, rows[i].in.data);
            assert_int_equal(taken, rows[i].taken);
        }
        guard_free(edge, rows[i].in.length);
    }
}

static void greeting_cut_knows_a_long_name_as_soon_as_it_can(void **state)
{
    static const struct {
        size_t letters;
        struct bytes end;
        enum greeting_cut cut;
    } rows[] = {
        {1024, LITERAL("\n"), GREETING_NAME},
        {1024, LITERAL("\r\n"), GREETING_NAME},
        {1025, LITERAL("\n"), GREETING_TOO_LONG_NAME},
        {1025, LITERAL("\r\n"), GREETING_TOO_LONG_NAME},
        {1024, LITERAL("\r\r\n"), GREETING_TOO_LONG_NAME},
        {70000, LITERAL("\nAnn\n"), GREETING_TOO_LONG_NAME},
        {1024, LITERAL(""), GREETING_PARTIAL},
        {1024, LITERAL("\r"), GREETING_PARTIAL}, /* an LF may follow */
        {1025, LITERAL(""), GREETING_OVERFLOW},
        {1025, LITERAL("\r"), GREETING_OVERFLOW},
        {1024, LITERAL("\r\r"), GREETING_OVERFLOW},
        {1024, LITERAL("\rx"), GREETING_OVERFLOW},
        {70000, LITERAL(""), GREETING_OVERFLOW},
    };
    static char in[70008];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        memset(in, 'x', rows[i].letters);
        memcpy(in + rows[i].letters, rows[i].end.data, rows[i].end.length);
        size_t length = rows[i].letters + rows[i].end.length;
        struct bytes name;
        size_t taken = 0;
        if (greeting_cut((struct bytes){in, length}, 0, &name, &taken) != rows[i].cut)
            fail_msg("row %zu", i);
        const char *lf = memchr(in, '\n', length);
        assert_int_equal(taken, lf != NULL ? (size_t)(lf - in) + 1 : 0);
        if (rows[i].cut == GREETING_NAME)
            assert_int_equal(name.length, 1024);
    }
}

static void greeting_cut_all_keeps_every_byte_and_the_limit(void **state)
{
    char in[1025];
    struct bytes name;
    (void)state;
    memset(in, '\r', sizeof in);
    assert_int_equal(greeting_cut_all((struct bytes){in, 1024}, &name), GREETING_NAME);
    assert_int_equal(name.length, 1024);
    assert_int_equal(greeting_cut_all((struct bytes){in, 1025}, &name), GREETING_TOO_LONG_NAME);
    assert_int_equal(greeting_cut_all((struct bytes)LITERAL("Ann\r"), &name), GREETING_NAME);
    assert_bytes(name, (struct bytes)LITERAL("Ann\r"), "CR without LF");
}

static bool put_ann(struct sink *out)
{
    return greeting_put_answer(out, BYTES_LITERAL("A\0\xff"));
}

static bool put_empty(struct sink *out)
{
    return greeting_put_answer(out, (struct bytes){NULL, 0});
}

static bool put_exit(struct sink *out)
{
    return greeting_put_answer(out, BYTES_LITERAL("exit"));
}

static void greeting_words_are_put_whole_or_not_at_all(void **state)
{
    static const struct {
        bool (*put)(struct sink *out);
        struct bytes words;
    } rows[] = {
        {greeting_put_welcome, LITERAL("Server: Welcome!\nServer: What's your name?")},
        {greeting_put_too_long,
         LITERAL("Server: Sorry, a name has at most 1024 bytes.\nServer: What's your name?")},
        {greeting_put_too_many, LITERAL("Server: Sorry, too many guests.\n")},
        {greeting_put_goodbye, LITERAL("Server: Good bye!\n")},
        {put_ann, LITERAL("Server: Hello A\0\xff!\nServer: What's your name?")},
        {put_empty, LITERAL("Server: What's your name?")},
        {put_exit, LITERAL("Server: Good bye!\n")},
    };
    char room[128];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t capacity = 1; capacity < rows[i].words.length + 3; capacity++) {
            struct sink out = {room, 1, capacity};
            bool fits = capacity - 1 >= rows[i].words.length;
            assert_int_equal(rows[i].put(&out), fits);
            assert_int_equal(out.length, fits ? 1 + rows[i].words.length : 1);
            assert_bytes((struct bytes){room + 1, out.length - 1},
                         fits ? rows[i].words : (struct bytes){NULL, 0}, "put");
        }
    }
}

static void greeting_answer_max_holds_the_longest_answer(void **state)
{
    char name[1024], room[GREETING_ANSWER_MAX];
    struct sink out = {room, 0, sizeof room};
    (void)state;
    memset(name, 'x', sizeof name);
    assert_true(greeting_put_answer(&out, (struct bytes){name, sizeof name}));
    assert_int_equal(out.length, strlen("Server: Hello !\nServer: What's your name?") + 1024);
}

static void greeting_recognizes_other_protocols_by_their_first_bytes(void **state)
{
    static const struct {
        struct bytes in;
        enum greeting_foreign foreign;
    } rows[] = {
        {LITERAL("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), GREETING_TLS_CLIENT},
        {LITERAL("\x16\x03\x00"), GREETING_TLS_CLIENT},
        {LITERAL("\x16\x03\x04"), GREETING_TLS_CLIENT},
        {LITERAL("\x16\x03\x05"), GREETING_NOT_FOREIGN},
        {LITERAL("\x16\x02\x01"), GREETING_NOT_FOREIGN},
        {LITERAL("\x15\x03\x01"), GREETING_NOT_FOREIGN},
        {LITERAL("\x16\x03"), GREETING_NOT_FOREIGN},
        {LITERAL("\x16"), GREETING_NOT_FOREIGN},
        {LITERAL("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), GREETING_HTTP_CLIENT},
        {LITERAL("GET / HTTP/1.0\n"), GREETING_HTTP_CLIENT},
        {LITERAL("OPTIONS * HTTP/1.1\r\n"), GREETING_HTTP_CLIENT},
        {LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), GREETING_HTTP_CLIENT},
        {LITERAL("CONNECT a:443 HTTP/1.1\r\n"), GREETING_HTTP_CLIENT},
        {LITERAL("GET / HTTP/1.1"), GREETING_NOT_FOREIGN},   /* not a whole line */
        {LITERAL("GET / HTTP/1.1\r"), GREETING_NOT_FOREIGN}, /* the same */
        {LITERAL("GET /\r\n"), GREETING_NOT_FOREIGN},        /* a name */
        {LITERAL("get / HTTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GE / HTTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GET  HTTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GET / FTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GET a b HTTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GET\n/ HTTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GET\n"), GREETING_NOT_FOREIGN},
        {LITERAL("GET "), GREETING_NOT_FOREIGN},
        {LITERAL("\nGET / HTTP/1.1\r\n"), GREETING_NOT_FOREIGN}, /* not the first line */
        {LITERAL("Ann\nGET / HTTP/1.1\r\n"), GREETING_NOT_FOREIGN},
        {LITERAL("Ann\n"), GREETING_NOT_FOREIGN},
        {LITERAL("\n"), GREETING_NOT_FOREIGN},
        {LITERAL(""), GREETING_NOT_FOREIGN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *edge = guard_bytes(rows[i].in.data, rows[i].in.length);
        if (greeting_foreign((struct bytes){edge, rows[i].in.length}) != rows[i].foreign)
            fail_msg("row %zu: %s", i, rows[i].in.data);
        guard_free(edge, rows[i].in.length);
    }
    assert_int_equal(greeting_foreign((struct bytes){NULL, 0}), GREETING_NOT_FOREIGN);
}

/* The rest of a longer one is discarded while it is received: its start must do. */
static void greeting_recognizes_an_http_request_that_is_longer_than_a_name(void **state)
{
    static const char *const starts[] = {"GET /", "POST http://a/", "HEAD https://a/",
                                         "get /", "GET a",          "GE /"};
    static const char end[] = " HTTP/1.1\r\n";
    char in[2048];
    (void)state;
    for (size_t i = 0; i < COUNT(starts); i++)
        for (size_t length = 1022; length <= 1026; length++) {
            bool is_request = i < 3, is_line = i < 3 || i == 4;
            memset(in, 'x', length);
            memcpy(in, starts[i], strlen(starts[i]));
            memcpy(in + length - strlen(" HTTP/1.1"), end, sizeof end - 1);
            assert_int_equal(greeting_foreign((struct bytes){in, length + 2}),
                             (length <= 1024 ? is_line : is_request) ? GREETING_HTTP_CLIENT
                                                                     : GREETING_NOT_FOREIGN);
            assert_int_equal(greeting_foreign((struct bytes){in, length - 1}),
                             length - 1 > 1024 && is_request ? GREETING_HTTP_CLIENT : GREETING_NOT_FOREIGN);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting_words_are_those_of_the_protocol),
        cmocka_unit_test(greeting_exit_is_exactly_four_lower_case_letters),
        cmocka_unit_test(greeting_cut_ends_a_name_at_its_newline),
        cmocka_unit_test(greeting_cut_knows_a_long_name_as_soon_as_it_can),
        cmocka_unit_test(greeting_cut_all_keeps_every_byte_and_the_limit),
        cmocka_unit_test(greeting_words_are_put_whole_or_not_at_all),
        cmocka_unit_test(greeting_answer_max_holds_the_longest_answer),
        cmocka_unit_test(greeting_recognizes_other_protocols_by_their_first_bytes),
        cmocka_unit_test(greeting_recognizes_an_http_request_that_is_longer_than_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
