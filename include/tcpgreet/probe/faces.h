/* A finished result of a probe, and its faces, for the rooms above. */
#ifndef TCPGREET_PROBE_FACES_H
#define TCPGREET_PROBE_FACES_H

#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"

struct probe_result;

/* What a list of results shows of one. Borrows: the result. All texts are printable. */
struct probe_brief {
    const char *target;     /* "host:6000" */
    enum err_reason reason; /* of the verdict: ERR_OK, one of an address, degraded, threshold, resolve-… */
    const char *sentence;   /* why; "" where it is OK */
    const char *verified;   /* the last phase that is proved: "resolve", "connect", "tls", ...; "" */
    int64_t started_s;      /* wall clock, seconds since 1970 */
    int64_t total_ns;
};

struct probe_brief probe_result_brief(const struct probe_result *result);

enum { PROBE_LINE_BYTES = 2048 };

/* Writes "OK, 2/2 addresses, 2.28 ms" or "degraded, 1/2 addresses OK, 10.0 s". Returns: text. */
const char *probe_result_line(const struct probe_result *result, char text[PROBE_LINE_BYTES]);

/* Each writes one whole result; the caller checks out for errors. JSON is one line,
 * docs/probe-v1.schema.json; the plot is a whole SVG document. */
void probe_report_json(const struct probe_result *result, FILE *out);
void probe_report_prometheus(const struct probe_result *result, FILE *out);
void probe_report_plot(const struct probe_result *result, FILE *out);

/* The waterfall of the plot alone, as an element of a page, and the style sheet that it needs there. Nothing
 * where no address is known. */
void probe_report_waterfall(const struct probe_result *result, FILE *out);
void probe_waterfall_style(FILE *out);

/* Shape: NULL is allowed. */
void probe_result_free(struct probe_result *result);

#endif
