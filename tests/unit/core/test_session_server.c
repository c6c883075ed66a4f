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

#define ASKED SESSION_END_NONE /* the dialogue goes on */

static const struct session_policy policy = {.idle_ms = 300000, .name_ms = 30000, .pause_ms = 300};

/* One dialogue without pauses: what comes in, whether the peer then ends its side, and what must come of it.
 */
struct exchange {
    struct bytes in;
    bool eof;
    struct bytes sent; /* after the welcome */
    enum session_end end;
    uint32_t names;
};

static const struct exchange exchanges[] = {
    {LITERAL(""), false, LITERAL(""), ASKED, 0},
    {LITERAL("Ann\n"), false, LITERAL(HELLO("Ann")), ASKED, 1},
    {LITERAL("Ann\r\n"), false, LITERAL(HELLO("Ann")), ASKED, 1},
    {LITERAL("Ann\r\r\n"), false, LITERAL(HELLO("Ann\r")), ASKED, 1},
    {LITERAL("A\rn\rn\n"), false, LITERAL(HELLO("A\rn\rn")), ASKED, 1},
    {LITERAL("\rAnn\n"), false, LITERAL(HELLO("\rAnn")), ASKED, 1},
    {LITERAL("\n"), false, LITERAL(QUESTION), ASKED, 0},
    {LITERAL("\r\n"), false, LITERAL(QUESTION), ASKED, 0},
    {LITERAL("\r\r\n"), false, LITERAL(HELLO("\r")), ASKED, 1},
    {LITERAL("\n\n\r\n"), false, LITERAL(QUESTION QUESTION QUESTION), ASKED, 0},
    {LITERAL(" \n"), false, LITERAL(HELLO(" ")), ASKED, 1},
    {LITERAL("A\0\n\0\n"), false, LITERAL(HELLO("A\0") HELLO("\0")), ASKED, 2},
    {LITERAL("\xff\xfe\xc3\n"), false, LITERAL(HELLO("\xff\xfe\xc3")), ASKED, 1},
    {LITERAL("\x1b[31m\x9b\x07\n"), false, LITERAL(HELLO("\x1b[31m\x9b\x07")), ASKED, 1},
    {LITERAL("Server: Welcome!\n"), false, LITERAL(HELLO("Server: Welcome!")), ASKED, 1},
    {LITERAL("A\nB\r\n\nC\nexit\n"), false, LITERAL(HELLO("A") HELLO("B") QUESTION HELLO("C") BYE),
     SESSION_END_EXIT, 3},
    {LITERAL("exit\n"), false, LITERAL(BYE), SESSION_END_EXIT, 0},
    {LITERAL("exit\r\n"), false, LITERAL(BYE), SESSION_END_EXIT, 0},
    {LITERAL("exit\nAnn\nexit\n\xff"), true, LITERAL(BYE), SESSION_END_EXIT, 0},
    {LITERAL("Exit\nEXIT\n exit\nexit \nexit\r\r\n"), false,
     LITERAL(HELLO("Exit") HELLO("EXIT") HELLO(" exit") HELLO("exit ") HELLO("exit\r")), ASKED, 5},
    {LITERAL(""), true, LITERAL(""), SESSION_END_PEER, 0},
    {LITERAL("Ann\n"), true, LITERAL(HELLO("Ann")), SESSION_END_PEER, 1},
    {LITERAL("Ann"), true, LITERAL(HELLO("Ann")), SESSION_END_PEER, 1},
    {LITERAL("Ann\r"), true, LITERAL(HELLO("Ann\r")), SESSION_END_PEER, 1},
    {LITERAL("Ann\nBob"), true, LITERAL(HELLO("Ann") HELLO("Bob")), SESSION_END_PEER, 2},
    {LITERAL("\n"), true, LITERAL(QUESTION), SESSION_END_PEER, 0},
    {LITERAL("exit"), true, LITERAL(BYE), SESSION_END_EXIT, 0},
    {LITERAL("Ann\nexit"), true, LITERAL(HELLO("Ann") BYE), SESSION_END_EXIT, 1},
    {LITERAL("\x16\x03\x01\x00\xc0\x01\n\nexit\n"), true, LITERAL(""), SESSION_END_TLS_CLIENT, 0},
    {LITERAL("\x16\x03\x04"), false, LITERAL(""), SESSION_END_TLS_CLIENT, 0},
    {LITERAL("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), true, LITERAL(""), SESSION_END_HTTP_CLIENT, 0},
    {LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), false, LITERAL(""), SESSION_END_HTTP_CLIENT, 0},
    {LITERAL("\x16\x03\n"), false, LITERAL(HELLO("\x16\x03")), ASKED, 1},
    {LITERAL("\x16\x03"), true, LITERAL(HELLO("\x16\x03")), SESSION_END_PEER, 1},
    {LITERAL("GET /\n"), false, LITERAL(HELLO("GET /")), ASKED, 1},
    {LITERAL("Ann\nGET / HTTP/1.1\r\n"), false, LITERAL(HELLO("Ann") HELLO("GET / HTTP/1.1")), ASKED, 2},
    {LITERAL("\n\x16\x03\x01\n"), false, LITERAL(QUESTION HELLO("\x16\x03\x01")), ASKED, 1},
};

static void check_sent(struct script *script, struct bytes expected, const char *about)
{
    struct bytes sent = script_output(script);
    const struct bytes welcome = LITERAL(WELCOME);
    if (sent.length < welcome.length || !bytes_equal((struct bytes){sent.data, welcome.length}, welcome))
        fail_msg("%s: no welcome", about);
    if (!bytes_equal(bytes_skip(sent, welcome.length), expected))
        fail_msg("%s: sent \"%.*s\", not \"%.*s\"", about, (int)sent.length, sent.data, (int)expected.length,
                 expected.data);
}

static void play(const struct exchange *exchange, struct script_cut cut, size_t room, size_t drain)
{
    char about[200];
    struct script script = {.policy = policy, .room = room, .drain = drain};
    script_serve(&script);
    script_feed_cut(&script, exchange->in, cut);
    if (exchange->eof)
        script_eof(&script);
    snprintf(about, sizeof about, "\"%.40s\" at %zu by %zu, room %zu drained by %zu", exchange->in.data,
             cut.at, cut.step, room, drain);
    check_sent(&script, exchange->sent, about);
    if (script.session.end != exchange->end || script.session.names != exchange->names)
        fail_msg("%s: %s, %u names", about, session_end_text((enum session_end)script.session.end),
                 script.session.names);
    script_fini(&script);
}

static bool append_facts(const struct session *session, struct sink *out)
{
    static const char *const values[WHOAMI_KEY_COUNT] = {
        [WHOAMI_PEER] = "[::1]:5", [WHOAMI_LOCAL] = "",      [WHOAMI_PROXY] = "",  [WHOAMI_AUTHORITY] = "",
        [WHOAMI_TLS] = "",         [WHOAMI_SNI] = "",        [WHOAMI_ALPN] = "h2", [WHOAMI_CERTIFICATE] = "",
        [WHOAMI_INSTANCE] = "",    [WHOAMI_CONNECTION] = "7"};
    (void)session;
    return whoami_put(values, out);
}

static void whoami_is_answered_with_lines_and_is_no_name(void **state)
{
    static const struct bytes in = LITERAL("A\nwhoami\nWhoami\nwhoami \nwhoami\r\nexit\n");
    static const struct bytes sent = LITERAL(
        HELLO("A") "Server: peer: [::1]:5\nServer: alpn: h2\nServer: connection: 7\n" QUESTION HELLO("Whoami")
            HELLO("whoami ") "Server: peer: [::1]:5\nServer: alpn: h2\nServer: connection: 7\n" QUESTION BYE);
    (void)state;
    for (size_t at = 0; at <= in.length; at++) {
        struct script script = {.policy = policy, .room = WHOAMI_BYTES + GREETING_ANSWER_MAX, .drain = 1};
        script.policy.whoami = append_facts;
        script_serve(&script);
        script_feed_cut(&script, in, (struct script_cut){at, 1});
        check_sent(&script, sent, "whoami");
        assert_int_equal(script.session.names, 3);
        assert_int_equal(script.session.end, SESSION_END_EXIT);
        script_fini(&script);
    }
}

static void without_whoami_it_is_a_name(void **state)
{
    static const struct exchange exchange = {LITERAL("whoami\n"), false, LITERAL(HELLO("whoami")), ASKED, 1};
    (void)state;
    play(&exchange, (struct script_cut){0, 1}, 0, 0);
}

static void session_answers_each_dialogue_the_same_whatever_its_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(exchanges); i++) {
        for (size_t at = 0; at <= exchanges[i].in.length; at++) {
            play(&exchanges[i], (struct script_cut){at, 0}, 0, 0);
            play(&exchanges[i], (struct script_cut){at, 1}, 0, 0);
        }
        for (size_t step = 2; step < exchanges[i].in.length; step++)
            play(&exchanges[i], (struct script_cut){0, step}, 0, 0);
    }
}

