/* The exporter's measures of itself. */
#ifndef TCPGREET_EXPORTER_METRICS_H
#define TCPGREET_EXPORTER_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/format/exposition.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/probe/faces.h"

/* Why a request was answered without a probe. */
enum metrics_refusal { METRICS_BAD_REQUEST, METRICS_FORBIDDEN, METRICS_BUSY, METRICS_REFUSALS };

#define METRICS_COUNT(reason, word, code) +1
enum { METRICS_REASONS = 0 ERR_REASONS(METRICS_COUNT) };

/* Starts as {0}, but its meter is opened before it is read. */
struct metrics {
    uint64_t probes[METRICS_REASONS];
    uint64_t refusals[METRICS_REFUSALS];
    struct exposition_histogram durations;
    struct process_meter meter;
};

void metrics_count(struct metrics *metrics, const struct probe_brief *brief);

/* Writes all in the text format of Prometheus. The caller checks out for errors. Source: Prometheus
 * documentation, "Exposition formats", "Writing client libraries" (process metrics). */
void metrics_put(const struct metrics *metrics, size_t in_flight, size_t limit, FILE *out);

/* Writes what stands in front of a probe's own metrics: those that every exporter of probes has. */
void metrics_put_probe(const struct probe_brief *brief, FILE *out);

#endif
