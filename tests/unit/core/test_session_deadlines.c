#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

enum { START = 1000, IDLE = 300000, NAME = 30000, PAUSE = 300, ANSWER = 10000 };

static const struct session_policy policy = {
    .idle_ms = IDLE, .name_ms = NAME, .pause_ms = PAUSE, .answer_ms = ANSWER};
static char letters[1 << 12]; /* more than a name may have */

static struct script serving(int64_t pause_ms)
{
    struct script script = {.policy = policy, .now_ms = START};
    script.policy.pause_ms = pause_ms;
    return script;
}

static void serve(struct script *script)
{
    script_serve(script);
    script_hush(script); /* the welcome */
}

static void assert_sent(struct script *script, const char *expected)
{
    struct bytes sent = script_output(script);
    if (!bytes_equal(sent, (struct bytes){expected, strlen(expected)}))
        fail_msg("sent \"%.*s\", not \"%s\"", (int)sent.length, sent.data, expected);
    script_hush(script);
}

static void feed_at(struct script *script, int64_t now_ms, struct bytes piece)
{
    script->now_ms = now_ms;
    script_feed(script, piece);
}

static int64_t deadline(const struct script *script)
{
    return script->session.dialogue.deadline_ms;
}

static void session_takes_what_has_come_before_a_pause_for_the_name(void **state)
{
    static const struct {
        struct bytes in;
        const char *sent;
        enum session_end end;
        uint32_t names;
    } rows[] = {
        {LITERAL("Michael"), HELLO("Michael"), SESSION_END_NONE, 1},
        {LITERAL("Michael\r"), HELLO("Michael\r"), SESSION_END_NONE, 1},
        {LITERAL("exit"), BYE, SESSION_END_EXIT, 0},
        {LITERAL("exit\r"), HELLO("exit\r"), SESSION_END_NONE, 1},
        {{letters, 1025}, SORRY, SESSION_END_NONE, 0},
        {{letters, 3000}, SORRY, SESSION_END_NONE, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t at = 0; at < rows[i].in.length; at++) {
            struct script script = serving(PAUSE);
            serve(&script);
            script_feed_cut(&script, rows[i].in, (struct script_cut){at, 0});
            assert_int_equal(deadline(&script), START + PAUSE);
            script_expire_at(&script, START + PAUSE - 1);
            assert_sent(&script, "");
            script_expire(&script);
            assert_sent(&script, rows[i].sent);
            assert_int_equal(script.session.end, rows[i].end);
            assert_int_equal(script.session.names, rows[i].names);
            assert_int_equal(buf_length(&script.pending), 0);
            assert_int_equal(deadline(&script),
                             rows[i].end == SESSION_END_NONE ? START + PAUSE + IDLE : DIALOGUE_NEVER);
            script_fini(&script);
        }
    }
}

static void session_pause_still_counts_after_a_name_that_a_pause_ended(void **state)
{
    struct script script = serving(PAUSE);
    (void)state;
    serve(&script);
    script_feed(&script, BYTES_LITERAL("Ann"));
    script_expire(&script);
    script_feed(&script, (struct bytes){letters, 1025});
    script_expire(&script);
    script_feed(&script, BYTES_LITERAL("exit"));
    script_expire(&script);
    assert_sent(&script, HELLO("Ann") SORRY BYE);
    assert_int_equal(script.session.end, SESSION_END_EXIT);
    assert_int_equal(script.now_ms, START + 3 * PAUSE);
    script_fini(&script);
}

static void session_pause_begins_anew_with_each_byte(void **state)
{
    static const char name[] = "Michael";
    struct script script = serving(PAUSE);
    (void)state;
    serve(&script);
    for (int64_t i = 0; i < 7; i++) {
        feed_at(&script, START + i * (PAUSE - 1), (struct bytes){&name[i], 1});
        assert_int_equal(deadline(&script), script.now_ms + PAUSE);
        script_expire_at(&script, script.now_ms + PAUSE - 1);
    }
    assert_sent(&script, "");
    script_expire_at(&script, deadline(&script));
    assert_sent(&script, HELLO("Michael"));
    script_fini(&script);
}

static void session_pause_counts_no_longer_for_a_peer_that_ends_its_names(void **state)
{
    static const struct bytes ended[] = {LITERAL("Ann\n"), LITERAL("Ann\r\n"), LITERAL("\n")};
    (void)state;
    for (size_t i = 0; i < COUNT(ended) + 1; i++) {
        struct script script = serving(PAUSE);
        serve(&script);
        if (i < COUNT(ended)) {
            script_feed(&script, ended[i]);
        } else { /* a name that is too long has its newline too */
            script_feed(&script, (struct bytes){letters, 2000});
            script_feed(&script, BYTES_LITERAL("\n"));
        }
        script_hush(&script);
        script_feed(&script, BYTES_LITERAL("Mich"));
        assert_int_equal(deadline(&script), START + NAME);
        script_expire_at(&script, START + NAME - 1);
        script_feed(&script, BYTES_LITERAL("ael\n"));
        assert_sent(&script, HELLO("Michael"));
        script_feed(&script, (struct bytes){letters, 2000});
        assert_int_equal(deadline(&script), script.now_ms + NAME);
        script_fini(&script);
    }
}

