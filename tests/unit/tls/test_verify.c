#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/tls_party.h"
#include "tls/certificate.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAN "DNS:localhost,IP:127.0.0.1,IP:::1"

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* Who signs, and what is sent beside the certificate. */
enum signer { ROOT, INTERMEDIATE, INTERMEDIATE_NOT_SENT, UNKNOWN_CA, UNKNOWN_CA_SENT, ITSELF };

struct row {
    const char *host;
    struct certificate_wish wish; /* without its issuer */
    enum signer signer;
    enum err_reason reason; /* ERR_OK: believed */
    const char *sentence;
    bool pin_will_do; /* a pin without --ca stands in for what is missing */
};

#define CERTIFICATE "the certificate of localhost "
#define UNTRUSTED CERTIFICATE "was issued by "

/* Each fault alone. */
static const struct row rows[] = {
    {"localhost", {.names = SAN}, ROOT, ERR_OK, "", true},
    {"LocalHost.", {.names = SAN}, ROOT, ERR_OK, "", true},
    {"127.0.0.1", {.names = SAN}, ROOT, ERR_OK, "", true},
    {"::1", {.names = SAN}, ROOT, ERR_OK, "", true},
    {"0:0:0:0:0:0:0:1", {.names = SAN}, ROOT, ERR_OK, "", true},
    {"fe80::1%eth0", {.names = "IP:fe80::1"}, ROOT, ERR_OK, "", true},
    {"a.example.com", {.names = "DNS:*.example.com"}, ROOT, ERR_OK, "", true},
    {"localhost", {.names = SAN}, INTERMEDIATE, ERR_OK, "", true},
    {"localhost", {.names = SAN, .purpose = "clientAuth,serverAuth"}, ROOT, ERR_OK, "", true},
    {"localhost", {.names = SAN, .kind = CERTIFICATE_RSA_2048}, ROOT, ERR_OK, "", true},
    /* dates */
    {"localhost",
     {.names = SAN, .from_s = -9 * DAY, .until_s = -3 * DAY - HOUR},
     ROOT,
     ERR_CERT_EXPIRED,
     CERTIFICATE "expired 3 days ago ({until}); ask its operator to renew it",
     false},
    {"localhost",
     {.names = SAN, .from_s = -9 * DAY, .until_s = -DAY - HOUR},
     ROOT,
     ERR_CERT_EXPIRED,
     "expired 1 day ago ({until})",
     false},
    {"localhost",
     {.names = SAN, .from_s = -9 * DAY, .until_s = -5 * HOUR - MINUTE},
     ROOT,
     ERR_CERT_EXPIRED,
     "expired 5 hours ago ({until})",
     false},
    {"localhost",
     {.names = SAN, .from_s = 2 * DAY + HOUR, .until_s = 9 * DAY},
     ROOT,
     ERR_CERT_NOT_YET_VALID,
     CERTIFICATE "is not valid before {from} (in less than 3 days): check the clocks",
     false},
    {"localhost",
     {.names = SAN, .from_s = 5 * HOUR + MINUTE, .until_s = 9 * DAY},
     ROOT,
     ERR_CERT_NOT_YET_VALID,
     "is not valid before {from} (in less than 6 hours): check",
     false},
    {"localhost",
     {.names = SAN, .from = "500101000000Z", .until = "21060207062816Z"},
     ROOT,
     ERR_OK,
     "",
     true},
    {"localhost",
     {.names = SAN, .from = "19491231235959Z", .until = "99991231235959Z"},
     ROOT,
     ERR_OK,
     "",
     true},
    {"localhost",
     {.names = SAN, .from = "690101000000Z", .until = "691231235959Z"},
     ROOT,
     ERR_CERT_EXPIRED,
     " days ago (1969-12-31 23:59 UTC)",
     false},
    {"localhost",
     {.names = SAN, .from = "690101000000Z", .until = "700101000000Z"},
     ROOT,
     ERR_CERT_EXPIRED,
     " days ago (1970-01-01 00:00 UTC)",
     false},
    {"localhost",
     {.names = SAN, .from = "99990101000000Z", .until = "99991231235959Z"},
     ROOT,
     ERR_CERT_NOT_YET_VALID,
     "is not valid before 9999-01-01 00:00 UTC (in less than ",
     false},
    /* names */
    {"localhost",
     {.names = "DNS:other.example,DNS:more.example,IP:192.0.2.1"},
     ROOT,
     ERR_CERT_NAME,
     CERTIFICATE "is for other.example, more.example, 192.0.2.1, not for localhost (--servername",
     true},
    {"127.0.0.1",
     {.names = "DNS:localhost,IP:::1"},
     ROOT,
     ERR_CERT_NAME,
     "the certificate of 127.0.0.1 is for localhost, ::1, not for 127.0.0.1",
     true},
    {"::1", {.names = "DNS:localhost,IP:127.0.0.1"}, ROOT, ERR_CERT_NAME, "not for ::1", true},
    {"127.0.0.1",
     {.names = "DNS:127.0.0.1"},
     ROOT,
     ERR_CERT_NAME,
     "the certificate of 127.0.0.1 has 127.0.0.1 in subjectAltName as a DNS name, where no client looks for an "
     "address: it must be an IP address there (IP:127.0.0.1)",
     true},
    {"::1",
     {.names = "DNS:a.example,DNS:0:0::1"},
     ROOT,
     ERR_CERT_NAME,
     "it must be an IP address there (IP:::1)",
     true},
    {"127.0.0.1",
     {.names = "DNS:127.0.0.2"},
     ROOT,
     ERR_CERT_NAME,
     "the certificate of 127.0.0.1 is for DNS:127.0.0.2, not for 127.0.0.1",
     true},
    {"localhost",
     {.common_name = "localhost", .names = "URI:spiffe://a.example/x,email:a@localhost"},
     ROOT,
     ERR_CERT_NAME,
     CERTIFICATE
     "has no host name or address in subjectAltName, only URI:spiffe://a.example/x, email:a@localhost",
     true},
    {"localhost",
     {.names = "DNS:a.example,URI:https://b.example/"},
     ROOT,
     ERR_CERT_NAME,
     CERTIFICATE "is for a.example, URI:https://b.example/, not for localhost",
     true},
    {"foo_bar.corp.example", {.names = "DNS:*.corp.example"}, ROOT, ERR_OK, "", true},
    {"_foo.Corp.example", {.names = "DNS:a.example,DNS:*.corp.EXAMPLE"}, ROOT, ERR_OK, "", true},
    {"foo.my_corp.example", {.names = "DNS:*.my_corp.example"}, ROOT, ERR_OK, "", true},
    {"foo_bar.corp.example", {.names = "DNS:foo_bar.corp.example"}, ROOT, ERR_OK, "", true},
    {"foo_bar.corp.example",
     {.names = "DNS:foo-bar.corp.example"},
     ROOT,
     ERR_CERT_NAME,
     "not for foo_bar",
     true},
    {"foo_bar.corp.example", {.names = "DNS:f*.corp.example"}, ROOT, ERR_CERT_NAME, "not for foo_bar", true},
    {"foo_bar.corp.example", {.names = "DNS:*.example"}, ROOT, ERR_CERT_NAME, "not for foo_bar", true},
    {"foo_bar.example", {.names = "DNS:*.example"}, ROOT, ERR_CERT_NAME, "not for foo_bar", true},
    {"a.foo_bar.corp.example",
     {.names = "DNS:*.corp.example"},
     ROOT,
     ERR_CERT_NAME,
     "not for a.foo_bar",
     true},
    {"foo_bar.corp.example", {.common_name = "*.corp.example"}, ROOT, ERR_CERT_NAME, "common name", true},
    {"foo_bar.corp.example",
     {.name = BYTES_LITERAL("*.corp.example\0.evil.example")},
     ROOT,
     ERR_CERT_NAME,
     "not for foo_bar",
     true},
    {"::ffff:127.0.0.1", {.names = "IP:127.0.0.1"}, ROOT, ERR_CERT_NAME, "not for ::ffff:127.0.0.1", true},
    {"localhost",
     {.common_name = "localhost"},
     ROOT,
     ERR_CERT_NAME,
     CERTIFICATE "has no host name or address in subjectAltName (a common name is not used)",
     true},
    {"127.0.0.1", {.common_name = "127.0.0.1"}, ROOT, ERR_CERT_NAME, "a common name is not used", true},
    {"localhost",
     {.common_name = "localhost", .names = "email:a@localhost"},
     ROOT,
     ERR_CERT_NAME,
     "only email:a@localhost",
     true},
    {"a.example.com", {.names = "DNS:a*.example.com"}, ROOT, ERR_CERT_NAME, "is for a*.example.com", true},
    {"a.example.com", {.names = "DNS:*a.example.com"}, ROOT, ERR_CERT_NAME, "is for *a.example.com", true},
    {"a.b.example.com", {.names = "DNS:*.example.com"}, ROOT, ERR_CERT_NAME, "is for *.example.com", true},
    {"example.com", {.names = "DNS:*.example.com"}, ROOT, ERR_CERT_NAME, "is for *.example.com", true},
    {"a.example.com", {.names = "DNS:*.com"}, ROOT, ERR_CERT_NAME, "is for *.com", true},
    {"example.com", {.names = "DNS:*.com"}, ROOT, ERR_CERT_NAME, "is for *.com", true},
    {"a.example.com", {.names = "DNS:a.*.com"}, ROOT, ERR_CERT_NAME, "is for a.*.com", true},
    {"localhost",
     {.name = BYTES_LITERAL("localhost\0.evil.example")},
     ROOT,
     ERR_CERT_NAME,
     "is for localhost\\x00.evil.example, not for localhost",
     true},
    {"localhost",
     {.name = BYTES_LITERAL("\x1b[2J\n")},
     ROOT,
     ERR_CERT_NAME,
     "is for \\x1b[2J\\n, not for",
     true},
    /* trust */
    {"localhost",
     {.names = SAN, .common_name = "localhost"},
     ITSELF,
     ERR_CERT_SELF_SIGNED,
     CERTIFICATE "is self-signed, not issued by a CA (if it is the right one: --ca FILE, or --pin)",
     true},
    {"localhost",
     {.names = SAN},
     UNKNOWN_CA,
     ERR_CERT_UNTRUSTED,
     UNTRUSTED "\"test unknown CA\", which is not trusted here (--ca FILE trusts a CA; if that is an inter",
     true},
    {"localhost",
     {.names = SAN},
     UNKNOWN_CA_SENT,
     ERR_CERT_UNTRUSTED,
     "\"test unknown CA\", which is not trusted here (--ca FILE trusts a CA)",
     true},
    {"localhost",
     {.names = SAN},
     INTERMEDIATE_NOT_SENT,
     ERR_CERT_UNTRUSTED,
     UNTRUSTED "\"test intermediate\", which is not trusted here (--ca FILE trusts a CA; if that is an "
               "intermediate CA, the peer must send its certificate along)",
     true},
    /* purpose */
    {"localhost",
     {.names = SAN, .purpose = "clientAuth"},
     ROOT,
     ERR_CERT_PURPOSE,
     CERTIFICATE "is not for a TLS server (see its extended key usage)",
     false},
    {"localhost",
     {.names = SAN, .purpose = "codeSigning"},
     ROOT,
     ERR_CERT_PURPOSE,
     "is not for a TLS server",
     false},
    {"localhost", {.names = SAN, .usage = "digitalSignature"}, ROOT, ERR_OK, "", true},
    {"localhost",
     {.names = SAN, .usage = "keyEncipherment", .kind = CERTIFICATE_RSA_2048},
     ROOT,
     ERR_CERT_PURPOSE,
     CERTIFICATE
     "may not be used for signatures, which every TLS handshake needs (its key usage lacks digitalSig",
     false},
    {"localhost",
     {.names = SAN, .usage = "critical,keyAgreement"},
     ROOT,
     ERR_CERT_PURPOSE,
     "lacks digitalS",
     false},
    {"localhost",
     {.names = SAN, .purpose = "serverAuth", .usage = "critical,keyCertSign,cRLSign"},
     ROOT,
     ERR_CERT_PURPOSE,
     CERTIFICATE "may not be used for signatures, which every TLS",
     false},
    {"localhost",
     {.names = SAN, .purpose = "clientAuth", .usage = "critical,keyCertSign,cRLSign"},
     ROOT,
     ERR_CERT_PURPOSE,
     "is not for a TLS server (see its extended key usage)",
     false},
    /* strength */
    {"localhost",
     {.names = SAN, .kind = CERTIFICATE_RSA_1024},
     ROOT,
     ERR_CERT_WEAK,
     CERTIFICATE "has too short a key (RSA needs 2048 bits)",
     false},
    {"localhost",
     {.names = SAN, .sha1 = true},
     ROOT,
     ERR_CERT_WEAK,
     CERTIFICATE "is signed with a broken hash such as SHA-1",
     true}, /* a pin looks at the key: who has signed it, and how, is no matter then */
    /* an unknown critical extension must not be ignored */
    {"localhost",
     {.names = SAN, .unknown_critical = true},
     ROOT,
     ERR_CERT_UNTRUSTED,
     CERTIFICATE "has a critical extension that this program does not know",
     false},
};

