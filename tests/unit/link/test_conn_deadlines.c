#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/clock.h"
#include "support/meeting.h"
#include "tcpgreet/net/stream_tcp.h"

enum { SECOND = 1000 };

static void start_server(struct meeting *meeting)
{
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_WELCOME));
}

/* Fails unless the side is done just ms after begin_ms. */
static void expect_done(struct meeting *meeting, const struct side *side, int64_t begin_ms, int64_t ms)
{
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(side->done, 1);
    assert_int_equal(side->done_ms - begin_ms, ms);
}

static void a_pause_ends_a_bare_name_and_not_before_its_time(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("Michael"));
    meeting_run(meeting, 299);
    meeting_peer_send(meeting, BYTES_LITERAL(" K"));
    meeting_run(meeting, 299);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_HELLO("Michael K")));
    meeting_peer_send(meeting, BYTES_LITERAL("exit"));
    meeting_run(meeting, 299);
    assert_int_equal(meeting->server.session.end, SESSION_END_NONE);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_BYE));
}

static void no_pause_ends_a_name_of_a_peer_that_ends_its_names(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("Ann\nBo"));
    meeting_run(meeting, 29 * SECOND);
    meeting_peer_send(meeting, BYTES_LITERAL("b\n"));
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_HELLO("Ann") MEETING_HELLO("Bob")));
}

static void silence_is_ended_with_a_good_bye(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    int64_t begin = clock_now_ms();
    meeting_run(meeting, 299 * SECOND);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_WELCOME));
    meeting_run(meeting, SECOND);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_BYE));
    expect_done(meeting, &meeting->server, begin, 300 * SECOND + CONN_LINGER_MS);
    assert_int_equal(meeting->server.session.end, SESSION_END_IDLE);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
    assert_false(meeting->server.peer_sent);
}

static void a_name_sent_byte_by_byte_is_ended_by_its_timeout(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("Ann\n"));
    meeting_run(meeting, SECOND);
    int64_t begin = clock_now_ms();
    while (meeting->server.session.end == SESSION_END_NONE) {
        assert_true(clock_now_ms() - begin < 40 * SECOND);
        meeting_peer_send(meeting, BYTES_LITERAL("x"));
        meeting_run(meeting, 100);
    }
    assert_true(clock_now_ms() - begin >= 30 * SECOND && clock_now_ms() - begin <= 30 * SECOND + 100);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_HELLO("Ann") MEETING_BYE));
    meeting_peer_close(meeting);
    meeting_settle(meeting);
    assert_int_equal(meeting->server.session.end, SESSION_END_NAME_TIMEOUT);
}

static void a_handshake_has_limited_time(void **state)
{
    struct meeting *meeting = *state;
    meeting->server.faults.mute = true;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    int64_t begin = clock_now_ms();
    expect_done(meeting, &meeting->server, begin, 10 * SECOND);
    assert_int_equal(meeting->server.err.reason, ERR_DIALOGUE_TIMEOUT);
}

/* Sends names until no more fits on the way to the server. */
static size_t flood(struct meeting *meeting)
{
    char lines[8192];
    size_t sent = 0, fresh;
    memset(lines, '\n', sizeof lines);
    do {
        fresh = meeting_peer_send(meeting, (struct bytes){lines, sizeof lines});
        sent += fresh;
        meeting_settle(meeting);
    } while (fresh > 0);
    return sent;
}

static void a_peer_that_does_not_read_is_given_up(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    flood(meeting);
    int64_t begin = clock_now_ms();
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.err.reason, ERR_DIALOGUE_TIMEOUT);
    assert_string_equal(meeting->server.err.text, "the peer does not read");
    int64_t waited = meeting->server.done_ms - begin;
    assert_true(waited > CONN_STALL_MS - SECOND && waited <= CONN_STALL_MS);
}

