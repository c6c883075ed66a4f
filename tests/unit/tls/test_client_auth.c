#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { DAY = CERTIFICATES_DAY, HOUR = 60 * 60 };

/* Who comes: with a certificate of whom. */
enum client_case { WITHOUT, ALL_OK, UNKNOWN_CA, ITSELF, EXPIRED, OF_A_SERVER, OF_A_CA, CLIENT_CASES };

static const struct {
    struct certificate_wish wish; /* without its issuer */
    enum err_reason reason;       /* the server's, where it must be there */
    const char *sentence;         /* likewise */
} client_cases[CLIENT_CASES] = {
    [WITHOUT] = {{0}, ERR_TLS_CLIENT_CERTIFICATE, "the client sent no certificate"},
    [ALL_OK] = {{.purpose = "clientAuth"}, ERR_OK, ""},
    [UNKNOWN_CA] = {{.purpose = "clientAuth"},
                    ERR_CERT_UNTRUSTED,
                    "the client's certificate was issued by \"test unknown CA\", which is not trusted here"},
    [ITSELF] = {{.common_name = "me"}, ERR_CERT_SELF_SIGNED, "the client's certificate is self-signed"},
    [EXPIRED] = {{.from_s = -9 * DAY, .until_s = -2 * DAY - HOUR},
                 ERR_CERT_EXPIRED,
                 "the client's certificate expired 2 days ago"},
    [OF_A_SERVER] = {{.purpose = "serverAuth"},
                     ERR_CERT_PURPOSE,
                     "the client's certificate is not for a TLS client"},
    [OF_A_CA] = {{.purpose = "clientAuth", .usage = "critical,keyCertSign,cRLSign"},
                 ERR_CERT_PURPOSE,
                 "the client's certificate may not be used for signatures"},
};

/* Returns: the file of a client's certificate and key, NULL: none. */
static const char *client_case_file(const struct certificates *all, enum client_case client_case,
                                    char path[CERTIFICATES_PATH_BYTES])
{
    struct certificate certificate;
    struct certificate_wish wish = client_cases[client_case].wish;
    char name[32];

    if (client_case == WITHOUT)
        return NULL;
    snprintf(name, sizeof name, "client%d.pem", (int)client_case);
    wish.issuer = client_case == ITSELF ? NULL : client_case == UNKNOWN_CA ? &all->unknown_ca : &all->root;
    certificate_make(&certificate, &wish);
    certificates_put_bytes(certificates_path(all, name, path), (struct bytes){"", 0});
    certificates_put(path, certificate.x509);
    certificates_put_key(path, certificate.key, NULL);
    certificate_fini(&certificate);
    return path;
}

static struct tls_server *server_that(const struct certificates *all, enum tls_client_auth auth)
{
    const struct tls_files files = {.cert = all->server_file};
    return tls_party_server(
        &(struct tls_server_config){.identities = {files}, .client_ca = all->ca_file, .client_auth = auth});
}

/* The server sends first, as in the dialogue: in TLS 1.3 its verdict on a client arrives with the first read.
 */
