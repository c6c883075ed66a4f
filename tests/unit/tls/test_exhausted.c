#include <openssl/crypto.h>
#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

/* Fails unless an operation that did not do what it should says so. */
static void expect_words(bool done, struct err *err)
{
    if (done == (err->reason != ERR_OK))
        fail_msg("allocation %lu: %s, and says \"%s\"", fail_at, done ? "done" : "not done", err->text);
    err_clear(err);
}

/* Contexts, streams and a dialogue, as far as they come. Returns: whether that many were asked for. */
static bool shake_without(const struct certificates *all, unsigned long n)
{
    const struct tls_files files = {.cert = all->server_file};
    struct tls_meeting meeting = {0};
    struct err err = {0};

    count = 0;
    fail_at = n;
    struct tls_client *client = tls_client_new(&(struct tls_client_config){.ca = all->ca_file}, &err);
    expect_words(client != NULL, &err);
    struct tls_server *server = tls_server_new(&(struct tls_server_config){.identities = {files}}, &err);
    expect_words(server != NULL, &err);
    if (client != NULL && server != NULL) {
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", &err);
        expect_words(meeting.client.stream != NULL, &err);
        meeting.server.stream = tls_server_stream(server, meeting.lowers[1], &err);
        expect_words(meeting.server.stream != NULL, &err);
    }
    if (meeting.client.stream != NULL && meeting.server.stream != NULL) {
        meeting.server.words = meeting.client.expected = BYTES_LITERAL("welcome");
        TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_HEAR, TLS_END, TLS_HEAR_END);
        TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SAY, TLS_HEAR_END, TLS_END);
        tls_meeting_run(&meeting);
    }
    fail_at = 0;
    tls_meeting_part(&meeting);
    tls_client_free(client);
    tls_server_free(server);
    return count >= n;
}

/* Each of those in the contexts and streams, and some in what OpenSSL does with them. */
static void an_allocation_that_fails_fails_one_thing_in_words(void **state)
{
    enum { EACH = 700, STRIDE = 29 };
    unsigned long n = 1;
    while (shake_without(*state, n))
        n += n < EACH ? 1 : STRIDE;
    assert_true(n > 2 * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_that_fails_fails_one_thing_in_words),
    };
    if (CRYPTO_set_mem_functions(take, retake, give) != 1)
        return 1;
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
