#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "support/stream_memory.h"
#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { RECORD_BYTES = 16 * 1024 };

/* A client and a server that trust each other, face to face. */
struct talk {
    struct tls_client *client;
    struct tls_server *server;
    struct tls_meeting meeting;
};

static struct talk *talk_new(const struct certificates *certificates)
{
    struct talk *talk = test_calloc(1, sizeof *talk);
    talk->client = tls_party_client_plain(certificates);
    talk->server = tls_party_server_plain(certificates);
    tls_meeting_connect(&talk->meeting, talk->client, talk->server, "localhost");
    return talk;
}

static void talk_free(struct talk *talk)
{
    tls_meeting_part(&talk->meeting);
    tls_client_free(talk->client);
    tls_server_free(talk->server);
    test_free(talk);
}

static void write_all(struct stream *stream, const char *data, size_t length)
{
    struct err err = {0};
    while (length > 0) {
        size_t count = 0;
        assert_int_equal(stream_write(stream, data, length, &count, &err), STREAM_OK);
        data += count;
        length -= count;
    }
}

static void parameters_are_reported_when_negotiated(void **state)
{
    struct stream_tls_facts facts;
    struct talk *talk = talk_new(*state);

    assert_false(stream_tls_facts(talk->meeting.client.stream, &facts));
    assert_string_equal(facts.version, "");
    tls_meeting_shake(&talk->meeting);
    assert_true(stream_tls_facts(talk->meeting.client.stream, &facts));
    assert_string_equal(facts.version, "TLSv1.3");
    assert_string_equal(facts.cipher, "TLS_AES_128_GCM_SHA256");
    assert_string_equal(facts.group, OpenSSL_version_num() >= 0x30500000UL ? "X25519MLKEM768" : "x25519");
    assert_string_equal(facts.alpn, "");
    assert_string_equal(facts.subject, "localhost, 127.0.0.1, ::1");
    assert_string_equal(facts.issuer, "test root");
    assert_int_equal(strlen(facts.pin), 64);
    assert_false(facts.resumed);
    assert_in_range(facts.not_after - (int64_t)time(NULL), CERTIFICATES_DAY - 60, CERTIFICATES_DAY);

    assert_true(stream_tls_facts(talk->meeting.server.stream, &facts));
    assert_string_equal(facts.version, "TLSv1.3");
    assert_string_equal(facts.subject, "");
    assert_string_equal(facts.pin, "");
    talk_free(talk);
}

static void a_plain_stream_has_no_facts(void **state)
{
    struct stream_tls_facts facts;
    struct stream *plain[2];
    (void)state;
    stream_memory_pair(plain, 1);
    assert_false(stream_tls_facts(plain[0], &facts));
    stream_free(plain[0]);
    stream_free(plain[1]);
}

static void what_is_decrypted_is_read_before_a_read_waits(void **state)
{
    static const char words[2 * RECORD_BYTES];
    static const struct {
        size_t pieces, length; /* as they are written */
        size_t room;           /* as they are read */
    } cases[] = {{1, RECORD_BYTES, 7},    {100, 1, 1},          {100, 1, 4096},
                 {2, RECORD_BYTES, 5000}, {2, RECORD_BYTES, 1}, {1, 2 * RECORD_BYTES, RECORD_BYTES - 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct talk *talk = talk_new(*state);
        struct err err = {0};
        size_t received = 0, count;
        enum stream_result result;
        char data[RECORD_BYTES];

        tls_meeting_shake(&talk->meeting);
        for (size_t piece = 0; piece < cases[i].pieces; piece++)
            write_all(talk->meeting.server.stream, words, cases[i].length);
        while ((result = stream_read(talk->meeting.client.stream, data, cases[i].room, &count, &err)) ==
               STREAM_OK)
            received += count;
        assert_int_equal(result, STREAM_WANT_READ);
        assert_int_equal(received, cases[i].pieces * cases[i].length);
        talk_free(talk);
    }
}

/* One look below where nothing is, and one for a record, not a second for its header. */
static void a_read_looks_below_once(void **state)
{
    struct talk *talk = talk_new(*state);
    struct stream *stream = talk->meeting.client.stream;
    const unsigned *operations = &talk->meeting.client.faults.operations;
    struct err err = {0};
    size_t count;
    char data[16];

    tls_meeting_shake(&talk->meeting);
    assert_int_equal(stream_read(stream, data, sizeof data, &count, &err), STREAM_WANT_READ);
    unsigned before = *operations;
    for (int i = 0; i < 10; i++)
        assert_int_equal(stream_read(stream, data, sizeof data, &count, &err), STREAM_WANT_READ);
    assert_int_equal(*operations - before, 10);
    write_all(talk->meeting.server.stream, "hello", 5);
    before = *operations;
    assert_int_equal(stream_read(stream, data, sizeof data, &count, &err), STREAM_OK);
    assert_int_equal(count, 5);
    assert_int_equal(*operations - before, 1);
    talk_free(talk);
}

static void an_end_is_clean_with_close_notify_only(void **state)
{
    static const enum tls_act ends[] = {TLS_END, TLS_LEAVE};
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct talk *talk = talk_new(*state);
        struct tls_party *client = &talk->meeting.client, *server = &talk->meeting.server;
        server->words = client->expected = BYTES_LITERAL("last words");
        TLS_PLAN(client, TLS_SHAKE, TLS_RECEIVE, TLS_RECEIVE_END, TLS_RECEIVE_END);
        TLS_PLAN(server, TLS_SHAKE, TLS_SEND, ends[i]);
        tls_meeting_run(&talk->meeting);
        tls_party_expect_done(server);
        assert_int_equal(client->received, client->expected.length);
        if (ends[i] == TLS_END)
            tls_party_expect_done(client);
        else
            tls_party_expect_failure(client, ERR_DIALOGUE_TRUNCATED, "without close_notify");
        talk_free(talk);
    }
}

