#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "support/script.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LITERAL(text)                                                                                        \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define HELLO(name) "Server: Hello " name "!\n" QUESTION
#define BYE "Server: Good bye!\n"
#define SORRY "Server: Sorry, a name has at most 1024 bytes.\n" QUESTION
#define TOO_MANY "Server: Sorry, too many guests.\n"

#define PEER "Server: peer: "
#define CONNECTION "\nServer: connection: 1\n"

#define AUTO SESSION_FRAMING_AUTO
#define LINE SESSION_FRAMING_LINE
#define BARE SESSION_FRAMING_BARE

enum { TURNS = 4 };

/* What the server sends, and what the client sends then (nothing where there is no data). */
struct turn {
    struct bytes received, sends;
};

struct visit {
    enum session_framing framing;
    struct turn turns[TURNS];
    struct bytes sent;
    enum session_framing found;
    uint32_t names;
};

#define TURN(received, sends)                                                                                \
    {                                                                                                        \
        LITERAL(received), LITERAL(sends)                                                                    \
    }
#define LAST(received)                                                                                       \
    {                                                                                                        \
        LITERAL(received),                                                                                   \
        {                                                                                                    \
            NULL, 0                                                                                          \
        }                                                                                                    \
    }
#define TRICK "A!\n" QUESTION /* to a bare server a newline is a letter */

/* Dialogues that complete. */
static const struct visit visits[] = {
    {LINE, {TURN(WELCOME, "exit"), LAST(BYE)}, LITERAL("exit\n"), LINE, 0},
    {AUTO, {TURN(WELCOME, "exit"), LAST(BYE)}, LITERAL("exit\n"), AUTO, 0},
    {BARE, {TURN(WELCOME, "exit"), LAST(BYE)}, LITERAL("exit"), BARE, 0},
    {LINE, {TURN(WELCOME, "Ann"), TURN(HELLO("Ann"), "exit"), LAST(BYE)}, LITERAL("Ann\nexit\n"), LINE, 1},
    {AUTO, {TURN(WELCOME, "Ann"), TURN(HELLO("Ann"), "exit"), LAST(BYE)}, LITERAL("Ann\nexit\n"), LINE, 1},
    {BARE, {TURN(WELCOME, "Ann"), TURN(HELLO("Ann"), "exit"), LAST(BYE)}, LITERAL("Annexit"), BARE, 1},
    {AUTO,
     {TURN(WELCOME, "\0\xff\xc3"), TURN(HELLO("\0\xff\xc3"), "Exit"), TURN(HELLO("Exit"), "exit"), LAST(BYE)},
     LITERAL("\0\xff\xc3\nExit\nexit\n"),
     LINE,
     2},
    /* an empty name */
    {LINE, {TURN(WELCOME, ""), TURN(QUESTION, "exit"), LAST(BYE)}, LITERAL("\nexit\n"), LINE, 0},
    {AUTO, {TURN(WELCOME, ""), TURN(QUESTION, "exit"), LAST(BYE)}, LITERAL("\nexit\n"), AUTO, 0},
    {BARE, {TURN(WELCOME, ""), TURN("", "exit"), LAST(BYE)}, LITERAL("exit"), BARE, 0},
    /* a bare server is found out: by a name, by exit, by an empty name */
    {AUTO,
     {TURN(WELCOME, "Ann"), TURN(HELLO("Ann\n"), "Bob"), TURN(HELLO("Bob"), "exit"), LAST(BYE)},
     LITERAL("Ann\nBobexit"),
     BARE,
     2},
    {AUTO, {TURN(WELCOME, "exit"), LAST(HELLO("exit\n")), LAST(BYE)}, LITERAL("exit\nexit"), BARE, 0},
    {AUTO, {TURN(WELCOME, ""), TURN(HELLO("\n"), "exit"), LAST(BYE)}, LITERAL("\nexit"), BARE, 1},
    /* a name that ends in CR, which a line server would take for a part of the line's end */
    {LINE, {TURN(WELCOME, "A\r"), TURN(HELLO("A\r"), "exit"), LAST(BYE)}, LITERAL("A\r\r\nexit\n"), LINE, 1},
    {AUTO, {TURN(WELCOME, "\r"), TURN(HELLO("\r"), "exit"), LAST(BYE)}, LITERAL("\r\r\nexit\n"), LINE, 1},
    {AUTO,
     {TURN(WELCOME, "A\r"), TURN(HELLO("A\r\r\n"), "exit"), LAST(BYE)},
     LITERAL("A\r\r\nexit"),
     BARE,
     1},
    {BARE, {TURN(WELCOME, "A\r"), TURN(HELLO("A\r"), "exit"), LAST(BYE)}, LITERAL("A\rexit"), BARE, 1},
    /* names that hold what follows a name */
    {BARE, {TURN(WELCOME, TRICK), TURN(HELLO(TRICK), "exit"), LAST(BYE)}, LITERAL(TRICK "exit"), BARE, 1},
    {BARE, {TURN(WELCOME, "\n"), TURN(HELLO("\n"), "exit"), LAST(BYE)}, LITERAL("\nexit"), BARE, 1},
    {BARE,
     {TURN(WELCOME, "exit\n"), TURN(HELLO("exit\n"), "exit"), LAST(BYE)},
     LITERAL("exit\nexit"),
     BARE,
     1},
    {AUTO, {TURN(WELCOME, "A!"), TURN(HELLO("A!"), "exit"), LAST(BYE)}, LITERAL("A!\nexit\n"), LINE, 1},
    /* a final message while exit is sent */
    {LINE, {TURN(WELCOME "Server: G", "exit"), LAST("ood bye!\n")}, LITERAL("exit\n"), LINE, 0},
    {AUTO, {TURN(WELCOME "S", "exit"), LAST("erver: Good bye!\n")}, LITERAL("exit\n"), AUTO, 0},
};

