#include <string.h>

#include "phrases.h"
#include "plot.h"
#include "tcpgreet/format/axis.h"
#include "tcpgreet/format/svg.h"

enum {
    BAR_HEIGHT = 18,
    BAR_LEAST = 4,
    MARK_LENGTH = 16, /* for the cross where it failed */
    TIME_LENGTH = 64,
    LETTER_LEAST = 12, /* what a letter in a bar takes */
    NAME_PER_LETTER = 7,
    NUMBERS_ROWS_MAX = 24,
    TICKS = 8,
    FOOT_HEIGHT = 46 /* below the rows: the legend */
};

#define LABEL_PER_LETTER 7.4
#define REASON_PER_LETTER 7.6
#define NUMBER_PER_LETTER 5.9

/* A colour and a letter of its own for each: Okabe and Ito's palette, which the colour-blind can distinguish.
 */
const char probe_plot_style[] =
    ".label{fill:#1f2328}.number{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:3px}.total{fill:#"
    "1f2328}"
    ".finding{font-size:13px;fill:#1f2328}.last{font-size:13px;font-weight:600;fill:#1f2328}.bullet{fill:#"
    "bc4c00}"
    ".track{fill:#818b98;fill-opacity:.1}.bar{stroke:#fff;stroke-width:1}"
    ".on{font-size:11px;font-weight:600;fill:#000;pointer-events:none}.off{fill:#fff}"
    ".resolve{fill:#b4bac2}.connect{fill:#56b4e9}.proxy{fill:#c49c94}.starttls{fill:#999933}.tls{fill:#0072b2}.welcome{fill:#e69f00}.name{fill:#009e73}"
    ".close{fill:#cc79a7}.exchange{fill:#d55e00}.volume{fill:#f0e442}"
    ".cross{stroke:#cf222e;stroke-width:2.5;stroke-linecap:round;fill:none}";

const char probe_plot_dark_style[] =
    ".label,.total,.finding,.last{fill:#f0f6fc}.number{stroke:#0d1117}.bullet{fill:#f0883e}.bar{"
    "stroke:#0d1117}.resolve{fill:#848d97}"
    ".cross{stroke:#f85149}";

static const char letters[PROBE_PHASES] = {
    [PROBE_RESOLVE] = 'r',  [PROBE_CONNECT] = 'c', [PROBE_PROXY] = 'p', [PROBE_STARTTLS] = 's',
    [PROBE_TLS] = 't',      [PROBE_WELCOME] = 'w', [PROBE_NAME] = 'n',  [PROBE_CLOSE] = 'x',
    [PROBE_EXCHANGE] = 'e', [PROBE_VOLUME] = 'v'};

struct probe_plot_panel probe_plot_panel(const struct probe_result *result, int top)
{
    struct probe_plot_panel panel = {.top = top};
    size_t count = probe_row_count(result);
    size_t label = 0;
    size_t reason = 2;
    struct probe_row row;

    for (size_t i = 0; i < count; i++) {
        probe_row_fill(result, i, &row);
        size_t word = strlen(probe_phrase_reason(row.reason));
        label = strlen(row.label) > label ? strlen(row.label) : label;
        reason = word > reason ? word : reason;
    }
    panel.left = PROBE_PLOT_MARGIN + (int)((double)label * LABEL_PER_LETTER) + 12;
    panel.length = PROBE_PLOT_WIDTH - PROBE_PLOT_MARGIN - (int)((double)reason * REASON_PER_LETTER) -
                   TIME_LENGTH - MARK_LENGTH - panel.left;
    panel.numbers = count <= NUMBERS_ROWS_MAX;
    panel.row_height = panel.numbers ? 42 : 24;
    return panel;
}

int probe_plot_height(const struct probe_result *result, const struct probe_plot_panel *panel)
{
    size_t count = probe_row_count(result);
    return count > 0 ? (int)count * panel->row_height + FOOT_HEIGHT : 0;
}

static void put_axis(FILE *out, const struct probe_plot_panel *panel, int64_t axis_ns, size_t rows)
{
    double most_s = (double)axis_ns / 1e9;
    double bottom = panel->top + (double)rows * panel->row_height;
    struct svg_axis axis;

    svg_axis_linear(&axis, most_s, TICKS, false);
    svg_text(out, PROBE_PLOT_MARGIN, panel->top - 14, "tick", "start", "time");
    double of_unit = axis.high >= 1 ? 1 : axis.high >= 1e-3 ? 1e3 : 1e6;
    const char *unit = axis.high >= 1 ? "s" : axis.high >= 1e-3 ? "ms" : "\u00b5s";
    for (size_t i = 0; i < axis.count; i++) {
        char label[32];
        double x = panel->left + axis.ticks[i] / most_s * panel->length;
        (void)snprintf(label, sizeof(label), "%g %s", axis.ticks[i] * of_unit, unit);
        svg_line(out, "grid", x, panel->top - 8, x, bottom);
        svg_text(out, x, panel->top - 14, "tick", "middle", label);
    }
}

/* As much as fits: name and time, name, letter. The bar's colour and the tooltip have the same information.
 */
static void put_bar_words(FILE *out, const struct probe_bar *bar, double x, double y, const char *time)
{
    int length = bar->end - bar->begin;
    char words[96];

    (void)snprintf(words, sizeof(words), "%s %s", probe_phrase_phase(bar->phase), time);
    if ((int)text_columns(words) * NAME_PER_LETTER > length - 8)
        (void)snprintf(words, sizeof(words), "%s", probe_phrase_phase(bar->phase));
    if ((int)text_columns(words) * NAME_PER_LETTER > length - 8)
        (void)snprintf(words, sizeof(words), "%c", letters[bar->phase]);
    if (length >= LETTER_LEAST)
        svg_text(out, x + length / 2.0, y + (BAR_HEIGHT - 5), bar->phase == PROBE_TLS ? "on off" : "on",
                 "middle", words);
}