/* A FIN alone, while the peer's end of the connection stays open. */
static void a_fin_without_close_notify_truncates(void **state)
{
    const struct certificates *certificates = *state;
    const struct certificate *const chain[] = {&certificates->server, NULL};
    struct tls_client *client = tls_party_client_plain(certificates);
    struct tls_meeting meeting = {0};
    SSL *ssl;

    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", NULL);
    meeting.server.stream = tls_raw_server(meeting.lowers[1], 0, chain, &ssl);
    SSL_set_quiet_shutdown(ssl, 1);
    TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE_END);
    TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_END);
    tls_meeting_run(&meeting);
    tls_party_expect_done(&meeting.server);
    tls_party_expect_failure(&meeting.client, ERR_DIALOGUE_TRUNCATED, "without close_notify");
    tls_meeting_part(&meeting);
    tls_client_free(client);
}

/* The error for a peer that does not use TLS or is silent: at once, or at the timeout. */
static const struct {
    struct bytes sent;
    bool ends; /* its side, after that */
    enum err_reason at_client, at_server;
    const char *words; /* at the client */
} peers[] = {
#define SENT(text)                                                                                           \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }
#define PLAIN ERR_TLS_PLAINTEXT_PEER, ERR_TLS_PLAINTEXT_PEER
    {SENT("Server: Welcome!\nServer: What's your name?"), false, PLAIN,
     "it sent \"Server: Welcome!\\nServer: What's"},
    {SENT("HTTP/1.1 400 Bad Request\r\n\r\n"), false, PLAIN,
     "it sent \"HTTP/1.1 400 Bad Request\\r\\n\\r\\n\""},
    {SENT("GET / HTTP/1.0\r\n\r\n"), false, PLAIN, "it sent \"GET / HTTP"},
    {SENT("Michael\n"), false, PLAIN, "localhost does not use TLS on this port: it sent \"Michael\\n\""},
    {SENT("SSH-2.0-\x1b[2J\r\n"), false, PLAIN, "\"SSH-2.0-\\x1b[2J\\r\\n\""},
    {SENT("\x80\x2e\x01\x03\x01"), false, PLAIN, "\"\\x80"},
    {SENT("Hi"), false, PLAIN, "it sent \"Hi\""},
    {SENT("Hi"), true, PLAIN, "it sent \"Hi\""},
    {SENT("\x16\x02"), true, PLAIN, "it sent \"\\x16\\x02\""},
    {SENT(""), false, ERR_TLS_SILENT_PEER, ERR_TLS_SILENT_PEER, "no reply to the ClientHello from localhost"},
    {SENT(""), true, ERR_TLS_PROTOCOL, ERR_DIALOGUE_EARLY_END,
     "closed the connection on the ClientHello without a reply"},
    {SENT("\x16\x03\x03\x00\x7a\x02"), false, ERR_TLS_TIMEOUT, ERR_TLS_TIMEOUT, "localhost took too long"},
    {SENT("\x16"), false, ERR_TLS_TIMEOUT, ERR_TLS_TIMEOUT, "localhost took too long"},
    {SENT("\x16\x03\x03\x00\x7a\x02"), true, ERR_TLS_PROTOCOL, ERR_TLS_PROTOCOL,
     "closed the connection during"},
    {SENT("\x15\x03\x01\x00\x02\x02\x28"), false, ERR_TLS_ALERT, ERR_TLS_PROTOCOL, "\"handshake_failure\""},
    {SENT("\x15\x03\x03\x00\x02\x02\x56"), false, ERR_TLS_ALERT, ERR_TLS_PROTOCOL,
     "the TLS alert \"inappropriate_fallback\""},
    {SENT("\x15\x03\x03\x00\x02\x02\xff"), false, ERR_TLS_ALERT, ERR_TLS_PROTOCOL, "the TLS alert 255"},
    {SENT("\x15\x03\x03\x00\x02\x02\x2a"), false, ERR_TLS_ALERT, ERR_TLS_PROTOCOL,
     "the peer sent the TLS alert \"bad_certificate\""},
    {SENT("\x15\x03\x01\x00\x02\x02\x46"), false, ERR_TLS_PROTOCOL, ERR_TLS_PROTOCOL, "no TLS version"},
#undef PLAIN
#undef SENT
};

