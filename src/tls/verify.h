/* The verification of the certificate of a peer. */
#ifndef TCPGREET_TLS_VERIFY_H
#define TCPGREET_TLS_VERIFY_H

#include <openssl/x509_vfy.h>
#include <stdbool.h>

#include "tcpgreet/tls/tls.h"

/* How a peer's certificate is verified. */
struct tls_trust {
    struct tls_pins pins;
    int certificates_max;  /* that the peer may send; 0: no limit */
    bool accept_all;       /* --insecure: pins are still checked */
    bool system_store;     /* no --ca was given */
    bool pins_stand_alone; /* a pin replaces the verification of chain and name */
};

/* For SSL_CTX_set_cert_verify_callback; argument: struct tls_trust. Leaves its verdict with the stream. */
int tls_verify(X509_STORE_CTX *store, void *argument);

#endif