/* Whose values are the server's: not every byte is known. */
static const struct visit whoami_visits[] = {
    {AUTO,
     {TURN(WELCOME, "whoami"), TURN(PEER "p" CONNECTION QUESTION, "Ann"), TURN(HELLO("Ann"), "exit"),
      LAST(BYE)},
     LITERAL("whoami\nAnn\nexit\n"),
     LINE,
     1},
    {LINE,
     {TURN(WELCOME, "whoami"), TURN(HELLO("whoami"), "exit"), LAST(BYE)},
     LITERAL("whoami\nexit\n"),
     LINE,
     1},
    {AUTO,
     {TURN(WELCOME, "whoami"), TURN(HELLO("whoami\n"), "exit"), LAST(BYE)},
     LITERAL("whoami\nexit"),
     BARE,
     1},
};

static size_t length_of(const struct visit *visit)
{
    size_t length = 0;
    for (size_t i = 0; i < TURNS; i++)
        length += visit->turns[i].received.length;
    return length;
}

/* Plays the turns. The cut's place counts all that is received; byte `wrong_at` of it is changed by flip. */
static void play(struct script *script, const struct visit *visit, struct script_cut cut, size_t wrong_at,
                 int flip)
{
    size_t before = 0;
    script->policy = (struct session_policy){.answer_ms = 10000, .framing = visit->framing};
    script_visit(script);
    for (size_t i = 0; i < TURNS && script->session.state != SESSION_ENDED; i++) {
        char received[256];
        const struct turn *turn = &visit->turns[i];
        size_t length = turn->received.length, at = cut.at > before ? cut.at - before : 0;
        if (length > 0)
            memcpy(received, turn->received.data, length);
        if (wrong_at >= before && wrong_at - before < length)
            received[wrong_at - before] = (char)(received[wrong_at - before] ^ flip);
        script_feed_cut(script, (struct bytes){received, length}, (struct script_cut){at, cut.step});
        before += length;
        if (turn->sends.data != NULL && script->session.state == SESSION_READY)
            script_send(script, turn->sends);
    }
}

