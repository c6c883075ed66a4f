/* The answer to the name "whoami": a connection as the server sees it. */
#ifndef TCPGREET_SERVER_WHOAMI_H
#define TCPGREET_SERVER_WHOAMI_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/core/whoami.h"
#include "tcpgreet/tls/stream_tls.h"

struct whoami_facts {
    const struct endpoint *peer;        /* of the socket */
    const struct endpoint *local;       /* likewise; AF_UNSPEC: not known */
    const struct proxy_header *header;  /* NULL: there was none */
    const struct stream_tls_facts *tls; /* {0}: plain */
    uint64_t number;
};

/* Appends what is known. Returns: false, with nothing appended, where it does not fit. */
bool whoami_answer(const struct whoami_facts *facts, struct sink *out);

/* Returns: 1, 2, ... of this process. Thread: any. */
uint64_t whoami_next_number(void);

#endif
