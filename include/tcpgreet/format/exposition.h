/* Metrics in the text format of Prometheus. Source: Prometheus documentation, "Exposition formats". */
#ifndef TCPGREET_FORMAT_EXPOSITION_H
#define TCPGREET_FORMAT_EXPOSITION_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/os/process.h"

/* Of a histogram of times: Prometheus's own bounds, with two more for a loopback connection. The last bucket
 * is of all that is longer. */
enum { EXPOSITION_BUCKETS = 15 };

/* Returns: the bucket of a time. */
size_t exposition_bucket(double seconds);

/* Writes the lines in front of a metric's samples. */
void exposition_head(FILE *out, const char *name, const char *type, const char *help);

/* Writes a metric that has one sample without labels. */
void exposition_one(FILE *out, const char *name, const char *type, const char *help, double value);

/* A sample with one label. Shape: value is printable, without quotes and backslashes. */
struct exposition_sample {
    const char *name, *label, *value;
    uint64_t count;
};

void exposition_put(FILE *out, const struct exposition_sample *sample);

/* Shape: buckets are not cumulative. */
struct exposition_histogram {
    const char *name, *help;
    uint64_t buckets[EXPOSITION_BUCKETS];
    double sum_s;
};

/* Writes a histogram with its head. */
void exposition_put_histogram(FILE *out, const struct exposition_histogram *histogram);

/* Writes tcpgreet_build_info: the versions of this program and its event loop. */
void exposition_build_info(FILE *out, const char *libuv);

/* Writes the metrics that every process has, as far as they are known.
 * Source: Prometheus documentation, "Writing client libraries" (process metrics). */
void exposition_process(FILE *out, const struct process_usage *usage);

#endif
