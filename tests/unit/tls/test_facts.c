#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "support/stream_memory.h"
#include "support/tls_party.h"
#include "tls/certificate.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAN "DNS:localhost,IP:127.0.0.1,IP:::1"

enum { HOUR = 60 * 60, DAY = 24 * HOUR };

/* A client meets a server that sends this chain, up to the end of the handshake. */
static struct stream_tls_facts meet(struct tls_client *client, int version,
                                    const struct certificate *const *chain, enum err_reason reason)
{
    struct tls_meeting meeting = {0};
    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", NULL);
    meeting.server.stream = tls_raw_server(meeting.lowers[1], version, chain, NULL);
    TLS_PLAN(&meeting.client, TLS_SHAKE);
    TLS_PLAN(&meeting.server, TLS_SHAKE);
    tls_meeting_run(&meeting);
    if (meeting.client.err.reason != reason)
        fail_msg("%s: %s", err_word(meeting.client.err.reason), meeting.client.err.text);
    assert_true(meeting.client.has_facts);
    assert_int_equal(meeting.client.facts.version[0] != '\0', reason == ERR_OK);
    tls_meeting_part(&meeting);
    return meeting.client.facts;
}

static struct tls_pin pin_of(const struct certificate *certificate)
{
    struct tls_pin pin;
    assert_int_equal(tls_certificate_pin(certificate->x509, &pin), 0);
    return pin;
}

/* The facts are those of this certificate. */
static void expect_certificate(const struct stream_tls_facts *facts, const struct certificate *certificate)
{
    struct tls_pin pin = pin_of(certificate);
    char text[TLS_PIN_TEXT_BYTES];
    tls_pin_format(&pin, text);
    assert_string_equal(facts->pin, text + strlen("sha256:"));
    assert_int_equal(facts->not_before, tls_seconds(X509_get0_notBefore(certificate->x509)));
    assert_int_equal(facts->not_after, tls_seconds(X509_get0_notAfter(certificate->x509)));
    assert_true(facts->not_before < facts->not_after);
}