/* Returns: the error of the handshake, or of its timeout, for a peer that sends this. */
static struct err peer_is_called(struct stream *stream, struct stream *peer, struct bytes sent, size_t piece,
                                 bool ends)
{
    struct err err = {0}, ignored = {0};
    enum stream_result result;
    do {
        size_t count, length = piece < sent.length ? piece : sent.length;
        result = stream_handshake(stream, &err);
        if (result == STREAM_FAILED || (length == 0 && !ends))
            break;
        if (length > 0)
            assert_int_equal(stream_write(peer, sent.data, length, &count, &ignored), STREAM_OK);
        else
            ends = stream_shutdown(peer, &ignored) != STREAM_OK;
        sent = bytes_skip(sent, length);
    } while (true);
    if (result != STREAM_FAILED)
        stream_handshake_expire(stream, &err);
    assert_int_equal(ERR_peek_error(), 0);
    return err;
}

/* At the server the sentence names no host. */
static bool has_the_expected_text(const struct err *err, const char *words, bool at_client)
{
    const char *quote = strstr(words, "it sent");
    if (at_client || err->reason != ERR_TLS_PLAINTEXT_PEER)
        return !at_client || strstr(err->text, words) != NULL;
    return strstr(err->text, quote != NULL ? quote : words) != NULL && strstr(err->text, "localhost") == NULL;
}

static void a_peer_without_tls_is_named_and_its_bytes_are_taken(void **state)
{
    struct talk *talk = talk_new(*state);
    for (size_t i = 0; i < 4 * COUNT(peers); i++) {
        size_t row = i / 4, piece = i % 2 == 0 ? 1 : 4096, count;
        bool at_client = i % 4 < 2;
        struct stream *ends[2];
        char left[1];
        stream_memory_pair(ends, 4096);
        struct stream *stream = at_client ? tls_client_stream(talk->client, ends[0], "localhost", NULL)
                                          : tls_server_stream(talk->server, ends[0], NULL);
        struct err err = peer_is_called(stream, ends[1], peers[row].sent, piece, peers[row].ends),
                   ignored = {0};
        enum err_reason reason = at_client ? peers[row].at_client : peers[row].at_server;
        if (err.reason != reason || (piece > 1 && !has_the_expected_text(&err, peers[row].words, at_client)))
            fail_msg("row %zu at the %s by %zu: %s: %s", row, at_client ? "client" : "server", piece,
                     err_word(err.reason), err.text);
        assert_int_not_equal(stream_read(ends[0], left, sizeof left, &count, &ignored), STREAM_OK);
        stream_free(stream);
        stream_free(ends[1]);
    }
    talk_free(talk);
}

