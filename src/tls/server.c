#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "certificate.h"
#include "context.h"
#include "identity.h"
#include "memory.h"
#include "store.h"
#include "stream_tls_new.h"
#include "tickets.h"
#include "verify.h"

enum { ALPN_BYTES = 512, TICKET_SECONDS = 24 * 60 * 60 };

/* Before any signature is checked: a client must not make this side work. */
enum { CLIENT_CERTIFICATES_BYTES = 16 * 1024, CLIENT_CERTIFICATES_MAX = 10 };

/* What the context's callbacks and its streams need. Valid as long as the context, which running streams may
 * keep after the server. */
struct identities {
    struct tls_identity list[TLS_FILES_MAX];
    size_t count;
    struct tls_trust trust;
    unsigned char policy[SSL_MAX_SID_CTX_LENGTH]; /* a digest of what a client must prove */
    struct tls_retained retained;
    unsigned char alpn[ALPN_BYTES];
    unsigned alpn_length;
};

struct tls_server {
    SSL_CTX *context;
    struct identities *identities;
};

static int identities_index;

static void free_identities(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                            void *argument)
{
    struct identities *identities = pointer;
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    if (identities == NULL)
        return;
    for (size_t i = 0; i < identities->count; i++)
        tls_identity_fini(&identities->list[i]);
    free(identities);
}

static bool make_index(void)
{
    identities_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_identities);
    return identities_index >= 0;
}

static int load(struct identities *identities, const struct tls_server_config *config, struct err *err)
{
    if (config->identities[0].cert == NULL) {
        identities->count = 1;
        return tls_identity_make(&identities->list[0], err);
    }
    for (size_t i = 0; i < TLS_FILES_MAX && config->identities[i].cert != NULL; i++) {
        if (tls_identity_load(&identities->list[i], &config->identities[i], &config->policy, err) < 0)
            return -1;
        identities->count = i + 1;
    }
    return 0;
}

/* Deep copies: a key that threads share makes them contend for its reference count. */
static int copy(struct identities *identities, const struct identities *from, struct err *err)
{
    for (size_t i = 0; i < from->count; i++) {
        if (tls_identity_copy(&identities->list[i], &from->list[i], err) < 0)
            return -1;
        identities->count = i + 1;
    }
    return 0;
}

static int use(SSL *ssl, const struct tls_identity *identity)
{
    return SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1);
}

/* Chooses by SNI among several: all that are for the name (one a key type counts), else those of the first's
 * name. */
static int on_certificate(SSL *ssl, void *argument)
{
    const struct identities *identities = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    bool found = false;

    if (name == NULL)
        return 1; /* the defaults */
    for (size_t i = 0; i < identities->count; i++) {
        if (!tls_certificate_is_for(identities->list[i].certificate, name))
            continue;
        if (!found)
            SSL_certs_clear(ssl);
        found = true;
        if (use(ssl, &identities->list[i]) != 1)
            return 0;
    }
    return !tls_memory_is_short(); /* a name may not have been compared */
}

/* Without SNI: the first certificate of each key type. */
static int use_defaults(SSL_CTX *context, const struct identities *identities, struct err *err)
{
    for (size_t i = 0; i < identities->count; i++) {
        const struct tls_identity *identity = &identities->list[i];
        bool type_is_taken = false;
        for (size_t j = 0; j < i; j++)
            type_is_taken = type_is_taken || EVP_PKEY_get_base_id(identities->list[j].key) ==
                                                 EVP_PKEY_get_base_id(identity->key);
        if (!type_is_taken &&
            SSL_CTX_use_cert_and_key(context, identity->certificate, identity->key, identity->chain, 1) != 1)
            return tls_fail(err, ERR_SYSTEM_FILE, "using a certificate (is its key too short?)");
    }
    return 0;
}

/* What a client must prove, as bytes: the CAs and revocation lists. */
static int digest_trust(EVP_MD_CTX *sum, SSL_CTX *context, const struct tls_server_config *config)
{
    STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    unsigned char print[EVP_MAX_MD_SIZE];
    unsigned length;

    if (EVP_DigestUpdate(sum, &config->client_auth, sizeof config->client_auth) != 1)
        return -1;
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        const X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));
        if (certificate != NULL && (X509_digest(certificate, EVP_sha256(), print, &length) != 1 ||
                                    EVP_DigestUpdate(sum, print, length) != 1))
            return -1;
        const X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(trusted, i));
        if (crl != NULL && (X509_CRL_digest(crl, EVP_sha256(), print, &length) != 1 ||
                            EVP_DigestUpdate(sum, print, length) != 1))
            return -1;
    }
    return 0;
}

