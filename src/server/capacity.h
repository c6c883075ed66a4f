/* How many connections a server has room for: descriptors, memory, and what its operator asked for. */
#ifndef TCPGREET_SERVER_CAPACITY_H
#define TCPGREET_SERVER_CAPACITY_H

#include <stddef.h>

#include "limits.h"
#include "tcpgreet/server/serve.h"

/* What a server needs beside its connections, and each of them. */
struct capacity {
    size_t workers;
    size_t listeners;   /* of each worker */
    size_t reserved;    /* descriptors for other purposes */
    size_t descriptors; /* of each connection */
};

/* Raises the limit of descriptors. Logs the bound, and where an option asks for more than there is. Returns:
 * the limits, without a callback. */
struct limits_config capacity_limits(const struct server_config *config, const struct capacity *capacity);

#endif
