#include "tcpgreet/bench_result.h"

#include <string.h>

#include "bench_private.h"
#include "bench_svg.h"

enum { WIDTH = 1000, HEIGHT = 424, MARGIN = 32, TARGET_COLUMNS = 64 };

/* Light and dark are told apart by whoever shows it; fonts are those of the reader. */
static const char style[] =
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;"
    "font-variant-numeric:tabular-nums;fill:#59636e}"
    ".paper{fill:#fff;stroke:#d1d9e0}.title{font-size:20px;font-weight:600;fill:#1f2328}"
    ".sub{font-size:13px}.head{font-size:13px;font-weight:600;fill:#1f2328}"
    ".value{font-size:11px;fill:#1f2328;paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:"
    "round}"
    ".grid{stroke:#e6eaef}.axis{stroke:#818b98}"
    ".first{fill:none;stroke:#0969da;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".second{fill:none;stroke:#bc4c00;stroke-width:1.5;stroke-dasharray:5 4}"
    ".area{fill:#0969da;fill-opacity:.12}.dot{fill:#0969da;stroke:#fff;stroke-width:1.5}"
    ".ink1{fill:#0969da;font-weight:600}.ink2{fill:#bc4c00;font-weight:600}"
    ".bad{fill:#cf222e;font-weight:600}.good{fill:#1a7f37}"
    "@media(prefers-color-scheme:dark){text{fill:#9198a1}.paper{fill:#0d1117;stroke:#3d444d}"
    ".title,.head{fill:#f0f6fc}.value{fill:#f0f6fc;stroke:#0d1117}.grid{stroke:#232a33}.axis{stroke:#656c76}"
    ".first{stroke:#4493f8}.second{stroke:#f0883e}.area{fill:#4493f8;fill-opacity:.18}"
    ".dot{fill:#4493f8;stroke:#0d1117}.ink1{fill:#4493f8}.ink2{fill:#f0883e}.bad{fill:#f85149}"
    ".good{fill:#3fb950}}";

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            (void)fputs("&amp;", out);
            break;
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        default:
            (void)fputc(*text, out);
        }
    }
}

void bench_svg_text(FILE *out, double x, double y, const char *class, const char *anchor, const char *text)
{
    (void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">%s</text>\n", x, y, class,
                  anchor, text);
}

void bench_svg_line(FILE *out, const char *class, double x1, double y1, double x2, double y2)
{
    (void)fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1,
                  y1, x2, y2);
}

static void put_title(const struct bench_result *result, FILE *out)
{
    char room[BENCH_TARGET_ROOM];
    char target[BENCH_TARGET_ROOM];

    (void)snprintf(target, sizeof(target), "%s", bench_target(result, room));
    bench_cut(target, TARGET_COLUMNS);
    (void)fputs("Bench of ", out);
    put_escaped(out, target);
    (void)fputs(result->tls ? " over TLS" : "", out);
}

static void put_outcome(const struct bench_result *result, FILE *out)
{
    uint64_t failed = bench_result_failed(result);
    size_t worst = 0;

    for (size_t i = 0; i < ERR_REASON_COUNT; i++)
        if (result->failures[i] > result->failures[worst])
            worst = i;
    if (failed > 0)
        (void)fprintf(out, " \u00b7 <tspan class=\"bad\">%s failed%s%s</tspan>", bench_count(failed).text,
                      result->failures[worst] == failed ? ": " : ", most of them ",
                      err_word((enum err_reason)worst));
    else if (result->names > 0)
        (void)fputs(" \u00b7 <tspan class=\"good\">every answer right</tspan>", out);
    if (result->late > 0)
        (void)fprintf(out, " \u00b7 <tspan class=\"bad\">%s due, never said</tspan>",
                      bench_count(result->late).text);
}

static void put_head(const struct bench_result *result, FILE *out)
{
    (void)fprintf(out, "<text x=\"%d\" y=\"42\" class=\"title\">", MARGIN);
    put_title(result, out);
    (void)fprintf(out, "</text>\n<text x=\"%d\" y=\"66\" class=\"sub\">%s, ", MARGIN,
                  bench_plural(result->connections_asked, "connection", "connections").text);
    if (result->open_loop)
        (void)fprintf(out, "%s names a second asked for, latency from when one was due",
                      bench_per_second(result->rate_asked).text);
    else
        (void)fputs("the next name as soon as the answer is there", out);
    if (result->runs > 1)
        (void)fprintf(out, " \u00b7 %u results added up", result->runs);
    (void)fprintf(out, "</text>\n<text x=\"%d\" y=\"86\" class=\"sub\">%s in %s", MARGIN,
                  bench_plural(result->names, "name", "names").text, bench_time(result->duration_s).text);
    if (result->duration_s > 0)
        (void)fprintf(out, ", %s a second", bench_per_second(bench_rate(result, result->names)).text);
    (void)fprintf(out, " \u00b7 %s made",
                  bench_plural(result->connections, "connection", "connections").text);
    if (result->resumed > 0)
        (void)fprintf(out, ", %s resumed", bench_count(result->resumed).text);
    put_outcome(result, out);
    (void)fputs("</text>\n", out);
}

void bench_svg_frame(FILE *out, const struct panel *panel, const char *caption)
{
    bench_svg_line(out, "axis", panel->x, panel->y + panel->height, panel->x + panel->width,
                   panel->y + panel->height);
    bench_svg_text(out, panel->x + panel->width / 2, panel->y + panel->height + 42, "sub", "middle", caption);
}

void bench_svg_nothing(FILE *out, const struct panel *panel, const char *why)
{
    bench_svg_text(out, panel->x + panel->width / 2, panel->y + panel->height / 2, "sub", "middle", why);
}

void bench_result_plot(const struct bench_result *result, FILE *out)
{
    (void)fprintf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "role=\"img\">\n<title>",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_title(result, out);
    (void)fprintf(out, "</title>\n<style>%s</style>\n", style);
    (void)fprintf(out, "<rect class=\"paper\" x=\".5\" y=\".5\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n",
                  WIDTH - 1, HEIGHT - 1);
    put_head(result, out);
    bench_svg_latency(result, out);
    bench_svg_rate(result, out);
    (void)fputs("</svg>\n", out);
}