static void session_pause_of_zero_is_off(void **state)
{
    struct script script = serving(0);
    (void)state;
    serve(&script);
    script_feed(&script, BYTES_LITERAL("Michael"));
    assert_int_equal(deadline(&script), START + NAME);
    script_expire(&script);
    assert_sent(&script, BYE);
    assert_int_equal(script.session.end, SESSION_END_NAME_TIMEOUT);
    script_fini(&script);
}

static void session_limits_the_time_of_a_name_sent_byte_by_byte(void **state)
{
    static const int64_t pauses[] = {0, PAUSE};
    (void)state;
    for (size_t i = 0; i < COUNT(pauses); i++) {
        for (int64_t every = 10; every < PAUSE; every += 70) { /* up to 3,000 bytes: in DISCARDING too */
            struct script script = serving(pauses[i]);
            serve(&script);
            script_feed(&script, BYTES_LITERAL("x"));
            while (script.now_ms + every < START + NAME) {
                feed_at(&script, script.now_ms + every, BYTES_LITERAL("x"));
                assert_true(deadline(&script) > script.now_ms && deadline(&script) <= START + NAME);
            }
            assert_int_equal(deadline(&script), START + NAME);
            assert_int_equal(script.session.state, every == 10 ? SESSION_DISCARDING : SESSION_LISTENING);
            script_expire(&script);
            assert_sent(&script, BYE);
            assert_int_equal(script.session.end, SESSION_END_NAME_TIMEOUT);
            assert_int_equal(deadline(&script), DIALOGUE_NEVER);
            script_fini(&script);
        }
    }
}

static void session_gives_each_name_its_own_time(void **state)
{
    struct script script = serving(0);
    (void)state;
    serve(&script);
    feed_at(&script, START + 5, BYTES_LITERAL("A"));
    feed_at(&script, START + NAME, BYTES_LITERAL("nn\nBo")); /* the name ends, the next one begins */
    assert_int_equal(deadline(&script), START + NAME + NAME);
    feed_at(&script, START + NAME + 9, BYTES_LITERAL("b"));
    assert_int_equal(deadline(&script), START + NAME + NAME);
    feed_at(&script, START + NAME + 10, BYTES_LITERAL("\n"));
    assert_int_equal(deadline(&script), START + NAME + 10 + IDLE);
    assert_sent(&script, HELLO("Ann") HELLO("Bob"));
    script_fini(&script);
}

static void session_sends_the_final_message_to_a_silent_peer(void **state)
{
    struct script script = serving(PAUSE);
    (void)state;
    serve(&script);
    assert_int_equal(deadline(&script), START + IDLE);
    feed_at(&script, START + IDLE - 1, BYTES_LITERAL("\n"));
    assert_int_equal(deadline(&script), START + IDLE - 1 + IDLE);
    script_expire_at(&script, deadline(&script) - 1);
    assert_sent(&script, QUESTION);
    script_expire(&script);
    assert_sent(&script, BYE);
    assert_int_equal(script.session.end, SESSION_END_IDLE);
    script_fini(&script);
}

/* Its rest may be on the way, and what looks like a request is hardly a name. */
static void session_no_pause_ends_what_looks_like_an_http_request(void **state)
{
    static const struct bytes in = LITERAL("GET /names HTTP/1.1\r");
    (void)state;
    for (size_t cut = strlen("GET /"); cut < in.length; cut++) {
        struct script script = serving(PAUSE);
        serve(&script);
        script_feed(&script, (struct bytes){in.data, cut});
        assert_int_equal(deadline(&script), START + NAME);
        script_feed(&script, bytes_skip(in, cut));
        assert_int_equal(deadline(&script), START + NAME);
        script_feed(&script, BYTES_LITERAL("\n"));
        assert_int_equal(script.session.end, SESSION_END_HTTP_CLIENT);
        assert_sent(&script, "");
        script_fini(&script);
    }
}

static void session_that_is_stopping_ends_with_a_second_of_silence(void **state)
{
    static const struct session_policy stopping = {
        .idle_ms = 1000, .name_ms = NAME, .pause_ms = PAUSE, .is_stopping = true};
    (void)state;
    struct script script = serving(PAUSE);
    serve(&script);
    feed_at(&script, START + 500, BYTES_LITERAL("Ann\n"));
    script_hush(&script);
    session_set_policy(&script.session, &stopping);
    assert_int_equal(deadline(&script), START + 500 + 1000); /* what was silence before counts */
    feed_at(&script, START + 1400, BYTES_LITERAL("Bob"));
    assert_int_equal(deadline(&script), START + 1400 + NAME);
    feed_at(&script, START + 9000, BYTES_LITERAL("\n"));
    assert_sent(&script, HELLO("Bob"));
    assert_int_equal(deadline(&script), START + 9000 + 1000);
    script_expire(&script);
    assert_sent(&script, BYE);
    assert_int_equal(script.session.end, SESSION_END_STOPPED);
    script_fini(&script);
}

