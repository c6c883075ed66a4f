/* The verification of the certificate of a peer. */
#ifndef TCPGREET_TLS_VERIFY_H
#define TCPGREET_TLS_VERIFY_H

#include <openssl/x509_vfy.h>
#include <stdbool.h>

#include "tcpgreet/tls/tls.h"

/* What to believe of a peer's certificate. */
struct tls_trust {
    struct tls_pins pins;
    bool believe_all;      /* --insecure: pins count still */
    bool system_store;     /* no --ca was given */
    bool pins_stand_alone; /* a pin stands in for a chain of trust and a name */
};

/* For SSL_CTX_set_cert_verify_callback; argument: struct tls_trust. Leaves its verdict with the stream. */
int tls_verify(X509_STORE_CTX *store, void *argument);

#endif
