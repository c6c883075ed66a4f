#include "page.h"

#include "tcpgreet/format/svg.h"
#include "tcpgreet/format/text.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--paper:#fff;--ground:#f6f8fa;"
    "--ok:#1a7f37;--failed:#cf222e;--link:#0969da}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#f0f6fc;--soft:#9198a1;--line:#3d444d;--paper:#0d1117;"
    "--ground:#010409;--ok:#3fb950;--failed:#f85149;--link:#4493f8}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;padding:1.25rem;max-width:72rem;background:var(--ground);"
    "color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "h1{font-size:1.4rem;margin:0}nav{margin:.25rem 0 1rem;color:var(--soft)}a{color:var(--link)}\n"
    ".card{background:var(--paper);border:1px solid var(--line);border-radius:8px;margin:0 0 .75rem;"
    "padding:.75rem 1rem}\n"
    ".card h2{font-size:1.05rem;margin:0;overflow-wrap:anywhere}.state{font-weight:600}\n"
    ".state.ok,.mark.ok{color:var(--ok)}.state.failed,.mark.failed{color:var(--failed)}\n"
    ".card p{margin:.25rem 0;overflow-wrap:anywhere}.soft{color:var(--soft)}\n"
    ".marks{letter-spacing:.1em;font-weight:700}.mark{cursor:default}\n"
    "summary{cursor:pointer;color:var(--link)}.wide{overflow-x:auto}\n"
    ".wide svg{display:block;width:100%;min-width:46rem;height:auto}\n"
    "code{font-family:ui-monospace,'DejaVu Sans Mono',monospace;overflow-wrap:anywhere}\n";

static void put_mark(FILE *out, const struct recent_round *round)
{
    bool is_ok = round->reason == ERR_OK;

    (void)fprintf(out, "<span class=\"mark %s\" title=\"%s: %s, %s\">%s</span>", is_ok ? "ok" : "failed",
                  text_date(round->started_s).text, is_ok ? "OK" : err_word(round->reason),
                  text_time((double)round->total_ns / 1e9).text, is_ok ? "&#10003;" : "&#10007;");
}

/* The oldest first, as time goes. */
static void put_marks(FILE *out, const struct recent_target *target, int64_t now_s)
{
    int64_t age_s = now_s - target->rounds[0].started_s;

    (void)fprintf(out, "<p class=\"soft\">%lld s ago; last %zu: <span class=\"marks\">",
                  (long long)(age_s > 0 ? age_s : 0), target->round_count);
    for (size_t i = target->round_count; i > 0; i--)
        put_mark(out, &target->rounds[i - 1]);
    (void)fputs("</span></p>\n", out);
}

static void put_target(FILE *out, const struct recent_target *target, int64_t now_s, bool is_open)
{
    struct probe_brief brief = probe_result_brief(target->result);
    char line[PROBE_LINE_BYTES];
    bool is_ok = brief.reason == ERR_OK;

    (void)fputs("<section class=\"card\">\n<h2>", out);
    svg_escaped(out, brief.target);
    (void)fprintf(out, "</h2>\n<p><span class=\"state %s\">%s</span> ", is_ok ? "ok" : "failed",
                  is_ok ? "&#10003;" : "&#10007;");
    svg_escaped(out, probe_result_line(target->result, line));
    (void)fputs("</p>\n", out);
    if (!is_ok) {
        (void)fprintf(out, "<p><code>%s</code>: ", err_word(brief.reason));
        svg_escaped(out, brief.sentence);
        (void)fputs("</p>\n", out);
    }
    put_marks(out, target, now_s);
    (void)fprintf(out, "<details%s><summary>Phases of each address</summary>\n<div class=\"wide\">",
                  is_open ? " open" : "");
    probe_report_waterfall(target->result, out);
    (void)fputs("</div></details>\n</section>\n", out);
}

static void put_nothing(FILE *out)
{
    (void)fputs("<section class=\"card\"><p>No target has been probed yet. Ask for "
                "<code>/probe?target=HOST:PORT</code>, or let Prometheus do so.</p></section>\n",
                out);
}

void page_put(const struct recent *recent, size_t in_flight, int64_t now_s, FILE *out)
{
    size_t failed = 0;

    for (size_t i = 0; i < recent->count; i++)
        failed += recent->targets[i].rounds[0].reason != ERR_OK;
    (void)fprintf(out,
                  "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<title>tcpgreet exporter</title><link rel=\"stylesheet\" href=\"/style.css\"></head>\n"
                  "<body><header><h1>tcpgreet exporter</h1>\n<nav>%zu target%s, %zu failed, %zu in flight "
                  "&#183; <a href=\"/metrics\">/metrics</a> &#183; <a href=\"/healthz\">/healthz</a></nav>"
                  "</header>\n<main>\n",
                  recent->count, recent->count == 1 ? "" : "s", failed, in_flight);
    for (size_t i = 0; i < recent->count; i++)
        put_target(out, &recent->targets[i], now_s, i == 0 || recent->targets[i].rounds[0].reason != ERR_OK);
    if (recent->count == 0)
        put_nothing(out);
    (void)fputs("</main>\n<footer class=\"soft\">tcpgreet " TCPGREET_VERSION "</footer></body></html>\n",
                out);
}

void page_put_style(FILE *out)
{
    (void)fputs(style, out);
    probe_waterfall_style(out);
}
