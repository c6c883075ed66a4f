#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/clock.h"
#include "support/meeting.h"
#include "support/stream_memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { OPERATIONS_MAX = 2000 };

static const struct bytes names[] = {
    {"Ann", 3}, {"", 0}, {"B\0b", 3}, {"\xff\x1b[31m", 6}, {"x\r", 2},
};
#define ALL_ANSWERS                                                                                          \
    MEETING_WELCOME MEETING_HELLO("Ann") MEETING_QUESTION MEETING_HELLO("B\0b")                              \
        MEETING_HELLO("\xff\x1b[31m") MEETING_HELLO("x\r") MEETING_BYE

static void let_client_send_all(struct meeting *meeting)
{
    meeting->client.names = names;
    meeting->client.name_count = COUNT(names);
}

static void check_whole_dialogue(const struct meeting *meeting)
{
    const struct side *server = &meeting->server, *client = &meeting->client;

    assert_int_equal(server->session.end, SESSION_END_EXIT);
    assert_int_equal(client->session.end, SESSION_END_EXIT);
    assert_int_equal(server->err.reason, ERR_OK);
    assert_int_equal(client->err.reason, ERR_OK);
    assert_int_equal(server->session.names, 4);
    assert_int_equal(client->session.names, 4);
    assert_true(server->peer_sent && client->peer_sent);
    assert_int_equal(server->up, 1);
    assert_int_equal(server->noticed, 1);
    assert_int_equal(buf_length(&client->received), sizeof ALL_ANSWERS - 1);
    assert_memory_equal(buf_bytes(&client->received).data, ALL_ANSWERS, sizeof ALL_ANSWERS - 1);
}

static void conns_hold_a_whole_dialogue(void **state)
{
    struct meeting *meeting = *state;
    let_client_send_all(meeting);
    meeting_start(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    check_whole_dialogue(meeting);
    assert_int_equal(meeting->server.consumed, buf_length(&meeting->server.received));
    assert_int_equal(meeting->client.consumed, sizeof ALL_ANSWERS - 1);
    assert_int_equal(meeting->client.ready, COUNT(names) + 1);
}

static void hold_dialogue_with(struct stream_faults server, struct stream_faults client)
{
    struct meeting *meeting = meeting_new();
    let_client_send_all(meeting);
    meeting->server.faults = server;
    meeting->client.faults = client;
    meeting_start(meeting);
    int64_t begin = clock_now_ms();
    meeting_run(meeting, MEETING_LONG_MS);
    check_whole_dialogue(meeting);
    assert_int_equal(meeting->client.done_ms, begin); /* no deadline had to help */
    meeting_free(meeting);
}

static void the_dialogue_is_the_same_however_the_streams_stutter(void **state)
{
    static const size_t pieces[] = {0, 1, 2, 7, 25};
    (void)state;
    for (size_t i = 0; i < COUNT(pieces); i++) {
        for (unsigned want = 0; want < 5; want++) {
            for (unsigned kind = 0; kind < 4; kind++) {
                bool contrary = (kind & 1) != 0, hoard = (kind & 2) != 0 && (contrary || want == 0);
                struct stream_faults faults = {
                    .piece = pieces[i], .want_every = want, .contrary = contrary, .hoard = hoard};
                struct stream_faults other = {.piece = pieces[COUNT(pieces) - 1 - i]};
                hold_dialogue_with(faults, faults);
                hold_dialogue_with(faults, other);
                hold_dialogue_with(other, faults);
            }
        }
    }
}

/* One dialogue in which an operation of one side fails. Returns: whether it came to that operation. */
static bool fail_in_dialogue(bool server, struct stream_faults faults)
{
    struct meeting *meeting = meeting_new();
    struct side *failing = server ? &meeting->server : &meeting->client;
    struct side *other = server ? &meeting->client : &meeting->server;

    let_client_send_all(meeting);
    failing->faults = faults;
    meeting_start(meeting);
    int64_t begin = clock_now_ms();
    meeting_run(meeting, MEETING_LONG_MS);

    bool came = failing->faults.operations >= faults.fail_at;
    assert_int_equal(failing->done, 1);
    assert_int_equal(other->done, 1);
    assert_int_equal(other->done_ms, begin);
    if (failing->session.end != SESSION_END_EXIT)
        assert_int_equal(failing->err.reason, faults.exhausted ? ERR_INTERNAL : ERR_DIALOGUE_RESET);
    if (!came)
        check_whole_dialogue(meeting);
    else if (other == &meeting->client && other->session.end != SESSION_END_EXIT)
        assert_true(other->err.reason == ERR_DIALOGUE_EARLY_END || other->err.reason == ERR_DIALOGUE_RESET);
    meeting_free(meeting);
    return came;
}

static void any_operation_may_fail(void **state)
{
    static const struct stream_faults kinds[] = {{.piece = 0}, {.piece = 20}, {.exhausted = true}};
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        for (int server = 0; server < 2; server++) {
            struct stream_faults faults = kinds[i];
            for (faults.fail_at = 1; fail_in_dialogue(server != 0, faults); faults.fail_at++)
                assert_true(faults.fail_at < OPERATIONS_MAX);
            assert_true(faults.fail_at > 10);
        }
    }
}