/* Fills memory of its own, valid until the next call. Returns: what must be sent, by the limit of 1024 bytes.
 */
static struct exchange long_name(size_t letters, const char *end, bool eof)
{
    static char in[(1 << 20) + 64], sent[2048];
    size_t after = strlen(end);
    bool fits = letters + (eof ? after : 0) <= 1024;
    memset(in, 'x', letters);
    memcpy(in + letters, end, after);
    int length = fits ? snprintf(sent, sizeof sent, "Server: Hello %.*s!\n" QUESTION,
                                 (int)(letters + (eof ? after : 0)), in)
                      : snprintf(sent, sizeof sent, SORRY);
    if (!eof) {
        memcpy(in + letters + after, "Ann\n", 4);
        after += 4;
        length += snprintf(sent + length, sizeof sent - (size_t)length, HELLO("Ann"));
    }
    return (struct exchange){{in, letters + after},
                             eof,
                             {sent, (size_t)length},
                             eof ? SESSION_END_PEER : ASKED,
                             (uint32_t)fits + (uint32_t)!eof};
}

static void session_refuses_a_name_over_the_limit_once_and_answers_the_next(void **state)
{
    static const struct {
        size_t letters;
        const char *end;
        bool eof;
    } rows[] = {
        {1023, "\n", false},   {1024, "\n", false}, {1024, "\r\n", false}, {1025, "\n", false},
        {1025, "\r\n", false}, {3000, "\n", false}, {3000, "\r\n", false}, {1024, "", true},
        {1025, "", true},      {1023, "\r", true},  {1024, "\r", true},    {3000, "", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exchange exchange = long_name(rows[i].letters, rows[i].end, rows[i].eof);
        for (size_t at = 0; at <= exchange.in.length; at++)
            play(&exchange, (struct script_cut){at, 0}, 0, 0);
        for (size_t step = 1; step < 20; step++)
            play(&exchange, (struct script_cut){0, step}, 0, 0);
        for (size_t step = 1020; step < 1030; step++)
            play(&exchange, (struct script_cut){0, step}, GREETING_ANSWER_MAX, 1);
    }
}

static void session_keeps_nothing_of_a_name_of_a_mebibyte(void **state)
{
    static const size_t steps[] = {0, 13, 1024, 1025, 1026, 65536};
    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct exchange exchange = long_name(1 << 20, "\n", false);
        play(&exchange, (struct script_cut){0, steps[i]}, 0, 0);
        exchange = long_name(1 << 20, "", true);
        play(&exchange, (struct script_cut){1, steps[i]}, 0, 0);
    }
}

