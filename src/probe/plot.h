/* The parts of a probe's picture. */
#ifndef TCPGREET_PROBE_PLOT_H
#define TCPGREET_PROBE_PLOT_H

#include "bars.h"

enum { PROBE_PLOT_WIDTH = 1000, PROBE_PLOT_MARGIN = 32 };

/* Where the waterfall stands, in pixels. */
struct probe_plot_panel {
    int top;
    int left;       /* of the bars; labels end before */
    int length;     /* of the time axis */
    int row_height; /* with a line of numbers below the bar, or without */
    bool numbers;
};

/* Returns: the panel for a result. */
struct probe_plot_panel probe_plot_panel(const struct probe_result *result, int top);

/* Returns: the height it takes, 0 where there is no row. */
int probe_plot_height(const struct probe_result *result, const struct probe_plot_panel *panel);

/* Axis, rows, and the legend. */
void probe_plot_waterfall(const struct probe_result *result, const struct probe_plot_panel *panel, FILE *out);

extern const char probe_plot_style[];
extern const char probe_plot_dark_style[];

#endif
