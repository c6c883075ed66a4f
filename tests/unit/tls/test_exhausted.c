#include <openssl/crypto.h>
#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdlib.h>

#include "support/tls_party.h"

/* OpenSSL's allocations are counted from 1 while fail_at is set, and that one fails. */
static unsigned long count, fail_at;

static bool is_due(void)
{
    return fail_at > 0 && ++count == fail_at;
}

static void *take(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return is_due() ? NULL : malloc(size);
}

static void *retake(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return is_due() ? NULL : realloc(memory, size);
}

static void give(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

/* Fails unless an operation that did not succeed names the want of memory. */
static void expect_text(bool done, struct err *err)
{
    if (err->reason != (done ? ERR_OK : ERR_INTERNAL))
        fail_msg("allocation %lu: %s, message \"%s\"", fail_at, done ? "done" : "not done", err->text);
    err_clear(err);
}

enum part { CLIENT, SERVER, STREAMS, DIALOGUE, PARTS };

static void make_streams(struct tls_meeting *meeting, struct tls_client *client, struct tls_server *server,
                         bool failed[PARTS])
{
    struct err err = {0};

    tls_meeting_wire(meeting);
    meeting->client.stream = tls_client_stream(client, meeting->lowers[0], "localhost", &err);
    expect_text(meeting->client.stream != NULL, &err);
    meeting->server.stream = tls_server_stream(server, meeting->lowers[1], &err);
    expect_text(meeting->server.stream != NULL, &err);
    failed[STREAMS] = meeting->client.stream == NULL || meeting->server.stream == NULL;
}

/* Fails unless one side of a dialogue that failed names the want of memory: the other sees its effects. */
static void exchange(struct tls_meeting *meeting, bool failed[PARTS])
{
    meeting->server.words = meeting->client.expected = BYTES_LITERAL("welcome");
    TLS_PLAN(&meeting->client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting->server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(meeting);
    failed[DIALOGUE] = meeting->client.failed || meeting->server.failed;
    if (failed[DIALOGUE] && meeting->client.err.reason != ERR_INTERNAL &&
        meeting->server.err.reason != ERR_INTERNAL)
        fail_msg("allocation %lu: client: \"%s\", server: \"%s\"", fail_at, meeting->client.err.text,
                 meeting->server.err.text);
}

/* Contexts, streams and a dialogue, as far as they come without the n-th allocation from a part on.
 * Shape: failed is set for each part that was tried. Returns: whether that many were asked for. */
static bool run_without(const struct certificates *all, enum tls_client_auth auth, enum part from,
                        unsigned long n, bool failed[PARTS])
{
    const struct tls_client_config client_config = {.ca = all->ca_file,
                                                    .identity = {.cert = all->client_file}};
    const struct tls_server_config server_config = {
        .identities = {{.cert = all->server_file}}, .client_ca = all->ca_file, .client_auth = auth};
    struct tls_meeting meeting = {0};
    struct err err = {0};

    count = 0;
    fail_at = from == CLIENT ? n : 0;
    struct tls_client *client = tls_client_new(&client_config, &err);
    failed[CLIENT] = client == NULL;
    expect_text(client != NULL, &err);
    struct tls_server *server = tls_server_new(&server_config, &err);
    failed[SERVER] = server == NULL;
    expect_text(server != NULL, &err);
    fail_at = n;
    if (client != NULL && server != NULL)
        make_streams(&meeting, client, server, failed);
    if (meeting.client.stream != NULL && meeting.server.stream != NULL)
        exchange(&meeting, failed);
    fail_at = 0;
    tls_meeting_part(&meeting);
    tls_client_free(client);
    tls_server_free(server);
    return count >= n;
}

/* Each of the first allocations, and some of the others, up to the last: OpenSSL's versions differ in how
 * many there are. Where nothing fails any more all must succeed: no failure before it has left anything
 * spoilt. */
static void try_without_each(const struct certificates *all, enum tls_client_auth auth, enum part from,
                             unsigned long each, unsigned long stride)
{
    bool ever[PARTS] = {false}, failed[PARTS] = {false};

    for (unsigned long n = 1; run_without(all, auth, from, n, failed); n += n < each ? 1 : stride)
        for (size_t i = 0; i < PARTS; i++) {
            ever[i] = ever[i] || failed[i];
            failed[i] = false;
        }
    for (size_t i = from; i < PARTS; i++) {
        assert_false(failed[i]);
        assert_true(ever[i]);
    }
}

/* Among them those that OpenSSL makes once in a process. */
static void an_allocation_that_fails_fails_one_thing_for_want_of_memory(void **state)
{
    try_without_each(*state, TLS_CLIENT_AUTH_NONE, CLIENT, 700, 11);
}

static void an_allocation_that_fails_fails_one_connection_for_want_of_memory(void **state)
{
    try_without_each(*state, TLS_CLIENT_AUTH_NONE, STREAMS, 200, 5);
}

/* OpenSSL goes on without the certificate of a client where it finds no memory to choose it. */
static void want_of_memory_for_a_client_certificate_is_not_reported_as_its_absence(void **state)
{
    try_without_each(*state, TLS_CLIENT_AUTH_REQUIRE, STREAMS, 1, 7);
}

/* What a client is that has sent nothing yet, or no TLS: count is of allocations of OpenSSL's. */
static void what_is_no_tls_client_costs_no_memory_of_openssl(void **state)
{
    static const struct bytes sent = BYTES_LITERAL("GET / HTTP/1.1\r\n");
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct err err = {0};
    size_t written = 0;

    const struct tls_server_config config = {.identities = {{.cert = all->server_file}}};
    struct tls_server *server = tls_server_new(&config, &err);
    assert_non_null(server);
    tls_meeting_wire(&meeting);
    count = 0;
    fail_at = ULONG_MAX;
    struct stream *stream = tls_server_stream(server, meeting.lowers[1], &err);
    assert_non_null(stream);
    assert_int_equal(stream_handshake(stream, &err), STREAM_WANT_READ);
    assert_int_equal(stream_handshake(stream, &err), STREAM_WANT_READ);
    assert_int_equal(stream_write(meeting.lowers[0], sent.data, sent.length, &written, &err), STREAM_OK);
    assert_int_equal(stream_handshake(stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_TLS_PLAINTEXT_PEER);
    assert_true(bytes_equal(err_received(&err), sent));
    assert_int_equal(count, 0);
    fail_at = 0;
    stream_free(stream);
    stream_free(meeting.lowers[0]);
    tls_meeting_part(&meeting);
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_that_fails_fails_one_thing_for_want_of_memory),
        cmocka_unit_test(an_allocation_that_fails_fails_one_connection_for_want_of_memory),
        cmocka_unit_test(want_of_memory_for_a_client_certificate_is_not_reported_as_its_absence),
        cmocka_unit_test(what_is_no_tls_client_costs_no_memory_of_openssl),
    };
    if (CRYPTO_set_mem_functions(take, retake, give) != 1)
        return 1;
    tls_watch_memory();
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
