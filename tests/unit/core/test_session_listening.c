#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "support/script.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WELCOME "Server: Welcome!\nServer: What's your name?"

enum { LISTEN_MS = 1000, ANSWER_MS = 10000 };

/* A client that listens before it sends anything. */
static void start(struct script *script)
{
    *script = (struct script){.policy = {.answer_ms = ANSWER_MS, .listen_ms = LISTEN_MS}, .now_ms = 5};
    script_visit(script);
}

static void assert_ends(struct script *script, enum session_end end)
{
    assert_int_equal(script_outcome(script).end, end);
    assert_int_equal(script_output(script).length, 0); /* nothing was sent */
    script_fini(script);
}

static const char *const greetings[] = {
    "SSH-2.0-OpenSSH_9.2p1\r\n", "220 mail.example ESMTP\r\n", "Server: Welcome, but another\n", "\n", "S\n",
};

static void another_greeting_ends_with_its_line_whatever_the_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(greetings); i++)
        for (size_t step = 0; step <= 3; step++) {
            struct script script;
            start(&script);
            size_t length = strlen(greetings[i]);
            script_feed_cut(&script, (struct bytes){greetings[i], length - 1}, (struct script_cut){1, step});
            assert_int_equal(script_outcome(&script).state, SESSION_GREETED);
            script_feed(&script, (struct bytes){greetings[i] + length - 1, 1});
            assert_ends(&script, SESSION_END_WRONG_ANSWER);
        }
}

static void another_greeting_without_a_line_ends_by_time_by_the_end_or_when_it_is_long(void **state)
{
    char many[256];
    (void)state;
    memset(many, 'x', sizeof many);
    struct script by_time;
    start(&by_time);
    script_feed(&by_time, BYTES_LITERAL("SSH-"));
    script_expire(&by_time);
    assert_int_equal(by_time.now_ms, 5 + LISTEN_MS);
    assert_ends(&by_time, SESSION_END_WRONG_ANSWER);
    struct script by_end;
    start(&by_end);
    script_feed(&by_end, BYTES_LITERAL("SSH-"));
    script_eof(&by_end);
    assert_ends(&by_end, SESSION_END_WRONG_ANSWER);
    struct script by_length;
    start(&by_length);
    script_feed_cut(&by_length, (struct bytes){many, sizeof many}, (struct script_cut){7, 7});
    assert_ends(&by_length, SESSION_END_WRONG_ANSWER);
}

static void silence_and_an_end_without_a_byte_send_nothing(void **state)
{
    (void)state;
    struct script silent;
    start(&silent);
    script_expire(&silent);
    assert_int_equal(silent.now_ms, 5 + LISTEN_MS);
    assert_ends(&silent, SESSION_END_TIMEOUT);
    struct script closed;
    start(&closed);
    script_eof(&closed);
    assert_ends(&closed, SESSION_END_EARLY);
}

static void a_welcome_that_has_begun_has_the_time_of_an_answer(void **state)
{
    (void)state;
    struct script script;
    start(&script);
    script_feed(&script, BYTES_LITERAL("Server: W"));
    script_feed(&script, BYTES_LITERAL("el")); /* once: bytes do not extend it */
    script_expire(&script);
    assert_int_equal(script.now_ms, 5 + ANSWER_MS);
    assert_ends(&script, SESSION_END_TIMEOUT);
}

static void the_welcome_begins_the_dialogue(void **state)
{
    (void)state;
    struct script script;
    start(&script);
    script_feed_cut(&script, BYTES_LITERAL(WELCOME), (struct script_cut){1, 1});
    assert_int_equal(script_outcome(&script).state, SESSION_READY);
    script_send(&script, BYTES_LITERAL("Ann"));
    script_feed(&script, BYTES_LITERAL("Server: Hello Ann!\nServer: What's your name?"));
    assert_int_equal(script_outcome(&script).names, 1);
    script_fini(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_greeting_ends_with_its_line_whatever_the_cuts),
        cmocka_unit_test(another_greeting_without_a_line_ends_by_time_by_the_end_or_when_it_is_long),
        cmocka_unit_test(silence_and_an_end_without_a_byte_send_nothing),
        cmocka_unit_test(a_welcome_that_has_begun_has_the_time_of_an_answer),
        cmocka_unit_test(the_welcome_begins_the_dialogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