static void session_sees_no_other_protocol_inside_a_long_name(void **state)
{
    static const struct bytes middles[] = {LITERAL("GET / HTTP/1.1\n"), LITERAL("\x16\x03\x01\x02\n")};
    char in[2000 + 20];
    (void)state;
    memset(in, 'x', sizeof in);
    for (size_t i = 0; i < COUNT(middles); i++) {
        memcpy(in + 2000, middles[i].data, middles[i].length);
        const struct exchange exchange = {{in, 2000 + middles[i].length}, false, LITERAL(SORRY), ASKED, 0};
        for (size_t at = 1990; at <= exchange.in.length; at++)
            play(&exchange, (struct script_cut){at, 0}, 0, 0);
    }
}

static void session_answers_all_the_names_of_one_read_in_one_write(void **state)
{
    struct session session;
    char room[4096];
    struct sink out = {room, 0, sizeof room};
    (void)state;
    session_init_server(&session, &policy);
    dialogue_begin(&session.dialogue, &out, 0);
    assert_int_equal(out.length, strlen(WELCOME));
    out.length = 0;
    assert_int_equal(dialogue_receive(&session.dialogue, BYTES_LITERAL("A\nB\n\nC\nD"), &out, 0), 7);
    assert_int_equal(out.length, strlen(HELLO("A") HELLO("B") QUESTION HELLO("C")));
    assert_memory_equal(room, HELLO("A") HELLO("B") QUESTION HELLO("C"), out.length);
}

