/* The panel of a bench's plot that shows the latencies of answers and connects, by percentile. */
#ifndef TCPGREET_BENCH_PLOT_LATENCY_H
#define TCPGREET_BENCH_PLOT_LATENCY_H

#include <stdio.h>

#include "result.h"

void bench_plot_latency(const struct bench_result *result, FILE *out);

#endif
