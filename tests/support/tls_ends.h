/* TLS on both of two connected streams, for the contract suite. */
#ifndef TCPGREET_TEST_TLS_ENDS_H
#define TCPGREET_TEST_TLS_ENDS_H

#include <stdbool.h>

#include "contract/stream_contract.h"
#include "support/stream_fault.h"

struct tls_ends_config {
    struct stream_faults faults; /* below TLS, of both ends */
    int version;                 /* the newest that the far end supports; 0: any */
    bool near_is_server;
};

/* Takes: lowers, near first. The near end is this program's, the far end OpenSSL as it comes where a version
 * is given. Aborts on failure. */
void tls_ends_make(struct stream_pair *pair, struct stream *lowers[2], const struct tls_ends_config *config);

/* After both streams. */
void tls_ends_fini(struct stream_pair *pair);

#endif