static void session_loses_and_doubles_nothing_where_the_output_is_full(void **state)
{
    static const size_t drains[] = {0, 1, 7, 1000};
    static char in[1 << 13], sent[1 << 13];
    struct sink names = {in, 0, sizeof in}, answers = {sent, 0, sizeof sent};
    char name[1024];
    (void)state;
    memset(name, 'y', sizeof name);
    for (size_t length = 0; length < sizeof name; length += length < 8 ? 1 : 253) {
        assert_true(sink_put(&names, (struct bytes){name, length}) && sink_put(&names, BYTES_LITERAL("\n")));
        assert_true(greeting_put_answer(&answers, (struct bytes){name, length}));
    }
    assert_true(sink_put(&names, BYTES_LITERAL("exit")));
    assert_true(greeting_put_goodbye(&answers));
    const struct exchange exchange = {{in, names.length}, true, {sent, answers.length}, SESSION_END_EXIT, 12};

    for (size_t room = GREETING_ANSWER_MAX; room <= answers.length + 1; room++)
        for (size_t i = 0; i < COUNT(drains); i++)
            play(&exchange, (struct script_cut){0, 0}, room, drains[i]);
    for (size_t at = 0; at < names.length; at++)
        play(&exchange, (struct script_cut){at, 700}, GREETING_ANSWER_MAX + at % 97, 1 + at % 31);
}

static void session_stalls_at_the_end_of_a_long_name_too(void **state)
{
    struct session session;
    char room[GREETING_ANSWER_MAX];
    struct sink out = {room, 0, sizeof room}, full = {room, sizeof room, sizeof room};
    struct exchange exchange = long_name(3000, "\n", false);
    (void)state;
    session_init_server(&session, &policy);
    dialogue_begin(&session.dialogue, &out, 0);
    size_t taken = dialogue_receive(&session.dialogue, (struct bytes){exchange.in.data, 2000}, &full, 0);
    assert_int_equal(taken, 2000);
    assert_int_equal(session.state, SESSION_DISCARDING);
    taken += dialogue_receive(&session.dialogue, bytes_skip(exchange.in, taken), &full, 1);
    assert_int_equal(session.dialogue.state, DIALOGUE_SENDING);
    assert_int_equal(taken, 3000);
    assert_int_equal(dialogue_receive(&session.dialogue, bytes_skip(exchange.in, taken), &full, 2), 0);
    out.length = 0;
    taken += dialogue_receive(&session.dialogue, bytes_skip(exchange.in, taken), &out, 3);
    assert_int_equal(session.dialogue.state, DIALOGUE_RUNNING);
    assert_int_equal(taken, exchange.in.length);
    assert_int_equal(out.length, exchange.sent.length);
    assert_memory_equal(room, exchange.sent.data, out.length);
}

static void session_reads_and_sends_nothing_after_its_end(void **state)
{
    struct script script = {.policy = policy};
    (void)state;
    script_serve(&script);
    script_feed(&script, BYTES_LITERAL("exit\nAnn\n"));
    assert_int_equal(buf_length(&script.pending), 0);
    script_feed(&script, BYTES_LITERAL("Ann\n"));
    script_feed(&script, (struct bytes){NULL, 0});
    script_eof(&script);
    script_shut_down(&script);
    script_expire_at(&script, INT64_MAX - 1);
    check_sent(&script, BYTES_LITERAL(BYE), "after the end");
    assert_int_equal(script.session.end, SESSION_END_EXIT);
    script_fini(&script);
}

