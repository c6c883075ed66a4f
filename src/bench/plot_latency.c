#include "plot_latency.h"

#include <math.h>

#include "format.h"
#include "plot_panel.h"
#include "tcpgreet/format/axis.h"

enum { NINES_MAX = 4 };

static const struct panel latency_panel = {88, 132, 396, 228};

/* Latency by percentile: the axis is divided by nines, as many as the number of values allows; the rest is
 * spread up to the largest value. */
struct nines {
    int count;
    double beyond; /* nines between the last and the largest */
    struct svg_axis latency;
};

static double place_of_tail(const struct nines *nines, double tail)
{
    double place = -log10(tail);
    if (place <= nines->count)
        return place;
    double rest = nines->beyond > 0 ? (place - nines->count) / nines->beyond : 1;
    return nines->count + (rest < 1 ? rest : 1);
}

static double tail_at(const struct nines *nines, double place)
{
    double beyond = place > nines->count ? (place - nines->count) * nines->beyond : 0;
    double whole = place > nines->count ? nines->count : place;
    return pow(10, -whole - beyond);
}

static double x_of(const struct nines *nines, double place)
{
    return latency_panel.x + latency_panel.width * place / (nines->count + 1);
}

static double y_of(const struct nines *nines, double ns)
{
    double share = log(ns / nines->latency.low) / log(nines->latency.high / nines->latency.low);
    return latency_panel.y + latency_panel.height - share * (latency_panel.height - (double)HEADROOM);
}

static double at_least_one(int64_t ns)
{
    return ns > 0 ? (double)ns : 1;
}

static double quantile(const struct histogram *histogram, double tail)
{
    int64_t ns = tail < 1 ? histogram_quantile_ns(histogram, 1 - tail) : histogram->least_ns;
    return at_least_one(ns);
}

static void put_curve(FILE *out, const struct nines *nines, const struct histogram *histogram,
                      const char *class)
{
    double end = place_of_tail(nines, 1 / (double)histogram->total);
    double step = (nines->count + 1) / (latency_panel.width / 2);
    double most = at_least_one(histogram->most_ns);

    if (histogram->total == 0)
        return;
    if (histogram->total == 1)
        end = nines->count + 1;
    (void)fprintf(out, "<path class=\"%s\" d=\"M%.1f %.1f", class, x_of(nines, 0),
                  y_of(nines, quantile(histogram, 1)));
    for (int i = 1; i * step < end; i++)
        (void)fprintf(out, "L%.1f %.1f", x_of(nines, i * step),
                      y_of(nines, quantile(histogram, tail_at(nines, i * step))));
    (void)fprintf(out, "L%.1f %.1f\"/>\n", x_of(nines, end), y_of(nines, most));
}

/* The curve rises to the right: its label ends above the dot, if there is room before it. */
static void put_dot(FILE *out, const struct nines *nines, double place, double ns)
{
    enum { LABEL_LENGTH = 44 };
    double x = x_of(nines, place);
    double y = y_of(nines, ns);
    (void)fprintf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", x, y);
    const char *anchor = x - latency_panel.x > (double)LABEL_LENGTH ? "end" : "middle";
    svg_text(out, x, y - 10, "value", anchor, text_time(ns / NS_PER_S).text);
}

static const struct {
    double tail;
    const char *name;
} percentiles[] = {{1, "0"}, {0.5, "50"}, {0.1, "90"}, {0.01, "99"}, {0.001, "99.9"}, {0.0001, "99.99"}};

enum { PERCENTILES = sizeof(percentiles) / sizeof(percentiles[0]) };

static size_t percentiles_shown(const struct nines *nines)
{
    return nines->count > 0 ? (size_t)nines->count + 2 : 1;
}

static void put_latency_axes(FILE *out, const struct nines *nines)
{
    double below = latency_panel.y + latency_panel.height;
    char label[32];

    for (size_t i = 0; i < nines->latency.count; i++) {
        double tick = nines->latency.ticks[i];
        double y = y_of(nines, tick);
        const char *unit = tick >= 1e9 ? "s" : tick >= 1e6 ? "ms" : tick >= 1e3 ? "\u00b5s" : "ns";
        double of_unit = tick >= 1e9 ? 1e9 : tick >= 1e6 ? 1e6 : tick >= 1e3 ? 1e3 : 1;
        svg_line(out, "grid", latency_panel.x, y, latency_panel.x + latency_panel.width, y);
        (void)snprintf(label, sizeof(label), "%g %s", tick / of_unit, unit);
        svg_text(out, latency_panel.x - 10, y + 4, "tick", "end", label);
    }
    for (size_t i = 0; i <= percentiles_shown(nines); i++) {
        bool last = i == percentiles_shown(nines);
        double x = x_of(nines, last ? nines->count + 1 : place_of_tail(nines, percentiles[i].tail));
        svg_line(out, "axis", x, below, x, below + 5);
        svg_text(out, x, below + 20, "tick", "middle", last ? "max" : percentiles[i].name);
    }
}

static void put_dots(FILE *out, const struct nines *nines, const struct histogram *answers)
{
    for (size_t i = 1; i < percentiles_shown(nines); i++)
        if (percentiles[i].tail * (double)answers->total > 1)
            put_dot(out, nines, place_of_tail(nines, percentiles[i].tail),
                    quantile(answers, percentiles[i].tail));
    put_dot(out, nines,
            answers->total > 1 ? place_of_tail(nines, 1 / (double)answers->total) : nines->count + 1,
            at_least_one(answers->most_ns));
}

static void scale_latency(struct nines *nines, const struct histogram *a, const struct histogram *b)
{
    double total = (double)(a->total > b->total ? a->total : b->total);
    double least = at_least_one(a->total > 0 ? a->least_ns : b->least_ns);
    double most = at_least_one(a->total > 0 ? a->most_ns : b->most_ns);

    if (b->total > 0) {
        least = fmin(least, at_least_one(b->least_ns));
        most = fmax(most, at_least_one(b->most_ns));
    }
    nines->count = (int)fmin(floor(log10(total) + 1e-9), NINES_MAX);
    nines->beyond = log10(total) - nines->count;
    svg_axis_log(&nines->latency, least, most);
}

void bench_plot_latency(const struct bench_result *result, FILE *out)
{
    const struct histogram *answers = &result->answers;
    const struct histogram *connects = &result->connects;
    const struct panel *panel = &latency_panel;
    struct nines nines;

    svg_text(out, panel->x, panel->y - 14, "head", "start", "Latency by percentile");
    bench_plot_axes(out, panel, "percentile", "latency");
    if (answers->total == 0 && connects->total == 0) {
        bench_plot_empty(out, panel, "no answer received");
        return;
    }
    scale_latency(&nines, answers, connects);
    (void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", panel->x + panel->width,
                  panel->y - 14);
    if (answers->total > 0)
        (void)fputs("<tspan class=\"ink1\">\u2014</tspan> answer", out);
    if (connects->total > 0)
        (void)fprintf(out, "<tspan class=\"ink2\" dx=\"12\">- -</tspan> connect%s",
                      result->tls ? " and TLS" : "");
    (void)fputs("</text>\n", out);
    put_latency_axes(out, &nines);
    put_curve(out, &nines, connects, "second");
    put_curve(out, &nines, answers, "first");
    if (answers->total > 0)
        put_dots(out, &nines, answers);
}
