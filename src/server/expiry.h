/* When the certificates that a server sends expire. */
#ifndef TCPGREET_SERVER_EXPIRY_H
#define TCPGREET_SERVER_EXPIRY_H

#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/tls/tls.h"

enum { EXPIRY_MAX = 64 };

/* Starts as {0}. */
struct expiry {
    struct expiry_certificate {
        size_t identity; /* of --cert, in the order given */
        size_t depth;    /* 0: the server's own */
        struct tls_chain_facts facts;
    } list[EXPIRY_MAX];
    size_t count; /* those beyond EXPIRY_MAX are left out */
};

/* Reads them again. Shape: tls NULL: there are none. */
void expiry_read(struct expiry *expiry, const struct tls_server *tls);

#endif
