/* Many rounds of a probe: a line for each address and round, and at the end a summary. */
#ifndef TCPGREET_PROBE_SUMMARY_H
#define TCPGREET_PROBE_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "report.h"
#include "result.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/histogram.h"

/* Addresses that a summary counts separately; further ones, of a name that changes all the time, are counted.
 */
enum { PROBE_SUMMARY_ROWS_MAX = 256 };

/* One address over all rounds in which it counted. Invariants: the sum of reasons is rounds; total.total ==
 * reasons[ERR_OK]. */
struct probe_summary_row {
    struct endpoint peer;
    uint64_t rounds; /* in which the name had it, and it counted */
    uint64_t reasons[ERR_REASON_COUNT];
    struct histogram total;   /* of those that were OK */
    struct histogram connect; /* of those that got so far */
};

/* Starts as {0}; probe_summary_fini frees the rows. */
struct probe_summary {
    char target[300]; /* printable */
    uint64_t rounds;
    uint64_t ok;        /* rounds whose verdict is OK */
    uint64_t nameless;  /* rounds without any address */
    uint64_t uncounted; /* addresses that were not counted separately, once a round */
    int64_t first_s;    /* wall clock, seconds since 1970, of the first round and of the last */
    int64_t last_s;
    struct err worst; /* the verdict of the worst round: no address OK, else degraded, else a threshold; of
                         several the first */
    struct probe_summary_row *rows[PROBE_SUMMARY_ROWS_MAX]; /* in the order in which they were seen first */
    size_t row_count;
    struct endpoint known[PROBE_ADDRESSES_MAX]; /* the addresses as they were answered last */
    size_t known_count;
    bool answered[RACE_FAMILIES];                    /* whether known holds an answer for the family */
    struct probe_finding remarks[PROBE_REMARKS_MAX]; /* of the last round that had any */
    size_t remark_count;
};

/* Writes what came and what went since the round before: "now also [::1]:6000, no longer 127.0.0.1:6000",
 * cut where it is long. Call it before the round is added. A family whose name service fails has not changed.
 * Returns: whether anything did; if not, text is "". */
bool probe_summary_changes(const struct probe_summary *summary, const struct probe_result *result,
                           char text[PROBE_SENTENCE_BYTES]);

/* Counts a round that has its verdict. Errors: internal: memory is exhausted, the round is counted in part.
 */
int probe_summary_add(struct probe_summary *summary, const struct probe_result *result, struct err *err);

/* Writes one round, a line an address: "20:31:07 [::1]:6000 ok 1.21 ms: resolve 310 µs, connect 51 µs". Above
 * them a line for what has changed, if changes is not "". */
void probe_summary_round(const struct probe_result *result, const char *changes,
                         const struct probe_style *style, FILE *out);

/* Writes the summary: for a person, or as one line of JSON, docs/probe-summary-v1.schema.json. */
void probe_summary_text(const struct probe_summary *summary, const struct probe_style *style, FILE *out);
void probe_summary_json(const struct probe_summary *summary, FILE *out);

/* Returns: how many of an address's rounds failed, and the most frequent reason; ERR_OK where none did. */
uint64_t probe_summary_failed(const struct probe_summary_row *row);
enum err_reason probe_summary_reason(const struct probe_summary_row *row);

void probe_summary_fini(struct probe_summary *summary);

#endif
