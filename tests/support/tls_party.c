#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/tls_party.h"

#include <string.h>

#include "support/guard.h"
#include "support/stream_memory.h"
#include "tls/context.h"
#include "tls/stream_tls_new.h"

enum { TURNS = 300 * 1000, ROOM = 4096 };

void tls_meeting_wire(struct tls_meeting *meeting)
{
    struct tls_party *parties[2] = {&meeting->client, &meeting->server};
    stream_memory_pair(meeting->lowers, TLS_PIPE_BYTES);
    for (size_t i = 0; i < 2; i++)
        meeting->lowers[i] = stream_fault_new(meeting->lowers[i], &parties[i]->faults);
}

void tls_meeting_connect(struct tls_meeting *meeting, struct tls_client *client, struct tls_server *server,
                         const char *host)
{
    struct err err = {0};
    tls_meeting_wire(meeting);
    meeting->client.stream = tls_client_stream(client, meeting->lowers[0], host, &err);
    meeting->server.stream = tls_server_stream(server, meeting->lowers[1], &err);
    if (err.reason != ERR_OK)
        fail_msg("no stream: %s", err.text);
}

static enum stream_result send_text(struct tls_party *party, struct err *err)
{
    size_t count = 0;
    struct bytes rest = bytes_skip(party->words, party->sent);
    const char *moved = guard_bytes(rest.data, rest.length);
    enum stream_result result = stream_write(party->stream, moved, rest.length, &count, err);
    guard_free(moved, rest.length);
    if (result == STREAM_OK)
        assert_in_range(count, 1, rest.length);
    party->sent += result == STREAM_OK ? count : 0;
    return result;
}

static enum stream_result receive(struct tls_party *party, struct err *err)
{
    char data[ROOM];
    size_t count = 0;
    size_t left = party->expected.length - party->received;
    enum stream_result result = stream_read(party->stream, data, left < ROOM ? left : ROOM, &count, err);
    if (result == STREAM_OK) {
        assert_in_range(count, 1, left);
        assert_memory_equal(data, party->expected.data + party->received, count);
        party->received += count;
    } else if (result == STREAM_EOF) {
        fail_msg("a clean end after %zu of %zu bytes", party->received, party->expected.length);
    }
    return result;
}

static enum stream_result receive_end(struct tls_party *party, struct err *err)
{
    char data[1];
    size_t count;
    enum stream_result result = stream_read(party->stream, data, sizeof data, &count, err);
    assert_true(result != STREAM_OK);
    return result == STREAM_EOF ? STREAM_OK : result;
}

static enum stream_result act(struct tls_party *party, struct err *err)
{
    switch (party->acts[party->act]) {
    case TLS_SHAKE:
        return stream_handshake(party->stream, err);
    case TLS_SEND:
        return send_text(party, err);
    case TLS_RECEIVE:
        return receive(party, err);
    case TLS_END:
        return stream_shutdown(party->stream, err);
    case TLS_RECEIVE_END:
        return receive_end(party, err);
    case TLS_LEAVE:
        stream_free(party->stream);
        party->stream = NULL;
        break;
    case TLS_DONE:
        break;
    }
    return STREAM_OK;
}

static bool is_over(const struct tls_party *party)
{
    return party->failed || party->acts[party->act] == TLS_DONE;
}

/* Goes on until it waits, fails or is done. */
static void step(struct tls_party *party)
{
    while (!is_over(party)) {
        enum stream_result result = act(party, &party->err);
        assert_int_equal(result == STREAM_FAILED, party->err.reason != ERR_OK);
        if (result == STREAM_FAILED) {
            assert_int_equal(ERR_peek_error(), 0);
            party->failed = true;
            party->has_facts = stream_tls_facts(party->stream, &party->facts);
            stream_free(party->stream);
            party->stream = NULL;
            return;
        }
        if (result != STREAM_OK)
            return;
        if ((party->acts[party->act] == TLS_SEND && party->sent < party->words.length) ||
            (party->acts[party->act] == TLS_RECEIVE && party->received < party->expected.length))
            continue;
        if (party->acts[party->act] == TLS_SHAKE)
            party->has_facts = stream_tls_facts(party->stream, &party->facts);
        party->act++;
    }
}

void tls_meeting_run(struct tls_meeting *meeting)
{
    struct tls_party *client = &meeting->client, *server = &meeting->server;
    for (unsigned turn = 0; !is_over(client) || !is_over(server); turn++) {
        if (turn == TURNS)
            fail_msg("they hang: the client in act %zu, the server in act %zu", client->act, server->act);
        step(client);
        step(server);
    }
}