/* The server's certificate of a row, and the chain it sends. */
struct exhibit {
    struct certificate certificate;
    const struct certificate *chain[4];
};

static void exhibit_make(struct exhibit *exhibit, const struct certificates *all, const struct row *row)
{
    const struct certificate *const signers[] = {[ROOT] = &all->root,
                                                 [INTERMEDIATE] = &all->intermediate,
                                                 [INTERMEDIATE_NOT_SENT] = &all->intermediate,
                                                 [UNKNOWN_CA] = &all->unknown_ca,
                                                 [UNKNOWN_CA_SENT] = &all->unknown_ca,
                                                 [ITSELF] = NULL};
    struct certificate_wish wish = row->wish;
    bool sends = row->signer == INTERMEDIATE || row->signer == UNKNOWN_CA_SENT;

    wish.issuer = signers[row->signer];
    certificate_make(&exhibit->certificate, &wish);
    exhibit->chain[0] = &exhibit->certificate;
    exhibit->chain[1] = sends ? wish.issuer : NULL;
    exhibit->chain[2] = NULL;
}

/* Puts times into a sentence. Returns: text. */
static const char *fill_in(const char *sentence, const struct certificate *certificate, char *text,
                           size_t room)
{
    const char *brace = strchr(sentence, '{');
    if (brace == NULL)
        return sentence;
    const ASN1_TIME *when = strncmp(brace, "{until}", 7) == 0 ? X509_get0_notAfter(certificate->x509)
                                                              : X509_get0_notBefore(certificate->x509);
    struct tm tm;
    char time[32];
    assert_int_equal(ASN1_TIME_to_tm(when, &tm), 1);
    strftime(time, sizeof time, "%Y-%m-%d %H:%M UTC", &tm);
    snprintf(text, room, "%.*s%s%s", (int)(brace - sentence), sentence, time, strchr(brace, '}') + 1);
    return text;
}

