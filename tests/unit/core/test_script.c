#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/skip.h"
#include "tcpgreet/core/script_run.h"

enum { ANSWER_MS = 10000, BEGIN_MS = 5000, ROOM = 4096 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct step {
    enum script_kind kind;
    const char *text;
};

static void skip_without_patterns(void)
{
    struct err err = {0};
    if (script_check_built(&err) < 0)
        skip_because("PCRE2");
}

static void expect_bytes(const char *text, struct bytes bytes)
{
    struct script script = {0};
    struct err err = {0};
    assert_int_equal(script_add(&script, SCRIPT_SEND, text, &err), 0);
    assert_int_equal(script.steps[0].length, bytes.length);
    assert_memory_equal(script.steps[0].text, bytes.data, bytes.length);
    script_free(&script);
}

static void escapes_are_bytes_and_nothing_is_added(void **state)
{
    (void)state;
    expect_bytes("PING", BYTES_LITERAL("PING"));
    expect_bytes("a\\r\\n\\t\\\\", BYTES_LITERAL("a\r\n\t\\"));
    expect_bytes("\\0\\0\\0\\x08\\xfF7", BYTES_LITERAL("\0\0\0\x08\xff"
                                                       "7"));
    expect_bytes("\\\\n", BYTES_LITERAL("\\n"));
    expect_bytes("\xc3\xa4 \n", BYTES_LITERAL("\xc3\xa4 \n"));
}

static void expect_refusal(enum script_kind kind, const char *text, const char *sentence)
{
    struct script script = {0};
    struct err err = {0};
    assert_int_equal(script_add(&script, kind, text, &err), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    assert_string_equal(err.text, sentence);
    script_free(&script);
}

static void a_wrong_escape_is_named_with_its_place(void **state)
{
    (void)state;
    expect_refusal(SCRIPT_SEND, "ab\\q",
                   "--send: unknown escape \\q at offset 2 (use \\r, \\n, \\t, \\0, \\xHH or \\\\)");
    expect_refusal(SCRIPT_SEND, "\\R",
                   "--send: unknown escape \\R at offset 0 (use \\r, \\n, \\t, \\0, \\xHH or \\\\)");
    expect_refusal(SCRIPT_SEND, "\\\x1b",
                   "--send: unknown escape \\\\x1b at offset 0 (use \\r, \\n, \\t, \\0, \\xHH or \\\\)");
    expect_refusal(SCRIPT_SEND, "a\\x4", "--send: \\x at offset 1 needs two hexadecimal digits");
    expect_refusal(SCRIPT_SEND, "\\xg0", "--send: \\x at offset 0 needs two hexadecimal digits");
    expect_refusal(SCRIPT_SEND, "\\x", "--send: \\x at offset 0 needs two hexadecimal digits");
    expect_refusal(SCRIPT_SEND, "a\\\\\\", "--send: a single \\ at offset 3 (write \\\\ for a backslash)");
    expect_refusal(SCRIPT_SEND, "", "--send needs at least one byte");
}

static void a_wrong_pattern_is_named_with_its_place_and_what_pcre2_has_against_it(void **state)
{
    (void)state;
    skip_without_patterns();
    expect_refusal(SCRIPT_EXPECT, "(a", "--expect \"(a\": missing closing parenthesis, at offset 2");
    expect_refusal(SCRIPT_REJECT, "a[\\", "--reject \"a[\\\\\": \\ at end of pattern, at offset 3");
}

static void a_pattern_that_matches_an_empty_answer_is_refused(void **state)
{
    static const char *const patterns[] = {"a*", "^", "$", "^$", ".*", "x|"};
    char sentence[200];
    (void)state;

    skip_without_patterns();
    for (size_t i = 0; i < COUNT(patterns); i++) {
        snprintf(
            sentence, sizeof sentence,
            "--expect \"%s\" also matches an empty answer, so it proves nothing: make it match at least one byte",
            patterns[i]);
        expect_refusal(SCRIPT_EXPECT, patterns[i], sentence);
    }
}

static void a_pattern_cannot_turn_utf_on(void **state)
{
    struct script script = {0};
    struct err err = {0};
    (void)state;

    skip_without_patterns();
    assert_int_equal(script_add(&script, SCRIPT_EXPECT, "(*UTF)a", &err), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    script_free(&script);
}

static void the_steps_are_limited(void **state)
{
    struct script script = {0};
    struct err err = {0};
    (void)state;

    for (int i = 0; i < SCRIPT_STEPS_MAX; i++)
        assert_int_equal(script_add(&script, SCRIPT_SEND, "x", &err), 0);
    assert_int_equal(script_add(&script, SCRIPT_SEND, "x", &err), -1);
    assert_string_equal(err.text, "--send, --expect and --reject can be given at most 64 times together");
    script_free(&script);
}

/* One run of a script, with the bytes that were not consumed and the time. */
struct fixture {
    struct script script;
    struct script_run run;
    struct buf in;
    char room[ROOM];
    struct sink out;
    int64_t now_ms;
};

static void begin(struct fixture *fixture, const struct step *steps, size_t count)
{
    struct err err = {0};
    memset(fixture, 0, sizeof *fixture);
    fixture->out = (struct sink){fixture->room, 0, sizeof fixture->room};
    fixture->now_ms = BEGIN_MS;
    for (size_t i = 0; i < count; i++)
        if (script_add(&fixture->script, steps[i].kind, steps[i].text, &err) < 0)
            fail_msg("%s", err.text);
    script_run_init(&fixture->run, &fixture->script, ANSWER_MS);
    dialogue_begin(&fixture->run.dialogue, &fixture->out, fixture->now_ms);
}

#define BEGIN(fixture, ...)                                                                                  \
    begin(fixture, (const struct step[]){__VA_ARGS__}, COUNT(((const struct step[]){__VA_ARGS__})))

static void fini(struct fixture *fixture)
{
    buf_fini(&fixture->in);
    script_free(&fixture->script);
}

static void receive(struct fixture *fixture, struct bytes bytes)
{
    assert_int_equal(buf_append(&fixture->in, bytes), 0);
    buf_consume(&fixture->in, dialogue_receive(&fixture->run.dialogue, buf_bytes(&fixture->in), &fixture->out,
                                               fixture->now_ms));
}

static void receive_text(struct fixture *fixture, const char *text)
{
    receive(fixture, (struct bytes){text, strlen(text)});
}

/* Shape: after_ms: when the deadline is due, from now. */
static void expire(struct fixture *fixture, int64_t after_ms)
{
    assert_int_equal(fixture->run.dialogue.deadline_ms, fixture->now_ms + after_ms);
    fixture->now_ms += after_ms;
    buf_consume(&fixture->in, dialogue_expire(&fixture->run.dialogue, buf_bytes(&fixture->in), &fixture->out,
                                              fixture->now_ms));
}

static void end(struct fixture *fixture)
{
    buf_consume(&fixture->in, dialogue_eof(&fixture->run.dialogue, buf_bytes(&fixture->in), &fixture->out,
                                           fixture->now_ms));
}

static void expect_sent(struct fixture *fixture, const char *text)
{
    assert_int_equal(fixture->out.length, strlen(text));
    assert_memory_equal(fixture->out.data, text, strlen(text));
    fixture->out.length = 0;
}

static void expect_state(const struct fixture *fixture, enum dialogue_state state)
{
    assert_int_equal(fixture->run.dialogue.state, state);
}

static void expect_failure(const struct fixture *fixture, enum err_reason reason, const char *sentence)
{
    struct err err = {0};
    expect_state(fixture, DIALOGUE_FAILED);
    dialogue_failure(&fixture->run.dialogue, buf_bytes(&fixture->in), &err);
    assert_string_equal(err.text, sentence);
    assert_int_equal(err.reason, reason);
}

static void a_line_is_expected_before_the_next_send(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_EXPECT, "^2"}, {SCRIPT_SEND, "EHLO\\r\\n"}, {SCRIPT_EXPECT, "^2"});
    receive_text(&fixture, "220 mail");
    expect_sent(&fixture, "");
    receive_text(&fixture, " 2\r\n");
    expect_sent(&fixture, "EHLO\r\n");
    receive_text(&fixture, "500 unknown\r\n2");
    expect_state(&fixture, DIALOGUE_RUNNING);
    receive_text(&fixture, "50\r\n");
    expect_state(&fixture, DIALOGUE_READY);
    assert_int_equal(fixture.run.dialogue.deadline_ms, DIALOGUE_NEVER);
    assert_memory_equal(script_run_line(&fixture.run).data, "250", 3);
    assert_int_equal(script_run_line(&fixture.run).length, 3);
    fini(&fixture);
}

static void a_prompt_without_a_newline_is_complete_after_a_pause(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_EXPECT, "login: $"}, {SCRIPT_SEND, "me\\n"}, {SCRIPT_EXPECT, "^Password"});
    receive_text(&fixture, "login:");
    fixture.now_ms += 200;
    receive_text(&fixture, " ");
    expect_sent(&fixture, "");
    expire(&fixture, SCRIPT_PAUSE_MS);
    expect_sent(&fixture, "me\n");
    assert_int_equal(buf_length(&fixture.in), 0);
    receive_text(&fixture, "Password: ");
    expire(&fixture, SCRIPT_PAUSE_MS);
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
}