/* The chain that was verified counts, up to its anchor, and nothing else that was sent. */
static void the_first_of_the_verified_chain_to_expire_is_named(void **state)
{
    const struct certificates *all = *state;
    struct certificate soon, leaf, brief, gone, stray;
    certificate_make(&soon,
                     &(struct certificate_wish){
                         .issuer = &all->root, .common_name = "soon CA", .ca = true, .until_s = 5 * DAY});
    certificate_make(&leaf, &(struct certificate_wish){
                                .issuer = &soon, .names = SAN, .until_s = 9 * DAY, .purpose = "serverAuth"});
    certificate_make(&brief, &(struct certificate_wish){.issuer = &soon, .names = SAN, .until_s = 2 * DAY});
    certificate_make(
        &gone,
        &(struct certificate_wish){
            .issuer = &all->root, .common_name = "gone CA", .ca = true, .from_s = -9 * DAY, .until_s = -DAY});
    certificate_make(&stray,
                     &(struct certificate_wish){.common_name = "test root", .ca = true, .until_s = DAY / 2});
    char path[CERTIFICATES_PATH_BYTES];
    certificates_put(certificates_path(all, "soon.crt", path), soon.x509);
    const struct {
        struct tls_client_config config;
        const struct certificate *chain[5];
        const struct certificate *first; /* NULL: the leaf */
    } rows[] = {
        {{.ca = all->ca_file}, {&leaf, &soon}, &all->root}, /* for a day, and not sent */
        {{.ca = path}, {&leaf, &soon}, &soon},
        {{.ca = path}, {&leaf, &gone, &stray, &soon}, &soon},
        {{.ca = path}, {&brief, &soon}, NULL},
        {{.ca = path}, {&brief, &gone}, NULL},
        {{.policy.insecure = true}, {&leaf, &gone, &stray, &soon}, &soon},
        {{.policy.insecure = true}, {&leaf, &gone}, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tls_client *client = tls_party_client(&rows[i].config);
        struct stream_tls_facts facts = meet(client, 0, rows[i].chain, ERR_OK);
        char title[160] = "";
        if (rows[i].first != NULL)
            tls_certificate_title(rows[i].first->x509, title, sizeof title);
        if (strcmp(facts.expires_first, title) != 0)
            fail_msg("row %zu: \"%s\", not \"%s\"", i, facts.expires_first, title);
        assert_int_equal(facts.expires_first_at,
                         rows[i].first != NULL ? tls_seconds(X509_get0_notAfter(rows[i].first->x509)) : 0);
        tls_client_free(client);
    }
    certificate_fini(&stray);
    certificate_fini(&gone);
    certificate_fini(&brief);
    certificate_fini(&leaf);
    certificate_fini(&soon);
}

enum signer { ROOT, INTERMEDIATE, INTERMEDIATE_NOT_SENT, ITSELF };

static void a_rejected_certificate_has_its_facts(void **state)
{
    static const struct {
        struct certificate_wish wish;
        enum signer signer;
        enum err_reason reason;
        const char *subject, *issuer, *distrust;
    } rows[] = {
        {{.names = SAN, .from_s = -9 * DAY, .until_s = -3 * DAY},
         ROOT,
         ERR_CERT_EXPIRED,
         "localhost, 127.0.0.1, ::1",
         "test root",
         "expired"},
        {{.names = SAN, .from_s = DAY, .until_s = 3 * DAY},
         ROOT,
         ERR_CERT_NOT_YET_VALID,
         "localhost, 127.0.0.1, ::1",
         "test root",
         "not yet valid"},
        {{.names = "DNS:other.example"},
         ROOT,
         ERR_CERT_NAME,
         "other.example",
         "test root",
         "for another name"},
        {{.names = SAN, .common_name = "me"},
         ITSELF,
         ERR_CERT_SELF_SIGNED,
         "localhost, 127.0.0.1, ::1",
         "me",
         "self-signed, not issued by a CA"},
        {{.names = SAN},
         INTERMEDIATE_NOT_SENT,
         ERR_CERT_UNTRUSTED,
         "localhost, 127.0.0.1, ::1",
         "test intermediate",
         "its issuer is not trusted here"},
        {{.names = SAN, .purpose = "clientAuth"},
         ROOT,
         ERR_CERT_PURPOSE,
         "localhost, 127.0.0.1, ::1",
         "test root",
         "meant for another purpose"},
        {{.names = SAN, .kind = CERTIFICATE_RSA_1024},
         ROOT,
         ERR_CERT_WEAK,
         "localhost, 127.0.0.1, ::1",
         "test root",
         "its key is too short"},
        {{.names = SAN}, INTERMEDIATE, ERR_OK, "localhost, 127.0.0.1, ::1", "test intermediate", ""},
        {{.common_name = "::1"}, ROOT, ERR_CERT_NAME, "::1", "test root", "for another name"},
        {{.names = "DNS:\x1b[2J\xff"}, ROOT, ERR_CERT_NAME, "\\x1b[2J\\xff", "test root", "for another name"},
    };
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const struct certificates *all = *state;
    struct tls_client *client = tls_party_client_plain(all);

    for (size_t i = 0; i < COUNT(rows) * COUNT(versions); i++) {
        size_t row = i / COUNT(versions);
        const struct certificate *above = rows[row].signer == ROOT     ? &all->root
                                          : rows[row].signer == ITSELF ? NULL
                                                                       : &all->intermediate;
        bool sends = rows[row].signer == INTERMEDIATE;
        struct certificate_wish wish = rows[row].wish;
        struct certificate certificate;
        wish.issuer = above;
        certificate_make(&certificate, &wish);
        const struct certificate *const chain[] = {&certificate, sends ? above : NULL, NULL};
        struct stream_tls_facts facts = meet(client, versions[i % COUNT(versions)], chain, rows[row].reason);
        expect_certificate(&facts, &certificate);
        assert_string_equal(facts.subject, rows[row].subject);
        assert_int_equal(facts.nameless, wish.names == NULL);
        assert_string_equal(facts.issuer, rows[row].issuer);
        assert_string_equal(facts.distrust, rows[row].distrust);
        assert_int_equal(facts.trusted, rows[row].reason == ERR_OK);
        assert_int_equal(facts.chain_count, sends ? 2 : 1);
        assert_string_equal(facts.chain[1], sends ? "test intermediate" : "");
        certificate_fini(&certificate);
    }
    tls_client_free(client);
}

/* What is no text in its own encoding is shown as its bytes are. */
static void a_common_name_is_text_in_whatever_encoding(void **state)
{
    static const struct {
        int type;
        struct bytes bytes;
        const char *shown;
    } rows[] = {
        {V_ASN1_UTF8STRING, {"K\xc3\xa4se", 5}, "K\xc3\xa4se"},
        {V_ASN1_BMPSTRING, {"\0K\0\xe4\0s\0e", 8}, "K\xc3\xa4se"},
        {V_ASN1_T61STRING, {"K\xe4se", 4}, "K\xc3\xa4se"},
        {V_ASN1_UNIVERSALSTRING, {"\0\0\0K\0\1\xf9\xc0", 8}, "K\xf0\x9f\xa7\x80"},
        {V_ASN1_BMPSTRING, {"\0a\0\0\0\x1b", 6}, "a\\x00\\x1b"},
        {V_ASN1_UTF8STRING, {"\xe4", 1}, "\\xe4"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        X509_NAME *name = X509_NAME_new();
        char shown[64];
        assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, rows[i].type,
                                                    (const unsigned char *)rows[i].bytes.data,
                                                    (int)rows[i].bytes.length, -1, 0),
                         1);
        assert_string_equal(tls_name_text(name, shown, sizeof shown), rows[i].shown);
        assert_int_equal(ERR_peek_error(), 0);
        X509_NAME_free(name);
    }
}

