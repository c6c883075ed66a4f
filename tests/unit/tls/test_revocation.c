#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CHAIN "the certificate of localhost "
#define UNKNOWN CHAIN "cannot be checked for revocation: "

enum { HOUR = 60 * 60, DAY = 24 * HOUR };

/* A revocation list. Shape: issuer NULL: none. */
struct list {
    const struct certificate *issuer;
    const struct certificate *revoked; /* NULL: it is empty */
    const struct certificate *signer;  /* NULL: the issuer */
    int64_t from_s, until_s;           /* seconds from now; 0: an hour ago, in a day */
    bool delta;
};

static struct certificate leaf;

static void set_time(X509_CRL *crl, int (*set)(X509_CRL *, const ASN1_TIME *), int64_t from_now_s)
{
    ASN1_TIME *time = X509_gmtime_adj(NULL, (long)from_now_s);
    assert_non_null(time);
    assert_int_equal(set(crl, time), 1);
    ASN1_TIME_free(time);
}

static X509_CRL *make(const struct list *list)
{
    X509_CRL *crl = X509_CRL_new();
    const struct certificate *signer = list->signer != NULL ? list->signer : list->issuer;
    assert_non_null(crl);
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(list->issuer->x509)), 1);
    set_time(crl, X509_CRL_set1_lastUpdate, list->from_s != 0 ? list->from_s : -HOUR);
    set_time(crl, X509_CRL_set1_nextUpdate, list->until_s != 0 ? list->until_s : DAY);
    if (list->revoked != NULL) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_TIME *when = ASN1_TIME_new();
        assert_int_equal(ASN1_TIME_set_string(when, "20260102030405Z"), 1);
        assert_int_equal(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(list->revoked->x509)), 1);
        assert_int_equal(X509_REVOKED_set_revocationDate(entry, when), 1);
        assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
        ASN1_TIME_free(when);
    }
    if (list->delta) {
        ASN1_INTEGER *base = ASN1_INTEGER_new();
        assert_int_equal(ASN1_INTEGER_set(base, 1), 1);
        assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_delta_crl, base, 1, 0), 1);
        ASN1_INTEGER_free(base);
    }
    assert_true(X509_CRL_sign(crl, signer->key, EVP_sha256()) > 0);
    return crl;
}

/* Writes lists into a file. */
static void put(const char *path, const struct list *lists, size_t count, bool pem)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < count && lists[i].issuer != NULL; i++) {
        X509_CRL *crl = make(&lists[i]);
        assert_int_equal(pem ? PEM_write_X509_CRL(file, crl) : i2d_X509_CRL_fp(file, crl), 1);
        X509_CRL_free(crl);
    }
    assert_int_equal(fclose(file), 0);
}

static void visit(struct tls_meeting *meeting, struct tls_client *client, const struct certificates *all)
{
    const struct certificate *const chain[] = {&leaf, &all->intermediate, NULL};
    tls_meeting_part(meeting);
    tls_meeting_wire(meeting);
    meeting->client.stream = tls_client_stream(client, meeting->lowers[0], "localhost", NULL);
    meeting->server.stream = tls_raw_server(meeting->lowers[1], 0, chain, NULL);
    TLS_PLAN(&meeting->client, TLS_SHAKE);
    TLS_PLAN(&meeting->server, TLS_SHAKE);
    tls_meeting_run(meeting);
}