static void a_pause_that_meets_nothing_waits_on(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "ab"});
    expect_sent(&fixture, "x");
    receive_text(&fixture, "a");
    expire(&fixture, SCRIPT_PAUSE_MS);
    expect_state(&fixture, DIALOGUE_RUNNING);
    fixture.now_ms += 100;
    receive_text(&fixture, "b\n");
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
}

static void what_is_unmet_in_time_is_a_timeout_with_what_came(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "^250"});
    expire(&fixture, ANSWER_MS);
    expect_failure(&fixture, ERR_DIALOGUE_TIMEOUT,
                   "--expect \"^250\" did not match within 10 s: nothing was received (the last --send ends "
                   "without \\n, which a line protocol waits for)");
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_SEND, "x\\r\\n"}, {SCRIPT_EXPECT, "^250"});
    expire(&fixture, ANSWER_MS);
    expect_failure(&fixture, ERR_DIALOGUE_TIMEOUT,
                   "--expect \"^250\" did not match within 10 s: nothing was received");
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "^250"});
    receive_text(&fixture, "2\x1b[5\n");
    expire(&fixture, SCRIPT_PAUSE_MS);
    expire(&fixture, ANSWER_MS - SCRIPT_PAUSE_MS);
    expect_failure(&fixture, ERR_DIALOGUE_TIMEOUT,
                   "--expect \"^250\" did not match within 10 s: received \"2\\x1b[5\\n\"");
    fini(&fixture);
}