static void a_failure_at_the_start_is_reported_by_done(void **state)
{
    struct meeting *meeting = *state;
    meeting->server.faults.fail_at = 1;
    meeting->client.faults.fail_at = 1;
    meeting_start(meeting); /* the harness fails where done comes from inside */
    assert_int_equal(meeting->server.done + meeting->client.done, 0);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.err.reason, ERR_DIALOGUE_RESET);
    assert_int_equal(meeting->client.err.reason, ERR_DIALOGUE_RESET);
}

/* Returns: whether the dialogue came to that operation. */
static bool end_in_dialogue(bool server, unsigned number)
{
    struct meeting *meeting = meeting_new();
    struct side *side = server ? &meeting->server : &meeting->client;

    let_client_send_all(meeting);
    side->faults.end_at = number;
    meeting_start(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    bool came = side->faults.operations >= number;
    if (side->session.end != SESSION_END_EXIT) {
        assert_int_equal(side->session.end, server ? SESSION_END_PEER : SESSION_END_EARLY);
        assert_int_equal(side->err.reason, server ? ERR_OK : ERR_DIALOGUE_EARLY_END);
    }
    assert_int_equal(meeting->server.done + meeting->client.done, 2);
    meeting_free(meeting);
    return came;
}

static void the_peer_may_end_at_any_time(void **state)
{
    (void)state;
    for (int server = 0; server < 2; server++) {
        unsigned number = 1;
        while (end_in_dialogue(server != 0, number))
            assert_true(++number < OPERATIONS_MAX);
        assert_true(number > 10);
    }
}

static void a_stream_that_cannot_be_watched_is_refused(void **state)
{
    struct meeting *meeting = *state;
    struct stream *ends[2];
    struct err err = {0};

    stream_memory_pair(ends, 100);
    assert_int_equal(meeting_start_on(meeting, &meeting->server, SIDE_SERVER, ends[0], &err), -1);
    assert_int_equal(err.reason, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "cannot watch a connection: "));
    assert_int_equal(meeting->server.faults.frees, 1);
    stream_free(ends[1]);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.done, 0);
}

static void all_answers_to_one_read_leave_in_one_write(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    assert_int_equal(meeting->server.faults.operations, 2); /* handshake, write: welcome and question */
    meeting_peer_send(meeting, BYTES_LITERAL("Ann\nBob\n\nCid\n"));
    meeting_settle(meeting);
    assert_int_equal(meeting->server.faults.operations, 4); /* read, write, and no read that would wait */
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_WELCOME MEETING_HELLO("Ann") MEETING_HELLO("Bob")
                                                   MEETING_QUESTION MEETING_HELLO("Cid")));
    assert_null(meeting->server.conn.in.block);
    assert_null(meeting->server.conn.out.block);
    meeting_peer_close(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.session.names, 3);
}

enum { FLOOD_NAMES = 60 * 1000 };

static struct bytes flood_of_names(void)
{
    char *names_to_send = malloc(2 * FLOOD_NAMES);
    if (names_to_send == NULL)
        abort();
    for (size_t i = 0; i < FLOOD_NAMES; i++)
        memcpy(names_to_send + 2 * i, "A\n", 2);
    return (struct bytes){names_to_send, 2 * FLOOD_NAMES};
}

