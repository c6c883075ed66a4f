/* What the panels of a bench's plot share. */
#ifndef TCPGREET_BENCH_PLOT_PANEL_H
#define TCPGREET_BENCH_PLOT_PANEL_H

#include "tcpgreet/format/svg.h"

enum { HEADROOM = 18 }; /* above the highest tick of a panel, for a label */

/* In pixels. */
struct panel {
    double x, y, width, height;
};

/* Writes the axis at the foot of a panel, and what is measured along it and upwards. */
void bench_plot_axes(FILE *out, const struct panel *panel, const char *across, const char *upwards);

/* Writes why a panel is empty. */
void bench_plot_empty(FILE *out, const struct panel *panel, const char *why);

#endif