/* Returns: the states that were seen. */
static unsigned complete_for_any_cut(const struct visit *visit, size_t row)
{
    unsigned seen = 0;
    for (size_t at = 0; at <= length_of(visit); at++) {
        for (size_t step = 0; step < 2; step++) {
            struct script script = {.room = GREETING_ANSWER_MAX};
            struct err err = {0};
            play(&script, visit, (struct script_cut){at, step}, SIZE_MAX, 0);
            if (script.session.state != SESSION_PARTED)
                fail_msg("row %zu cut at %zu by %zu: %s", row, at, step,
                         session_state_name(script.session.state));
            script_eof(&script);
            assert_int_equal(script.session.end, SESSION_END_EXIT);
            assert_false(script_failed(&script, &err));
            assert_int_equal(err.reason, ERR_OK);
            assert_int_equal(script.session.framing, visit->found);
            assert_int_equal(script.session.names, visit->names);
            struct bytes sent = script_output(&script);
            if (!bytes_equal(sent, visit->sent))
                fail_msg("row %zu: sent \"%.*s\"", row, (int)sent.length, sent.data);
            seen |= script.seen;
            script_fini(&script);
        }
    }
    return seen;
}

static void session_client_completes_for_any_cut_of_the_input(void **state)
{
    unsigned seen = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(visits); i++)
        seen |= complete_for_any_cut(&visits[i], i);
    for (unsigned reached = SESSION_GREETED; reached < SESSION_STATES; reached++)
        assert_true((seen & 1u << reached) != 0);
}

static void session_client_takes_the_lines_that_answer_whoami(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whoami_visits); i++)
        complete_for_any_cut(&whoami_visits[i], i);
}

static void lines_in_another_order_or_for_another_name_are_a_wrong_answer(void **state)
{
    static const struct turn turns[] = {TURN("Server: peer: p\nServer: tls: t\nServer: local: l\n", "whoami"),
                                        TURN("Server: local: l\n", "whoami"),
                                        TURN("Server: peer: p\n", "Ann"),
                                        TURN("Server: peer: p\nServer: Hello whoami!\n", "whoami")};
    (void)state;
    for (size_t i = 0; i < COUNT(turns); i++) {
        struct script script = {.policy = {.answer_ms = 10000}};
        script_visit(&script);
        script_feed(&script, (struct bytes)LITERAL(WELCOME));
        script_send(&script, turns[i].sends);
        script_feed(&script, turns[i].received);
        assert_int_equal(script.session.end, SESSION_END_WRONG_ANSWER);
        script_fini(&script);
    }
}