static int digest_policy(struct tls_server *server, const struct tls_server_config *config, struct err *err)
{
    struct identities *identities = server->identities;
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    int done = sum != NULL && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1 &&
               digest_trust(sum, server->context, config) == 0 && EVP_DigestFinal_ex(sum, digest, NULL) == 1;
    EVP_MD_CTX_free(sum);
    if (!done)
        return tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    memcpy(identities->policy, digest, sizeof identities->policy);
    return 0;
}

/* Tickets must not get around a policy: sessions count only where it is the same, so a CA that is taken away
 * takes the sessions of its clients along. */
static int separate_sessions(struct tls_server *server, const struct tls_server_config *config,
                             const struct tls_server *from, struct err *err)
{
    struct identities *identities = server->identities;
    if (from != NULL)
        memcpy(identities->policy, from->identities->policy, sizeof identities->policy);
    else if (digest_policy(server, config, err) < 0)
        return -1;
    return SSL_CTX_set_session_id_context(server->context, identities->policy, sizeof identities->policy) == 1
               ? 0
               : tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
}

/* A ticket holds the client's certificate; where that has expired since, the handshake is a full one. */
static SSL_TICKET_RETURN on_opened_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                          size_t name_length, SSL_TICKET_STATUS status, void *argument)
{
    X509 *client = session != NULL ? SSL_SESSION_get0_peer(session) : NULL;
    bool expired = client != NULL && X509_cmp_current_time(X509_get0_notAfter(client)) < 0;
    (void)ssl;
    (void)name;
    (void)name_length;
    (void)argument;
    if (expired || (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static int load_client_cas(struct tls_server *server, const struct tls_server_config *config, struct err *err)
{
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    if (names == NULL || tls_store_read(server->context, "--client-ca", config->client_ca, names,
                                        config->policy.crl, err) < 0) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_fail(err, ERR_INTERNAL, "reading the client CAs");
    }
    SSL_CTX_set_client_CA_list(server->context, names);
    return config->policy.crl != NULL ? tls_store_add_crls(server->context, "--crl", config->policy.crl, err)
                                      : 0;
}

/* One reading is for all copies: the files may change meanwhile. */
static int copy_client_cas(struct tls_server *server, const struct tls_server *from, struct err *err)
{
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(SSL_CTX_get_client_CA_list(from->context));
    if (names == NULL)
        return tls_fail(err, ERR_INTERNAL, "copying the client CAs");
    SSL_CTX_set_client_CA_list(server->context, names);
    return tls_store_copy(server->context, from->context, err);
}

static int set_client_auth(struct tls_server *server, const struct tls_server_config *config,
                           const struct tls_server *from, struct err *err)
{
    int mode = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;

    if (config->client_auth == TLS_CLIENT_AUTH_NONE)
        return 0;
    if ((from != NULL ? copy_client_cas(server, from, err) : load_client_cas(server, config, err)) < 0)
        return -1;
    if (config->client_auth == TLS_CLIENT_AUTH_REQUIRE)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(server->context, mode, NULL);
    SSL_CTX_set_max_cert_list(server->context, CLIENT_CERTIFICATES_BYTES);
    server->identities->trust.certificates_max = CLIENT_CERTIFICATES_MAX;
    SSL_CTX_set_cert_verify_callback(server->context, tls_verify, &server->identities->trust);
    SSL_CTX_set_session_ticket_cb(server->context, NULL, on_opened_ticket, NULL);
    return 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
                   unsigned in_length, void *argument)
{
    const struct identities *identities = argument;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_length, identities->alpn, identities->alpn_length, in,
                              in_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 section 3.2: no_application_protocol */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int set_alpn(struct tls_server *server, const char *list, struct err *err)
{
    if (list == NULL)
        return 0;
    server->identities->alpn_length =
        (unsigned)tls_alpn_wire(list, server->identities->alpn, sizeof server->identities->alpn, err);
    if (server->identities->alpn_length == 0)
        return -1;
    SSL_CTX_set_alpn_select_cb(server->context, on_alpn, server->identities);
    return 0;
}

/* from: NULL, or what to copy instead of reading files. */
static int configure(struct tls_server *server, const struct tls_server_config *config,
                     const struct tls_server *from, struct err *err)
{
    SSL_CTX *context = tls_context_new(TLS_server_method(), &config->policy, err);
    if (context == NULL)
        return -1;
    server->context = context;
    if (SSL_CTX_set_ex_data(context, identities_index, server->identities) != 1) {
        free_identities(NULL, server->identities, NULL, 0, 0, NULL);
        server->identities = NULL;
        return tls_fail(err, ERR_INTERNAL, "making a TLS context");
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets only: nothing is kept here */
    SSL_CTX_set_timeout(context, TICKET_SECONDS);
    if (SSL_CTX_set_num_tickets(context, 1) != 1)
        return tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    int loaded = from != NULL ? copy(server->identities, from->identities, err)
                              : load(server->identities, config, err);
    if (loaded < 0 || use_defaults(context, server->identities, err) < 0 ||
        tls_tickets_install(context, from != NULL ? NULL : config, err) < 0 ||
        set_client_auth(server, config, from, err) < 0 || separate_sessions(server, config, from, err) < 0 ||
        set_alpn(server, config->policy.alpn, err) < 0)
        return -1;
    if (from != NULL)
        tls_tickets_copy(context, from->context);
    if (server->identities->count > 1)
        SSL_CTX_set_cert_cb(context, on_certificate, server->identities);
    return 0;
}

static struct tls_server *make(const struct tls_server_config *config, const struct tls_server *from,
                               struct err *err)
{
    static struct tls_once once = TLS_ONCE_INIT;
    struct tls_server *server = calloc(1, sizeof *server);
    struct identities *identities = calloc(1, sizeof *identities);

    if (server == NULL || identities == NULL || !tls_once(&once, make_index)) {
        free(server);
        free(identities);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for TLS");
        return NULL;
    }
    server->identities = identities;
    tls_memory_begin();
    if (tls_context_check(configure(server, config, from, err), err) == 0)
        return server;
    if (server->context == NULL)
        free(identities);
    tls_server_free(server);
    return NULL;
}

struct tls_server *tls_server_new(const struct tls_server_config *config, struct err *err)
{
    return make(config, NULL, err);
}

struct tls_server *tls_server_copy(const struct tls_server *server, const struct tls_server_config *config,
                                   struct err *err)
{
    return make(config, server, err);
}

void tls_server_inherit(struct tls_server *server, struct tls_server *previous)
{
    tls_tickets_inherit(server->context, previous->context);
}

struct stream *tls_server_stream(struct tls_server *server, struct stream *lower, struct err *err)
{
    return stream_tls_new_server(lower, server->context, &server->identities->retained, err);
}

void tls_server_free(struct tls_server *server)
{
    if (server == NULL)
        return;
    SSL_CTX_free(server->context); /* and with the last stream, what it holds */
    free(server);
}

bool tls_server_identity(const struct tls_server *server, size_t index, struct tls_identity_facts *facts)
{
    struct tls_pin pin;
    if (index >= server->identities->count)
        return false;
    X509 *certificate = server->identities->list[index].certificate;
    *facts = (struct tls_identity_facts){.not_after = tls_seconds(X509_get0_notAfter(certificate))};
    tls_certificate_names(certificate, facts->names, sizeof facts->names);
    X509 *first = tls_first_to_expire_of_sent(certificate, server->identities->list[index].chain);
    if (first != certificate) {
        facts->expires_first_at = tls_seconds(X509_get0_notAfter(first));
        tls_certificate_title(first, facts->expires_first, sizeof facts->expires_first);
    }
    if (tls_certificate_pin(certificate, &pin) == 0)
        tls_pin_format(&pin, facts->pin);
    return true;
}

bool tls_server_chain(const struct tls_server *server, size_t index, size_t depth,
                      struct tls_chain_facts *facts)
{
    if (index >= server->identities->count)
        return false;
    const struct tls_identity *identity = &server->identities->list[index];
    if (depth > 0 && (int)depth > sk_X509_num(identity->chain))
        return false;
    X509 *certificate = depth == 0 ? identity->certificate : sk_X509_value(identity->chain, (int)depth - 1);
    facts->not_after = tls_seconds(X509_get0_notAfter(certificate));
    tls_certificate_title(certificate, facts->subject, sizeof facts->subject);
    return true;
}
