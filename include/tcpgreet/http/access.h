/* Who may ask: not the scripts of web pages that are open in a browser on this machine. */
#ifndef TCPGREET_HTTP_ACCESS_H
#define TCPGREET_HTTP_ACCESS_H

#include <stdbool.h>

/* What a request shows of who asks. Header fields are NULL where there are none. */
struct http_access {
    const char *host;
    const char *origin;
    const char *site;     /* Sec-Fetch-Site */
    const char *own_host; /* as the command line has it; "": none */
    bool is_local;        /* this listens on loopback addresses only */
    bool acts;            /* the request makes this machine connect somewhere */
};

/* Returns: NULL, or why it is refused, a sentence. Source: Fetch Metadata Request Headers; RFC 6454 section
 * 7; RFC 9110 section 7.2. */
const char *http_access_refusal(const struct http_access *access);

#endif