static void assert_quotes(const struct err *err, const char *part)
{
    for (const char *c = err->text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            fail_msg("a raw control byte in \"%s\"", err->text);
    if (strstr(err->text, part) == NULL)
        fail_msg("no %s in \"%s\"", part, err->text);
}

/* The rest of a wrong line does not come. */
static void let_a_wrong_line_end(struct script *script)
{
    if (script->session.other && script->session.end == SESSION_END_NONE)
        script_expire(script);
}

/* Any one wrong byte is found where it stands, however it comes. */
static void session_client_finds_each_wrong_byte(void **state)
{
    static const int flips[] = {0x01, 0x80, 0xff};
    (void)state;
    for (size_t i = 0; i < COUNT(visits); i++) {
        for (size_t k = 0; k < length_of(&visits[i]); k++) {
            const struct script_cut cuts[] = {{0, 0}, {k, 0}, {k + 1, 0}, {0, 1}};
            for (size_t n = 0; n < COUNT(flips) * COUNT(cuts); n++) {
                struct script script = {0};
                struct err err = {0};
                play(&script, &visits[i], cuts[n % COUNT(cuts)], k, flips[n / COUNT(cuts)]);
                let_a_wrong_line_end(&script);
                if (script.session.end != SESSION_END_WRONG_ANSWER || script.taken != k)
                    fail_msg("row %zu byte %zu: %s at %zu", i, k, session_end_text(script.session.end),
                             script.taken);
                assert_true(script_failed(&script, &err));
                assert_int_equal(err.reason, ERR_DIALOGUE_WRONG_ANSWER);
                assert_quotes(&err, "expected \"");
                assert_quotes(&err, "the server sent \"");
                script_fini(&script);
            }
        }
    }
}

/* Dialogues that fail: how, with which reason, and the sentence if all was received in one piece. */
static const struct {
    struct visit visit;
    bool eof;
    enum session_end end;
    enum err_reason reason;
    const char *sentence;
} failures[] = {
#define WRONG SESSION_END_WRONG_ANSWER, ERR_DIALOGUE_WRONG_ANSWER
#define EARLY SESSION_END_EARLY, ERR_DIALOGUE_EARLY_END
    {{.framing = AUTO, .turns = {LAST(TOO_MANY)}},
     true,
     SESSION_END_TOO_MANY,
     ERR_DIALOGUE_EARLY_END,
     "too many connections"},
    /* an unexpected final message */
    {{.framing = AUTO, .turns = {LAST(BYE)}}, true, EARLY, "after 0 greetings, before exit was answered"},
    {{.framing = AUTO, .turns = {LAST(WELCOME BYE)}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(BYE)}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(HELLO("Ann") BYE)}},
     false,
     EARLY,
     "after 1 greeting,"},
    {{.framing = LINE, .turns = {TURN(WELCOME "Server", "Ann"), LAST(": Good bye!\n")}},
     false,
     EARLY,
     "after 0"},
    /* an unexpected end */
    {{.framing = AUTO, .turns = {LAST("")}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {LAST("Server: Welcome!\n")}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {LAST(WELCOME)}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {LAST(WELCOME "Server: Good")}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST("")}}, true, EARLY, "after 0 greetings"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST("Server: Hello Ann!\n")}},
     true,
     EARLY,
     "after 0 greetings"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "exit"), LAST("Server: Good bye!")}},
     true,
     EARLY,
     "after 0 greetings"},
    /* words out of turn */
    {{.framing = AUTO, .turns = {LAST(WELCOME "!")}}, false, WRONG, "the server sent \"!\""},
    {{.framing = AUTO, .turns = {LAST(WELCOME QUESTION)}}, false, WRONG, "What's"},
    {{.framing = AUTO, .turns = {LAST(QUESTION)}},
     false,
     WRONG,
     "the server sent \"Server: What's your name?\""},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(HELLO("Bob"))}}, false, WRONG, "Hello Bob"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(HELLO("Anna"))}}, false, WRONG, "Hello Anna!"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(QUESTION)}},
     false,
     WRONG,
     "expected \"Server: Hello Ann!\\n"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(SORRY)}},
     false,
     WRONG,
     "Sorry, a name has at most"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(TOO_MANY)}}, false, WRONG, "too many"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, ""), LAST(HELLO(""))}},
     false,
     WRONG,
     "sent \"Server: Hello !"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "exit"), LAST(HELLO("exit"))}}, false, WRONG, "Hello exit"},
    {{.framing = LINE, .turns = {TURN(WELCOME, "exit"), LAST(HELLO("exit\n"))}},
     false,
     WRONG,
     "expected \"Server: Good bye!"},
    {{.framing = AUTO, .turns = {TURN(WELCOME "Ser", "Ann"), LAST("ver: Hello Ann!\n")}},
     false,
     WRONG,
     "Hello Ann"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "exit"), LAST(BYE BYE)}},
     false,
     WRONG,
     "sent more after its final message: \"Server: G"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "exit"), LAST(BYE "\x1b[2J")}},
     false,
     WRONG,
     "final message: \"\\x1b[2J\""},
    /* framing that does not suit the server */
    {{.framing = LINE, .turns = {TURN(WELCOME, "Ann"), LAST(HELLO("Ann\n"))}},
     false,
     WRONG,
     "try --framing bare"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "Ann"), LAST(HELLO("Ann\n\n"))}}, false, WRONG, "Ann\\n\\n"},
    {{.framing = AUTO, .turns = {TURN(WELCOME, "A"), TURN(HELLO("A"), "B"), LAST(HELLO("B\n"))}},
     false,
     WRONG,
     "Hello B\\n!"},
    /* servers of other protocols */
    {{.framing = AUTO, .turns = {LAST("HTTP/1.1 400 Bad Request\r\n")}},
     false,
     WRONG,
     "sent \"HTTP/1.1 400 Bad Request\\r\\n\""},
    {{.framing = AUTO, .turns = {LAST("\x1b]0;title\a\n")}}, false, WRONG, "\\x1b]0;title\\x07"},
    {{.framing = AUTO, .turns = {LAST("\x15\x03\x03\0\x02\x02\x16")}},
     true,
     SESSION_END_WRONG_ANSWER,
     ERR_DIALOGUE_TLS_PEER,
     "uses TLS"},
    {{.framing = AUTO, .turns = {LAST("\x16\x03\x03\0\x7a\x02\0")}},
     true,
     SESSION_END_WRONG_ANSWER,
     ERR_DIALOGUE_TLS_PEER,
     "uses TLS"},
    {{.framing = AUTO, .turns = {LAST("S\x16\x03\x03\0\x7a\x02\0")}}, true, WRONG, "sent \"S\\x16\\x03"},
};

