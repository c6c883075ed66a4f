#include "plot_panel.h"

void bench_plot_axes(FILE *out, const struct panel *panel, const char *across, const char *upwards)
{
    enum { LEFT_OF_TICKS = 66 };
    svg_line(out, "axis", panel->x, panel->y + panel->height, panel->x + panel->width,
             panel->y + panel->height);
    svg_text(out, panel->x + panel->width / 2, panel->y + panel->height + 42, "sub", "middle", across);
    (void)fprintf(out, "<g transform=\"translate(%.1f %.1f) rotate(-90)\">", panel->x - (double)LEFT_OF_TICKS,
                  panel->y + panel->height / 2);
    svg_text(out, 0, 0, "sub", "middle", upwards);
    (void)fputs("</g>\n", out);
}

void bench_plot_empty(FILE *out, const struct panel *panel, const char *why)
{
    svg_text(out, panel->x + panel->width / 2, panel->y + panel->height / 2, "sub", "middle", why);
}
