#include "context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "tcpgreet/base/buf.h"

/* What is offered and why: docs/tls.md. */
#define SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_12                                                                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"               \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"
#define HYBRID_GROUPS "X25519MLKEM768:" GROUPS
#define CLIENT_GROUPS ":P-521" /* or a server's key on it would be refused in TLS 1.2 */
#define SIGNATURES                                                                                           \
    "ecdsa_secp256r1_sha256:ed25519:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed448:"                    \
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"                                           \
    "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"                                              \
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512"

/* OpenSSL 3.2 and later, where it is built with it. Certificates are small, and nothing that an unknown peer
 * has compressed is decompressed. */
#ifdef SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
#define NO_CERTIFICATE_COMPRESSION                                                                           \
    (SSL_OP_NO_TX_CERTIFICATE_COMPRESSION | SSL_OP_NO_RX_CERTIFICATE_COMPRESSION)
#else
#define NO_CERTIFICATE_COMPRESSION 0
#endif

enum { SECURITY_LEVEL = 2 /* 112 bits: RSA from 2048, no SHA-1 */ };

int tls_fail(struct err *err, enum err_reason reason, const char *doing)
{
    unsigned long code = ERR_peek_error();
    const char *why = code != 0 ? ERR_reason_error_string(code) : NULL;
    if (tls_memory_is_short() || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        err_set(err, ERR_INTERNAL, ENOMEM, "%s failed: not enough memory", doing);
    else
        err_set(err, reason, (int)ERR_GET_REASON(code), "%s failed: %s", doing,
                why != NULL ? why : "no reason given");
    ERR_clear_error();
    return -1;
}

int tls_context_check(int result, struct err *err)
{
    if (!tls_memory_is_short())
        return result;
    err_clear(err);
    return tls_fail(err, ERR_INTERNAL, "making a TLS context");
}

bool tls_once(struct tls_once *once, bool (*make)(void))
{
    pthread_mutex_lock(&once->lock);
    once->made = once->made || make();
    bool made = once->made;
    pthread_mutex_unlock(&once->lock);
    return made;
}

SSL *tls_connection_new(SSL_CTX *context, void (*set_role)(SSL *), struct err *err)
{
    ERR_clear_error();
    tls_memory_begin();
    SSL *ssl = SSL_new(context);
    if (ssl != NULL)
        set_role(ssl);
    /* From OpenSSL 3.2 on setting the role can run out of memory. It returns nothing, and SSL_set_bio crashes
     * then. */
    if (ssl != NULL && ERR_peek_error() == 0 && !tls_memory_is_short())
        return ssl;
    tls_fail(err, ERR_INTERNAL, "making a TLS connection");
    SSL_free(ssl);
    return NULL;
}

int tls_available(struct err *err)
{
    (void)err;
    return 0;
}

void tls_version_put(FILE *out)
{
    fprintf(out, "%s (built with %s)\n", OpenSSL_version(OPENSSL_VERSION), OPENSSL_VERSION_TEXT);
}

static int set_groups(SSL_CTX *context, bool is_client)
{
    int set = SSL_CTX_set1_groups_list(context, is_client ? HYBRID_GROUPS CLIENT_GROUPS : HYBRID_GROUPS) == 1;
    ERR_clear_error(); /* libraries before 3.5 have no ML-KEM */
    return set || SSL_CTX_set1_groups_list(context, is_client ? GROUPS CLIENT_GROUPS : GROUPS) == 1;
}

SSL_CTX *tls_context_new(const SSL_METHOD *method, const struct tls_policy *policy, struct err *err)
{
    /* The environment's OPENSSL_CONF must not loosen what is written here. What OpenSSL holds at the exit is
     * left to the kernel, which is quicker. */
    int ready = OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) == 1;
    SSL_CTX *context = ready ? SSL_CTX_new(method) : NULL;

    if (context == NULL) {
        tls_fail(err, ERR_INTERNAL, "making a TLS context");
        return NULL;
    }
    SSL_CTX_set_security_level(context, SECURITY_LEVEL);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | NO_CERTIFICATE_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_max_cert_list(context, TLS_CERTIFICATES_BYTES);
    if (SSL_CTX_set_min_proto_version(context, policy->tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(context, SUITES_13) == 1 &&
        SSL_CTX_set_cipher_list(context, SUITES_12) == 1 &&
        SSL_CTX_set1_sigalgs_list(context, SIGNATURES) == 1 &&
        set_groups(context, method == TLS_client_method()))
        return context;
    tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    SSL_CTX_free(context);
    return NULL;
}

const char *tls_getenv(const char *name)
{
#ifdef TCPGREET_HAVE_SECURE_GETENV
    return secure_getenv(name);
#else
    return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
#endif
}

size_t tls_alpn_wire(const char *list, unsigned char *wire, size_t room, struct err *err)
{
    size_t length = 0;
    for (;; list++) {
        size_t name = strcspn(list, ",");
        if (name == 0 || name > 255 || length + 1 + name > room) {
            err_set(err, ERR_USAGE, 0,
                    "--alpn takes protocol names of 1 to 255 bytes, with commas between them");
            return 0;
        }
        wire[length++] = (unsigned char)name;
        memcpy(wire + length, list, name);
        length += name;
        list += name;
        if (*list == '\0')
            return length;
    }
}
