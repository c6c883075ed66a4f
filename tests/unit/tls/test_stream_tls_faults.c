#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "support/sockets.h"
#include "support/tls_party.h"
#include "tcpgreet/net/stream_tcp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LONG_BYTES = 17 * 1000 /* more than a record */ };

/* Which version, and which side is this program's alone: the other is OpenSSL as it comes. */
enum cast { TLS_1_3, TLS_1_2_CLIENT, TLS_1_2_SERVER, CASTS };

/* A whole dialogue. The contexts live longer than the streams. */
struct stage {
    struct tls_client *client;
    struct tls_server *server;
    struct tls_meeting meeting;
};

static char answer[LONG_BYTES];

static void connect_cast(struct stage *stage, const struct certificates *certificates, enum cast cast)
{
    const struct certificate *const chain[] = {&certificates->server, NULL};
    struct tls_meeting *meeting = &stage->meeting;
    struct err err = {0};

    tls_meeting_wire(meeting);
    meeting->client.stream = cast == TLS_1_2_SERVER
                                 ? tls_raw_client(meeting->lowers[0], TLS1_2_VERSION, NULL, NULL)
                                 : tls_client_stream(stage->client, meeting->lowers[0], "localhost", &err);
    meeting->server.stream = cast == TLS_1_2_CLIENT
                                 ? tls_raw_server(meeting->lowers[1], TLS1_2_VERSION, chain, NULL)
                                 : tls_server_stream(stage->server, meeting->lowers[1], &err);
    assert_int_equal(err.reason, ERR_OK);
}

static struct stage *stage_new(const struct certificates *certificates)
{
    struct stage *stage = test_calloc(1, sizeof *stage);
    struct tls_party *client = &stage->meeting.client, *server = &stage->meeting.server;