static void a_peer_that_never_pauses_has_the_whole_time_and_no_more(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_EXPECT, "^a+$"});
    for (int i = 0; i < 99; i++) {
        fixture.now_ms += 100;
        receive_text(&fixture, "a");
    }
    expire(&fixture, 100);
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
}

static void a_peer_that_ends_before_it_meets_the_expectation_is_unexpected(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_EXPECT, "^220"}, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "y"});
    end(&fixture);
    expect_failure(&fixture, ERR_DIALOGUE_UNEXPECTED,
                   "the peer closed the connection before --expect \"^220\" matched: nothing was received");
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_EXPECT, "^220"}, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "y$"});
    receive_text(&fixture, "220\nyes");
    end(&fixture);
    expect_failure(&fixture, ERR_DIALOGUE_UNEXPECTED,
                   "the peer closed the connection before --expect \"y$\" matched: received \"yes\"");
    fini(&fixture);
}

static enum err_detail detail_of_end(struct fixture *fixture)
{
    struct err err = {0};

    end(fixture);
    dialogue_failure(&fixture->run.dialogue, buf_bytes(&fixture->in), &err);
    assert_int_equal(err.reason, ERR_DIALOGUE_UNEXPECTED);
    fini(fixture);
    return err.detail;
}

static void a_peer_that_closes_on_the_first_bytes_without_any_of_its_own_is_marked(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "y"});
    assert_int_equal(detail_of_end(&fixture), ERR_DETAIL_UNANSWERED);
    BEGIN(&fixture, {SCRIPT_EXPECT, "y"});
    assert_int_equal(detail_of_end(&fixture), ERR_DETAIL_NONE);
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "y"});
    receive_text(&fixture, "z");
    assert_int_equal(detail_of_end(&fixture), ERR_DETAIL_NONE);
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "y"}, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "y"});
    receive_text(&fixture, "y\n");
    assert_int_equal(detail_of_end(&fixture), ERR_DETAIL_NONE);
}

