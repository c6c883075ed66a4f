/* What a request for a probe asks for. */
#ifndef TCPGREET_EXPORTER_QUERY_H
#define TCPGREET_EXPORTER_QUERY_H

#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/exporter/exporter.h"
#include "tcpgreet/http/http.h"

enum { EXPORTER_TIMEOUT_MS = 120 * 1000 }; /* of a probe for which nothing else sets a limit */

struct exporter_query {
    struct probe_config probe;
    size_t length;
    char words[HTTP_URI_BYTES]; /* that probe borrows */
};

/* Fills *query, whose probe is the one of config as far as the parameters set nothing else. None of them can
 * name a file, execute a command or send bytes. Shape: text is the query of a request target shorter than
 * HTTP_URI_BYTES. Errors: usage: an unknown, repeated, or malformed parameter, no target. Returns: 0, -1. */
int exporter_query_parse(struct exporter_query *query, const struct exporter_config *config, const char *text,
                         struct err *err);

/* Shortens the probe to what X-Prometheus-Scrape-Timeout-Seconds allows, less a margin for the answer's way.
 * Shape: seconds NULL: there is none. Errors: usage: it is not a number of seconds above 0. Returns: 0, -1.
 */
int exporter_query_limit(struct exporter_query *query, const char *seconds, struct err *err);

#endif