static void meet(struct tls_meeting *meeting)
{
    meeting->server.words = meeting->client.expected = BYTES_LITERAL("welcome");
    TLS_PLAN(&meeting->client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting->server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(meeting);
}

static void expect_verdict(const struct tls_meeting *meeting, enum client_case client_case)
{
    if (client_cases[client_case].reason == ERR_OK) {
        tls_party_expect_done(&meeting->client);
        tls_party_expect_done(&meeting->server);
        return;
    }
    tls_party_expect_failure(&meeting->server, client_cases[client_case].reason,
                             client_cases[client_case].sentence);
    tls_party_expect_failure(&meeting->client, ERR_TLS_CLIENT_CERTIFICATE,
                             client_case == WITHOUT ? "--cert and --key"
                                                    : "the peer rejected our certificate: ");
}

static void required_means_required(void **state)
{
    const struct certificates *all = *state;
    struct tls_server *server = server_that(all, TLS_CLIENT_AUTH_REQUIRE);

    for (enum client_case client_case = 0; client_case < CLIENT_CASES; client_case++) {
        struct tls_meeting meeting = {0};
        char path[CERTIFICATES_PATH_BYTES];
        struct tls_client *client = tls_party_client(&(struct tls_client_config){
            .ca = all->ca_file, .identity.cert = client_case_file(all, client_case, path)});
        tls_meeting_connect(&meeting, client, server, "localhost");
        meet(&meeting);
        expect_verdict(&meeting, client_case);
        if (client_case == ALL_OK) {
            assert_string_equal(meeting.server.facts.issuer, "test root");
            assert_int_equal(strlen(meeting.server.facts.pin), 64);
        }
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
    tls_server_free(server);
}

/* More are refused before a signature of theirs is verified: nothing is known yet of who sends them. */
static void a_client_sends_ten_certificates_at_most(void **state)
{
    enum { ALLOWED = 10 };
    const struct certificates *all = *state;
    struct tls_server *server = server_that(all, TLS_CLIENT_AUTH_REQUIRE);

    for (int count = ALLOWED; count <= ALLOWED + 1; count++) {
        struct certificate certificate;
        struct tls_meeting meeting = {0};
        char path[CERTIFICATES_PATH_BYTES];
        certificate_make(&certificate,
                         &(struct certificate_wish){.issuer = &all->root, .common_name = "many"});
        certificates_put_bytes(certificates_path(all, "many.pem", path), (struct bytes){"", 0});
        certificates_put(path, certificate.x509);
        for (int i = 1; i < count; i++)
            certificates_put(path, all->root.x509);
        certificates_put_key(path, certificate.key, NULL);
        certificate_fini(&certificate);
        struct tls_client *client =
            tls_party_client(&(struct tls_client_config){.ca = all->ca_file, .identity.cert = path});
        tls_meeting_connect(&meeting, client, server, "localhost");
        meet(&meeting);
        if (count <= ALLOWED)
            tls_party_expect_done(&meeting.server);
        else
            tls_party_expect_failure(&meeting.server, ERR_CERT_UNTRUSTED,
                                     "more certificates than are verified");
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
    tls_server_free(server);
}

static void a_client_sends_16_kib_of_certificates_at_most(void **state)
{
    static char name[17 * 1024];
    const struct certificates *all = *state;
    struct tls_server *server = server_that(all, TLS_CLIENT_AUTH_REQUIRE);
    struct certificate certificate;
    struct tls_meeting meeting = {0};
    char path[CERTIFICATES_PATH_BYTES];

    memset(name, 'a', sizeof name);
    certificate_make(&certificate,
                     &(struct certificate_wish){.issuer = &all->root, .name = {name, sizeof name}});
    certificates_put_bytes(certificates_path(all, "large.pem", path), (struct bytes){"", 0});
    certificates_put(path, certificate.x509);
    certificates_put_key(path, certificate.key, NULL);
    certificate_fini(&certificate);
    struct tls_client *client =
        tls_party_client(&(struct tls_client_config){.ca = all->ca_file, .identity.cert = path});
    tls_meeting_connect(&meeting, client, server, "localhost");
    meet(&meeting);
    tls_party_expect_failure(&meeting.server, ERR_TLS_PROTOCOL, "(its certificates may have 16 KiB in all)");
    tls_meeting_part(&meeting);
    tls_client_free(client);
    tls_server_free(server);
}

/* A server's workers have one reading of the files among them, whatever becomes of the files meanwhile. */
static void a_copy_trusts_what_was_read_once(void **state)
{
    const struct certificates *all = *state;
    char ca[CERTIFICATES_PATH_BYTES];
    struct tls_server_config config = {.identities = {{all->server_file, NULL}},
                                       .client_ca = certificates_path(all, "changing.crt", ca),
                                       .client_auth = TLS_CLIENT_AUTH_REQUIRE};
    struct err err = {0};
    certificates_put(ca, all->root.x509);
    struct tls_server *server = tls_party_server(&config);
    certificates_put_bytes(ca, (struct bytes){"", 0});
    certificates_put(ca, all->unknown_ca.x509);
    for (int gone = 0; gone < 2; gone++) {
        struct tls_meeting meeting = {0};
        if (gone)
            assert_int_equal(unlink(ca), 0);
        struct tls_server *copy = tls_server_copy(server, &config, &err);
        assert_non_null(copy);
        struct tls_client *client = tls_party_client(
            &(struct tls_client_config){.ca = all->ca_file, .identity.cert = all->client_file});
        tls_meeting_connect(&meeting, client, copy, "localhost");
        meet(&meeting);
        tls_party_expect_done(&meeting.client);
        tls_party_expect_done(&meeting.server);
        tls_meeting_part(&meeting);
        tls_client_free(client);
        tls_server_free(copy);
    }
    tls_server_free(server);
}

static void required_means_required_in_tls_1_2(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *const chain[] = {&all->client, NULL};
    struct tls_server *server = server_that(all, TLS_CLIENT_AUTH_REQUIRE);

    for (int with = 0; with < 2; with++) {
        struct tls_meeting meeting = {0};
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_raw_client(meeting.lowers[0], TLS1_2_VERSION, with ? chain : NULL, NULL);
        meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
        meet(&meeting);
        expect_verdict(&meeting, with ? ALL_OK : WITHOUT);
        tls_meeting_part(&meeting);
    }
    tls_server_free(server);
}

/* Sent ones are checked all the same. */
static void requested_may_be_left_out(void **state)
{
    const struct certificates *all = *state;
    struct tls_server *server = server_that(all, TLS_CLIENT_AUTH_REQUEST);
    static const enum client_case come[] = {WITHOUT, ALL_OK, UNKNOWN_CA};

    for (size_t i = 0; i < COUNT(come); i++) {
        struct tls_meeting meeting = {0};
        char path[CERTIFICATES_PATH_BYTES];
        struct tls_client *client = tls_party_client(&(struct tls_client_config){
            .ca = all->ca_file, .identity.cert = client_case_file(all, come[i], path)});
        tls_meeting_connect(&meeting, client, server, "localhost");
        meet(&meeting);
        expect_verdict(&meeting, come[i] == WITHOUT ? ALL_OK : come[i]);
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
    tls_server_free(server);
}

/* One word whatever way a client comes in: a ticket of a server that asks nothing does not get around it. */
static void a_ticket_does_not_stand_in_for_a_certificate(void **state)
{
    static const enum tls_client_auth laxer[] = {TLS_CLIENT_AUTH_NONE, TLS_CLIENT_AUTH_REQUEST};
    const struct certificates *all = *state;
    const struct tls_files files = {.cert = all->server_file};
    char keys[CERTIFICATES_PATH_BYTES];
    struct tls_server *servers[2];

    certificates_put_bytes(certificates_path(all, "ticket.keys", keys), (struct bytes){(char[80]){7}, 80});
    for (size_t i = 0; i < COUNT(laxer); i++) {
        struct tls_client *client = tls_party_client_plain(all);
        const enum tls_client_auth auths[] = {laxer[i], TLS_CLIENT_AUTH_REQUIRE};
        for (size_t j = 0; j < 2; j++) {
            struct tls_meeting meeting = {0};
            servers[j] = tls_party_server(&(struct tls_server_config){.identities = {files},
                                                                      .client_ca = all->ca_file,
                                                                      .client_auth = auths[j],
                                                                      .ticket_keys = keys});
            tls_meeting_connect(&meeting, client, servers[j], "localhost");
            meet(&meeting);
            expect_verdict(&meeting, j == 0 ? ALL_OK : WITHOUT);
            assert_false(meeting.server.facts.resumed);
            tls_meeting_part(&meeting);
        }
        tls_client_free(client);
        tls_server_free(servers[0]);
        tls_server_free(servers[1]);
    }
}

/* A reload that trusts another CA asks everybody anew, though the file has the same name. */
static void a_ticket_does_not_outlive_the_trust_in_its_ca(void **state)
{
    const struct certificates *all = *state;
    const struct tls_files files = {.cert = all->server_file};
    const struct certificate *const trusted[] = {&all->root, &all->root, &all->unknown_ca};
    struct tls_server *servers[COUNT(trusted)];
    struct tls_client *client =
        tls_party_client(&(struct tls_client_config){.ca = all->ca_file, .identity.cert = all->client_file});
    char ca[CERTIFICATES_PATH_BYTES];

    certificates_path(all, "clients.crt", ca);
    for (size_t i = 0; i < COUNT(trusted); i++) {
        struct tls_meeting meeting = {0};
        certificates_put_bytes(ca, (struct bytes){"", 0});
        certificates_put(ca, trusted[i]->x509);
        servers[i] = tls_party_server(&(struct tls_server_config){
            .identities = {files}, .client_ca = ca, .client_auth = TLS_CLIENT_AUTH_REQUIRE});
        if (i > 0)
            tls_server_inherit(servers[i], servers[i - 1]);
        tls_meeting_connect(&meeting, client, servers[i], "localhost");
        meet(&meeting);
        assert_int_equal(meeting.server.failed, trusted[i] == &all->unknown_ca);
        assert_int_equal(meeting.server.facts.resumed, i == 1);
        tls_meeting_part(&meeting);
    }
    for (size_t i = 0; i < COUNT(trusted); i++)
        tls_server_free(servers[i]);
    tls_client_free(client);
}

static void a_client_ca_that_cannot_be_used_is_refused(void **state)
{
    const struct certificates *all = *state;
    char empty[CERTIFICATES_PATH_BYTES];
    const struct tls_files files = {.cert = all->server_file};
    const struct {
        const char *path, *sentence;
    } cases[] = {{"/nonexistent", "--client-ca /nonexistent cannot be read: No such file"},
                 {empty, "there is no CA certificate in"}};

    certificates_put_bytes(certificates_path(all, "empty.crt", empty), (struct bytes){"x", 1});
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        assert_null(tls_server_new(&(struct tls_server_config){.identities = {files},
                                                               .client_ca = cases[i].path,
                                                               .client_auth = TLS_CLIENT_AUTH_REQUIRE},
                                   &err));
        assert_int_equal(err.reason, ERR_SYSTEM_FILE);
        assert_non_null(strstr(err.text, cases[i].sentence));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(required_means_required),
        cmocka_unit_test(a_client_sends_ten_certificates_at_most),
        cmocka_unit_test(a_client_sends_16_kib_of_certificates_at_most),
        cmocka_unit_test(a_copy_trusts_what_was_read_once),
        cmocka_unit_test(required_means_required_in_tls_1_2),
        cmocka_unit_test(requested_may_be_left_out),
        cmocka_unit_test(a_ticket_does_not_stand_in_for_a_certificate),
        cmocka_unit_test(a_ticket_does_not_outlive_the_trust_in_its_ca),
        cmocka_unit_test(a_client_ca_that_cannot_be_used_is_refused),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
