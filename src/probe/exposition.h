/* The metrics of many results as one text for Prometheus, in which the samples of a metric stand together. */
#ifndef TCPGREET_PROBE_EXPOSITION_H
#define TCPGREET_PROBE_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "result.h"
#include "tcpgreet/base/err.h"

enum { PROBE_METRICS_MAX = 64 };

/* One metric: its head, and its samples so far. */
struct probe_part {
    const char *name; /* a literal of the one place that writes it */
    FILE *out;
    char *text;
    size_t length;
};

struct probe_exposition {
    FILE *whole; /* of a single result, whose metrics stand one behind the other; else NULL */
    size_t line; /* a label of the result that is added; 0: none */
    struct probe_part parts[PROBE_METRICS_MAX];
    size_t count;
    FILE *lost; /* what there is no memory for */
    bool is_lost;
};

/* Returns: 0, -1. Errors: system-…. */
int probe_exposition_open(struct probe_exposition *exposition, struct err *err);

/* Shape: line distinguishes results of equal targets; 0: not needed. */
void probe_exposition_add(struct probe_exposition *exposition, const struct probe_result *result,
                          size_t line);

/* Writes all of it to out; NULL: it is thrown away. Shape: {0} is allowed. Errors: internal: no memory.
 * Returns: 0, -1. */
int probe_exposition_close(struct probe_exposition *exposition, FILE *out, struct err *err);

#endif