static void visit(struct tls_meeting *meeting, struct tls_client *client, const struct exhibit *exhibit,
                  const char *host)
{
    struct err err = {0};
    tls_meeting_part(meeting);
    tls_meeting_wire(meeting);
    meeting->client.stream = tls_client_stream(client, meeting->lowers[0], host, &err);
    meeting->server.stream = tls_raw_server(meeting->lowers[1], 0, exhibit->chain, NULL);
    assert_int_equal(err.reason, ERR_OK);
    TLS_PLAN(&meeting->client, TLS_SHAKE);
    TLS_PLAN(&meeting->server, TLS_SHAKE);
    tls_meeting_run(meeting);
}

static void check(const struct tls_meeting *meeting, size_t row, enum err_reason reason, const char *sentence)
{
    const struct tls_party *client = &meeting->client;
    if (client->err.reason != reason || strstr(client->err.text, sentence) == NULL)
        fail_msg("row %zu: message \"%s\" (%s), not \"%s\" (%s)", row, client->err.text,
                 err_word(client->err.reason), sentence, err_word(reason));
    for (const char *c = client->err.text; *c != '\0'; c++)
        assert_in_range(*c, ' ', '~');
}

static struct tls_pin pin_of(const struct certificate *certificate)
{
    struct tls_pin pin;
    assert_int_equal(tls_certificate_pin(certificate->x509, &pin), 0);
    return pin;
}