static void a_revocation_list_is_applied_and_its_limits_are_named(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *root = &all->root, *between = &all->intermediate;
    char anchor[CERTIFICATES_PATH_BYTES], path[CERTIFICATES_PATH_BYTES];
    const struct {
        struct list lists[2];
        const char *ca;
        enum err_reason reason;
        const char *sentence;
    } rows[] = {
        {{{.issuer = between}}, all->ca_file, ERR_OK, ""},
        {{{.issuer = between}, {.issuer = root}}, all->ca_file, ERR_OK, ""},
        {{{.issuer = between}}, anchor, ERR_OK, ""},
        {{{.issuer = between}, {.issuer = root, .revoked = between}},
         anchor,
         ERR_CERT_REVOKED,
         "the CA certificate \"test intermediate\" above that of localhost was revoked"},
        {{{.issuer = between, .revoked = &leaf}},
         all->ca_file,
         ERR_CERT_REVOKED,
         CHAIN "was revoked by its issuer (2026-01-02 03:04 UTC); ask its operator to replace it"},
        {{{.issuer = between}, {.issuer = root, .revoked = between}},
         all->ca_file,
         ERR_CERT_REVOKED,
         "the CA certificate \"test intermediate\" above that of localhost was revoked by its issuer (2026-01-02"},
        {{{.issuer = root}},
         all->ca_file,
         ERR_CERT_UNTRUSTED,
         UNKNOWN "--crl has no list of its issuer \"test intermediate\""},
        {{{.issuer = between, .from_s = -2 * DAY, .until_s = -DAY}},
         all->ca_file,
         ERR_CERT_UNTRUSTED,
         UNKNOWN "the list of \"test intermediate\" in --crl expired ("},
        {{{.issuer = between, .from_s = DAY, .until_s = 2 * DAY}},
         all->ca_file,
         ERR_CERT_UNTRUSTED,
         UNKNOWN "the list of \"test intermediate\" in --crl is not valid before "},
        {{{.issuer = between, .signer = &all->unknown_ca}},
         all->ca_file,
         ERR_CERT_UNTRUSTED,
         UNKNOWN "the list of \"test intermediate\" in --crl cannot be used ("},
    };
    struct tls_meeting meeting = {0};

    certificates_put(certificates_path(all, "anchor.crt", anchor), between->x509);
    certificates_path(all, "lists", path);
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        const bool pem = i % 2 == 0;
        const struct list *lists = rows[i / 2].lists;
        put(path, lists, COUNT(rows[0].lists), pem);
        struct tls_client *client =
            tls_party_client(&(struct tls_client_config){.ca = rows[i / 2].ca, .policy.crl = path});
        visit(&meeting, client, all);
        if (meeting.client.err.reason != rows[i / 2].reason ||
            strstr(meeting.client.err.text, rows[i / 2].sentence) == NULL)
            fail_msg("row %zu: message \"%s\" (%s)", i / 2, meeting.client.err.text,
                     err_word(meeting.client.err.reason));
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
}

