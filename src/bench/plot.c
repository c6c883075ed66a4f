#include "result.h"

#include <string.h>
#include <time.h>

#include "format.h"
#include "plot_latency.h"
#include "plot_rate.h"
#include "tcpgreet/format/svg.h"

enum { WIDTH = 1000, HEIGHT = 440, MARGIN = 32, TARGET_COLUMNS = 64 };

static const char style[] =
    ".value{font-size:11px;fill:#1f2328;paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:"
    "round}"
    ".first{fill:none;stroke:#0969da;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".second{fill:none;stroke:#bc4c00;stroke-width:1.5;stroke-dasharray:5 4}"
    ".area{fill:#0969da;fill-opacity:.12}.dot{fill:#0969da;stroke:#fff;stroke-width:1.5}"
    ".ink1{fill:#0969da;font-weight:600}.ink2{fill:#bc4c00;font-weight:600}";

static const char dark_style[] =
    ".value{fill:#f0f6fc;stroke:#0d1117}.first{stroke:#4493f8}.second{stroke:#f0883e}"
    ".area{fill:#4493f8;fill-opacity:.18}.dot{fill:#4493f8;stroke:#0d1117}.ink1{fill:#4493f8}"
    ".ink2{fill:#f0883e}";

static const char *title_of(const struct bench_result *result, char *title, size_t room)
{
    char escaped[BENCH_TARGET_ROOM];
    char target[BENCH_TARGET_ROOM];

    (void)snprintf(target, sizeof(target), "%s", bench_target(result, escaped));
    text_cut(target, TARGET_COLUMNS);
    (void)snprintf(title, room, "Bench of %s%s", target, result->tls ? " over TLS" : "");
    return title;
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
                      result->failures[worst] == failed ? ": " : ", mostly ",
                      err_word((enum err_reason)worst));
    else if (result->names > 0)
        (void)fputs(" \u00b7 <tspan class=\"good\">OK: every byte verified</tspan>", out);
    if (result->late > 0)
        (void)fprintf(out, " \u00b7 <tspan class=\"bad\">%s scheduled but not sent</tspan>",
                      bench_count(result->late).text);
}

static void put_proxy(const struct bench_result *result, FILE *out)
{
    char proxy[BENCH_TARGET_BYTES];

    if (result->proxy[0] == '\0')
        return;
    memcpy(proxy, result->proxy, sizeof(proxy));
    text_cut(proxy, TARGET_COLUMNS);
    (void)fputs(" \u00b7 through ", out);
    svg_escaped(out, proxy);
}

static void put_head(const struct bench_result *result, FILE *out)
{
    (void)fprintf(out, "<text x=\"%d\" y=\"66\" class=\"sub\">%s, ", MARGIN,
                  bench_plural(result->connections_asked, "connection", "connections").text);
    if (result->open_loop)
        (void)fprintf(out, "open loop, %s names/s, latency measured from the scheduled send time",
                      bench_per_second(result->rate_asked).text);
    else
        (void)fputs("closed loop", out);
    put_proxy(result, out);
    if (result->runs > 1)
        (void)fprintf(out, " \u00b7 %u results merged", result->runs);
    (void)fprintf(out, "</text>\n<text x=\"%d\" y=\"86\" class=\"sub\">%s in %s", MARGIN,
                  bench_plural(result->names, "name", "names").text, text_time(result->duration_s).text);
    if (result->duration_s > 0)
        (void)fprintf(out, ", %s/s", bench_per_second(bench_rate(result, result->names)).text);
    (void)fprintf(out, " \u00b7 %s", bench_plural(result->connections, "connection", "connections").text);
    if (result->resumed > 0)
        (void)fprintf(out, ", %s resumed", bench_count(result->resumed).text);
    put_outcome(result, out);
    (void)fputs("</text>\n", out);
}

void bench_result_plot(const struct bench_result *result, FILE *out)
{
    char title[BENCH_TARGET_ROOM + 32];

    svg_open(out, WIDTH, HEIGHT, title_of(result, title, sizeof(title)), style, dark_style);
    svg_text(out, MARGIN, 42, "title", "start", title);
    put_head(result, out);
    bench_plot_latency(result, out);
    bench_plot_rate(result, out);
    svg_close(out, WIDTH, HEIGHT, text_date((int64_t)time(NULL)).text);
}
