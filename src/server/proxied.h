/* What is kept of a connection's PROXY header. */
#ifndef TCPGREET_SERVER_PROXIED_H
#define TCPGREET_SERVER_PROXIED_H

#include <stddef.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/proxy_header.h"

struct proxied {
    struct endpoint sender;
    size_t length;
    char raw[]; /* the header */
};

/* Shape: raw is a whole header. Returns: for free(3); NULL where memory is exhausted. */
struct proxied *proxied_new(const struct endpoint *sender, struct bytes raw);

/* Returns: {0} for NULL; its views are of what is kept. */
struct proxy_header proxied_header(const struct proxied *proxied);

#endif
