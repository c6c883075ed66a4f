#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/core/greeting.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/volume.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const size_t totals[] = {1, 2, 3, 4, 5, 1000, 1025, 1026, 1027, 4096, 65536, 1000003};

/* All that is sent, and all that a real session answers to it. */
struct talk {
    char *sent, *answered;
    size_t sent_length, answered_length;
};

static void append(char **all, size_t *length, const char *data, size_t count)
{
    *all = realloc(*all, *length + count + 1);
    assert_non_null(*all);
    memcpy(*all + *length, data, count);
    *length += count;
}

static void answer(struct talk *talk)
{
    const struct session_policy policy = {.idle_ms = 1000, .name_ms = 1000};
    static char room[GREETING_ANSWER_MAX * 4];
    struct session session;
    struct sink out = {room, 0, sizeof room};
    struct bytes in = {talk->sent, talk->sent_length};

    session_init_server(&session, &policy);
    dialogue_begin(&session.dialogue, &out, 0);
    do {
        append(&talk->answered, &talk->answered_length, out.data, out.length);
        out.length = 0;
        in = bytes_skip(in, dialogue_receive(&session.dialogue, in, &out, 0));
    } while (out.length > 0);
    assert_int_equal(session.end, SESSION_END_EXIT);
    assert_int_equal(in.length, 0);
}

enum { ANSWER_MS = 1000 };

static struct volume begun(uint64_t bytes)
{
    struct sink none = {0};
    struct volume volume;
    volume_init(&volume, bytes, ANSWER_MS);
    dialogue_begin(&volume.dialogue, &none, 0);
    return volume;
}

/* What comes from the server. Returns: how much of it was as expected; then err has the reason. */
static size_t receive(struct volume *volume, struct bytes bytes, struct err *err)
{
    struct sink none = {0};
    size_t count = dialogue_receive(&volume->dialogue, bytes, &none, 0);
    assert_int_equal(count < bytes.length, volume->dialogue.state == DIALOGUE_FAILED);
    if (count < bytes.length)
        dialogue_failure(&volume->dialogue, bytes_skip(bytes, count), err);
    return count;
}

static bool ends_cleanly(struct volume *volume)
{
    struct sink none = {0};
    dialogue_eof(&volume->dialogue, (struct bytes){0}, &none, 0);
    return volume->dialogue.state == DIALOGUE_OVER;
}

static struct talk hold(uint64_t bytes)
{
    struct talk talk = {0};
    struct volume volume = begun(bytes);
    char burst[DIALOGUE_OUT_BYTES];

    while (volume.dialogue.state == DIALOGUE_SENDING) {
        struct sink out = {burst, 0, sizeof burst};
        dialogue_receive(&volume.dialogue, (struct bytes){0}, &out, 0);
        append(&talk.sent, &talk.sent_length, burst, out.length);
    }
    assert_int_equal(volume.sent_bytes, talk.sent_length);
    answer(&talk);
    return talk;
}

static void talk_fini(struct talk *talk)
{
    free(talk->sent);
    free(talk->answered);
}

static void exactly_the_requested_bytes_are_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(totals); i++) {
        struct talk talk = hold(totals[i]);
        size_t total = totals[i] > 1 ? totals[i] : 2;
        assert_int_equal(talk.sent_length, total + strlen("exit\n"));
        assert_memory_equal(talk.sent + total, "exit\n", 5);
        assert_int_equal(talk.sent[total - 1], '\n');
        talk_fini(&talk);
    }
}

static void names_have_every_kind_of_size_and_none_is_empty(void **state)
{
    struct talk talk = hold(1000003);
    bool seen[GREETING_NAME_MAX + 1] = {false};
    size_t begin = 0, distinct = 0;
    const char *longest = NULL; /* the name of that size before */
    (void)state;

    for (size_t i = 0; i < 1000003; i++) {
        if (talk.sent[i] == '\n') {
            assert_in_range(i - begin, 1, GREETING_NAME_MAX);
            distinct += !seen[i - begin];
            seen[i - begin] = true;
            if (i - begin == GREETING_NAME_MAX) { /* one is not taken for another */
                assert_true(longest == NULL || memcmp(longest, talk.sent + begin, i - begin) != 0);
                longest = talk.sent + begin;
            }
            begin = i + 1;
        } else {
            assert_in_range(talk.sent[i], '!', '~');
        }
    }
    assert_true(seen[1] && seen[512] && seen[GREETING_NAME_MAX - 1] && seen[GREETING_NAME_MAX]);
    assert_true(distinct > 500);
    talk_fini(&talk);
}

