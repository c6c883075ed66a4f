/* The panel of a bench's plot that shows the answers per second over the time of the run. */
#ifndef TCPGREET_BENCH_PLOT_RATE_H
#define TCPGREET_BENCH_PLOT_RATE_H

#include <stdio.h>

#include "result.h"

void bench_plot_rate(const struct bench_result *result, FILE *out);

#endif