static void put_cross(FILE *out, double x, double y)
{
    (void)fprintf(out, "<path class=\"cross\" d=\"M%.1f %.1fl8 8m0 -8l-8 8\"/>\n", x, y);
}

static void put_bars(FILE *out, const struct probe_plot_panel *panel, const struct probe_row *row,
                     int64_t axis_ns, double y)
{
    struct probe_bars bars;

    probe_bars_lay(row, axis_ns, panel->length, BAR_LEAST, &bars);
    for (size_t i = 0; i < bars.count; i++) {
        const struct probe_bar *bar = &bars.bars[i];
        const struct probe_span *span = &row->spans[bar->phase];
        struct text time = probe_phrase_time(span->end_ns - span->begin_ns);
        double x = panel->left + bar->begin;
        (void)fprintf(out,
                      "<g><title>%s: %s, from %s on%s%s</title><rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" "
                      "width=\"%d\" height=\"%d\"/>\n",
                      probe_phrase_phase(bar->phase), time.text, probe_phrase_time(span->begin_ns).text,
                      bar->failed ? "; failed: " : "", bar->failed ? probe_phrase_reason(row->reason) : "",
                      probe_phase_name(bar->phase), x, y, bar->end - bar->begin, BAR_HEIGHT);
        put_bar_words(out, bar, x, y, time.text);
        (void)fputs("</g>\n", out);
        if (bar->failed)
            put_cross(out, panel->left + bar->end + 5, y + 5);
    }
}

static void put_numbers(FILE *out, const struct probe_plot_panel *panel, const struct probe_row *row,
                        double y)
{
    struct text_line line = {0};
    double room = PROBE_PLOT_WIDTH - PROBE_PLOT_MARGIN - panel->left;

    probe_phrase_phases(row, &line);
    if (row->address != NULL)
        probe_phrase_kernel(row->address, &line);
    text_cut(line.text, (size_t)(room / NUMBER_PER_LETTER));
    svg_text(out, panel->left, y, "number", "start", line.text);
}

/* The local address is shown as a tooltip. */
static void put_label(FILE *out, const struct probe_row *row, double y)
{
    struct text_line path = {0};

    if (row->address != NULL)
        probe_phrase_path(row->address, &path);
    (void)fputs("<g><title>", out);
    svg_escaped(out, row->label);
    svg_escaped(out, path.length > 0 ? ": " : "");
    svg_escaped(out, path.text);
    (void)fputs("</title>", out);
    svg_text(out, PROBE_PLOT_MARGIN, y, "label", "start", row->label);
    (void)fputs("</g>\n", out);
}

static void put_row(FILE *out, const struct probe_plot_panel *panel, const struct probe_row *row,
                    int64_t axis_ns, double y)
{
    double total = panel->left + panel->length + MARK_LENGTH + TIME_LENGTH - 10;

    put_label(out, row, y + (BAR_HEIGHT - 4));
    (void)fprintf(out, "<rect class=\"track\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%d\"/>\n",
                  panel->left, y, panel->length, BAR_HEIGHT);
    put_bars(out, panel, row, axis_ns, y);
    svg_text(out, total, y + (BAR_HEIGHT - 4), "total", "end", probe_phrase_time(row->end_ns).text);
    svg_text(out, total + 10, y + (BAR_HEIGHT - 4),
             row->reason == ERR_OK ? "good"
             : row->counts         ? "bad"
                                   : "sub",
             "start", probe_phrase_reason(row->reason));
    if (panel->numbers)
        put_numbers(out, panel, row, y + (BAR_HEIGHT + 13));
}

static void put_legend(FILE *out, const struct probe_result *result, bool failed, double y)
{
    double x = PROBE_PLOT_MARGIN;
    char letter[2] = "";

    for (int i = 0; i < PROBE_PHASES; i++) {
        enum probe_phase phase = (enum probe_phase)i;
        if (!probe_has_phase(result, phase))
            continue;
        letter[0] = letters[phase];
        (void)fprintf(out, "<rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" width=\"16\" height=\"16\"/>\n",
                      probe_phase_name(phase), x, y);
        svg_text(out, x + 8, y + 12, phase == PROBE_TLS ? "on off" : "on", "middle", letter);
        svg_text(out, x + 22, y + 12.5, "tick", "start", probe_phrase_phase(phase));
        x += 22 + (double)strlen(probe_phrase_phase(phase)) * 8 + 18;
    }
    if (failed) {
        put_cross(out, x + 4, y + 4);
        svg_text(out, x + 22, y + 12.5, "tick", "start", "failed there");
    }
}

void probe_plot_waterfall(const struct probe_result *result, const struct probe_plot_panel *panel, FILE *out)
{
    size_t count = probe_row_count(result);
    int64_t axis_ns = probe_axis_ns(result);
    struct probe_row row;
    bool failed = false;

    if (count == 0)
        return;
    put_axis(out, panel, axis_ns, count);
    for (size_t i = 0; i < count; i++) {
        probe_row_fill(result, i, &row);
        failed = failed || row.reason != ERR_OK;
        put_row(out, panel, &row, axis_ns, panel->top + (double)i * panel->row_height);
    }
    put_legend(out, result, failed, panel->top + (double)count * panel->row_height + 8);
}