/* Receives the answers to a flood; they must be as expected. Returns: how many bytes. */
static size_t receive_flood(struct meeting *meeting, size_t from)
{
    static const char answer[] = MEETING_HELLO("A");
    const size_t welcome = sizeof MEETING_WELCOME - 1, period = sizeof answer - 1;
    struct buf received = {0};

    meeting_peer_receive(meeting, &received, SIZE_MAX);
    struct bytes bytes = buf_bytes(&received);
    for (size_t i = 0; i < bytes.length; i++) {
        size_t at = from + i;
        char due = at < welcome ? MEETING_WELCOME[at] : answer[(at - welcome) % period];
        if (bytes.data[i] != due)
            fail_msg("byte %zu is wrong", at);
    }
    buf_fini(&received);
    return bytes.length;
}

static void settle_with_turns(struct meeting *meeting)
{
    for (meeting_settle(meeting); meeting->server.is_busy; meeting_settle(meeting))
        meeting_give_turn(&meeting->server);
}

static void answer_flood(struct stream_faults faults, bool reads_late, bool regulated)
{
    struct meeting *meeting = meeting_new();
    struct bytes flood = flood_of_names(), rest = flood;
    size_t due = sizeof MEETING_WELCOME - 1 + FLOOD_NAMES * (sizeof MEETING_HELLO("A") - 1), received = 0;
    unsigned idle = 0;

    meeting->server.faults = faults;
    meeting->server.regulated = regulated;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    while (received < due) {
        size_t sent = meeting_peer_send(meeting, rest);
        rest = bytes_skip(rest, sent);
        settle_with_turns(meeting);
        const struct conn *conn = &meeting->server.conn;
        assert_true(buf_length(&conn->out) <= CONN_QUEUE_BYTES);
        assert_true(buf_length(&conn->in) <= CONN_READ_BYTES + GREETING_NAME_MAX + 1);
        if (reads_late && sent > 0)
            continue;
        size_t fresh = receive_flood(meeting, received);
        received += fresh;
        idle = sent + fresh > 0 ? 0 : idle + 1;
        if (idle > 2)
            fail_msg("only %zu of %zu bytes are answered", received, due);
    }
    meeting_peer_end(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.session.end, SESSION_END_PEER);
    assert_int_equal(meeting->server.session.names, FLOOD_NAMES);
    free((char *)(uintptr_t)flood.data);
    meeting_free(meeting);
}

static void a_flood_of_names_is_answered_in_bounded_memory(void **state)
{
    (void)state;
    for (int regulated = 0; regulated < 2; regulated++) {
        answer_flood((struct stream_faults){0}, false, regulated);
        answer_flood((struct stream_faults){0}, true, regulated);
        answer_flood((struct stream_faults){.want_every = 3}, true, regulated);
    }
}