static void each_fault_is_refused_in_words_of_its_own(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct tls_client *client = tls_party_client_plain(all);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exhibit exhibit;
        char sentence[512];
        exhibit_make(&exhibit, all, &rows[i]);
        visit(&meeting, client, &exhibit, rows[i].host);
        check(&meeting, i, rows[i].reason,
              fill_in(rows[i].sentence, &exhibit.certificate, sentence, sizeof sentence));
        certificate_fini(&exhibit.certificate);
    }
    tls_meeting_part(&meeting);
    tls_client_free(client);
}

/* What --insecure takes, and what a pin stands in for, with --ca and without. */
static void insecure_and_pins_disable_nothing_else(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    const struct tls_pin wrong = pin_of(&all->client);

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exhibit exhibit;
        exhibit_make(&exhibit, all, &rows[i]);
        const struct tls_pin right = pin_of(&exhibit.certificate);
        const struct {
            struct tls_client_config config;
            enum err_reason reason;
        } cases[] = {
            {{.policy.insecure = true}, ERR_OK},
            {{.policy.insecure = true, .pins = {2, {wrong, right}}}, ERR_OK},
            {{.policy.insecure = true, .pins = {1, {wrong}}}, ERR_CERT_PIN},
            {{.pins = {2, {wrong, right}}}, rows[i].pin_will_do ? ERR_OK : rows[i].reason},
            {{.pins = {1, {wrong}}}, ERR_CERT_PIN},
            {{.ca = all->ca_file, .pins = {2, {wrong, right}}}, rows[i].reason},
            {{.ca = all->ca_file, .pins = {1, {wrong}}}, ERR_CERT_PIN},
        };
        for (size_t j = 0; j < COUNT(cases); j++) {
            struct tls_client *client = tls_party_client(&cases[j].config);
            visit(&meeting, client, &exhibit, rows[i].host);
            if (meeting.client.err.reason != cases[j].reason)
                fail_msg("row %zu, case %zu: %s: %s", i, j, err_word(meeting.client.err.reason),
                         meeting.client.err.text);
            tls_meeting_part(&meeting);
            tls_client_free(client);
        }
        certificate_fini(&exhibit.certificate);
    }
}