/* The peer does not read: that is the connection's limit, and no fault of the name. */
static void session_has_no_deadline_while_it_is_stalled(void **state)
{
    struct session session;
    char room[GREETING_ANSWER_MAX];
    struct sink out = {room, 0, sizeof room}, full = {room, sizeof room, sizeof room};
    const struct bytes in = LITERAL("Ann\nBob");
    (void)state;
    session_init_server(&session, &policy);
    dialogue_begin(&session.dialogue, &out, START);
    assert_int_equal(dialogue_receive(&session.dialogue, in, &full, START), 0);
    assert_int_equal(session.dialogue.state, DIALOGUE_SENDING);
    assert_int_equal(session.dialogue.deadline_ms, DIALOGUE_NEVER);
    assert_int_equal(dialogue_expire(&session.dialogue, in, &full, START + 2 * IDLE), 0);
    assert_int_equal(session.state, SESSION_ASKING);
    out.length = 0;
    assert_int_equal(dialogue_receive(&session.dialogue, in, &out, START + 2 * IDLE), 4);
    assert_int_equal(session.dialogue.deadline_ms, START + 2 * IDLE + NAME);
}

static void session_client_awaits_each_answer_for_limited_time(void **state)
{
    static const struct {
        struct bytes received[2], sends[2]; /* by turns; the client sends nothing back where sends is empty */
        enum session_state waits_in;
    } rows[] = {
        {{LITERAL("")}, {LITERAL("")}, SESSION_GREETED},
        {{LITERAL(WELCOME)}, {LITERAL("Ann")}, SESSION_AWAITING},
        {{LITERAL(WELCOME), LITERAL(HELLO("Ann"))}, {LITERAL("Ann"), LITERAL("exit")}, SESSION_LEAVING},
        {{LITERAL(WELCOME), LITERAL(HELLO("exit\n"))}, {LITERAL("exit")}, SESSION_LEAVING}, /* sent again */
        {{LITERAL(WELCOME), LITERAL(BYE)}, {LITERAL("exit")}, SESSION_PARTED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct script script = {.policy = policy, .now_ms = START};
        script_visit(&script);
        for (size_t turn = 0; turn < 2 && rows[i].received[turn].length > 0; turn++) {
            feed_at(&script, script.now_ms + 1000, rows[i].received[turn]);
            if (rows[i].sends[turn].length == 0)
                continue;
            assert_int_equal(deadline(&script), DIALOGUE_NEVER); /* a person may think for long */
            script.now_ms += IDLE;
            script_send(&script, rows[i].sends[turn]);
        }
        assert_int_equal(script.session.state, rows[i].waits_in);
        int64_t due = script.now_ms + ANSWER;
        if (rows[i].waits_in != SESSION_PARTED)
            feed_at(&script, due - 1, BYTES_LITERAL("S")); /* a byte at a time extends no deadline */
        assert_int_equal(deadline(&script), due);
        script_expire_at(&script, due - 1);
        assert_int_equal(script.session.end, SESSION_END_NONE);
        script_expire(&script);
        assert_int_equal(script.session.end, SESSION_END_TIMEOUT);
        struct err err = {0};
        assert_true(script_failed(&script, &err));
        assert_int_equal(err.reason, ERR_DIALOGUE_TIMEOUT);
        assert_string_equal(err.text, "the server did not answer within 10 s");
        script_fini(&script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_takes_what_has_come_before_a_pause_for_the_name),
        cmocka_unit_test(session_pause_still_counts_after_a_name_that_a_pause_ended),
        cmocka_unit_test(session_pause_begins_anew_with_each_byte),
        cmocka_unit_test(session_pause_counts_no_longer_for_a_peer_that_ends_its_names),
        cmocka_unit_test(session_pause_of_zero_is_off),
        cmocka_unit_test(session_limits_the_time_of_a_name_sent_byte_by_byte),
        cmocka_unit_test(session_gives_each_name_its_own_time),
        cmocka_unit_test(session_sends_the_final_message_to_a_silent_peer),
        cmocka_unit_test(session_no_pause_ends_what_looks_like_an_http_request),
        cmocka_unit_test(session_that_is_stopping_ends_with_a_second_of_silence),
        cmocka_unit_test(session_has_no_deadline_while_it_is_stalled),
        cmocka_unit_test(session_client_awaits_each_answer_for_limited_time),
    };
    memset(letters, 'x', sizeof letters);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