static void a_peer_without_tls_that_sends_much_is_not_read_to_its_end(void **state)
{
    enum { MUCH = 60 * 1024, TAKEN_AT_MOST = 40 * 1024 };
    static const char words[MUCH] = "much";
    char left[MUCH];
    struct talk *talk = talk_new(*state);
    struct stream *ends[2];
    struct err err = {0}, ignored = {0};
    size_t count = 0;

    stream_memory_pair(ends, MUCH);
    struct stream *stream = tls_server_stream(talk->server, ends[0], NULL);
    write_all(ends[1], words, sizeof words);
    assert_int_equal(stream_handshake(stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_TLS_PLAINTEXT_PEER);
    assert_int_equal(stream_read(ends[0], left, sizeof left, &count, &ignored), STREAM_OK);
    assert_true(count >= MUCH - TAKEN_AT_MOST);
    stream_free(stream);
    stream_free(ends[1]);
    talk_free(talk);
}

/* No side accepts a version that is not allowed. */
static void incompatible_versions_are_reported(void **state)
{
    const struct certificates *certificates = *state;
    const struct certificate *const chain[] = {&certificates->server, NULL};
    struct tls_client *client =
        tls_party_client(&(struct tls_client_config){.policy.tls13_only = true, .ca = certificates->ca_file});
    struct tls_server *server = tls_party_server_plain(certificates);
    struct tls_meeting meeting = {0};

    TLS_PLAN(&meeting.client, TLS_SHAKE);
    TLS_PLAN(&meeting.server, TLS_SHAKE);
    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", NULL);
    meeting.server.stream = tls_raw_server(meeting.lowers[1], TLS1_2_VERSION, chain, NULL);
    tls_meeting_run(&meeting);
    tls_party_expect_failure(&meeting.client, ERR_TLS_PROTOCOL, "no TLS version that this side allows");
    tls_meeting_part(&meeting);

    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_raw_client(meeting.lowers[0], TLS1_1_VERSION, NULL, NULL);
    meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
    tls_meeting_run(&meeting);
    tls_party_expect_failure(&meeting.server, ERR_TLS_PROTOCOL,
                             "the peer chose a TLS version that this side does not allow");
    tls_meeting_part(&meeting);
    tls_client_free(client);
    tls_server_free(server);
}

static void the_protocol_above_is_agreed_or_refused(void **state)
{
    static const struct {
        const char *client, *server, *agreed; /* NULL: refused */
    } cases[] = {{"greet/1", "greet/1", "greet/1"},
                 {"b,a", "a,b", "a"}, /* the server chooses */
                 {"x,b", "a,b", "b"},
                 {NULL, "a", ""},
                 {"a", NULL, ""},
                 {"a", "b", NULL}};
    const struct certificates *certificates = *state;
    const struct tls_files files = {.cert = certificates->server_file};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tls_client *client = tls_party_client(
            &(struct tls_client_config){.policy.alpn = cases[i].client, .ca = certificates->ca_file});
        struct tls_server *server = tls_party_server(
            &(struct tls_server_config){.policy.alpn = cases[i].server, .identities = {files}});
        struct tls_meeting meeting = {0};
        tls_meeting_connect(&meeting, client, server, "localhost");
        TLS_PLAN(&meeting.client, TLS_SHAKE);
        TLS_PLAN(&meeting.server, TLS_SHAKE);
        tls_meeting_run(&meeting);
        if (cases[i].agreed != NULL) {
            tls_party_expect_done(&meeting.client);
            assert_string_equal(meeting.client.facts.alpn, cases[i].agreed);
            assert_string_equal(meeting.server.facts.alpn, cases[i].agreed);
        } else {
            tls_party_expect_failure(&meeting.client, ERR_TLS_ALERT, "no_application_protocol");
            tls_party_expect_failure(&meeting.server, ERR_TLS_PROTOCOL, "no application protocol");
        }
        tls_meeting_part(&meeting);
        tls_client_free(client);
        tls_server_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_reported_when_negotiated),
        cmocka_unit_test(a_plain_stream_has_no_facts),
        cmocka_unit_test(what_is_decrypted_is_read_before_a_read_waits),
        cmocka_unit_test(a_read_looks_below_once),
        cmocka_unit_test(an_end_is_clean_with_close_notify_only),
        cmocka_unit_test(a_fin_without_close_notify_truncates),
        cmocka_unit_test(a_peer_without_tls_is_named_and_its_bytes_are_taken),
        cmocka_unit_test(a_peer_without_tls_that_sends_much_is_not_read_to_its_end),
        cmocka_unit_test(incompatible_versions_are_reported),
        cmocka_unit_test(the_protocol_above_is_agreed_or_refused),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
