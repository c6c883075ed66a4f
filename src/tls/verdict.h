/* What verification found against the certificate of a peer, and its sentence. */
#ifndef TCPGREET_TLS_VERDICT_H
#define TCPGREET_TLS_VERDICT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "store.h"
#include "tcpgreet/base/err.h"

/* The first verdict of a failed verification, kept for the sentence. On the client's side also what was
 * verified, until the handshake is done: OpenSSL may not report it for one that failed. Starts as {0}, with
 * whose. */
struct tls_verdict {
    const char *whose; /* the host that is expected; NULL on the server's side */
    int code;          /* X509_V_ERR_… */
    int depth;
    X509 *certificate;          /* ours to free; NULL */
    X509 *leaf;                 /* likewise */
    STACK_OF(X509) * chain;     /* likewise: as sent, the leaf first */
    int64_t since;              /* the date of what is at fault in a revocation list; seconds since 1970 */
    enum tls_store_fault store; /* the system's trust store, where it was needed and is none */
    const char *directory;      /* of the trust store at fault; borrowed from the environment */
    int store_native;           /* errno of TLS_STORE_UNREADABLE */
    struct err *unread;         /* an err_copy: why a file that may be what is missing was not read; NULL */
    bool leaf_alone;            /* the peer sent nothing but its own certificate */
    bool is_sent;               /* the peer sent the certificate at fault */
    bool is_other_key;          /* a CA of its issuer's name is trusted, and did not sign it */
};

/* The verdict that a connection keeps, by SSL_set_app_data. Returns: NULL where there is none. */
struct tls_verdict *tls_verdict_of(const SSL *ssl);

/* Turns a verdict into reason and sentence. Returns: -1. */
int tls_verdict_fail(const struct tls_verdict *verdict, struct err *err);

/* The same as a short text, of a code that a session may remember: "expired", "a CA above it: expired".
 * Returns: text. */
const char *tls_verdict_brief(int code, int depth, char *text, size_t room);

/* Forgets all but whose. */
void tls_verdict_fini(struct tls_verdict *verdict);

#endif