static void a_file_without_whole_lists_is_refused(void **state)
{
    const struct certificates *all = *state;
    const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "there is no revocation list in --crl "},
        {"nothing of the kind", "there is no revocation list in --crl "},
        {"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
         "there is no revocation list in --crl "},
        {"-----BEGIN X509 CRL-----\nQUJD\n-----END X509 CRL-----\n", "revocation list 1 in --crl "},
        {"-----BEGIN X509 CRL-----\nQUJD\n", "is damaged: block 1 (X509 CRL) was cut off"},
    };
    char path[CERTIFICATES_PATH_BYTES];
    certificates_path(all, "broken", path);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        certificates_put_bytes(path, (struct bytes){cases[i].text, strlen(cases[i].text)});
        assert_null(
            tls_client_new(&(struct tls_client_config){.ca = all->ca_file, .policy.crl = path}, &err));
        if (err.reason != ERR_SYSTEM_FILE || strstr(err.text, cases[i].sentence) == NULL)
            fail_msg("case %zu: message \"%s\" (%s)", i, err.text, err_word(err.reason));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void append(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Each would be passed over in silence, or a part of the lists for all of them. */
static void what_is_no_complete_list_is_refused(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *root = &all->root;
    const struct {
        struct list lists[2];
        const char *rest; /* after DER */
        const char *sentence;
    } rows[] = {
        {{{.issuer = root}}, "junk", "revocation list 2 in --crl "},
        {{{.issuer = root}, {.issuer = root, .revoked = &leaf}}, "0", "revocation list 3 in --crl "},
        {{{.issuer = root}},
         "\n-----BEGIN X509 CRL-----\nQUJD\n-----END X509 CRL-----\n",
         "revocation list 2 in --crl "},
        {{{.issuer = root, .delta = true}}, NULL, "revocation list 1 in --crl "},
        {{{.issuer = root, .revoked = &leaf}, {.issuer = root, .delta = true}},
         NULL,
         "is a delta CRL, which is not supported: use the complete list of its CA"},
    };
    char path[CERTIFICATES_PATH_BYTES];
    certificates_path(all, "partial", path);
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        const bool pem = i % 2 == 0;
        struct err err = {0};
        if (pem && rows[i / 2].rest != NULL)
            continue;
        put(path, rows[i / 2].lists, COUNT(rows[0].lists), pem);
        if (rows[i / 2].rest != NULL)
            append(path, rows[i / 2].rest);
        assert_null(
            tls_client_new(&(struct tls_client_config){.ca = all->ca_file, .policy.crl = path}, &err));
        if (err.reason != ERR_SYSTEM_FILE || strstr(err.text, rows[i / 2].sentence) == NULL)
            fail_msg("row %zu: message \"%s\" (%s)", i / 2, err.text, err_word(err.reason));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

/* With --crl, also the lists beside the CAs of a directory count, as with OpenSSL's own programs. */
static void a_list_in_a_directory_of_cas_is_applied(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *between = &all->intermediate;
    const struct {
        struct list list;
        enum err_reason reason;
        const char *sentence;
    } rows[] = {
        {{.issuer = between}, ERR_OK, ""},
        {{.issuer = between, .revoked = &leaf}, ERR_CERT_REVOKED, CHAIN "was revoked by its issuer"},
        {{.issuer = between, .delta = true}, ERR_SYSTEM_FILE, "is a delta CRL, which is not supported"},
        {{.issuer = between},
         ERR_SYSTEM_FILE,
         ".r1 (PEM or DER is expected)"}, /* there is an invalid one, too */
    };
    char file[CERTIFICATES_PATH_BYTES], name[3][32], path[3][CERTIFICATES_PATH_BYTES];
    put(certificates_path(all, "lists", file), &(struct list){.issuer = &all->root}, 1, true);
    snprintf(name[0], sizeof name[0], "%08lx.0", X509_subject_name_hash(all->root.x509));
    snprintf(name[1], sizeof name[1], "%08lx.r0", X509_subject_name_hash(between->x509));
    certificates_put(certificates_path(all, name[0], path[0]), all->root.x509);
    certificates_path(all, name[1], path[1]);
    snprintf(name[2], sizeof name[2], "%08lx.r1", X509_subject_name_hash(between->x509));
    certificates_path(all, name[2], path[2]);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tls_meeting meeting = {0};
        put(path[1], &rows[i].list, 1, true);
        if (i == COUNT(rows) - 1)
            certificates_put_bytes(path[2], BYTES_LITERAL("junk"));
        struct tls_client *client =
            tls_party_client(&(struct tls_client_config){.ca = all->folder, .policy.crl = file});
        for (int times = 0; times < 2; times++) {
            visit(&meeting, client, all);
            if (meeting.client.err.reason != rows[i].reason ||
                strstr(meeting.client.err.text, rows[i].sentence) == NULL)
                fail_msg("row %zu: message \"%s\" (%s)", i, meeting.client.err.text,
                         err_word(meeting.client.err.reason));
        }
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
}

/* A ticket from before the revocation does not help. */
static void a_server_refuses_a_client_that_was_revoked(void **state)
{
    const struct certificates *all = *state;
    char path[CERTIFICATES_PATH_BYTES];
    certificates_path(all, "lists", path);
    struct tls_server_config config = {.identities = {{all->server_file, NULL}},
                                       .client_ca = all->ca_file,
                                       .client_auth = TLS_CLIENT_AUTH_REQUIRE,
                                       .policy.crl = path};
    struct tls_client *client =
        tls_party_client(&(struct tls_client_config){.ca = all->ca_file, .identity.cert = all->client_file});
    struct tls_server *server = NULL;

    for (int revoked = 0; revoked < 2; revoked++) {
        struct tls_meeting meeting = {0};
        put(path, &(struct list){&all->root, revoked ? &all->client : NULL, NULL, 0, 0, false}, 1, true);
        struct tls_server *next = tls_party_server(&config);
        if (server != NULL)
            tls_server_inherit(next, server);
        tls_server_free(server);
        server = next;
        tls_meeting_connect(&meeting, client, server, "localhost");
        meeting.server.words = meeting.client.expected = BYTES_LITERAL("welcome");
        TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE);
        TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND);
        tls_meeting_run(&meeting);
        if (revoked) {
            tls_party_expect_failure(
                &meeting.server, ERR_CERT_REVOKED,
                "the client's certificate was revoked by its issuer (2026-01-02 03:04 UTC)");
            tls_party_expect_failure(&meeting.client, ERR_TLS_CLIENT_CERTIFICATE, "certificate_revoked");
        } else {
            tls_party_expect_done(&meeting.client);
        }
        tls_meeting_part(&meeting);
    }
    tls_server_free(server);
    tls_client_free(client);
}

/* A response as a server staples it. Returns: DER, to be freed by OpenSSL. */
static int staple(const struct list *list, int64_t until_s, unsigned char **der)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, leaf.x509, list->issuer->x509);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -2 * HOUR), *until = X509_gmtime_adj(NULL, (long)until_s);
    ASN1_TIME *revoked = ASN1_TIME_new();
    const struct certificate *signer = list->signer != NULL ? list->signer : list->issuer;
    assert_int_equal(ASN1_TIME_set_string(revoked, "20260102030405Z"), 1);
    assert_non_null(OCSP_basic_add1_status(
        basic, id, list->revoked != NULL ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
        OCSP_REVOKED_STATUS_NOSTATUS, list->revoked != NULL ? revoked : NULL, from, until));
    assert_int_equal(OCSP_basic_sign(basic, signer->x509, signer->key, EVP_sha256(), NULL, 0), 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int length = i2d_OCSP_RESPONSE(response, der);
    assert_true(length > 0);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return length;
}

