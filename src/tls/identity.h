/* Our own certificates and their keys. */
#ifndef TCPGREET_TLS_IDENTITY_H
#define TCPGREET_TLS_IDENTITY_H

#include <openssl/x509.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/tls/tls.h"

/* A certificate of ours. Starts as {0}. */
struct tls_identity {
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

int tls_identity_load(struct tls_identity *identity, const struct tls_files *files,
                      const struct tls_policy *policy, struct err *err);
int tls_identity_make(struct tls_identity *identity, struct err *err);
int tls_identity_copy(struct tls_identity *identity, const struct tls_identity *from, struct err *err);
void tls_identity_fini(struct tls_identity *identity);

#endif
