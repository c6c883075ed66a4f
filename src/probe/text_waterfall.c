#include <string.h>

#include "bars.h"
#include "phrases.h"
#include "tcpgreet/format/axis.h"
#include "text_waterfall.h"

enum {
    TIME_COLUMNS = 7,     /* "1.23 ms", "- 999 µs" never longer */
    BAR_COLUMNS_MIN = 16, /* below, a row takes two lines */
    TICK_COLUMNS = 8
};

/* How the page is shared out. Invariant: in one line, label, bar, time and reason fit the page. */
struct columns {
    size_t label;
    size_t bar; /* one more for the mark of a failure */
    bool stacked;
    int64_t axis_ns;
};

/* One of each for a phase; neighbours in time look unlike each other. */
static const struct {
    const char *block;
    char letter;
    const char *color;
} looks[PROBE_PHASES] = {
    [PROBE_RESOLVE] = {"\u2591", 'r', "\x1b[90m"},  [PROBE_CONNECT] = {"\u2592", 'c', "\x1b[36m"},
    [PROBE_PROXY] = {"\u2599", 'p', "\x1b[31m"},    [PROBE_STARTTLS] = {"\u258c", 's', "\x1b[94m"},
    [PROBE_TLS] = {"\u2593", 't', "\x1b[34m"},      [PROBE_WELCOME] = {"\u2584", 'w', "\x1b[33m"},
    [PROBE_NAME] = {"\u2588", 'n', "\x1b[32m"},     [PROBE_CLOSE] = {"\u2580", 'x', "\x1b[35m"},
    [PROBE_EXCHANGE] = {"\u259e", 'e', "\x1b[32m"}, [PROBE_VOLUME] = {"\u259a", 'v', "\x1b[37m"}};

static void put_cells(const struct probe_page *page, enum probe_phase phase, size_t count)
{
    (void)fputs(page->style->color ? looks[phase].color : "", page->out);
    for (size_t i = 0; i < count; i++) {
        if (page->style->utf8)
            (void)fputs(looks[phase].block, page->out);
        else
            (void)fputc(looks[phase].letter, page->out);
    }
    (void)fputs(page->style->color ? "\x1b[0m" : "", page->out);
}

static const char *failure_mark(const struct probe_page *page)
{
    return page->style->utf8 ? "\u00d7" : "!";
}

/* The widest label that leaves a bar its room; longer ones stand on a line of their own. */
static struct columns share_out(const struct probe_page *page, const struct probe_result *result)
{
    struct columns columns = {.label = 2, .axis_ns = probe_axis_ns(result)};
    size_t most = page->columns * 3 / 8;
    size_t reason = 2;
    struct probe_row row;

    for (size_t i = 0; i < probe_row_count(result); i++) {
        probe_row_fill(result, i, &row);
        size_t label = text_columns(row.label);
        size_t word = strlen(probe_phrase_reason(row.reason));
        if (label > columns.label && label <= most)
            columns.label = label;
        reason = word > reason ? word : reason;
    }
    size_t others = columns.label + 2 + 1 + TIME_COLUMNS + 2 + reason;
    columns.stacked = others + BAR_COLUMNS_MIN > page->columns;
    if (columns.stacked)
        columns.label = 0;
    columns.bar = page->columns - (columns.stacked ? 2 + 1 + TIME_COLUMNS : others);
    return columns;
}

static void put_axis(const struct probe_page *page, const struct columns *columns)
{
    double most_s = (double)columns->axis_ns / 1e9;
    double length = (double)columns->bar - 1;
    size_t steps = columns->bar / TICK_COLUMNS;
    size_t at = 0;
    struct svg_axis axis;

    svg_axis_linear(&axis, most_s, steps > 0 ? steps : 1, false);
    double of_unit = axis.high >= 1 ? 1 : axis.high >= 1e-3 ? 1e3 : 1e6;
    const char *unit = axis.high >= 1 ? "s" : axis.high >= 1e-3 ? "ms" : page->style->utf8 ? "\u00b5s" : "us";
    probe_page_spaces(page, columns->label + 2);
    (void)fputs(page->style->color ? "\x1b[2m" : "", page->out);
    for (size_t i = 0; i < axis.count; i++) {
        char label[48];
        size_t place = (size_t)(axis.ticks[i] / most_s * length + 0.5);
        (void)snprintf(label, sizeof(label), "%s%g %s", page->style->utf8 ? "\u2502" : "|",
                       axis.ticks[i] * of_unit, unit);
        if (place < at || place + text_columns(label) > page->columns - columns->label - 2)
            continue;
        (void)fprintf(page->out, "%*s%s", (int)(place - at), "", label);
        at = place + text_columns(label);
    }
    (void)fputs(page->style->color ? "\x1b[0m" : "", page->out);
    (void)fputc('\n', page->out);
}

