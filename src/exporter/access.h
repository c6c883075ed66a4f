/* Who may ask the exporter: not the scripts of web pages that are open in a browser on this machine. */
#ifndef TCPGREET_EXPORTER_ACCESS_H
#define TCPGREET_EXPORTER_ACCESS_H

#include <stdbool.h>

/* What a request shows of who asks. Header fields are NULL where there are none. */
struct access {
    const char *host;
    const char *origin;
    const char *site;     /* Sec-Fetch-Site */
    const char *own_host; /* as the command line has it; "": none */
    bool is_local;        /* the exporter listens on loopback addresses only */
    bool acts;            /* the request makes the exporter connect somewhere */
};

/* Returns: NULL, or why it is refused, a sentence. Source: Fetch Metadata Request Headers; RFC 6454 section
 * 7; RFC 9110 section 7.2. */
const char *access_refusal(const struct access *access);

#endif