struct stapled {
    unsigned char *der;
    int length;
};

static int on_status_request(SSL *ssl, void *argument)
{
    const struct stapled *stapled = argument;
    unsigned char *copy = OPENSSL_memdup(stapled->der, (size_t)stapled->length);
    assert_non_null(copy);
    return SSL_set_tlsext_status_ocsp_resp(ssl, copy, stapled->length) == 1 ? SSL_TLSEXT_ERR_OK
                                                                            : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int unsuccessful(unsigned char **der)
{
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, NULL);
    int length = i2d_OCSP_RESPONSE(response, der);
    assert_true(length > 0);
    OCSP_RESPONSE_free(response);
    return length;
}

static void a_stapled_response_counts_where_it_can_be_verified(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *between = &all->intermediate;
    const struct certificate *const chain[] = {&leaf, between, NULL};
    const struct {
        struct list list;
        int64_t until_s;
        enum err_reason reason;
        const char *ocsp;
    } rows[] = {
        {{.issuer = between}, DAY, ERR_OK, "good"},
        {{.issuer = between}, -HOUR, ERR_OK, "unusable"},
        {{.issuer = between, .signer = &all->unknown_ca}, DAY, ERR_OK, "unusable"},
        {{.issuer = between, .revoked = &leaf, .signer = &all->unknown_ca}, DAY, ERR_OK, "unusable"},
        {{.issuer = between, .revoked = &leaf}, DAY, ERR_CERT_REVOKED, ""},
        {{.issuer = NULL}, 0, ERR_OK, "unusable"},  /* "try later" */
        {{.issuer = NULL}, -1, ERR_OK, "unusable"}, /* no response at all, but bytes */
    };
    /* A server with OpenSSL 3.6 cannot staple what is no response. */
    size_t count = OpenSSL_version_num() < 0x30600000 ? COUNT(rows) : COUNT(rows) - 1;
    for (size_t i = 0; i < 2 * count; i++) {
        const int version = i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
        struct tls_meeting meeting = {0};
        struct stapled stapled = {NULL, 0};
        if (rows[i / 2].list.issuer != NULL)
            stapled.length = staple(&rows[i / 2].list, rows[i / 2].until_s, &stapled.der);
        else if (rows[i / 2].until_s == 0)
            stapled.length = unsuccessful(&stapled.der);
        else
            stapled = (struct stapled){OPENSSL_memdup("junk", 4), 4};
        SSL_CTX *context = tls_raw_context(TLS_server_method(), version, chain);
        SSL_CTX_set_tlsext_status_cb(context, on_status_request);
        SSL_CTX_set_tlsext_status_arg(context, &stapled);
        struct tls_client *client = tls_party_client(&(struct tls_client_config){.ca = all->ca_file});
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_client_stream(client, meeting.lowers[0], "localhost", NULL);
        meeting.server.stream = tls_raw_stream(meeting.lowers[1], context, NULL);
        TLS_PLAN(&meeting.client, TLS_SHAKE);
        TLS_PLAN(&meeting.server, TLS_SHAKE);
        tls_meeting_run(&meeting);
        if (meeting.client.err.reason != rows[i / 2].reason)
            fail_msg("row %zu: message \"%s\" (%s)", i / 2, meeting.client.err.text,
                     err_word(meeting.client.err.reason));
        if (rows[i / 2].reason == ERR_OK)
            assert_string_equal(meeting.client.facts.ocsp, rows[i / 2].ocsp);
        else
            assert_non_null(
                strstr(meeting.client.err.text, CHAIN "was revoked by its issuer (2026-01-02 03:04 UTC)"));
        tls_meeting_part(&meeting);
        tls_client_free(client);
        SSL_CTX_free(context);
        OPENSSL_free(stapled.der);
    }
}

static int set_up(void **state)
{
    certificates_set_up(state);
    const struct certificates *all = *state;
    certificate_make(&leaf,
                     &(struct certificate_wish){.issuer = &all->intermediate, .names = "DNS:localhost"});
    return 0;
}

static int tear_down(void **state)
{
    certificate_fini(&leaf);
    return certificates_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revocation_list_is_applied_and_its_limits_are_named),
        cmocka_unit_test(a_file_without_whole_lists_is_refused),
        cmocka_unit_test(what_is_no_complete_list_is_refused),
        cmocka_unit_test(a_list_in_a_directory_of_cas_is_applied),
        cmocka_unit_test(a_stapled_response_counts_where_it_can_be_verified),
        cmocka_unit_test(a_server_refuses_a_client_that_was_revoked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
