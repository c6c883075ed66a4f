/* Which requests are accepted: not those of scripts in web pages that are open in a browser on this machine.
 */
#ifndef TCPGREET_HTTP_ACCESS_H
#define TCPGREET_HTTP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/core/target.h"

/* What a request shows of its sender. Header fields are NULL where there are none. */
struct http_access {
    const char *host;
    const char *origin;
    const char *site; /* Sec-Fetch-Site */
    const struct target
        *own; /* what this listens on, own_count of them at most, up to the first without service */
    size_t own_count;
    bool is_local; /* this listens on loopback addresses only */
    bool acts;     /* the request makes this machine connect somewhere */
};

/* Returns: NULL, or why it is refused, a sentence. Source: Fetch Metadata Request Headers; RFC 6454 section
 * 7; RFC 9110 section 7.2. */
const char *http_access_refusal(const struct http_access *access);

#endif
