/* CAs and revocation lists that a store reads when a verification needs them. A file is opened as file_read
 * does, so that none can make a handshake wait for another process, and what is there but cannot be used is
 * reported. */
#ifndef TCPGREET_TLS_LOOKUP_H
#define TCPGREET_TLS_LOOKUP_H

#include <openssl/x509_vfy.h>
#include <stdbool.h>

#include "tcpgreet/base/err.h"

/* Where to look, in this order. What names each: "SSL_CERT_DIR". */
struct tls_lookup {
    const char *directories_are;
    const char *directories; /* of hashed links, separated by colons; "" for none */
    const char *file_is;
    const char *file; /* PEM, for the CAs that no directory has; NULL; it need not exist */
};

/* Borrows: the strings of where, as long as store is valid. Shape: once for each store. Returns: 0, -1.
 * Errors: internal: no memory. Source: openssl-rehash(1). */
int tls_lookup_add(X509_STORE *store, const struct tls_lookup *where, struct err *err);

/* Called before a verification. */
void tls_lookup_begin(void);

/* What kept a file from being used that this thread has needed since tls_lookup_begin. Returns: NULL for
 * nothing. */
const struct err *tls_lookup_fault(void);

/* Returns: whether that is a revocation list. One that is older does not replace it. */
bool tls_lookup_lacks_list(void);

#endif
