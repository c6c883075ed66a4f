/* The plot of a bench, panel by panel. */
#ifndef TCPGREET_BENCH_PLOT_H
#define TCPGREET_BENCH_PLOT_H

#include "result.h"
#include "tcpgreet/format/svg.h"

enum { HEADROOM = 18 }; /* above the highest tick of a panel, for a label */

struct panel {
    double x, y, width, height;
};

/* The axis at the foot of a panel and what is measured along it. */
void bench_svg_frame(FILE *out, const struct panel *panel, const char *caption);

/* The words that stand in an empty panel. */
void bench_svg_nothing(FILE *out, const struct panel *panel, const char *why);

/* A whole panel each. */
void bench_svg_latency(const struct bench_result *result, FILE *out);
void bench_svg_rate(const struct bench_result *result, FILE *out);

#endif