void tls_meeting_shake(struct tls_meeting *meeting)
{
    TLS_PLAN(&meeting->client, TLS_SHAKE);
    TLS_PLAN(&meeting->server, TLS_SHAKE);
    tls_meeting_run(meeting);
    tls_party_expect_done(&meeting->client);
    tls_party_expect_done(&meeting->server);
}

void tls_party_expect_done(const struct tls_party *party)
{
    if (party->failed)
        fail_msg("act %zu fails, %s: %s", party->act, err_word(party->err.reason), party->err.text);
    assert_int_equal(party->acts[party->act], TLS_DONE);
}

void tls_party_expect_failure(const struct tls_party *party, enum err_reason reason, const char *part)
{
    if (!party->failed)
        fail_msg("does not fail, but expected: %s", part);
    if (party->err.reason != reason || strstr(party->err.text, part) == NULL)
        fail_msg("message \"%s\" (%s), not \"%s\" (%s)", party->err.text, err_word(party->err.reason), part,
                 err_word(reason));
}

static void forget(struct tls_party *party)
{
    stream_free(party->stream);
    party->stream = NULL;
    party->act = party->sent = party->received = 0;
    party->failed = false;
    err_clear(&party->err);
    party->faults.operations = party->faults.frees = 0;
}

void tls_meeting_part(struct tls_meeting *meeting)
{
    forget(&meeting->client);
    forget(&meeting->server);
}

struct tls_client *tls_party_client(const struct tls_client_config *config)
{
    struct err err = {0};
    struct tls_client *client = tls_client_new(config, &err);
    if (client == NULL)
        fail_msg("%s", err.text);
    return client;
}

struct tls_server *tls_party_server(const struct tls_server_config *config)
{
    struct err err = {0};
    struct tls_server *server = tls_server_new(config, &err);
    if (server == NULL)
        fail_msg("%s", err.text);
    return server;
}

struct tls_client *tls_party_client_plain(const struct certificates *certificates)
{
    return tls_party_client(&(struct tls_client_config){.ca = certificates->ca_file});
}

struct tls_server *tls_party_server_plain(const struct certificates *certificates)
{
    const struct tls_files files = {.cert = certificates->server_file};
    return tls_party_server(&(struct tls_server_config){.identities = {files}});
}

SSL_CTX *tls_raw_context(const SSL_METHOD *method, int max_version, const struct certificate *const *chain)
{
    SSL_CTX *context = SSL_CTX_new(method);
    assert_non_null(context);
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    assert_int_equal(SSL_CTX_set_max_proto_version(context, max_version), 1);
    for (size_t i = 0; chain != NULL && chain[i] != NULL; i++) {
        if (i == 0)
            assert_int_equal(SSL_CTX_use_cert_and_key(context, chain[0]->x509, chain[0]->key, NULL, 1), 1);
        else
            assert_int_equal(SSL_CTX_add1_chain_cert(context, chain[i]->x509), 1);
    }
    return context;
}

struct stream *tls_raw_stream(struct stream *lower, SSL_CTX *context, SSL **ssl)
{
    static struct tls_retained retained;
    struct err err = {0};
    SSL *made = SSL_new(context);
    assert_non_null(made);
    bool is_server = SSL_is_server(made) == 1;
    if (is_server)
        SSL_set_accept_state(made);
    else
        SSL_set_connect_state(made);
    struct stream *stream = stream_tls_new(lower, made, is_server ? NULL : "localhost", &retained, &err);
    assert_non_null(stream);
    if (ssl != NULL)
        *ssl = made;
    return stream;
}

/* Over a context of its own, which the stream keeps. */
static struct stream *raw_end(struct stream *lower, SSL_CTX *context, SSL **ssl)
{
    struct stream *stream = tls_raw_stream(lower, context, ssl);
    SSL_CTX_free(context);
    return stream;
}

struct stream *tls_raw_server(struct stream *lower, int max_version, const struct certificate *const *chain,
                              SSL **ssl)
{
    return raw_end(lower, tls_raw_context(TLS_server_method(), max_version, chain), ssl);
}

struct stream *tls_raw_client(struct stream *lower, int max_version, const struct certificate *const *chain,
                              SSL **ssl)
{
    return raw_end(lower, tls_raw_context(TLS_client_method(), max_version, chain), ssl);
}