static void put_bars(const struct probe_page *page, const struct columns *columns,
                     const struct probe_row *row)
{
    struct probe_bars bars;
    size_t at = 0;

    probe_bars_lay(row, columns->axis_ns, (int)columns->bar - 1, 1, &bars);
    for (size_t i = 0; i < bars.count; i++) {
        const struct probe_bar *bar = &bars.bars[i];
        probe_page_spaces(page, (size_t)bar->begin - at);
        put_cells(page, bar->phase, (size_t)(bar->end - bar->begin));
        at = (size_t)bar->end;
        if (bar->failed) {
            probe_page_paint(page, row->counts ? PROBE_BAD : PROBE_FAINT, failure_mark(page));
            at++;
        }
    }
    probe_page_spaces(page, columns->bar - at + 1);
}

static void put_time(const struct probe_page *page, const struct probe_row *row)
{
    char shown[sizeof(struct text)];
    struct text time = probe_phrase_time(row->end_ns);

    (void)text_printable(time.text, !page->style->utf8, shown, sizeof(shown));
    size_t width = text_columns(shown);
    probe_page_spaces(page, width < TIME_COLUMNS ? TIME_COLUMNS - width : 0);
    (void)fputs(shown, page->out);
}

static void put_reason(const struct probe_page *page, const struct probe_row *row)
{
    enum probe_paint failed = row->counts ? PROBE_BAD : PROBE_FAINT;
    probe_page_paint(page, row->reason == ERR_OK ? PROBE_GOOD : failed, probe_phrase_reason(row->reason));
    (void)fputc('\n', page->out);
}

/* Label and reason above, bar and time below. */
static void put_stacked(const struct probe_page *page, const struct columns *columns,
                        const struct probe_row *row)
{
    size_t label = text_columns(row->label);
    bool fits = label + 2 + strlen(probe_phrase_reason(row->reason)) <= page->columns;

    probe_page_wrap(page, 0, 0, PROBE_PLAIN, fits ? "" : row->label);
    if (fits)
        (void)fputs(row->label, page->out);
    probe_page_spaces(page, 2);
    put_reason(page, row);
    probe_page_spaces(page, 2);
    put_bars(page, columns, row);
    put_time(page, row);
    (void)fputc('\n', page->out);
}

static void put_row(const struct probe_page *page, const struct columns *columns, const struct probe_row *row)
{
    size_t label = text_columns(row->label);

    if (label > columns->label) {
        probe_page_wrap(page, 0, 0, PROBE_PLAIN, row->label);
        label = 0;
    } else {
        (void)fputs(row->label, page->out);
    }
    probe_page_spaces(page, columns->label + 2 - label);
    put_bars(page, columns, row);
    put_time(page, row);
    probe_page_spaces(page, 2);
    put_reason(page, row);
}

static void put_legend(const struct probe_page *page, const struct probe_result *result, bool failed)
{
    size_t at = 0;

    for (int i = 0; i <= PROBE_PHASES; i++) {
        bool mark = i == PROBE_PHASES;
        enum probe_phase phase = mark ? PROBE_RESOLVE : (enum probe_phase)i;
        const char *name = mark ? "failed" : probe_phrase_phase(phase);
        size_t width = 2 + strlen(name);
        if (mark ? !failed : !probe_has_phase(result, phase))
            continue;
        if (at > 0 && at + 3 + width > page->columns) {
            (void)fputc('\n', page->out);
            at = 0;
        }
        probe_page_spaces(page, at > 0 ? 3 : 0);
        at += (at > 0 ? 3 : 0) + width;
        if (mark)
            probe_page_paint(page, PROBE_BAD, failure_mark(page));
        else
            put_cells(page, phase, 1);
        (void)fprintf(page->out, " %s", name);
    }
    (void)fputc('\n', page->out);
}

void probe_text_waterfall(const struct probe_page *page, const struct probe_result *result)
{
    size_t count = probe_row_count(result);
    struct columns columns = share_out(page, result);
    struct probe_row row;
    bool failed = false;

    if (count == 0)
        return;
    (void)fputc('\n', page->out);
    put_axis(page, &columns);
    for (size_t i = 0; i < count; i++) {
        probe_row_fill(result, i, &row);
        failed = failed || row.reason != ERR_OK;
        if (columns.stacked)
            put_stacked(page, &columns, &row);
        else
            put_row(page, &columns, &row);
    }
    put_legend(page, result, failed);
}
