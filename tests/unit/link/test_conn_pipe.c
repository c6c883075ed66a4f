#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/clock.h"
#include "support/meeting.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { MUCH = 1 << 20 };

static void expect_received(struct side *side, struct bytes due)
{
    struct bytes received = buf_bytes(&side->received);
    if (!bytes_equal(received, due))
        fail_msg("received \"%.*s\", not \"%.*s\"", (int)received.length, received.data, (int)due.length,
                 due.data);
}

/* Returns: whether the peer, once it has received these bytes, sees the end. */
static bool peer_sees_end_behind(struct meeting *meeting, struct bytes due)
{
    struct buf received = {0};
    meeting_settle(meeting);
    bool ended = meeting_peer_receive(meeting, &received, SIZE_MAX);
    assert_true(bytes_equal(buf_bytes(&received), due));
    buf_fini(&received);
    return ended;
}

static void the_end_of_what_is_sent_is_not_the_end_of_what_is_received(void **state)
{
    static const struct bytes words[] = {{"one", 3}, {"two", 3}};
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;

    side->names = words;
    side->name_count = COUNT(words);
    meeting_start_alone(meeting, side, SIDE_PIPE);
    assert_true(peer_sees_end_behind(meeting, BYTES_LITERAL("onetwo")));
    meeting_run(meeting, MEETING_LONG_MS); /* no silence is too long */
    assert_int_equal(side->done, 0);
    meeting_peer_send(meeting, BYTES_LITERAL("answer"));
    meeting_run(meeting, MEETING_LONG_MS);
    expect_received(side, BYTES_LITERAL("answer"));
    assert_int_equal(side->done, 0);
    int64_t end = clock_now_ms();
    meeting_peer_close(meeting);
    meeting_settle(meeting);
    assert_int_equal(side->done, 1);
    assert_int_equal(side->done_ms, end);
    assert_int_equal(side->err.reason, ERR_OK);
    assert_int_equal(side->pipe.sent_bytes, 6);
    assert_int_equal(side->pipe.received_bytes, 6);
}

static void it_ends_behind_the_peer_once_its_owner_has_nothing_for_a_while(void **state)
{
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;

    meeting_start_alone(meeting, side, SIDE_PIPE);
    meeting_peer_send(meeting, BYTES_LITERAL("bye"));
    meeting_peer_end(meeting);
    meeting_run(meeting, MEETING_LINGER_MS - 1);
    assert_int_equal(side->done, 0);
    pipe_send(&side->pipe, BYTES_LITERAL("more"));
    conn_resume(&side->conn);
    int64_t last = clock_now_ms();
    assert_false(peer_sees_end_behind(meeting, BYTES_LITERAL("more")));
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(side->done, 1);
    assert_int_equal(side->done_ms, last + MEETING_LINGER_MS);
    assert_int_equal(side->err.reason, ERR_OK);
    expect_received(side, BYTES_LITERAL("bye"));
    assert_true(peer_sees_end_behind(meeting, (struct bytes){0}));
}

static void a_peer_that_has_ended_its_side_gets_what_there_is(void **state)
{
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;
    char *much = calloc(1, MUCH);
    struct bytes words[] = {{much, MUCH}, {"the last", 8}};
    struct buf taken = {0};

    assert_non_null(much);
    side->names = words;
    side->name_count = COUNT(words);
    meeting_start_alone(meeting, side, SIDE_PIPE);
    meeting_peer_end(meeting);
    meeting_settle(meeting);
    assert_int_equal(side->done, 0);
    while (!meeting_peer_receive(meeting, &taken, SIZE_MAX))
        meeting_settle(meeting);
    assert_int_equal(buf_length(&taken), MUCH + 8);
    assert_int_equal(side->done, 1);
    assert_int_equal(side->err.reason, ERR_OK);
    buf_fini(&taken);
    free(much);
}

static void a_write_that_fails_behind_the_end_of_the_peer_is_a_reset(void **state)
{
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;

    meeting_start_alone(meeting, side, SIDE_PIPE);
    meeting_settle(meeting);
    meeting_peer_close(meeting);
    meeting_settle(meeting);
    assert_int_equal(side->done, 0);
    pipe_send(&side->pipe, BYTES_LITERAL("more"));
    conn_resume(&side->conn);
    meeting_settle(meeting);
    assert_int_equal(side->done, 1);
    assert_int_equal(side->err.reason, ERR_DIALOGUE_RESET);
}