    for (size_t i = 0; i < sizeof answer; i++)
        answer[i] = (char)(i * 31 + i / 256);
    stage->client = tls_party_client_plain(certificates);
    stage->server = tls_party_server_plain(certificates);
    client->words = server->expected = BYTES_LITERAL("a question");
    server->words = client->expected = (struct bytes){answer, sizeof answer};
    TLS_PLAN(client, TLS_SHAKE, TLS_SEND, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(server, TLS_SHAKE, TLS_RECEIVE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    return stage;
}

static void stage_free(struct stage *stage)
{
    tls_meeting_part(&stage->meeting);
    tls_client_free(stage->client);
    tls_server_free(stage->server);
    test_free(stage);
}

/* Pieces and waits below TLS change nothing above it. */
static void a_dialogue_is_the_same_however_its_bytes_come(void **state)
{
    static const struct stream_faults faults[] = {
        {0},
        {.piece = 1},
        {.piece = 5},
        {.piece = 1000},
        {.want_every = 1},
        {.want_every = 1, .contrary = true},
        {.want_every = 2, .piece = 1},
        {.want_every = 3, .piece = 17, .contrary = true},
        {.hoard = true, .piece = 70},
    };
    for (size_t i = 0; i < CASTS * COUNT(faults); i++) {
        struct stage *stage = stage_new(*state);
        enum cast cast = (enum cast)(i % CASTS);
        stage->meeting.client.faults = stage->meeting.server.faults = faults[i / CASTS];
        connect_cast(stage, *state, cast);
        tls_meeting_run(&stage->meeting);
        tls_party_expect_done(&stage->meeting.client);
        tls_party_expect_done(&stage->meeting.server);
        assert_string_equal(stage->meeting.client.facts.version, cast == TLS_1_3 ? "TLSv1.3" : "TLSv1.2");
        stage_free(stage);
    }
}

/* Which words are right for a failure of what is below. */
static bool is_right_word(const struct tls_party *party, bool is_server, bool is_end)
{
    enum err_reason reason = party->err.reason;
    if (party->acts[party->act] == TLS_SHAKE)
        return reason == ERR_TLS_PROTOCOL || (is_server && reason == ERR_DIALOGUE_EARLY_END);
    return reason == (is_end ? ERR_DIALOGUE_TRUNCATED : ERR_DIALOGUE_RESET);
}

/* The other side meets an end or a reset, depending on timing; after a premature end also the alert that
 * reports it.
 */
static bool is_right_word_beyond(const struct tls_party *party, bool is_server, bool is_end)
{
    return !party->failed || is_right_word(party, is_server, false) ||
           is_right_word(party, is_server, true) || (is_end && party->err.reason == ERR_TLS_ALERT);
}

/* Plays it with a fault at operation n of one side. Returns: whether it came that far. */
static bool play_with_fault(struct stage *stage, const struct certificates *certificates, enum cast cast,
                            bool at_server, bool is_end, unsigned n)
{
    struct tls_party *faulty = at_server ? &stage->meeting.server : &stage->meeting.client;
    struct tls_party *other = at_server ? &stage->meeting.client : &stage->meeting.server;

    faulty->faults = (struct stream_faults){.fail_at = is_end ? 0 : n, .end_at = is_end ? n : 0};
    connect_cast(stage, certificates, cast);
    tls_meeting_run(&stage->meeting);
    bool hit = faulty->faults.operations >= n;
    if (faulty->failed && !is_right_word(faulty, at_server, is_end))
        fail_msg("operation %u of the %s: act %zu: %s: %s", n, at_server ? "server" : "client", faulty->act,
                 err_word(faulty->err.reason), faulty->err.text);
    if (!is_right_word_beyond(other, !at_server, is_end))
        fail_msg("beyond operation %u of the %s: act %zu: %s: %s", n, at_server ? "server" : "client",
                 other->act, err_word(other->err.reason), other->err.text);
    if (hit && !is_end)
        assert_true(faulty->failed);
    if (!hit) {
        tls_party_expect_done(faulty);
        tls_party_expect_done(other);
    }
    tls_meeting_part(&stage->meeting);
    return hit;
}

/* Every read and write of a handshake, a dialogue and its end fails once, or returns a premature end. */
static void no_fault_below_crashes_hangs_or_lies(void **state)
{
    for (unsigned i = 0; i < CASTS * 4; i++) {
        struct stage *stage = stage_new(*state);
        unsigned n = 1;
        while (
            play_with_fault(stage, *state, (enum cast)(i % CASTS), i / CASTS % 2 == 1, i / CASTS / 2 == 1, n))
            n++;
        assert_in_range(n, 10, 1000);
        stage_free(stage);
    }
}

/* The same where each byte is an operation of its own, at places chosen by a stride. */
static void no_fault_between_two_bytes_lies_either(void **state)
{
    struct stage *stage = stage_new(*state);
    struct tls_party *client = &stage->meeting.client, *server = &stage->meeting.server;
    unsigned hits = 0;

    client->expected.length = server->words.length = 50;
    for (unsigned n = 1; n < 6000; n += 37) {
        bool is_end = n % 2 == 0, at_server = n % 3 == 0;
        struct tls_party *faulty = at_server ? server : client;
        struct stream_faults whole = {.piece = 1};
        client->faults = server->faults = whole;
        faulty->faults.fail_at = is_end ? 0 : n;
        faulty->faults.end_at = is_end ? n : 0;
        connect_cast(stage, *state, TLS_1_3);
        tls_meeting_run(&stage->meeting);
        if (faulty->failed) {
            hits++;
            assert_true(is_right_word(faulty, at_server, is_end));
        }
        assert_true(is_right_word_beyond(at_server ? client : server, !at_server, is_end));
        tls_meeting_part(&stage->meeting);
    }
    assert_true(hits > 20);
    stage_free(stage);
}

static enum stream_result read_byte(struct stream *stream, struct err *err)
{
    char data[1];
    size_t count;
    return stream_read(stream, data, sizeof data, &count, err);
}

/* A client that goes away while its ticket is on the way has completed the handshake: it may have sent
 * everything. */
static void a_ticket_that_cannot_be_sent_spoils_nothing(void **state)
{
    struct stage *stage = stage_new(*state);
    struct err err = {0};
    int fds[2];
    enum stream_result result;

    sockets_open_pair(fds);
    struct stream *client = tls_client_stream(stage->client, stream_tcp_new(fds[0], NULL), "localhost", &err);
    struct stream *server = tls_server_stream(stage->server, stream_tcp_new(fds[1], NULL), &err);
    assert_int_equal(stream_handshake(client, &err), STREAM_WANT_READ);
    assert_int_equal(stream_handshake(server, &err), STREAM_WANT_READ);
    assert_int_equal(stream_handshake(client, &err), STREAM_OK);
    stream_free(client);
    result = stream_handshake(server, &err);
    assert_int_equal(err.reason == ERR_OK, result == STREAM_OK);
    assert_int_equal(result, STREAM_OK);
    do
        result = read_byte(server, &err);
    while (result == STREAM_WANT_READ);
    assert_int_equal(err.reason, ERR_DIALOGUE_TRUNCATED);
    stream_free(server);
    stage_free(stage);
}

/* A raw client and a server of ours, shaken hands. */
static SSL *meet_raw_client(struct stage *stage, int max_version)
{
    SSL *ssl;
    tls_meeting_wire(&stage->meeting);
    stage->meeting.client.stream = tls_raw_client(stage->meeting.lowers[0], max_version, NULL, &ssl);
    stage->meeting.server.stream = tls_server_stream(stage->server, stage->meeting.lowers[1], NULL);
    tls_meeting_shake(&stage->meeting);
    return ssl;
}

static void update_keys(SSL *ssl, int times)
{
    for (int i = 0; i < times; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
}

static void new_keys_are_taken_while_data_comes_between(void **state)
{
    struct stage *stage = stage_new(*state);
    struct err err = {0};
    SSL *ssl = meet_raw_client(stage, 0);

    for (int i = 0; i < 10; i++) {
        update_keys(ssl, STREAM_TLS_FLOOD_MAX);
        assert_int_equal(SSL_write(ssl, "x", 1), 1);
        assert_int_equal(read_byte(stage->meeting.server.stream, &err), STREAM_OK);
    }
    assert_int_equal(read_byte(stage->meeting.server.stream, &err), STREAM_WANT_READ);
    stage_free(stage);
}

/* Whether they come at once or one by one. */
static void a_flood_of_new_keys_is_cut_off(void **state)
{
    for (int at_once = 0; at_once < 2; at_once++) {
        struct stage *stage = stage_new(*state);
        struct err err = {0};
        SSL *ssl = meet_raw_client(stage, 0);
        int most = STREAM_TLS_FLOOD_MAX + 1;

        for (int i = 0; i < most; i++) {
            update_keys(ssl, 1);
            if (at_once == 0 && i + 1 < most)
                assert_int_equal(read_byte(stage->meeting.server.stream, &err), STREAM_WANT_READ);
        }
        assert_int_equal(read_byte(stage->meeting.server.stream, &err), STREAM_FAILED);
        assert_int_equal(err.reason, ERR_TLS_PROTOCOL);
        assert_non_null(strstr(err.text, "floods"));
        assert_int_equal(ERR_peek_error(), 0);
        stage_free(stage);
    }
}

/* A HelloRequest counts for nothing in a handshake, and OpenSSL reads on for as long as there are any. */
static void a_flood_in_the_handshake_is_cut_off(void **state)
{
    enum { MESSAGE = 4, MANY = STREAM_TLS_FLOOD_MAX + 1 };
    struct stage *stage = stage_new(*state);
    char record[5 + MANY * MESSAGE] = {22, 3, 3, 0, (char)(MANY * MESSAGE)};
    struct err err = {0};
    size_t count = 0;

    connect_cast(stage, *state, TLS_1_2_CLIENT);
    assert_int_equal(stream_handshake(stage->meeting.client.stream, &err), STREAM_WANT_READ);
    assert_int_equal(stream_write(stage->meeting.lowers[1], record, sizeof record, &count, &err), STREAM_OK);
    assert_int_equal(count, sizeof record);
    assert_int_equal(stream_handshake(stage->meeting.client.stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_TLS_PROTOCOL);
    assert_non_null(strstr(err.text, "floods"));
    stage_free(stage);
}

static void new_keys_are_given_where_they_are_asked_for(void **state)
{
    struct stage *stage = stage_new(*state);
    struct tls_party *client = &stage->meeting.client, *server = &stage->meeting.server;
    struct err err = {0};
    SSL *ssl = meet_raw_client(stage, 0);
    unsigned before = server->faults.operations;

    for (int i = 0; i < 5; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
    assert_int_equal(read_byte(server->stream, &err), STREAM_WANT_READ);
    assert_in_range(server->faults.operations - before, 3, 12); /* it has written, and not without end */
    client->act = server->act = 0;
    TLS_PLAN(client, TLS_SEND, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(server, TLS_RECEIVE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(&stage->meeting);
    tls_party_expect_done(client);
    tls_party_expect_done(server);
    stage_free(stage);
}

/* TLS 1.2: a request gets the alert no_renegotiation, and the dialogue goes on or ends with it. */
static void renegotiation_is_refused(void **state)
{
    const struct certificates *certificates = *state;
    const struct certificate *const chain[] = {&certificates->server, NULL};
    for (int by_server = 0; by_server < 2; by_server++) {
        struct stage *stage = stage_new(certificates);
        struct tls_meeting *meeting = &stage->meeting;
        struct err err = {0};
        SSL *ssl;

        tls_meeting_wire(meeting);
        meeting->client.stream = by_server
                                     ? tls_client_stream(stage->client, meeting->lowers[0], "localhost", &err)
                                     : tls_raw_client(meeting->lowers[0], TLS1_2_VERSION, NULL, &ssl);
        meeting->server.stream = by_server ? tls_raw_server(meeting->lowers[1], TLS1_2_VERSION, chain, &ssl)
                                           : tls_server_stream(stage->server, meeting->lowers[1], &err);
        tls_meeting_shake(meeting);
        assert_int_equal(SSL_renegotiate(ssl), 1);
        SSL_do_handshake(ssl);
        ERR_clear_error();
        assert_int_equal(read_byte(by_server ? meeting->client.stream : meeting->server.stream, &err),
                         STREAM_WANT_READ);
        char data[1];
        assert_true(SSL_read(ssl, data, sizeof data) <= 0);
        assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
        ERR_clear_error();
        stage_free(stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dialogue_is_the_same_however_its_bytes_come),
        cmocka_unit_test(no_fault_below_crashes_hangs_or_lies),
        cmocka_unit_test(no_fault_between_two_bytes_lies_either),
        cmocka_unit_test(a_ticket_that_cannot_be_sent_spoils_nothing),
        cmocka_unit_test(new_keys_are_taken_while_data_comes_between),
        cmocka_unit_test(a_flood_of_new_keys_is_cut_off),
        cmocka_unit_test(a_flood_in_the_handshake_is_cut_off),
        cmocka_unit_test(new_keys_are_given_where_they_are_asked_for),
        cmocka_unit_test(renegotiation_is_refused),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
