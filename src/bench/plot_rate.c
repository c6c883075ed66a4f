#include "plot_rate.h"

#include <math.h>

#include "format.h"
#include "plot_panel.h"
#include "tcpgreet/format/axis.h"

enum { BINS = 60, BINS_LEAST = 12, NAMES_A_BIN = 50 };

static const struct panel rate_panel = {580, 132, 388, 228};

/* Rate over time: adjacent slots are combined until there are few, with enough names in each to be steady. */
struct bins {
    size_t count;
    double ends_s[BINS];
    double rates[BINS];
    double most;
};

/* A very short last bin is left out: its rate would be chance. */
static void fill_bins(struct bins *bins, const struct bench_result *result)
{
    double whole = result->slot_s > 0 ? ceil(result->duration_s / result->slot_s - 1e-6) : 0;
    size_t slots = whole < (double)BENCH_SLOTS ? (size_t)whole : BENCH_SLOTS;
    size_t steady = (size_t)fmin(fmax((double)result->names / (double)NAMES_A_BIN, BINS_LEAST), BINS);
    size_t together = (slots + steady - 1) / steady;

    *bins = (struct bins){0};
    for (size_t i = 0; i < slots; i += together) {
        size_t end = i + together < slots ? i + together : slots;
        double end_s = fmin((double)end * result->slot_s, result->duration_s);
        double width_s = end_s - (double)i * result->slot_s;
        uint64_t names = 0;
        for (size_t slot = i; slot < end; slot++)
            names += result->slots[slot];
        if (i > 0 && width_s < (double)together * result->slot_s / 2)
            break;
        bins->ends_s[bins->count] = end_s;
        bins->rates[bins->count] = (double)names / width_s;
        bins->most = fmax(bins->most, bins->rates[bins->count++]);
    }
}

static double x_at(const struct svg_axis *time, double seconds)
{
    return rate_panel.x + rate_panel.width * seconds / time->high;
}

static double y_at(const struct svg_axis *rate, double value)
{
    return rate_panel.y + rate_panel.height - value / rate->high * (rate_panel.height - (double)HEADROOM);
}

static void put_rate_axes(FILE *out, const struct svg_axis *time, const struct svg_axis *rate)
{
    double below = rate_panel.y + rate_panel.height;
    double of_unit = rate->high >= 2e6 ? 1e6 : rate->high >= 5e3 ? 1e3 : 1;
    const char *unit = rate->high >= 2e6 ? " M" : rate->high >= 5e3 ? " k" : "";
    char label[24];

    for (size_t i = 0; i < rate->count; i++) {
        double tick = rate->ticks[i];
        svg_line(out, "grid", rate_panel.x, y_at(rate, tick), rate_panel.x + rate_panel.width,
                 y_at(rate, tick));
        (void)snprintf(label, sizeof(label), "%g%s", tick / of_unit, tick > 0 ? unit : "");
        svg_text(out, rate_panel.x - 10, y_at(rate, tick) + 4, "tick", "end", label);
    }
    for (size_t i = 0; i < time->count; i++) {
        double x = x_at(time, time->ticks[i]);
        svg_line(out, "axis", x, below, x, below + 5);
        (void)snprintf(label, sizeof(label), "%g", time->ticks[i]);
        svg_text(out, x, below + 20, "tick", "middle", label);
    }
}

static void put_steps(FILE *out, const struct bins *bins, const struct svg_axis *time,
                      const struct svg_axis *rate)
{
    for (size_t i = 0; i < bins->count; i++)
        (void)fprintf(out, "V%.1fH%.1f", y_at(rate, bins->rates[i]), x_at(time, bins->ends_s[i]));
}

static void put_bins(FILE *out, const struct bins *bins, const struct svg_axis *time,
                     const struct svg_axis *rate)
{
    double below = y_at(rate, 0);

    (void)fprintf(out, "<path class=\"area\" d=\"M%.1f %.1f", rate_panel.x, below);
    put_steps(out, bins, time, rate);
    (void)fprintf(out, "V%.1fZ\"/>\n<path class=\"first\" d=\"M%.1f %.1f", below, rate_panel.x,
                  y_at(rate, bins->rates[0]));
    put_steps(out, bins, time, rate);
    (void)fputs("\"/>\n", out);
}

void bench_plot_rate(const struct bench_result *result, FILE *out)
{
    const struct panel *panel = &rate_panel;
    double level = result->open_loop ? result->rate_asked : bench_rate(result, result->names);
    struct svg_axis time;
    struct svg_axis rate;
    struct bins bins;

    svg_text(out, panel->x, panel->y - 14, "head", "start", "Names per second over time");
    bench_plot_axes(out, panel, "time in seconds", "names per second");
    fill_bins(&bins, result);
    if (bins.count == 0 || !(bins.most > 0)) {
        bench_plot_empty(out, panel,
                         result->names == 0 ? "no answer received" : "no rate over time recorded");
        return;
    }
    (void)fprintf(
        out,
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\"><tspan class=\"ink2\">- -</tspan> %s %s</text>\n",
        panel->x + panel->width, panel->y - 14, result->open_loop ? "requested" : "mean",
        bench_per_second(level).text);
    svg_axis_linear(&time, result->duration_s, 10, false);
    svg_axis_linear(&rate, fmax(bins.most, level), 5, true);
    put_rate_axes(out, &time, &rate);
    put_bins(out, &bins, &time, &rate);
    svg_line(out, "second", panel->x, y_at(&rate, level), panel->x + panel->width, y_at(&rate, level));
}