static void a_fault_of_a_ca_is_reported_as_such(void **state)
{
    const struct certificates *all = *state;
    struct tls_client *client = tls_party_client_plain(all);
    struct certificate above, leaf;
    certificate_make(&above, &(struct certificate_wish){.issuer = &all->root,
                                                        .common_name = "old CA",
                                                        .ca = true,
                                                        .from_s = -9 * DAY,
                                                        .until_s = -2 * DAY});
    certificate_make(&leaf, &(struct certificate_wish){.issuer = &above, .names = SAN});
    struct stream_tls_facts facts =
        meet(client, 0, (const struct certificate *const[]){&leaf, &above, NULL}, ERR_CERT_EXPIRED);
    assert_string_equal(facts.distrust, "a CA above it: expired");
    expect_certificate(&facts, &leaf);
    certificate_fini(&leaf);
    certificate_fini(&above);
    tls_client_free(client);
}

/* The server's refusal comes in the handshake where that is TLS 1.2, after it where it is TLS 1.3. */
static void known_facts_are_reported_after_a_later_failure(void **state)
{
    static const struct {
        int version;
        const char *reported;
    } rows[] = {{TLS1_2_VERSION, ""}, {TLS1_3_VERSION, "TLSv1.3"}};
    const struct certificates *all = *state;
    const struct certificate *const chain[] = {&all->server, NULL};
    struct tls_client *client = tls_party_client_plain(all);

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tls_meeting meeting = {0};
        SSL *ssl;
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", NULL);
        meeting.server.stream = tls_raw_server(meeting.lowers[1], rows[i].version, chain, &ssl);
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE_END);
        TLS_PLAN(&meeting.server, TLS_SHAKE);
        tls_meeting_run(&meeting);
        tls_party_expect_failure(&meeting.client, ERR_TLS_CLIENT_CERTIFICATE, "--cert and --key");
        assert_true(meeting.client.has_facts);
        assert_string_equal(meeting.client.facts.version, rows[i].reported);
        expect_certificate(&meeting.client.facts, &all->server);
        assert_int_equal(meeting.client.facts.chain_count, 1);
        assert_true(meeting.client.facts.trusted);
        assert_string_equal(meeting.client.facts.distrust, "");
        tls_meeting_part(&meeting);
    }
    tls_client_free(client);
}

