/* The plot of a bench, panel by panel. Texts given here are words that need no escape. */
#ifndef TCPGREET_BENCH_SVG_H
#define TCPGREET_BENCH_SVG_H

#include "tcpgreet/bench_result.h"

enum { HEADROOM = 18 }; /* above the highest tick of a panel, for a label */

struct panel {
    double x, y, width, height;
};

/* anchor: start, middle, end. */
void bench_svg_text(FILE *out, double x, double y, const char *class, const char *anchor, const char *text);
void bench_svg_line(FILE *out, const char *class, double x1, double y1, double x2, double y2);

/* The axis at the foot of a panel and what is measured along it. */
void bench_svg_frame(FILE *out, const struct panel *panel, const char *caption);

/* The words that stand in an empty panel. */
void bench_svg_nothing(FILE *out, const struct panel *panel, const char *why);

/* A whole panel each. */
void bench_svg_latency(const struct bench_result *result, FILE *out);
void bench_svg_rate(const struct bench_result *result, FILE *out);

#endif