static void session_client_distinguishes_failures_for_any_cut_of_the_input(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(failures); i++) {
        for (size_t at = 0; at <= length_of(&failures[i].visit); at++) {
            struct script script = {0};
            struct err err = {0};
            play(&script, &failures[i].visit, (struct script_cut){at, at % 2}, SIZE_MAX, 0);
            if (failures[i].eof)
                script_eof(&script);
            let_a_wrong_line_end(&script);
            assert_true(script_failed(&script, &err));
            if (script.session.end != failures[i].end || err.reason != failures[i].reason)
                fail_msg("row %zu cut at %zu: %s, %s", i, at, session_end_text(script.session.end), err.text);
            assert_quotes(&err, at == 0 ? failures[i].sentence : "");
            script_fini(&script);
        }
    }
}

/* The reply of a silent server to the first line, and the resulting error. */
static const struct {
    struct bytes sends;
    bool ends;
    enum session_end end;
    enum err_reason reason;
    const char *sentence;
} connected_at[] = {
    {LITERAL("\x15\x03\x01\0\x02\x02\x28"), true, SESSION_END_WRONG_ANSWER, ERR_DIALOGUE_TLS_PEER,
     "the server uses TLS: add --tls"},
    {LITERAL("\x15\x03\x03\0\x02\x02\x46"), false, SESSION_END_WRONG_ANSWER, ERR_DIALOGUE_TLS_PEER,
     "the server uses TLS: add --tls"},
    {LITERAL("\x15"), true, SESSION_END_WRONG_ANSWER, ERR_DIALOGUE_TLS_PEER, "the server uses TLS"},
    {{NULL, 0}, true, SESSION_END_EARLY, ERR_DIALOGUE_TLS_PEER, "it may expect TLS (try --tls)"},
    {{NULL, 0}, false, SESSION_END_TIMEOUT, ERR_DIALOGUE_TIMEOUT, "did not answer within 10 s"},
    {LITERAL(WELCOME), false, SESSION_END_TIMEOUT, ERR_DIALOGUE_TIMEOUT, "did not answer within 10 s"},
    {LITERAL("Server: Wel"), false, SESSION_END_TIMEOUT, ERR_DIALOGUE_TIMEOUT, "did not answer within 10 s"},
    {LITERAL("Server: Wel"), true, EARLY, "after 0 greetings"},
    {LITERAL(BYE), true, EARLY, "after 0 greetings"},
    {LITERAL(TOO_MANY), true, SESSION_END_TOO_MANY, ERR_DIALOGUE_EARLY_END, "too many connections"},
    {LITERAL("HTTP/1.1 400\r\n"), true, WRONG, "sent \"HTTP/1.1 400\\r\\n\""},
    {LITERAL("\x15\x02"), true, WRONG, "sent \"\\x15\\x02\""},
};

static void session_client_sends_one_line_to_a_silent_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(connected_at); i++) {
        struct script script = {.policy = {.answer_ms = 10000}, .now_ms = 5};
        struct err err = {0};

        script_visit(&script);
        script_expire_at(&script, 10004);
        assert_int_equal(script_output(&script).length, 0);
        script_expire(&script);
        assert_true(bytes_equal(script_output(&script), BYTES_LITERAL("exit\n")));
        assert_int_equal(script.session.state, SESSION_GREETED);
        assert_int_equal(script.session.dialogue.deadline_ms, 10005 + 1000);
        script_feed(&script, connected_at[i].sends);
        if (script.session.state != SESSION_ENDED && connected_at[i].ends)
            script_eof(&script);
        else if (script.session.state != SESSION_ENDED)
            script_expire(&script);
        assert_true(script_failed(&script, &err));
        if (script.session.end != connected_at[i].end || err.reason != connected_at[i].reason)
            fail_msg("row %zu: %s, %s", i, session_end_text((enum session_end)script.session.end), err.text);
        assert_quotes(&err, connected_at[i].sentence);
        assert_int_equal(script_output(&script).length, strlen("exit\n"));
        script_fini(&script);
    }
}