static void a_rejected_client_certificate_is_reported_to_the_server(void **state)
{
    const struct certificates *all = *state;
    const struct tls_files files = {.cert = all->server_file};
    const struct certificate *const chain[] = {&all->unknown_ca, NULL};
    struct tls_server *server = tls_party_server(&(struct tls_server_config){
        .identities = {files}, .client_ca = all->ca_file, .client_auth = TLS_CLIENT_AUTH_REQUIRE});
    struct tls_meeting meeting = {0};
    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_raw_client(meeting.lowers[0], 0, chain, NULL);
    meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
    TLS_PLAN(&meeting.client, TLS_SHAKE);
    TLS_PLAN(&meeting.server, TLS_SHAKE);
    tls_meeting_run(&meeting);
    assert_true(meeting.server.failed);
    assert_true(meeting.server.has_facts);
    assert_string_equal(meeting.server.facts.version, "");
    expect_certificate(&meeting.server.facts, &all->unknown_ca);
    assert_int_equal(meeting.server.facts.chain_count, 1);
    assert_false(meeting.server.facts.trusted);
    tls_meeting_part(&meeting);
    tls_server_free(server);
}

/* As many as there is room for, and how many there are. */
static void a_long_chain_is_counted_to_its_end(void **state)
{
    const struct certificates *all = *state;
    struct certificate leaf;
    const struct certificate *chain[STREAM_TLS_CHAIN_MAX + 4] = {&leaf};
    struct tls_client *client = tls_party_client_plain(all);
    certificate_make(&leaf, &(struct certificate_wish){.issuer = &all->root, .names = SAN});
    for (size_t i = 1; i < COUNT(chain) - 1; i++)
        chain[i] = i % 2 == 1 ? &all->root : &all->intermediate;
    struct stream_tls_facts facts = meet(client, 0, chain, ERR_OK);
    assert_int_equal(facts.chain_count, COUNT(chain) - 1);
    assert_string_equal(facts.chain[0], "localhost, 127.0.0.1, ::1"); /* it has no name of its own */
    for (size_t i = 1; i < STREAM_TLS_CHAIN_MAX; i++)
        assert_string_equal(facts.chain[i], i % 2 == 1 ? "test root" : "test intermediate");
    certificate_fini(&leaf);
    tls_client_free(client);
}

static void a_key_is_described_by_kind_and_size(void **state)
{
    static const struct {
        enum certificate_key kind;
        const char *key;
    } rows[] = {{CERTIFICATE_P256, "EC P-256"}, {CERTIFICATE_RSA_2048, "RSA 2048"}};
    const struct certificates *all = *state;
    struct tls_client *client = tls_party_client_plain(all);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct certificate certificate;
        certificate_make(&certificate, &(struct certificate_wish){
                                           .issuer = &all->root, .names = SAN, .kind = rows[i].kind});
        struct stream_tls_facts facts =
            meet(client, 0, (const struct certificate *const[]){&certificate, NULL}, ERR_OK);
        assert_string_equal(facts.key, rows[i].key);
        certificate_fini(&certificate);
    }
    tls_client_free(client);
}

/* UTCTime has years from 1950 to 2049 in two digits, GeneralizedTime any in four (RFC 5280 section 4.1.2.5).
 */
static void a_date_of_any_century_is_read(void **state)
{
    static const struct {
        const char *date;
        int64_t seconds;
    } rows[] = {
        {"00000101000000Z", INT64_C(-62167219200)},
        {"19491231235959Z", -631152001},
        {"500101000000Z", -631152000},
        {"691231235959Z", -1},
        {"700101000000Z", 0},
        {"000229120000Z", 951825600},
        {"380119031407Z", INT32_MAX},
        {"380119031408Z", INT64_C(2147483648)},
        {"491231235959Z", INT64_C(2524607999)},
        {"20500101000000Z", INT64_C(2524608000)},
        {"21060207062816Z", INT64_C(4294967296)},
        {"99991231235959Z", INT64_C(253402300799)},
    };
    (void)state;
    ASN1_TIME *time = ASN1_TIME_new();
    assert_non_null(time);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(ASN1_TIME_set_string(time, rows[i].date), 1);
        if (tls_seconds(time) != rows[i].seconds)
            fail_msg("%s is read as %lld", rows[i].date, (long long)tls_seconds(time));
    }
    assert_int_equal(ASN1_STRING_set(time, "tomorrow", -1), 1);
    assert_int_equal(tls_seconds(time), 0);
    ASN1_TIME_free(time);
}