static void a_wrong_pin_is_answered_with_the_right_one(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    const struct tls_pin wrong = pin_of(&all->client), right = pin_of(&all->server);
    const struct exhibit exhibit = {.chain = {&all->server, NULL}};
    struct tls_client *client =
        tls_party_client(&(struct tls_client_config){.ca = all->ca_file, .pins = {1, {wrong}}});
    char text[TLS_PIN_TEXT_BYTES];
    struct tls_pin again;

    visit(&meeting, client, &exhibit, "localhost");
    tls_party_expect_failure(&meeting.client, ERR_CERT_PIN,
                             "the certificate of localhost has another key than --pin allows: sha256:");
    tls_pin_format(&right, text);
    assert_non_null(strstr(meeting.client.err.text, text));
    assert_int_equal(tls_pin_parse(text, &again), 0);
    assert_memory_equal(&again, &right, sizeof right);
    tls_meeting_part(&meeting);
    tls_client_free(client);
}

/* The CA above is at fault: it is named, not the server's certificate. */
static void a_fault_of_the_ca_above_names_it(void **state)
{
    static const struct {
        struct certificate_wish wish;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {{.common_name = "old CA", .ca = true, .from_s = -9 * DAY, .until_s = -2 * DAY - HOUR},
         ERR_CERT_EXPIRED,
         "the CA certificate \"old CA\" above that of localhost expired 2 days ago"},
        {{.common_name = "weak CA", .ca = true, .kind = CERTIFICATE_RSA_1024},
         ERR_CERT_WEAK,
         "the CA certificate \"weak CA\" above that of localhost has too short a key"},
        {{.common_name = "SHA-1 CA", .ca = true, .sha1 = true},
         ERR_CERT_WEAK,
         "the CA certificate \"SHA-1 CA\" above that of localhost is signed with a broken hash"},
        {{.common_name = "mail CA", .ca = true, .purpose = "emailProtection"},
         ERR_CERT_PURPOSE,
         "the CA certificate \"mail CA\" above that of localhost is not for a TLS server (see its extended"},
        {{.common_name = "no CA at all"},
         ERR_CERT_UNTRUSTED,
         "the certificate \"no CA at all\" above that of localhost may not sign others"},
        {{.common_name = "no signer", .ca = true, .usage = "digitalSignature"},
         ERR_CERT_UNTRUSTED,
         "the certificate \"no signer\" above that of localhost may not sign others"},
        {{.common_name = "narrow CA", .ca = true, .constraints = "permitted;DNS:other.example"},
         ERR_CERT_UNTRUSTED,
         "the certificate of localhost has a name that a CA above it may not issue certificates for (its name"},
        {{.common_name = "narrow CA", .ca = true, .constraints = "critical,excluded;DNS:localhost"},
         ERR_CERT_UNTRUSTED,
         "the certificate of localhost has a name that a CA above it may not issue certificates for (its name"},
    };
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct tls_client *client = tls_party_client_plain(all);

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct certificate above, leaf;
        struct certificate_wish wish = cases[i].wish;
        wish.issuer = &all->root;
        certificate_make(&above, &wish);
        certificate_make(&leaf, &(struct certificate_wish){.issuer = &above, .names = SAN});
        visit(&meeting, client, &(struct exhibit){.chain = {&leaf, &above, NULL}}, "localhost");
        check(&meeting, i, cases[i].reason, cases[i].sentence);
        certificate_fini(&leaf);
        certificate_fini(&above);
    }
    tls_meeting_part(&meeting);
    tls_client_free(client);
}

/* Its operator cannot renew what stands in this side's trust store, unless the server sends it, too. */
static void an_expired_ca_of_the_trust_store_is_named_as_that(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct certificate root, leaf;
    char path[CERTIFICATES_PATH_BYTES];

    certificate_make(
        &root, &(struct certificate_wish){
                   .common_name = "old root", .ca = true, .from_s = -9 * DAY, .until_s = -2 * DAY - HOUR});
    certificate_make(&leaf, &(struct certificate_wish){.issuer = &root, .names = SAN});
    certificates_put(certificates_path(all, "old.crt", path), root.x509);
    struct tls_client *client = tls_party_client(&(struct tls_client_config){.ca = path});
    visit(&meeting, client, &(struct exhibit){.chain = {&leaf, NULL}}, "localhost");
    check(&meeting, 0, ERR_CERT_EXPIRED, "\"old root\" above that of localhost expired 2 days ago (");
    check(&meeting, 0, ERR_CERT_EXPIRED,
          "), and was not sent: replace it in the trust store (the system's, or --ca)");
    assert_int_equal(meeting.client.err.detail, ERR_DETAIL_ANCHOR_EXPIRED);
    visit(&meeting, client, &(struct exhibit){.chain = {&leaf, &root, NULL}}, "localhost");
    check(&meeting, 1, ERR_CERT_EXPIRED, "); ask its operator to renew it");
    tls_meeting_part(&meeting);
    tls_client_free(client);
    certificate_fini(&leaf);
    certificate_fini(&root);
}

