#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The server's identities, in its order. */
static const struct certificate_wish wishes[] = {
    {.names = "DNS:a.example", .common_name = "ECDSA for a"},
    {.names = "DNS:b.example,DNS:*.b.example", .common_name = "ECDSA for b"},
    {.names = "DNS:b.example", .common_name = "RSA for b", .kind = CERTIFICATE_RSA_2048},
    {.names = "DNS:rsa.example", .common_name = "RSA alone", .kind = CERTIFICATE_RSA_2048},
    {.names = "DNS:*.corp.example", .common_name = "ECDSA for corp"},
};

struct scene {
    struct tls_server *server;
    struct certificate certificates[COUNT(wishes)];
};

static struct certificates *all;

static int set_up(void **state)
{
    static char paths[COUNT(wishes)][CERTIFICATES_PATH_BYTES];
    struct tls_server_config config = {0};
    struct scene *scene = calloc(1, sizeof *scene);
    void *certificates;

    certificates_set_up(&certificates);
    all = certificates;
    for (size_t i = 0; i < COUNT(wishes); i++) {
        char name[16];
        struct certificate_wish wish = wishes[i];
        wish.issuer = &all->intermediate;
        certificate_make(&scene->certificates[i], &wish);
        snprintf(name, sizeof name, "%zu.pem", i);
        config.identities[i] = (struct tls_files){certificates_path(all, name, paths[i]), NULL};
        certificates_put(paths[i], scene->certificates[i].x509);
        certificates_put(paths[i], all->intermediate.x509);
        certificates_put_key(paths[i], scene->certificates[i].key, NULL);
    }
    scene->server = tls_party_server(&config);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    void *certificates = all;
    tls_server_free(scene->server);
    for (size_t i = 0; i < COUNT(wishes); i++)
        certificate_fini(&scene->certificates[i]);
    free(scene);
    return certificates_tear_down(&certificates);
}

/* Fails unless a client that asks for host, and takes these signatures, is shown that identity. NULL: no
 * name, any signature. */
static void expect_identity(const struct scene *scene, const char *host, const char *signatures, int version,
                            size_t identity)
{
    struct tls_meeting meeting = {0};
    SSL *ssl;

    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_raw_client(meeting.lowers[0], version, NULL, &ssl);
    meeting.server.stream = tls_server_stream(scene->server, meeting.lowers[1], NULL);
    if (host != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(ssl, host), 1);
    if (signatures != NULL)
        assert_int_equal(SSL_set1_sigalgs_list(ssl, signatures), 1);
    tls_meeting_shake(&meeting);
    X509 *shown = SSL_get0_peer_certificate(ssl);
    if (X509_cmp(shown, scene->certificates[identity].x509) != 0)
        fail_msg("%s with %s is not shown \"%s\"", host != NULL ? host : "no name",
                 signatures != NULL ? signatures : "any signature", wishes[identity].common_name);
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(ssl)), 2);
    tls_meeting_part(&meeting);
}

static void the_name_asked_for_chooses_the_identity(void **state)
{
    static const struct {
        const char *host;
        size_t identity;
    } cases[] = {{"a.example", 0},   {"A.Example", 0},     {"b.example", 1},
                 {"x.b.example", 1}, {"x.y.b.example", 0}, {"elsewhere.test", 0},
                 {NULL, 0},          {"rsa.example", 3},   {"foo_bar.corp.example", 4},
                 {"ECDSA for b", 0} /* a common name does not count */};
    for (size_t i = 0; i < 2 * COUNT(cases); i++)
        expect_identity(*state, cases[i / 2].host, NULL, i % 2 == 0 ? 0 : TLS1_2_VERSION,
                        cases[i / 2].identity);
}

#define ECDSA "ECDSA+SHA256:RSA-PSS+SHA256"
#define RSA_ONLY "RSA-PSS+SHA256:RSA+SHA256"

/* Both kinds of keys side by side, for clients that know one only. */
static void the_signatures_offered_choose_the_key(void **state)
{
    for (int version = 0; version <= TLS1_2_VERSION; version += TLS1_2_VERSION) {
        expect_identity(*state, "b.example", ECDSA, version, 1);
        expect_identity(*state, "b.example", RSA_ONLY, version, 2);
        expect_identity(*state, "rsa.example", RSA_ONLY, version, 3);
        expect_identity(*state, NULL, ECDSA, version, 0);
        expect_identity(*state, NULL, RSA_ONLY, version, 2); /* the first of its kind */
    }
}

static void each_identity_is_reported_to_the_operator(void **state)
{
    const struct scene *scene = *state;
    static const char *const names[] = {"a.example", "b.example, *.b.example", "b.example", "rsa.example",
                                        "*.corp.example"};
    struct tls_identity_facts facts;
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_true(tls_server_identity(scene->server, i, &facts));
        assert_string_equal(facts.names, names[i]);
    }
    assert_false(tls_server_identity(scene->server, COUNT(names), &facts));
}

/* Streams that are under way go on with what they began with, when their server is gone. */
static void a_stream_outlives_its_server(void **state)
{
    (void)state;
    struct tls_server *server = tls_party_server_plain(all);
    struct tls_client *client = tls_party_client_plain(all);
    struct tls_meeting meeting = {0};
    struct err err = {0};

    tls_meeting_connect(&meeting, client, server, "localhost");
    assert_int_equal(stream_handshake(meeting.client.stream, &err), STREAM_WANT_READ);
    tls_server_free(server);
    meeting.server.words = meeting.client.expected = BYTES_LITERAL("welcome");
    TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(&meeting);
    tls_party_expect_done(&meeting.client);
    tls_party_expect_done(&meeting.server);
    tls_meeting_part(&meeting);
    tls_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_asked_for_chooses_the_identity),
        cmocka_unit_test(the_signatures_offered_choose_the_key),
        cmocka_unit_test(each_identity_is_reported_to_the_operator),
        cmocka_unit_test(a_stream_outlives_its_server),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