static void what_a_session_answers_is_right_in_any_pieces(void **state)
{
    static const size_t pieces[] = {1, 7, 1000, SIZE_MAX};
    (void)state;
    for (size_t i = 0; i < COUNT(totals); i++) {
        struct talk talk = hold(totals[i]);
        for (size_t p = 0; p < COUNT(pieces); p++) {
            struct volume volume = begun(totals[i]), copy;
            struct err err = {0};
            struct bytes rest = {talk.answered, talk.answered_length};
            while (rest.length > 0) {
                struct bytes piece = rest;
                copy = volume;
                assert_false(ends_cleanly(&copy));
                piece.length = pieces[p] < rest.length ? pieces[p] : rest.length;
                if (receive(&volume, piece, &err) < piece.length)
                    fail_msg("%s", err.text);
                rest = bytes_skip(rest, piece.length);
            }
            copy = volume;
            assert_true(ends_cleanly(&copy));
            assert_int_equal(volume.received_bytes, talk.answered_length);
            assert_int_equal(receive(&volume, BYTES_LITERAL("x"), &err), 0);
            assert_string_equal(err.text, "the server sent more after its final message");
            assert_int_equal(err.reason, ERR_DIALOGUE_WRONG_ANSWER);
        }
        talk_fini(&talk);
    }
}

static void any_byte_that_is_changed_lost_or_doubled_is_found(void **state)
{
    enum { TOTAL = 3000 };
    struct talk talk = hold(TOTAL);
    (void)state;
    for (size_t at = 0; at < talk.answered_length; at++) {
        for (int kind = 0; kind < 3; kind++) {
            struct volume volume = begun(TOTAL);
            struct err err = {0};
            assert_int_equal(receive(&volume, (struct bytes){talk.answered, at}, &err), at);
            struct bytes rest = {talk.answered + at, talk.answered_length - at};
            char wrong = (char)(rest.data[0] ^ 1);
            if (kind == 0)
                rest = (struct bytes){&wrong, 1};
            else if (kind == 1)
                rest = bytes_skip(rest, 1);
            else
                assert_int_equal(receive(&volume, (struct bytes){rest.data, 1}, &err), 1);
            bool is_found = receive(&volume, rest, &err) < rest.length || !ends_cleanly(&volume);
            if (!is_found)
                fail_msg("byte %zu, kind %d", at, kind);
        }
    }
    talk_fini(&talk);
}

static void the_first_wrong_byte_is_reported_with_its_offset(void **state)
{
    static const struct {
        size_t at;
        const char *sentence;
    } cases[] = {
        {0, "byte 1 from the server is wrong, in the welcome: expected \"S\", received \"\\x00\""},
        {42, "byte 43 from the server is wrong, in the answer to name 1, which has 1 bytes: expected "
             "\"S\", received \"\\x00\""},
        {84, "byte 85 from the server is wrong, in the answer to name 2, which has 1 bytes: expected "
             "\"S\", received \"\\x00\""},
        {126, "byte 127 from the server is wrong, in the good bye: expected \"S\", received \"\\x00\""},
    };
    struct talk talk = hold(4);
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct volume volume = begun(4);
        struct err err = {0};
        char sent = talk.answered[cases[i].at];
        talk.answered[cases[i].at] = '\0';
        assert_int_equal(receive(&volume, (struct bytes){talk.answered, talk.answered_length}, &err),
                         cases[i].at);
        talk.answered[cases[i].at] = sent;
        assert_string_equal(err.text, cases[i].sentence);
        assert_int_equal(err.reason, ERR_DIALOGUE_WRONG_ANSWER);
        assert_int_equal(volume.received_bytes, cases[i].at);
    }
    talk_fini(&talk);
}

