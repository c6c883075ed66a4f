#include "plot_panel.h"

void bench_plot_axis(FILE *out, const struct panel *panel, const char *caption)
{
    svg_line(out, "axis", panel->x, panel->y + panel->height, panel->x + panel->width,
             panel->y + panel->height);
    svg_text(out, panel->x + panel->width / 2, panel->y + panel->height + 42, "sub", "middle", caption);
}

void bench_plot_empty(FILE *out, const struct panel *panel, const char *why)
{
    svg_text(out, panel->x + panel->width / 2, panel->y + panel->height / 2, "sub", "middle", why);
}
