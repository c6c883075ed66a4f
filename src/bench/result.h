/* The result of a bench, and its output formats: text, JSON, Prometheus, SVG. Pure, except for writing to
 * FILE. */
#ifndef TCPGREET_BENCH_RESULT_H
#define TCPGREET_BENCH_RESULT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/histogram.h"

enum { BENCH_SLOTS = 240, BENCH_TARGET_BYTES = 300 };

/* Starts as {0}. Sums of all workers, or of several results. */
struct bench_result {
    char target[BENCH_TARGET_BYTES]; /* printable, as escape_text makes it */
    char proxy[BENCH_TARGET_BYTES];  /* likewise: "http://proxy:3128"; "": none */
    bool tls;
    bool open_loop;
    double rate_asked; /* names per second, of all workers */
    uint64_t connections_asked;
    double duration_s; /* the measured time; of a sum the longest */
    unsigned runs;     /* 1, or how many results were merged */
    uint64_t names;    /* answered, every byte verified */
    uint64_t connections;
    uint64_t resumed; /* TLS handshakes, of connections */
    uint64_t late;    /* open loop: names scheduled but not sent, because no connection was free */
    uint64_t failures[ERR_REASON_COUNT];
    double slot_s;               /* width of a slot of the rate over time */
    uint64_t slots[BENCH_SLOTS]; /* names answered in each */
    struct histogram answers;    /* from when a name was sent or scheduled to the last byte of its answer */
    struct histogram connects;   /* from connect(2) to the end of the handshake */
};

/* Returns: the sum of failures. */
uint64_t bench_result_failed(const struct bench_result *result);

/* Adds other to result, as if both had run at the same time. The rate over time is added slot by slot if
 * the slots have the same width, else dropped. Different targets become "several targets". */
void bench_result_add(struct bench_result *result, const struct bench_result *other);

/* Whether it can be written and read again: sums may exceed what one result holds. */
bool bench_result_fits(const struct bench_result *result);

/* Each writes one whole result, in UTF-8. The caller checks out for errors. */
void bench_result_text(const struct bench_result *result, FILE *out);
void bench_result_json(const struct bench_result *result, FILE *out);
void bench_result_prometheus(const struct bench_result *result, FILE *out);
void bench_result_plot(const struct bench_result *result, FILE *out);

/* Reads what bench_result_json wrote (docs/bench.md); rejects anything else. name is for messages.
 * Errors: system-file; internal: not enough memory; usage: built without jansson; result is {0} then. */
int bench_result_read(FILE *in, const char *name, struct bench_result *result, struct err *err);

#endif