/* Without identifiers of keys the CA of that name is tried, and its signature is found to be wrong. */
static void a_trusted_ca_of_the_issuers_name_with_another_key_is_named(void **state)
{
    const struct certificates *all = *state;
    const struct certificate_wish ca = {.common_name = "namesake", .ca = true, .key_ids = true};
    struct tls_meeting meeting = {0};
    struct certificate issuer, other, leaf;
    char path[CERTIFICATES_PATH_BYTES];

    certificate_make(&issuer, &ca);
    certificate_make(&other, &ca);
    certificate_make(&leaf, &(struct certificate_wish){.issuer = &issuer, .names = SAN, .key_ids = true});
    certificates_put(certificates_path(all, "namesake.crt", path), other.x509);
    struct tls_client *client = tls_party_client(&(struct tls_client_config){.ca = path});
    for (size_t i = 0; i < 2; i++) {
        visit(&meeting, client, &(struct exhibit){.chain = {&leaf, i == 0 ? NULL : &issuer, NULL}},
              "localhost");
        check(
            &meeting, i, ERR_CERT_UNTRUSTED,
            "was issued by \"namesake\": a CA of that name is trusted here, but has another key (--ca FILE");
        assert_int_equal(meeting.client.err.detail, ERR_DETAIL_ISSUER_OTHER_KEY);
    }
    tls_meeting_part(&meeting);
    tls_client_free(client);
    certificate_fini(&leaf);
    certificate_fini(&other);
    certificate_fini(&issuer);
}

static void a_key_on_each_curve_that_is_offered_is_accepted_in_both_versions(void **state)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const struct certificates *all = *state;
    struct tls_client *client = tls_party_client_plain(all);

    for (size_t i = 0; i < COUNT(curves) * COUNT(versions); i++) {
        struct tls_meeting meeting = {0};
        struct certificate leaf;
        certificate_make(&leaf, &(struct certificate_wish){.issuer = &all->root,
                                                           .names = SAN,
                                                           .curve = curves[i / COUNT(versions)]});
        const struct certificate *const chain[] = {&leaf, NULL};
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", NULL);
        meeting.server.stream = tls_raw_server(meeting.lowers[1], versions[i % COUNT(versions)], chain, NULL);
        tls_meeting_shake(&meeting);
        tls_meeting_part(&meeting);
        certificate_fini(&leaf);
    }
    tls_client_free(client);
}

static void a_path_of_more_cas_than_one_of_them_allows_is_refused(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct tls_client *client = tls_party_client_plain(all);
    struct certificate above, below, leaf;

    certificate_make(&above, &(struct certificate_wish){.issuer = &all->root,
                                                        .common_name = "short CA",
                                                        .ca = true,
                                                        .basic = "critical,CA:TRUE,pathlen:0"});
    certificate_make(&below,
                     &(struct certificate_wish){.issuer = &above, .common_name = "sub CA", .ca = true});
    certificate_make(&leaf, &(struct certificate_wish){.issuer = &below, .names = SAN});
    visit(&meeting, client, &(struct exhibit){.chain = {&leaf, &below, &above, NULL}}, "localhost");
    tls_party_expect_failure(
        &meeting.client, ERR_CERT_UNTRUSTED,
        "the CA certificate \"short CA\" above that of localhost has more CA certificates below "
        "it than it allows");
    tls_meeting_part(&meeting);
    tls_client_free(client);
    certificate_fini(&leaf);
    certificate_fini(&below);
    certificate_fini(&above);
}

static void certificates_of_more_than_64_kib_are_refused_in_words(void **state)
{
    static char name[70 * 1024];
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct tls_client *client = tls_party_client_plain(all);
    struct certificate leaf;

    memset(name, 'a', sizeof name);
    certificate_make(&leaf, &(struct certificate_wish){.issuer = &all->root, .name = {name, sizeof name}});
    visit(&meeting, client, &(struct exhibit){.chain = {&leaf, NULL}}, "localhost");
    tls_party_expect_failure(&meeting.client, ERR_TLS_PROTOCOL, "(its certificates may have 64 KiB in all)");
    tls_meeting_part(&meeting);
    tls_client_free(client);
    certificate_fini(&leaf);
}