/* Its own deadline counts although what it has sent is still queued, and no other. */
static void a_duplex_dialogue_has_its_own_deadline(void **state)
{
    struct meeting *meeting = *state;
    struct err err = {0};
    int fds[2], small = 4096;
    assert_int_equal(uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    meeting->peer = fds[1];
    int64_t begin = clock_now_ms();
    assert_int_equal(
        meeting_start_on(meeting, &meeting->client, SIDE_VOLUME, stream_tcp_new(fds[0], &err), &err), 0);
    meeting_settle(meeting);
    assert_true(buf_length(&meeting->client.conn.out) > 0);
    expect_done(meeting, &meeting->client, begin, MEETING_ANSWER_MS);
    assert_non_null(strstr(meeting->client.err.text, "received nothing for 10 s, before the first of"));
}

/* Reads a little every 20 s, which is progress each time. Returns: how much it received in all. */
static size_t read_slowly(struct meeting *meeting)
{
    struct buf received = {0};
    bool ended = false;
    for (int i = 0; !ended && i < 10000; i++) {
        meeting_run(meeting, 20 * SECOND);
        ended = meeting_peer_receive(meeting, &received, 64 * 1024);
    }
    size_t length = buf_length(&received);
    buf_fini(&received);
    assert_true(ended);
    return length;
}

static void a_slow_reader_gets_every_answer_and_the_good_bye(void **state)
{
    struct meeting *meeting = *state;
    int small = 4096;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    assert_int_equal(
        setsockopt(stream_fd(meeting->server.conn.stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);

    static char lines[CONN_QUEUE_BYTES / sizeof MEETING_QUESTION]; /* the answers fill the queue */
    memset(lines, '\n', sizeof lines);
    assert_int_equal(meeting_peer_send(meeting, (struct bytes){lines, sizeof lines}), sizeof lines);
    assert_int_equal(meeting_peer_send(meeting, BYTES_LITERAL("exit\n")), 5);
    meeting_peer_end(meeting);

    size_t due = strlen(MEETING_WELCOME) + sizeof lines * strlen(MEETING_QUESTION) + strlen(MEETING_BYE);
    assert_int_equal(read_slowly(meeting), due);
    assert_int_equal(meeting->server.done, 1);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
}

/* It reads a little every second, which is progress each time, and less than the least rate. */
static void a_peer_that_reads_too_slowly_is_given_up(void **state)
{
    enum { PIECE = 16 };
    struct meeting *meeting = *state;
    struct buf received = {0};
    int small = 4096;
    meeting->server.faults.piece = PIECE; /* so that each read makes room for a write */
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    assert_int_equal(
        setsockopt(stream_fd(meeting->server.conn.stream), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    flood(meeting);
    int64_t begin = clock_now_ms();
    while (meeting->server.done == 0) {
        assert_true(clock_now_ms() - begin <= 2 * CONN_STALL_MS);
        meeting_run(meeting, SECOND);
        meeting_peer_receive(meeting, &received, 2 * PIECE);
    }
    buf_fini(&received);
    assert_int_equal(meeting->server.err.reason, ERR_DIALOGUE_TIMEOUT);
    assert_string_equal(meeting->server.err.text, "the peer reads too slowly");
}

static void after_the_final_message_the_peers_fin_is_awaited_for_a_while(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("exit\n"));
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_BYE));
    int64_t begin = clock_now_ms() - 1;
    meeting_peer_send(meeting, BYTES_LITERAL("and one more thing\n"));
    meeting_peer_expect(meeting, BYTES_LITERAL(""));
    assert_int_equal(meeting->server.done, 0);
    expect_done(meeting, &meeting->server, begin, CONN_LINGER_MS);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
}

static void the_end_of_our_side_has_limited_time(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting->server.faults.stuck = true;
    meeting_peer_send(meeting, BYTES_LITERAL("exit\n"));
    expect_done(meeting, &meeting->server, clock_now_ms(), CONN_LINGER_MS);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
}

static void when_both_have_ended_nothing_is_awaited(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("exit\n"));
    meeting_peer_end(meeting);
    expect_done(meeting, &meeting->server, clock_now_ms(), 0);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
}

static void a_reset_after_the_final_message_is_no_failure(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("exit\n"));
    meeting_settle(meeting);
    meeting->server.faults.fail_at = meeting->server.faults.operations + 1;
    meeting_peer_end(meeting);
    meeting_settle(meeting);
    assert_int_equal(meeting->server.done, 1);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
}

static void a_silent_peer_is_noticed_after_a_second(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    int64_t begin = clock_now_ms();
    meeting_run(meeting, 10 * SECOND);
    assert_int_equal(meeting->server.noticed, 1);
    assert_int_equal(meeting->server.noticed_ms - begin, CONN_NOTICE_MS);
    meeting_peer_send(meeting, BYTES_LITERAL("Ann\n"));
    meeting_settle(meeting);
    assert_true(meeting->server.conn.bytes_in > 0);
}

static void a_peer_is_noticed_at_its_first_byte(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    meeting_run(meeting, 500);
    int64_t begin = clock_now_ms();
    meeting_peer_send(meeting, BYTES_LITERAL("A"));
    meeting_run(meeting, 10 * SECOND);
    assert_int_equal(meeting->server.noticed, 1);
    assert_int_equal(meeting->server.noticed_ms, begin);
}

static void a_peer_that_closes_without_data_is_not_reported(void **state)
{
    struct meeting *meeting = *state;
    start_server(meeting);
    meeting_peer_close(meeting);
    meeting_run(meeting, 10 * SECOND);
    assert_int_equal(meeting->server.done, 1);
    assert_int_equal(meeting->server.noticed, 0);
    assert_false(meeting->server.peer_sent);
}

static void a_client_waits_for_an_answer_until_its_timeout(void **state)
{
    static const char *const sent[] = {"Server: Wel", MEETING_WELCOME, MEETING_WELCOME "S"};
    (void)state;
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        struct meeting *meeting = meeting_new();
        const struct bytes name = BYTES_LITERAL("Ann");
        meeting->client.names = &name;
        meeting->client.name_count = 1;
        meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
        int64_t begin = clock_now_ms();
        meeting_peer_send(meeting, (struct bytes){sent[i], strlen(sent[i])});
        expect_done(meeting, &meeting->client, begin, 10 * SECOND);
        assert_int_equal(meeting->client.err.reason, ERR_DIALOGUE_TIMEOUT);
        meeting_free(meeting);
    }
}