static void session_sends_the_final_message_in_every_state_at_shutdown(void **state)
{
    static const enum session_state states[] = {SESSION_ASKING, SESSION_LISTENING, SESSION_DISCARDING};
    struct exchange exchange = long_name(3000, "", true);
    const struct bytes begun[] = {LITERAL(""), LITERAL("An"), exchange.in};
    (void)state;
    for (size_t i = 0; i < COUNT(states); i++) {
        struct script script = {.policy = policy};
        script_serve(&script);
        script_feed(&script, begun[i]);
        assert_int_equal(script.session.state, states[i]);
        script_shut_down(&script);
        script_shut_down(&script);
        check_sent(&script, BYTES_LITERAL(BYE), session_state_name(states[i]));
        assert_int_equal(script.session.end, SESSION_END_STOPPED);
        script_fini(&script);
    }
}

static void session_rejects_a_connection_with_one_line(void **state)
{
    struct session session;
    char room[GREETING_ANSWER_MAX];
    struct sink out = {room, 0, sizeof room};
    (void)state;
    session_init_refusal(&session);
    dialogue_begin(&session.dialogue, &out, 0);
    assert_int_equal(out.length, strlen("Server: Sorry, too many guests.\n"));
    assert_memory_equal(room, "Server: Sorry, too many guests.\n", out.length);
    assert_int_equal(session.state, SESSION_ENDED);
    assert_int_equal(session.end, SESSION_END_TOO_MANY);
    assert_int_equal(session.dialogue.deadline_ms, DIALOGUE_NEVER);
    assert_int_equal(dialogue_receive(&session.dialogue, BYTES_LITERAL("Ann\n"), &out, 0), 4);
    dialogue_eof(&session.dialogue, (struct bytes){NULL, 0}, &out, 0);
    assert_int_equal(out.length, strlen("Server: Sorry, too many guests.\n"));
}

static void session_leaves_good_bye_unsaid_where_the_output_is_full(void **state)
{
    struct session session;
    char room[GREETING_ANSWER_MAX];
    struct sink out = {room, 0, sizeof room};
    (void)state;
    session_init_server(&session, &policy);
    dialogue_begin(&session.dialogue, &out, 0);
    out.length = out.capacity - strlen(BYE) + 1;
    dialogue_shut_down(&session.dialogue, &out);
    assert_int_equal(session.end, SESSION_END_STOPPED);
    assert_int_equal(out.length, out.capacity - strlen(BYE) + 1);
}

static void session_names_its_states_and_ends(void **state)
{
    static const char *const states[] = {"asking",   "listening", "discarding", "greeted", "ready",
                                         "awaiting", "leaving",   "parted",     "ended"};
    (void)state;
    assert_int_equal(COUNT(states), SESSION_STATES);
    for (unsigned i = 0; i < SESSION_STATES; i++)
        assert_string_equal(session_state_name((enum session_state)i), states[i]);
    assert_string_equal(session_state_name(SESSION_STATES), "unknown");
    for (unsigned i = 0; i < SESSION_ENDS; i++) {
        assert_true(strlen(session_end_text((enum session_end)i)) > 0);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(session_end_text((enum session_end)i),
                                    session_end_text((enum session_end)j));
    }
    assert_string_equal(session_end_text(SESSION_ENDS), "unknown");
    assert_string_equal(session_end_text(SESSION_END_EXIT), "exit");
    assert_string_equal(session_end_text(SESSION_END_PEER), "the peer ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoami_is_answered_with_lines_and_is_no_name),
        cmocka_unit_test(without_whoami_it_is_a_name),
        cmocka_unit_test(session_answers_each_dialogue_the_same_whatever_its_cuts),
        cmocka_unit_test(session_refuses_a_name_over_the_limit_once_and_answers_the_next),
        cmocka_unit_test(session_keeps_nothing_of_a_name_of_a_mebibyte),
        cmocka_unit_test(session_sees_no_other_protocol_inside_a_long_name),
        cmocka_unit_test(session_answers_all_the_names_of_one_read_in_one_write),
        cmocka_unit_test(session_loses_and_doubles_nothing_where_the_output_is_full),
        cmocka_unit_test(session_stalls_at_the_end_of_a_long_name_too),
        cmocka_unit_test(session_reads_and_sends_nothing_after_its_end),
        cmocka_unit_test(session_sends_the_final_message_in_every_state_at_shutdown),
        cmocka_unit_test(session_rejects_a_connection_with_one_line),
        cmocka_unit_test(session_leaves_good_bye_unsaid_where_the_output_is_full),
        cmocka_unit_test(session_names_its_states_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