/* A self-signed certificate is believed where it is the one that --ca names. */
static void what_ca_names_is_believed(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    struct exhibit exhibit;
    char path[CERTIFICATES_PATH_BYTES];

    exhibit_make(&exhibit, all, &(struct row){.wish = {.names = SAN, .common_name = "me"}, .signer = ITSELF});
    certificates_put(certificates_path(all, "me.crt", path), exhibit.certificate.x509);
    struct tls_client *client = tls_party_client(&(struct tls_client_config){.ca = path});
    visit(&meeting, client, &exhibit, "localhost");
    tls_party_expect_done(&meeting.client);
    visit(&meeting, client, &exhibit, "elsewhere");
    tls_party_expect_failure(&meeting.client, ERR_CERT_NAME, "not for elsewhere");
    visit(&meeting, client, &(struct exhibit){.chain = {&all->server, NULL}}, "localhost");
    tls_party_expect_failure(&meeting.client, ERR_CERT_UNTRUSTED, "\"test root\", which is not trusted");
    tls_meeting_part(&meeting);
    tls_client_free(client);
    certificate_fini(&exhibit.certificate);
}

/* What stands in --ca is an anchor, whether it is a root, an intermediate or the server's own certificate, in
 * a file or in a directory, and nothing else is trusted for it. */
static void every_certificate_of_ca_is_an_anchor(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *const anchors[] = {&all->root, &all->intermediate, NULL};
    struct tls_meeting meeting = {0};
    struct certificate leaf;
    char paths[2][CERTIFICATES_PATH_BYTES], name[32];

    certificate_make(&leaf, &(struct certificate_wish){.issuer = &all->intermediate, .names = SAN});
    for (size_t i = 0; i < COUNT(anchors); i++) {
        X509 *anchor = anchors[i] != NULL ? anchors[i]->x509 : leaf.x509;
        snprintf(name, sizeof name, "anchor.%zu.crt", i);
        certificates_put(certificates_path(all, name, paths[0]), anchor);
        certificates_path(all, "anchors", paths[1]);
        snprintf(name, sizeof name, "anchors/%08lx.0", X509_subject_name_hash(anchor));
        char hashed[CERTIFICATES_PATH_BYTES];
        assert_int_equal(mkdir(paths[1], 0700), 0);
        certificates_put(certificates_path(all, name, hashed), anchor);
        for (size_t j = 0; j < COUNT(paths); j++) {
            struct tls_client *client = tls_party_client(&(struct tls_client_config){.ca = paths[j]});
            visit(&meeting, client, &(struct exhibit){.chain = {&leaf, &all->intermediate, NULL}},
                  "localhost");
            check(&meeting, i, ERR_OK, "");
            visit(&meeting, client, &(struct exhibit){.chain = {&all->server, NULL}}, "localhost");
            check(&meeting, i, i == 0 ? ERR_OK : ERR_CERT_UNTRUSTED, "");
            tls_meeting_part(&meeting);
            tls_client_free(client);
        }
        assert_int_equal(unlink(hashed), 0);
        assert_int_equal(rmdir(paths[1]), 0);
    }
    certificate_fini(&leaf);
}