/* What was not verified is not called trusted, although the handshake succeeded. A pin is the user's word. */
static void trust_is_reported_as_verified(void **state)
{
    const struct certificates *all = *state;
    const struct tls_pin pin = pin_of(&all->server), wrong = pin_of(&all->client);
    const struct {
        struct tls_client_config config;
        enum err_reason reason;
        const char *distrust;
    } rows[] = {
        {{.policy.insecure = true}, ERR_OK, "not checked (--insecure)"},
        {{.pins = {1, {pin}}}, ERR_OK, ""},
        {{.pins = {1, {wrong}}}, ERR_CERT_PIN, "another key than --pin allows"},
        {{.ca = all->ca_file}, ERR_OK, ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tls_client *client = tls_party_client(&rows[i].config);
        struct stream_tls_facts facts =
            meet(client, 0, (const struct certificate *const[]){&all->server, NULL}, rows[i].reason);
        assert_string_equal(facts.distrust, rows[i].distrust);
        assert_int_equal(facts.trusted, rows[i].distrust[0] == '\0');
        tls_client_free(client);
    }
}

/* One connection, long enough for a ticket. */
static struct stream_tls_facts visit(struct tls_client *client, struct tls_server *server)
{
    struct tls_meeting meeting = {0};
    tls_meeting_connect(&meeting, client, server, "localhost");
    meeting.server.words = meeting.client.expected = BYTES_LITERAL("welcome");
    TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(&meeting);
    tls_party_expect_done(&meeting.client);
    tls_meeting_part(&meeting);
    return meeting.client.facts;
}

static void a_resumed_session_remembers_what_was_found(void **state)
{
    const struct certificates *all = *state;
    for (int insecure = 0; insecure < 2; insecure++) {
        struct tls_client *client = tls_party_client(
            &(struct tls_client_config){.policy.insecure = insecure != 0, .ca = all->ca_file});
        struct tls_server *server = tls_party_server_plain(all);
        for (int i = 0; i < 3; i++) {
            struct stream_tls_facts facts = visit(client, server);
            assert_int_equal(facts.resumed, i > 0);
            expect_certificate(&facts, &all->server);
            assert_int_equal(facts.chain_count, 1);
            assert_int_equal(facts.trusted, !insecure);
            assert_string_equal(facts.distrust, insecure ? "not checked (--insecure)" : "");
        }
        tls_client_free(client);
        tls_server_free(server);
    }
}

/* The certificate that a ticket stands for was not shown by a peer that goes away at once. */
static void what_an_offered_ticket_stands_for_is_not_taken_for_seen(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    struct stream *ends[2];
    struct stream_tls_facts facts;
    struct err err = {0};

    visit(client, server);
    assert_true(visit(client, server).resumed);
    stream_memory_pair(ends, TLS_PIPE_BYTES);
    struct stream *stream = tls_client_stream(client, ends[0], "localhost", &err);
    assert_int_equal(stream_handshake(stream, &err), STREAM_WANT_READ);
    assert_false(stream_tls_facts(stream, &facts));
    stream_free(ends[1]);
    assert_int_equal(stream_handshake(stream, &err), STREAM_FAILED);
    assert_false(stream_tls_facts(stream, &facts));
    assert_string_equal(facts.pin, "");
    stream_free(stream);
    tls_client_free(client);
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rejected_certificate_has_its_facts),
        cmocka_unit_test(the_first_of_the_verified_chain_to_expire_is_named),
        cmocka_unit_test(a_common_name_is_text_in_whatever_encoding),
        cmocka_unit_test(a_fault_of_a_ca_is_reported_as_such),
        cmocka_unit_test(known_facts_are_reported_after_a_later_failure),
        cmocka_unit_test(a_rejected_client_certificate_is_reported_to_the_server),
        cmocka_unit_test(a_long_chain_is_counted_to_its_end),
        cmocka_unit_test(a_key_is_described_by_kind_and_size),
        cmocka_unit_test(a_date_of_any_century_is_read),
        cmocka_unit_test(trust_is_reported_as_verified),
        cmocka_unit_test(a_resumed_session_remembers_what_was_found),
        cmocka_unit_test(what_an_offered_ticket_stands_for_is_not_taken_for_seen),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