/* The other conns of the loop wait for no more than one part of the answers. */
static void the_answers_to_a_flood_are_sent_in_parts(void **state)
{
    struct meeting *meeting = *state;
    struct bytes flood = flood_of_names();

    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    meeting_peer_send(meeting, flood);
    for (int i = 0; i < 4; i++) {
        uint64_t before = meeting->server.conn.bytes_out;
        uv_run(&meeting->loop, UV_RUN_NOWAIT);
        assert_in_range(meeting->server.conn.bytes_out - before, 1, DIALOGUE_OUT_BYTES);
    }
    meeting_peer_close(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    free((char *)(uintptr_t)flood.data);
}

/* Each part waits for the owner, the next of what is queued too, and wakes no poll meanwhile. */
static void a_busy_connection_sends_a_part_a_turn(void **state)
{
    struct meeting *meeting = *state;
    struct side *server = &meeting->server;
    struct bytes flood = flood_of_names();
    struct buf received = {0};
    unsigned turns = 0;

    server->regulated = true;
    meeting_start_alone(meeting, server, SIDE_SERVER);
    meeting_peer_send(meeting, flood);
    for (meeting_settle(meeting); server->is_busy; meeting_settle(meeting), turns++) {
        uint64_t before = server->conn.bytes_out;
        meeting_settle(meeting);
        assert_int_equal(server->conn.bytes_out, before);
        assert_int_equal(server->conn.interest, 0);
        meeting_give_turn(server);
        assert_true(server->conn.bytes_out - before <= DIALOGUE_OUT_BYTES);
    }
    assert_true(turns > 0);
    assert_int_equal(server->conn.interest, UV_WRITABLE); /* its peer does not read */
    uint64_t before = server->conn.bytes_out;
    meeting_peer_receive(meeting, &received, SIZE_MAX);
    meeting_settle(meeting);
    assert_true(server->is_busy);
    assert_int_equal(server->conn.bytes_out, before);
    meeting_peer_close(meeting);
    settle_with_turns(meeting);
    buf_fini(&received);
    free((char *)(uintptr_t)flood.data);
}

/* What a stream holds in memory of its own wakes no poll. */
static void what_waits_above_the_descriptor_is_not_forgotten(void **state)
{
    (void)state;
    for (int regulated = 0; regulated < 2; regulated++) {
        answer_flood((struct stream_faults){.hoard = true}, false, regulated);
        answer_flood((struct stream_faults){.hoard = true}, true, regulated);
        answer_flood((struct stream_faults){.hoard = true, .want_every = 2, .contrary = true}, true,
                     regulated);
    }
}

/* Both send more than there is room for on the way, and each must read for the other to go on. */
static void a_transfer_is_received_while_it_is_sent(void **state)
{
    static const struct stream_faults faults[] = {
        {0}, {.piece = 1000}, {.want_every = 3}, {.want_every = 2, .contrary = true, .hoard = true}};
    (void)state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct meeting *meeting = meeting_new();
        meeting->client.faults = meeting->server.faults = faults[i];
        meeting_start_volume(meeting);
        int64_t begin = clock_now_ms();
        meeting_run(meeting, MEETING_LONG_MS);
        assert_int_equal(meeting->client.done_ms, begin); /* no deadline had to help */
        assert_string_equal(meeting->client.err.text, "");
        assert_int_equal(meeting->client.volume.end, VOLUME_END_COMPLETE);
        assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
        assert_int_equal(meeting->server.consumed, MEETING_VOLUME_BYTES + strlen("exit\n"));
        meeting_free(meeting);
    }
}

static void a_half_closed_peer_gets_its_answers(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    meeting_peer_send(meeting, BYTES_LITERAL("Ann\nBob"));
    meeting_peer_end(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_WELCOME MEETING_HELLO("Ann") MEETING_HELLO("Bob")));
    assert_int_equal(meeting->server.session.end, SESSION_END_PEER);
    assert_int_equal(meeting->server.session.names, 2);
}

static void a_connection_over_the_limit_receives_a_message(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_REFUSAL);
    meeting_peer_send(meeting, BYTES_LITERAL("Ann\n"));
    meeting_peer_expect(meeting, BYTES_LITERAL("Server: Sorry, too many guests.\n"));
    meeting_peer_end(meeting);
    meeting_settle(meeting);
    assert_int_equal(meeting->server.done, 1);
    assert_int_equal(meeting->server.session.end, SESSION_END_TOO_MANY);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
}

static void a_final_message_ends_the_dialogue(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    meeting_peer_send(meeting, BYTES_LITERAL("unfinis"));
    meeting_settle(meeting);
    conn_stop(&meeting->server.conn);
    conn_stop(&meeting->server.conn);
    meeting_peer_expect(meeting, BYTES_LITERAL(MEETING_WELCOME MEETING_BYE));
    meeting_peer_end(meeting);
    meeting_settle(meeting);
    assert_int_equal(meeting->server.session.end, SESSION_END_STOPPED);
}

static void a_shutdown_during_the_handshake_closes(void **state)
{
    struct meeting *meeting = *state;
    meeting->server.faults.mute = true;
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    meeting_settle(meeting);
    conn_stop(&meeting->server.conn);
    meeting_peer_expect(meeting, (struct bytes){"", 0});
    assert_int_equal(meeting->server.session.end, SESSION_END_STOPPED);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
}