/* Without --ca it is the system's trust store, which SSL_CERT_FILE may stand in for. */
static void the_systems_trust_store_is_trusted(void **state)
{
    const struct certificates *all = *state;
    struct tls_meeting meeting = {0};
    const struct exhibit exhibit = {.chain = {&all->server, NULL}};

    for (int found = 0; found < 2; found++) {
        setenv("SSL_CERT_FILE", found ? all->ca_file : "/nonexistent", 1);
        struct tls_client *client = tls_party_client(&(struct tls_client_config){0});
        visit(&meeting, client, &exhibit, "localhost");
        check(&meeting, 0, found ? ERR_OK : ERR_CERT_NO_TRUST_STORE,
              found ? ""
                    : "there is no trust store on this machine, neither /nonexistent nor /nonexistent (inst");
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
}

/* A trust store that knows other CAs is one; a directory of files without hashed links is none. */
static void a_trust_store_without_certificates_is_named_as_the_cause(void **state)
{
    const struct certificates *all = *state;
    const struct {
        const char *file, *directory;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {"unknown-ca.crt", "/nonexistent", ERR_CERT_UNTRUSTED, "\"test root\", which is not trusted"},
        {"/nonexistent", "empty", ERR_CERT_NO_TRUST_STORE, "there is no trust store on this machine"},
        {"/nonexistent", "plain", ERR_CERT_NO_TRUST_STORE, "has no hashed links (run openssl rehash /"},
        {"/nonexistent", "dangling", ERR_CERT_NO_TRUST_STORE, "there is no trust store on this machine"},
        {"/nonexistent", "hashed", ERR_CERT_UNTRUSTED, "\"test root\", which is not trusted"},
        {"/nonexistent", "/dev/null", ERR_CERT_NO_TRUST_STORE,
         "the trust store /dev/null cannot be read: Not a directory (allow it, or give --ca FILE)"},
    };
    struct tls_meeting meeting = {0};
    char file[CERTIFICATES_PATH_BYTES], directory[CERTIFICATES_PATH_BYTES], within[CERTIFICATES_PATH_BYTES];

    certificates_put(certificates_path(all, "unknown-ca.crt", file), all->unknown_ca.x509);
    for (size_t i = 0; i < COUNT(cases); i++) {
        const bool is_made = cases[i].directory[0] != '/';
        certificates_path(all, is_made ? cases[i].directory : "none", directory);
        assert_int_equal(is_made ? mkdir(directory, 0700) : 0, 0);
        char name[64];
        bool dangling = strcmp(cases[i].directory, "dangling") == 0;
        snprintf(name, sizeof name, "%s/%s", is_made ? cases[i].directory : "none",
                 strcmp(cases[i].directory, "hashed") == 0 || dangling ? "0123abcd.0" : "some.pem");
        certificates_path(all, name, within);
        if (dangling)
            assert_int_equal(symlink("/nonexistent", within), 0);
        else if (is_made && strcmp(cases[i].directory, "empty") != 0)
            certificates_put(within, all->unknown_ca.x509);
        setenv("SSL_CERT_FILE", cases[i].file[0] == '/' ? cases[i].file : file, 1);
        setenv("SSL_CERT_DIR", is_made ? directory : cases[i].directory, 1);
        struct tls_client *client = tls_party_client(&(struct tls_client_config){0});
        visit(&meeting, client, &(struct exhibit){.chain = {&all->server, NULL}}, "localhost");
        check(&meeting, i, cases[i].reason, cases[i].sentence);
        assert_true(meeting.client.facts.distrust[0] != '\0');
        tls_meeting_part(&meeting);
        tls_client_free(client);
        (void)unlink(within);
        (void)rmdir(directory);
    }
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
}

static void a_damaged_file_of_the_environment_is_refused(void **state)
{
    const struct certificates *all = *state;
    char path[CERTIFICATES_PATH_BYTES];
    struct err err = {0};
    const struct bytes text = BYTES_LITERAL("-----BEGIN CERTIFICATE-----\nQUJD\n");
    certificates_put_bytes(certificates_path(all, "half.crt", path), text);
    setenv("SSL_CERT_FILE", path, 1);
    assert_null(tls_client_new(&(struct tls_client_config){0}, &err));
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_int_equal(strncmp(err.text, "SSL_CERT_FILE /", 15), 0);
    assert_non_null(strstr(err.text, "half.crt is damaged: block 1 (CERTIFICATE) was cut off"));
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
}

static void a_directory_without_hashed_links_is_refused_with_the_command_that_makes_them(void **state)
{
    const struct certificates *all = *state;
    char sentence[400];
    struct err err = {0};
    assert_null(tls_client_new(&(struct tls_client_config){.ca = all->folder}, &err));
    snprintf(sentence, sizeof sentence,
             "--ca %s has no hashed links, by which certificates in a directory are found: run openssl "
             "rehash %s",
             all->folder, all->folder);
    assert_string_equal(err.text, sentence);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_refused_in_words_of_its_own),
        cmocka_unit_test(insecure_and_pins_disable_nothing_else),
        cmocka_unit_test(a_wrong_pin_is_answered_with_the_right_one),
        cmocka_unit_test(a_fault_of_the_ca_above_names_it),
        cmocka_unit_test(an_expired_ca_of_the_trust_store_is_named_as_that),
        cmocka_unit_test(a_trusted_ca_of_the_issuers_name_with_another_key_is_named),
        cmocka_unit_test(a_key_on_each_curve_that_is_offered_is_accepted_in_both_versions),
        cmocka_unit_test(a_path_of_more_cas_than_one_of_them_allows_is_refused),
        cmocka_unit_test(certificates_of_more_than_64_kib_are_refused_in_words),
        cmocka_unit_test(what_ca_names_is_believed),
        cmocka_unit_test(every_certificate_of_ca_is_an_anchor),
        cmocka_unit_test(the_systems_trust_store_is_trusted),
        cmocka_unit_test(a_trust_store_without_certificates_is_named_as_the_cause),
        cmocka_unit_test(a_damaged_file_of_the_environment_is_refused),
        cmocka_unit_test(a_directory_without_hashed_links_is_refused_with_the_command_that_makes_them),
    };
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