static void a_reject_counts_from_where_it_stands_to_the_next_send(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_EXPECT, "^1"}, {SCRIPT_REJECT, "^5"}, {SCRIPT_EXPECT, "^2"}, {SCRIPT_SEND, "x"},
          {SCRIPT_EXPECT, "^3"});
    receive_text(&fixture, "5 before\n");
    expect_state(&fixture, DIALOGUE_RUNNING);
    receive_text(&fixture, "1\n");
    expect_failure(&fixture, ERR_DIALOGUE_UNEXPECTED,
                   "--reject \"^5\" matched: received \"5 before\\n1\\n\"");
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_REJECT, "^5"}, {SCRIPT_EXPECT, "^2"}, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "^3"});
    receive_text(&fixture, "2\n5\n3\n");
    expect_sent(&fixture, "x");
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
}

static void a_last_reject_watches_until_the_peer_is_silent_for_a_second(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_REJECT, "^5"});
    fixture.now_ms += 900;
    receive_text(&fixture, "2\n");
    expire(&fixture, SCRIPT_SILENCE_MS);
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_REJECT, "^5"}, {SCRIPT_SEND, "x"});
    expire(&fixture, SCRIPT_SILENCE_MS);
    expect_sent(&fixture, "x");
    expect_state(&fixture, DIALOGUE_OVER);
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_EXPECT, "a"}, {SCRIPT_REJECT, "b$"});
    receive_text(&fixture, "a\nb");
    fixture.now_ms += 500;
    receive_text(&fixture, "\n");
    expect_failure(&fixture, ERR_DIALOGUE_UNEXPECTED, "--reject \"b$\" matched: received \"b\\n\"");
    fini(&fixture);
}

static void a_last_send_is_over_once_it_is_sent(void **state)
{
    struct fixture fixture;
    (void)state;

    BEGIN(&fixture, {SCRIPT_SEND, "abc"}, {SCRIPT_SEND, "d"});
    expect_sent(&fixture, "abcd");
    expect_state(&fixture, DIALOGUE_OVER);
    fini(&fixture);
}

static void a_peer_that_does_not_read_has_the_time_of_an_answer(void **state)
{
    static char long_text[ROOM + 100];
    struct fixture fixture;
    (void)state;

    memset(long_text, 'x', sizeof long_text - 1);
    BEGIN(&fixture, {SCRIPT_SEND, long_text}, {SCRIPT_SEND, "y"});
    expect_state(&fixture, DIALOGUE_SENDING);
    assert_int_equal(fixture.out.length, ROOM);
    expire(&fixture, ANSWER_MS);
    expect_failure(&fixture, ERR_DIALOGUE_TIMEOUT,
                   "the peer did not read what --send has for it within 10 s");
    fini(&fixture);
}

static void no_more_than_the_window_is_searched(void **state)
{
    static char flood[SCRIPT_WINDOW_BYTES + 10];
    struct fixture fixture;
    char sentence[400];
    (void)state;

    skip_without_patterns();
    memset(flood, 'f', sizeof flood);
    memcpy(flood + sizeof flood - 4, "\nend", 4);
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "^end"});
    receive(&fixture, (struct bytes){flood, sizeof flood});
    snprintf(sentence, sizeof sentence,
             "--expect \"^end\" did not match in the first 65536 bytes: received \"%.156s...\"", flood);
    expect_failure(&fixture, ERR_DIALOGUE_UNEXPECTED, sentence);
    fini(&fixture);
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "^f+$"});
    receive(&fixture, (struct bytes){flood, SCRIPT_WINDOW_BYTES - 1});
    expect_state(&fixture, DIALOGUE_RUNNING);
    receive_text(&fixture, "f");
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
}

static void a_pattern_of_too_many_steps_is_given_up(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_EXPECT, "(a+)+$"});
    receive_text(&fixture, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\n");
    expect_failure(&fixture, ERR_DIALOGUE_UNEXPECTED,
                   "--expect \"(a+)+$\" takes too many steps to match, simplify the pattern: received "
                   "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\\n\"");
    fini(&fixture);
}