static void a_dialogue_without_a_final_message_is_closed(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
    meeting_settle(meeting);
    conn_stop(&meeting->client.conn);
    meeting_settle(meeting);
    assert_int_equal(meeting->client.done, 1);
    assert_int_equal(meeting->client.session.end, SESSION_END_NONE);
    assert_int_equal(meeting->client.err.reason, ERR_OK);
}

static void an_abort_reports_its_reason(void **state)
{
    struct meeting *meeting = *state;
    struct err err = {0}, late = {0};
    err_set(&err, ERR_INTERRUPTED, 0, "interrupted");
    err_set(&late, ERR_INTERNAL, 0, "too late");
    meeting_start_alone(meeting, &meeting->server, SIDE_SERVER);
    conn_abort(&meeting->server.conn, &err);
    conn_abort(&meeting->server.conn, &late);
    assert_int_equal(meeting->server.done, 0);
    meeting_settle(meeting);
    assert_int_equal(meeting->server.err.reason, ERR_INTERRUPTED);
    assert_string_equal(meeting->server.err.text, "interrupted");
}

/* Nothing has failed: neither side, nor memory. */
static void an_abort_without_a_reason_is_no_failure(void **state)
{
    const bool shakes[] = {true, false};
    (void)state;
    for (size_t i = 0; i < COUNT(shakes); i++) {
        struct meeting *meeting = meeting_new();
        meeting->client.faults.mute = shakes[i];
        meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
        if (!shakes[i])
            meeting_peer_send(meeting, BYTES_LITERAL(MEETING_WELCOME));
        meeting_settle(meeting);
        assert_int_equal(meeting->client.ready, shakes[i] ? 0 : 1);
        conn_abort(&meeting->client.conn, NULL);
        meeting_settle(meeting);
        assert_int_equal(meeting->client.done, 1);
        assert_int_equal(meeting->client.err.reason, ERR_OK);
        assert_int_equal(meeting->client.session.end, SESSION_END_NONE);
        meeting_free(meeting);
    }
}

static void a_client_may_abort_when_it_is_its_turn(void **state)
{
    struct meeting *meeting = *state;
    err_set(&meeting->client.abort_ready, ERR_SYSTEM_OUTPUT, 0, "output not read");
    meeting_start(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->client.err.reason, ERR_SYSTEM_OUTPUT);
    assert_int_equal(meeting->server.session.end, SESSION_END_PEER);
}

static void a_side_may_abort_when_its_stream_is_up(void **state)
{
    struct meeting *meeting = *state;
    err_set(&meeting->server.abort_up, ERR_CERT_PIN, 0, "not this one");
    let_client_send_all(meeting);
    meeting_start(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.up, 1);
    assert_int_equal(meeting->server.err.reason, ERR_CERT_PIN);
    assert_int_equal(buf_length(&meeting->client.received), 0);
}

static void a_client_may_send_its_name_later(void **state)
{
    struct meeting *meeting = *state;
    meeting_start(meeting);
    meeting_run(meeting, 200 * 1000);
    assert_int_equal(meeting->client.ready, 1);
    meeting_send(&meeting->client, BYTES_LITERAL("Ann"));
    meeting_send(&meeting->client, BYTES_LITERAL("not her turn"));
    meeting_settle(meeting);
    assert_int_equal(meeting->client.ready, 2);
    meeting_send(&meeting->client, BYTES_LITERAL("exit"));
    meeting_settle(meeting);
    assert_int_equal(meeting->client.session.end, SESSION_END_EXIT);
    assert_int_equal(meeting->server.session.names, 1);
}

static void a_client_learns_once_that_it_is_its_turn(void **state)
{
    struct meeting *meeting = *state;
    meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
    meeting_peer_send(meeting, BYTES_LITERAL(MEETING_WELCOME));
    meeting_settle(meeting);
    meeting_peer_send(meeting, BYTES_LITERAL("Server: G")); /* unasked, and no fault yet */
    meeting_settle(meeting);
    assert_int_equal(meeting->client.ready, 1);
    meeting_peer_send(meeting, BYTES_LITERAL("ood bye!\n"));
    meeting_settle(meeting);
    assert_int_equal(meeting->client.err.reason, ERR_DIALOGUE_EARLY_END);
}

