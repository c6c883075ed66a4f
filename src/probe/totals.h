/* What a run over many targets counts, and its summary in every format. */
#ifndef TCPGREET_PROBE_TOTALS_H
#define TCPGREET_PROBE_TOTALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report.h"
#include "tcpgreet/core/histogram.h"
#include "tcpgreet/format/text.h"

enum { PROBE_TOTALS_TARGET_BYTES = 300 };

/* Starts as {0}, with targets. Invariants: done is the sum of reasons; total.total == reasons[ERR_OK]. */
struct probe_totals {
    size_t targets; /* in the list */
    size_t done;
    size_t reasons[ERR_REASON_COUNT];
    struct histogram total; /* of those that are OK */
    int64_t slowest_ns;
    char slowest[PROBE_TOTALS_TARGET_BYTES]; /* the one that is OK and took longest */
    size_t first_failed;                     /* its place in the list, from 1; 0: none */
    struct err first;                        /* its verdict, with the target */
    int64_t elapsed_ns;                      /* of the whole run */
};

/* Counts a result. Shape: number: its place in the list, from 1. */
void probe_totals_add(struct probe_totals *totals, const struct probe_result *result, size_t number);

size_t probe_totals_failed(const struct probe_totals *totals);

/* Writes "2/5 targets failed: connect-refused 1, cert-expired 1; 3 not tried", the most frequent reasons
 * first, or "5/5 targets OK". */
void probe_totals_sentence(const struct probe_totals *totals, struct text_line *line);

/* The summary for a person, or as one line of JSON, docs/probe-targets-v1.schema.json. */
void probe_totals_text(const struct probe_totals *totals, const struct probe_style *style, FILE *out);
void probe_totals_json(const struct probe_totals *totals, FILE *out);

/* The plugin's first line. Shape: code: of the worst target. Returns: the plugin's code. */
int probe_totals_nagios(const struct probe_totals *totals, int code, FILE *out);

/* One result as a line: "connect-refused   0.21 ms  127.0.0.1:1  Connection refused". Shape: is_wrapped: the
 * sentence goes on below itself where the line is longer than the page. */
void probe_totals_line(const struct probe_result *result, const struct probe_style *style, bool is_wrapped,
                       FILE *out);

#endif