static void a_pattern_of_lines_fits_a_whole_window(void **state)
{
    static char text[SCRIPT_WINDOW_BYTES / 2];
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    memset(text, 'f', sizeof text);
    memcpy(text + sizeof text - 5, "\nend\n", 5);
    BEGIN(&fixture, {SCRIPT_EXPECT, "^ff(?:.|\\n)*end"});
    receive(&fixture, (struct bytes){text, sizeof text});
    expire(&fixture, SCRIPT_PAUSE_MS); /* a greedy match may become longer */
    expect_state(&fixture, DIALOGUE_READY);
    fini(&fixture);
}

static void a_tls_alert_is_recognized_as_a_tls_server(void **state)
{
    struct fixture fixture;
    (void)state;

    skip_without_patterns();
    BEGIN(&fixture, {SCRIPT_SEND, "x"}, {SCRIPT_EXPECT, "^HTTP"});
    receive(&fixture, BYTES_LITERAL("\x15\x03\x01\x00\x02\x02\x46"));
    end(&fixture);
    expect_failure(&fixture, ERR_DIALOGUE_TLS_PEER, "the server uses TLS: add --tls");
    fini(&fixture);
}

/* ^ and $ at every kind of line end; bytes that are not UTF-8; zero bytes. */
static void patterns_are_multi_line_and_of_bytes(void **state)
{
    static const struct {
        const char *pattern;
        struct bytes received;
        bool matches;
    } cases[] = {{"^250 OK$", BYTES_LITERAL("x\r\n250 OK\r\n"), true},
                 {"^250 OK$", BYTES_LITERAL("x\n250 OK\n"), true},
                 {"^250 OK$", BYTES_LITERAL("250 OKAY\r\n"), false},
                 {"^a.b$",
                  BYTES_LITERAL("a\xff"
                                "b\n"),
                  true},
                 {"^a\\0+b", BYTES_LITERAL("a\0\0b\n"), true},
                 {"\\xe4", BYTES_LITERAL("\xe4\n"), true},
                 {"(?i)pong", BYTES_LITERAL("+PONG\r\n"), true},
                 {"\\Aa", BYTES_LITERAL("b\na\n"), false}};
    (void)state;

    skip_without_patterns();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fixture fixture;
        BEGIN(&fixture, {SCRIPT_EXPECT, cases[i].pattern});
        receive(&fixture, cases[i].received);
        if ((fixture.run.dialogue.state == DIALOGUE_READY) != cases[i].matches)
            fail_msg("%s", cases[i].pattern);
        fini(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_bytes_and_nothing_is_added),
        cmocka_unit_test(a_wrong_escape_is_named_with_its_place),
        cmocka_unit_test(a_wrong_pattern_is_named_with_its_place_and_what_pcre2_has_against_it),
        cmocka_unit_test(a_pattern_that_matches_an_empty_answer_is_refused),
        cmocka_unit_test(a_pattern_cannot_turn_utf_on),
        cmocka_unit_test(the_steps_are_limited),
        cmocka_unit_test(a_line_is_expected_before_the_next_send),
        cmocka_unit_test(a_prompt_without_a_newline_is_complete_after_a_pause),
        cmocka_unit_test(a_pause_that_meets_nothing_waits_on),
        cmocka_unit_test(what_is_unmet_in_time_is_a_timeout_with_what_came),
        cmocka_unit_test(a_peer_that_never_pauses_has_the_whole_time_and_no_more),
        cmocka_unit_test(a_peer_that_ends_before_it_meets_the_expectation_is_unexpected),
        cmocka_unit_test(a_peer_that_closes_on_the_first_bytes_without_any_of_its_own_is_marked),
        cmocka_unit_test(a_reject_counts_from_where_it_stands_to_the_next_send),
        cmocka_unit_test(a_last_reject_watches_until_the_peer_is_silent_for_a_second),
        cmocka_unit_test(a_last_send_is_over_once_it_is_sent),
        cmocka_unit_test(a_peer_that_does_not_read_has_the_time_of_an_answer),
        cmocka_unit_test(no_more_than_the_window_is_searched),
        cmocka_unit_test(a_pattern_of_too_many_steps_is_given_up),
        cmocka_unit_test(a_pattern_of_lines_fits_a_whole_window),
        cmocka_unit_test(a_tls_alert_is_recognized_as_a_tls_server),
        cmocka_unit_test(patterns_are_multi_line_and_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