static void a_client_reports_what_is_wrong_with_the_server(void **state)
{
    static const struct {
        const char *sent;
        const char *then; /* once the client has had its turn */
        bool ends;
        enum err_reason reason;
    } servers[] = {
        {"HTTP/1.1 400 Bad Request\r\n", "", false, ERR_DIALOGUE_WRONG_ANSWER},
        {"\x15\x03\x01", "", false, ERR_DIALOGUE_TLS_PEER},
        {"", "", true, ERR_DIALOGUE_EARLY_END},
        {"Server: Wel", "", true, ERR_DIALOGUE_EARLY_END},
        {"Server: Sorry, too many guests.\n", "", true, ERR_DIALOGUE_EARLY_END},
        {MEETING_WELCOME MEETING_HELLO("Ann"), "", false, ERR_DIALOGUE_WRONG_ANSWER}, /* unasked */
        {MEETING_WELCOME, "", true, ERR_DIALOGUE_EARLY_END},
        {MEETING_WELCOME, MEETING_BYE, true, ERR_DIALOGUE_EARLY_END},
        {MEETING_WELCOME, MEETING_HELLO("Bob"), false, ERR_DIALOGUE_WRONG_ANSWER},
        {MEETING_WELCOME, "Server: Hello A", true, ERR_DIALOGUE_EARLY_END},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(servers); i++) {
        struct meeting *meeting = meeting_new();
        let_client_send_all(meeting);
        meeting_start_alone(meeting, &meeting->client, SIDE_CLIENT);
        meeting_peer_send(meeting, (struct bytes){servers[i].sent, strlen(servers[i].sent)});
        meeting_settle(meeting);
        meeting_peer_send(meeting, (struct bytes){servers[i].then, strlen(servers[i].then)});
        if (servers[i].ends)
            meeting_peer_end(meeting);
        meeting_settle(meeting);
        assert_int_equal(meeting->client.done, 1);
        assert_int_equal(meeting->client.err.reason, servers[i].reason);
        assert_true(strlen(meeting->client.err.text) > 0);
        meeting_free(meeting);
    }
}

int main(void)
{
#define MEETING_TEST(test) cmocka_unit_test_setup_teardown(test, meeting_set_up, meeting_tear_down)
    const struct CMUnitTest tests[] = {
        MEETING_TEST(conns_hold_a_whole_dialogue),
        cmocka_unit_test(the_dialogue_is_the_same_however_the_streams_stutter),
        cmocka_unit_test(any_operation_may_fail),
        MEETING_TEST(a_failure_at_the_start_is_reported_by_done),
        cmocka_unit_test(the_peer_may_end_at_any_time),
        MEETING_TEST(a_stream_that_cannot_be_watched_is_refused),
        MEETING_TEST(all_answers_to_one_read_leave_in_one_write),
        cmocka_unit_test(a_flood_of_names_is_answered_in_bounded_memory),
        cmocka_unit_test(what_waits_above_the_descriptor_is_not_forgotten),
        MEETING_TEST(the_answers_to_a_flood_are_sent_in_parts),
        MEETING_TEST(a_busy_connection_sends_a_part_a_turn),
        cmocka_unit_test(a_transfer_is_received_while_it_is_sent),
        MEETING_TEST(a_half_closed_peer_gets_its_answers),
        MEETING_TEST(a_connection_over_the_limit_receives_a_message),
        MEETING_TEST(a_final_message_ends_the_dialogue),
        MEETING_TEST(a_shutdown_during_the_handshake_closes),
        MEETING_TEST(a_dialogue_without_a_final_message_is_closed),
        MEETING_TEST(an_abort_reports_its_reason),
        cmocka_unit_test(an_abort_without_a_reason_is_no_failure),
        MEETING_TEST(a_client_may_abort_when_it_is_its_turn),
        MEETING_TEST(a_side_may_abort_when_its_stream_is_up),
        MEETING_TEST(a_client_may_send_its_name_later),
        MEETING_TEST(a_client_learns_once_that_it_is_its_turn),
        cmocka_unit_test(a_client_reports_what_is_wrong_with_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