/* A server that has begun to send is not sent a line early. */
static void session_client_sends_nothing_early_to_a_server_that_sends(void **state)
{
    static const char *const begun[] = {"S", "Server: Welcome!\n",
                                        "Server: Welcome!\nServer: What's your name"};
    (void)state;
    for (size_t i = 0; i < COUNT(begun); i++) {
        struct script script = {.policy = {.answer_ms = 20 * 60 * 1000}};
        struct err err = {0};
        script_visit(&script);
        script_feed(&script, (struct bytes){begun[i], strlen(begun[i])});
        script_expire(&script);
        assert_int_equal(script.session.end, SESSION_END_TIMEOUT);
        assert_true(script_failed(&script, &err));
        assert_quotes(&err, "within 1200 s");
        assert_int_equal(script_output(&script).length, 0);
        script_fini(&script);
    }
}

/* A server silent over TLS is no TLS server met in plain, nor is one whose data look like a record. */
static void session_client_over_tls_does_not_suggest_tls(void **state)
{
    static const struct {
        struct bytes sends;
        enum session_end end;
        enum err_reason reason;
        const char *sentence;
    } rows[] = {
        {{NULL, 0}, SESSION_END_TIMEOUT, ERR_DIALOGUE_TIMEOUT, "did not answer within 10 s"},
        {LITERAL("Server: Wel"), SESSION_END_TIMEOUT, ERR_DIALOGUE_TIMEOUT, "did not answer within 10 s"},
        {LITERAL("\x15\x03\x03\0\x02\x02\x46"), WRONG, "sent \"\\x15\\x03"},
        {LITERAL("\x16"), WRONG, "sent \"\\x16\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script = {.policy = {.answer_ms = 10000, .over_tls = true}};
        struct err err = {0};
        script_visit(&script);
        script_feed(&script, rows[i].sends);
        if (script.session.state != SESSION_ENDED)
            script_expire(&script);
        assert_true(script_failed(&script, &err));
        if (script.session.end != rows[i].end || err.reason != rows[i].reason)
            fail_msg("row %zu: %s, %s", i, session_end_text((enum session_end)script.session.end), err.text);
        assert_quotes(&err, rows[i].sentence);
        assert_null(strstr(err.text, "--tls"));
        assert_int_equal(script_output(&script).length, 0);
        script_fini(&script);
    }
}

/* Both long parts of the sentence are cut, and nothing of the name's bytes reaches it raw. */
static void session_client_quotes_the_place_in_a_long_answer(void **state)
{
    char name[1024], received[1100];
    struct sink words = {received, 0, sizeof received};
    (void)state;
    memset(name, 0x9b, sizeof name);
    assert_true(greeting_put_answer(&words, (struct bytes){name, sizeof name}));
    for (size_t k = 0; k < words.length; k++) {
        struct script script = {.policy = {.answer_ms = 1, .framing = LINE}};
        struct err err = {0};
        script_visit(&script);
        script_feed(&script, BYTES_LITERAL(WELCOME));
        script_send(&script, (struct bytes){name, sizeof name});
        received[k] ^= 1;
        script_feed(&script, (struct bytes){received, words.length});
        received[k] ^= 1;
        let_a_wrong_line_end(&script);
        assert_int_equal(script.taken, strlen(WELCOME) + k);
        assert_true(script_failed(&script, &err));
        assert_quotes(&err, k > 24 ? "expected \"..." : "expected \"Server: Hello \\x9b");
        assert_quotes(&err, "\", the server sent \"");
        assert_null(strchr(err.text, 0x9b));
        assert_int_equal(err.text[strlen(err.text) - 1], '"');
        script_fini(&script);
    }
}

/* A peer that sends one byte at a time is quoted as one that sends its line at once. */
static void session_client_quotes_the_whole_line_however_it_comes(void **state)
{
    static const char line[] = "220 mail.example.net ESMTP\r\n";
    char sentences[2][sizeof(((struct err *)0)->text)];
    (void)state;
    for (size_t i = 0; i < COUNT(sentences); i++) {
        struct script script = {.policy = {.answer_ms = 10000}};
        struct err err = {0};
        script_visit(&script);
        script_feed_cut(&script, BYTES_LITERAL(line), (struct script_cut){0, i});
        assert_true(script_failed(&script, &err));
        assert_quotes(&err, "the server sent \"220 mail.example.net ESMTP\\r\\n\"");
        strcpy(sentences[i], err.text);
        script_fini(&script);
    }
    assert_string_equal(sentences[0], sentences[1]);
}

/* Without the rest of its line, it is quoted after a pause. */
static void session_client_waits_for_the_rest_of_a_wrong_line_for_a_while_only(void **state)
{
    struct script script = {.policy = {.answer_ms = 10000}, .now_ms = 7};
    struct err err = {0};
    (void)state;
    script_visit(&script);
    script_feed(&script, BYTES_LITERAL("22"));
    script_feed(&script, BYTES_LITERAL("0"));
    script_expire_at(&script, 306);
    assert_false(script_failed(&script, &err));
    script_expire_at(&script, 307);
    assert_true(script_failed(&script, &err));
    assert_quotes(&err, "the server sent \"220\"");
    script_fini(&script);
}

static void session_client_quotes_48_bytes_expected_and_received(void **state)
{
    char name[1024], received[1100], sentence[256];
    struct sink words = {received, 0, sizeof received};
    struct script script = {.policy = {.answer_ms = 1, .framing = LINE}};
    struct err err = {0};
    (void)state;
    memset(name, 'x', sizeof name);
    assert_true(greeting_put_answer(&words, (struct bytes){name, sizeof name}));
    received[500] = 'y';
    script_visit(&script);
    script_feed(&script, BYTES_LITERAL(WELCOME));
    script_send(&script, (struct bytes){name, sizeof name});
    script_feed(&script, (struct bytes){received, words.length});
    assert_true(script_failed(&script, &err));
    snprintf(sentence, sizeof sentence, "expected \"...%.48s\", the server sent \"...%.24sy%.47s\"", name,
             name, name);
    assert_string_equal(err.text, sentence);
    script_fini(&script);
}

static void session_name_fits_reports_which_names_can_be_sent(void **state)
{
    static char letters[1025];
    static const struct {
        enum session_framing framing;
        struct bytes name;
        const char *refusal; /* NULL: it fits */
    } rows[] = {
        {AUTO, LITERAL("Ann"), NULL},
        {LINE, LITERAL(""), NULL},
        {BARE, {NULL, 0}, NULL},
        {LINE, LITERAL("\r\0\xff"), NULL},
        {LINE, {letters, 1024}, NULL},
        {AUTO, {letters, 1025}, "the name of 1025 bytes is too long: a name has at most 1024 bytes"},
        {BARE, {letters, 1025}, "the name of 1025 bytes is too long: a name has at most 1024 bytes"},
        {LINE, LITERAL("A\nB"), "newline"},
        {AUTO, LITERAL("\n"), "--framing bare"},
        {BARE, LITERAL("A\nB"), NULL},
    };
    (void)state;
    memset(letters, 'x', sizeof letters);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {0};
        int result = session_name_fits(rows[i].framing, rows[i].name, &err);
        assert_int_equal(result, rows[i].refusal != NULL ? -1 : 0);
        assert_int_equal(err.reason, rows[i].refusal != NULL ? ERR_USAGE : ERR_OK);
        assert_quotes(&err, rows[i].refusal != NULL ? rows[i].refusal : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_client_takes_the_lines_that_answer_whoami),
        cmocka_unit_test(lines_in_another_order_or_for_another_name_are_a_wrong_answer),
        cmocka_unit_test(session_client_completes_for_any_cut_of_the_input),
        cmocka_unit_test(session_client_finds_each_wrong_byte),
        cmocka_unit_test(session_client_distinguishes_failures_for_any_cut_of_the_input),
        cmocka_unit_test(session_client_sends_one_line_to_a_silent_server),
        cmocka_unit_test(session_client_sends_nothing_early_to_a_server_that_sends),
        cmocka_unit_test(session_client_over_tls_does_not_suggest_tls),
        cmocka_unit_test(session_client_quotes_the_place_in_a_long_answer),
        cmocka_unit_test(session_client_quotes_the_whole_line_however_it_comes),
        cmocka_unit_test(session_client_waits_for_the_rest_of_a_wrong_line_for_a_while_only),
        cmocka_unit_test(session_client_quotes_48_bytes_expected_and_received),
        cmocka_unit_test(session_name_fits_reports_which_names_can_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