static void a_paused_client_reads_nothing_and_its_time_stands_still(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
    meeting_run(meeting, 6 * SECOND);
    conn_pause(&meeting->client.conn, true);
    meeting_peer_send(meeting, BYTES_LITERAL("Server: Wel"));
    meeting_run(meeting, 100 * SECOND);
    assert_int_equal(buf_length(&meeting->client.received), 0);
    conn_pause(&meeting->client.conn, false);
    meeting_settle(meeting);
    assert_int_equal(buf_length(&meeting->client.received), strlen("Server: Wel"));
    int64_t begin = clock_now_ms() - 1;
    expect_done(meeting, &meeting->client, begin, 4 * SECOND);
    assert_int_equal(meeting->client.err.reason, ERR_DIALOGUE_TIMEOUT);
}

/* It may be a TLS server that waits for the client to begin. */
static void a_client_sends_one_line_to_a_silent_server(void **state)
{
    static const struct {
        const char *answer;
        bool ends;
        enum err_reason reason;
        int64_t after_ms;
    } servers[] = {
        {"", false, ERR_DIALOGUE_TIMEOUT, SECOND},
        {"\x15\x03\x01\x00\x02\x02\x46", false, ERR_DIALOGUE_TLS_PEER, 0},
        {"", true, ERR_DIALOGUE_TLS_PEER, 0},
        {MEETING_WELCOME, false, ERR_DIALOGUE_TIMEOUT, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        struct meeting *meeting = meeting_new();
        meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
        meeting_run(meeting, 10 * SECOND - 1);
        meeting_peer_expect(meeting, BYTES_LITERAL("exit\n"));
        int64_t begin = clock_now_ms();
        meeting_peer_send(meeting, (struct bytes){servers[i].answer, strlen(servers[i].answer)});
        if (servers[i].ends)
            meeting_peer_end(meeting);
        meeting_run(meeting, MEETING_LONG_MS);
        assert_int_equal(meeting->client.done, 1);
        assert_in_range(begin + servers[i].after_ms - meeting->client.done_ms, 0, 1);
        assert_int_equal(meeting->client.err.reason, servers[i].reason);
        meeting_free(meeting);
    }
}

static void a_person_may_think_as_long_as_she_likes(void **state)
{
    struct meeting *meeting = *state;
    meeting->policy.idle_ms = 2 * MEETING_LONG_MS;
    meeting_start(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->client.done, 0);
    meeting_send(&meeting->client, BYTES_LITERAL("exit"));
    meeting_run(meeting, SECOND);
    assert_int_equal(meeting->client.session.end, SESSION_END_EXIT);
}

static void an_idle_connection_causes_no_wakeup(void **state)
{
    struct meeting *meeting = *state;
    meeting->server.deaf = true;
    start_server(meeting);
    unsigned before = clock_wakes();
    meeting_run(meeting, 299 * SECOND);
    assert_true(clock_wakes() - before <= 3); /* the run's own limit, and its begin */
}

int main(void)
{
#define MEETING_TEST(test) cmocka_unit_test_setup_teardown(test, meeting_set_up, meeting_tear_down)
    const struct CMUnitTest tests[] = {
        MEETING_TEST(a_pause_ends_a_bare_name_and_not_before_its_time),
        MEETING_TEST(no_pause_ends_a_name_of_a_peer_that_ends_its_names),
        MEETING_TEST(silence_is_ended_with_a_good_bye),
        MEETING_TEST(a_name_sent_byte_by_byte_is_ended_by_its_timeout),
        MEETING_TEST(a_handshake_has_limited_time),
        MEETING_TEST(a_peer_that_does_not_read_is_given_up),
        MEETING_TEST(a_duplex_dialogue_has_its_own_deadline),
        MEETING_TEST(a_slow_reader_gets_every_answer_and_the_good_bye),
        MEETING_TEST(a_peer_that_reads_too_slowly_is_given_up),
        MEETING_TEST(after_the_final_message_the_peers_fin_is_awaited_for_a_while),
        MEETING_TEST(the_end_of_our_side_has_limited_time),
        MEETING_TEST(when_both_have_ended_nothing_is_awaited),
        MEETING_TEST(a_reset_after_the_final_message_is_no_failure),
        MEETING_TEST(a_silent_peer_is_noticed_after_a_second),
        MEETING_TEST(a_peer_is_noticed_at_its_first_byte),
        MEETING_TEST(a_peer_that_closes_without_data_is_not_reported),
        cmocka_unit_test(a_client_waits_for_an_answer_until_its_timeout),
        MEETING_TEST(a_paused_client_reads_nothing_and_its_time_stands_still),
        cmocka_unit_test(a_client_sends_one_line_to_a_silent_server),
        MEETING_TEST(a_person_may_think_as_long_as_she_likes),
        MEETING_TEST(an_idle_connection_causes_no_wakeup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