static void the_progress_of_a_failed_volume_is_reported(void **state)
{
    static const struct {
        size_t received;
        const char *where;
    } cases[] = {
        {0, "before the first of 4 bytes"},
        {42, "after 0 of 4 bytes, in a name of 1 bytes"},
        {90, "after 2 of 4 bytes, in a name of 1 bytes"},
        {130, "after all of 4 bytes"},
    };
    struct talk talk = hold(4);
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct volume volume = begun(4);
        char where[120];
        assert_int_equal(receive(&volume, (struct bytes){talk.answered, cases[i].received}, NULL),
                         cases[i].received);
        assert_string_equal(volume_where(&volume, where, sizeof where), cases[i].where);
    }
    talk_fini(&talk);
}

/* A byte every 100 ms, so that nothing is silent and no answer becomes whole. */
static int64_t receive_slowly(struct volume *volume, struct bytes bytes)
{
    struct sink none = {0};
    int64_t now = 0;
    for (size_t i = 0; i < bytes.length && volume->dialogue.deadline_ms > now + 100; i++) {
        now += 100;
        dialogue_receive(&volume->dialogue, (struct bytes){bytes.data + i, 1}, &none, now);
    }
    return volume->dialogue.deadline_ms;
}

static void a_server_that_is_too_slow_is_given_up(void **state)
{
    static const struct {
        size_t received;
        bool slowly;
        int64_t due_ms;
        const char *sentence;
    } cases[] = {
        {0, false, ANSWER_MS,
         "received nothing for 1 s, before the first of 4 bytes: the path may drop large packets"},
        {50, false, ANSWER_MS,
         "received nothing for 1 s, after 0 of 4 bytes, in a name of 1 bytes: the path may drop large "
         "packets"},
        {50, true, 2 * ANSWER_MS, "no answer was complete within 2 s, before the first of 4 bytes"},
    };
    struct talk talk = hold(4);
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct volume volume = begun(4);
        struct sink none = {0};
        struct bytes bytes = {talk.answered, cases[i].received};
        struct err err = {0};
        if (cases[i].slowly)
            receive_slowly(&volume, bytes);
        else
            receive(&volume, bytes, NULL);
        assert_int_equal(volume.dialogue.deadline_ms, cases[i].due_ms);
        dialogue_expire(&volume.dialogue, (struct bytes){0}, &none, cases[i].due_ms - 1);
        assert_int_not_equal(volume.dialogue.state, DIALOGUE_FAILED);
        dialogue_expire(&volume.dialogue, (struct bytes){0}, &none, cases[i].due_ms);
        dialogue_failure(&volume.dialogue, (struct bytes){0}, &err);
        assert_string_equal(err.text, cases[i].sentence);
        assert_int_equal(err.reason, ERR_DIALOGUE_TIMEOUT);
        assert_int_equal(volume.dialogue.deadline_ms, DIALOGUE_NEVER);
    }
    talk_fini(&talk);
}

static void a_server_that_ends_early_is_reported_with_the_place(void **state)
{
    struct volume volume = begun(4);
    struct err err = {0};
    (void)state;
    assert_false(ends_cleanly(&volume));
    dialogue_failure(&volume.dialogue, (struct bytes){0}, &err);
    assert_string_equal(err.text, "the server closed before the first of 4 bytes");
    assert_int_equal(err.reason, ERR_DIALOGUE_EARLY_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_requested_bytes_are_sent),
        cmocka_unit_test(names_have_every_kind_of_size_and_none_is_empty),
        cmocka_unit_test(what_a_session_answers_is_right_in_any_pieces),
        cmocka_unit_test(any_byte_that_is_changed_lost_or_doubled_is_found),
        cmocka_unit_test(the_first_wrong_byte_is_reported_with_its_offset),
        cmocka_unit_test(the_progress_of_a_failed_volume_is_reported),
        cmocka_unit_test(a_server_that_is_too_slow_is_given_up),
        cmocka_unit_test(a_server_that_ends_early_is_reported_with_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