/* Neither direction holds up the other, and a peer that does not read meets no limit. */
static void what_the_peer_sends_is_received_while_it_reads_nothing(void **state)
{
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;
    char *much = calloc(1, MUCH);
    struct bytes words = {much, MUCH};
    struct buf taken = {0};

    assert_non_null(much);
    side->names = &words;
    side->name_count = 1;
    meeting_start_alone(meeting, side, SIDE_PIPE);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_true(side->pipe.sent_bytes < MUCH);
    assert_true(buf_length(&side->conn.out) <= CONN_QUEUE_BYTES);
    meeting_peer_send(meeting, BYTES_LITERAL("while it waits"));
    meeting_settle(meeting);
    expect_received(side, BYTES_LITERAL("while it waits"));
    assert_int_equal(side->done, 0);
    while (!meeting_peer_receive(meeting, &taken, SIZE_MAX))
        meeting_settle(meeting);
    assert_int_equal(buf_length(&taken), MUCH);
    meeting_peer_close(meeting);
    meeting_settle(meeting);
    assert_int_equal(side->err.reason, ERR_OK);
    buf_fini(&taken);
    free(much);
}

/* Its FIN is read behind its bytes; a write is what meets the reset. */
static void what_came_before_a_write_that_fails_is_received(void **state)
{
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;

    meeting_start_alone(meeting, side, SIDE_PIPE);
    meeting_settle(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("413 too much"));
    meeting_peer_close(meeting);
    pipe_send(&side->pipe, BYTES_LITERAL("more"));
    conn_resume(&side->conn);
    meeting_settle(meeting);
    expect_received(side, BYTES_LITERAL("413 too much"));
    assert_int_equal(side->done, 1);
    assert_int_equal(side->err.reason, ERR_DIALOGUE_RESET);
}

/* A pause ends no connection, and the failure of a write waits with it. */
static void a_write_that_fails_while_reading_is_paused_waits(void **state)
{
    struct meeting *meeting = *state;
    struct side *side = &meeting->client;

    meeting_start_alone(meeting, side, SIDE_PIPE);
    meeting_settle(meeting);
    conn_pause(&side->conn, true);
    meeting_peer_send(meeting, BYTES_LITERAL("held back"));
    meeting_peer_close(meeting);
    pipe_send(&side->pipe, BYTES_LITERAL("more"));
    conn_resume(&side->conn);
    meeting_run(meeting, MEETING_LONG_MS);
    expect_received(side, (struct bytes){0});
    assert_int_equal(side->done, 0);
    conn_pause(&side->conn, false);
    meeting_settle(meeting);
    expect_received(side, BYTES_LITERAL("held back"));
    assert_int_equal(side->err.reason, ERR_DIALOGUE_RESET);
}

static void both_directions_are_the_same_however_the_stream_stutters(void **state)
{
    static const struct stream_faults faults[] = {{0},
                                                  {.piece = 1},
                                                  {.want_every = 2},
                                                  {.want_every = 3, .contrary = true},
                                                  {.piece = 2, .hoard = true}};
    static const struct bytes words[] = {{"a", 1}, {"bc\0", 3}, {"defghi", 6}};
    (void)state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct meeting *meeting = meeting_new();
        struct side *side = &meeting->client;
        side->faults = faults[i];
        side->names = words;
        side->name_count = COUNT(words);
        meeting_start_alone(meeting, side, SIDE_PIPE);
        meeting_peer_send(meeting, BYTES_LITERAL("to and fro"));
        meeting_settle(meeting);
        assert_true(peer_sees_end_behind(meeting, BYTES_LITERAL("abc\0defghi")));
        meeting_peer_end(meeting);
        meeting_settle(meeting);
        assert_int_equal(side->done, 1);
        assert_int_equal(side->err.reason, ERR_OK);
        expect_received(side, BYTES_LITERAL("to and fro"));
        meeting_free(meeting);
    }
}

#define PIPE_TEST(test) cmocka_unit_test_setup_teardown(test, meeting_set_up, meeting_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPE_TEST(the_end_of_what_is_sent_is_not_the_end_of_what_is_received),
        PIPE_TEST(it_ends_behind_the_peer_once_its_owner_has_nothing_for_a_while),
        PIPE_TEST(a_peer_that_has_ended_its_side_gets_what_there_is),
        PIPE_TEST(a_write_that_fails_behind_the_end_of_the_peer_is_a_reset),
        PIPE_TEST(what_the_peer_sends_is_received_while_it_reads_nothing),
        PIPE_TEST(what_came_before_a_write_that_fails_is_received),
        PIPE_TEST(a_write_that_fails_while_reading_is_paused_waits),
        cmocka_unit_test(both_directions_are_the_same_however_the_stream_stutters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
