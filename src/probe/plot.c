#include "plot.h"

#include <string.h>

#include "phrases.h"
#include "report.h"
#include "tcpgreet/format/svg.h"

enum {
    HEAD_HEIGHT = 132,
    LINE_HEIGHT = 19,
    LINES_MAX = 96,
    LINE_COLUMNS = 124, /* of 13 pixels, in 936 */
    BOLD_COLUMNS = 108,
    TITLE_COLUMNS = 72,
    FOOT_HEIGHT = 40,
    AXIS_HEIGHT = 40 /* above a waterfall that stands alone */
};

/* What stands below the waterfall. Invariant: count <= LINES_MAX; each text stands in `texts`. */
struct notes {
    size_t count;
    struct {
        const char *class;
        bool first; /* of a sentence */
        char text[LINE_COLUMNS * 4 + 1];
    } lines[LINES_MAX];
};

static void note(struct notes *notes, const char *class, size_t columns, const char *text)
{
    char shown[TEXT_PRINTABLE_BYTES];
    bool first = true;

    for (text = text_printable(text, false, shown, sizeof(shown));
         *text != '\0' && notes->count < LINES_MAX;) {
        size_t length = text_break(text, columns);
        notes->lines[notes->count].class = class;
        notes->lines[notes->count].first = first;
        (void)snprintf(notes->lines[notes->count++].text, sizeof(notes->lines[0].text), "%.*s", (int)length,
                       text);
        text += length;
        text += strspn(text, " ");
        first = false;
    }
}

static void note_race(struct notes *notes, const struct probe_result *result)
{
    struct text_line race = {0};

    probe_phrase_race(result, &race);
    if (race.length == 0)
        return;
    note(notes, "sub", LINE_COLUMNS, race.text);
}

static void note_all(struct notes *notes, const struct probe_result *result)
{
    struct probe_finding findings[PROBE_FINDINGS_MAX], remarks[PROBE_REMARKS_MAX];
    size_t count = probe_diagnose(result, findings);
    size_t remark_count = probe_remarks(result, remarks);
    struct text_line last = {0};

    notes->count = 0;
    note_race(notes, result);
    for (size_t i = 0; i < count; i++)
        note(notes, "finding", LINE_COLUMNS, findings[i].text);
    for (size_t i = 0; i < remark_count; i++)
        note(notes, "sub", LINE_COLUMNS, remarks[i].text);
    probe_phrase_last(result, count, &last);
    note(notes, "last", BOLD_COLUMNS, last.text);
}

static void put_notes(FILE *out, const struct notes *notes, int top)
{
    double y = top;

    for (size_t i = 0; i < notes->count; i++) {
        bool apart = notes->lines[i].first && strcmp(notes->lines[i].class, "finding") == 0;
        y += (double)LINE_HEIGHT;
        if (apart)
            (void)fprintf(out, "<circle class=\"bullet\" cx=\"%d\" cy=\"%.1f\" r=\"3\"/>\n",
                          PROBE_PLOT_MARGIN + 4, y - 4.5);
        svg_text(out, PROBE_PLOT_MARGIN + (strcmp(notes->lines[i].class, "finding") == 0 ? 16 : 0), y,
                 notes->lines[i].class, "start", notes->lines[i].text);
    }
}

static void put_head(FILE *out, const struct probe_result *result, const char *title)
{
    struct text_line verdict = {0};
    struct text_line answers = {0};
    const char *class = result->verdict.reason == ERR_OK ? "good" : "bad";

    svg_text(out, PROBE_PLOT_MARGIN, 42, "title", "start", title);
    svg_text(out, PROBE_PLOT_WIDTH - PROBE_PLOT_MARGIN, 66, "sub", "end", text_date(result->started_s).text);
    probe_phrase_verdict(result, &verdict);
    (void)fprintf(out, "<text x=\"%d\" y=\"66\" class=\"sub\"><tspan class=\"%s\">", PROBE_PLOT_MARGIN,
                  class);
    size_t word = strcspn(verdict.text, ",");
    (void)fprintf(out, "%.*s</tspan>%s</text>\n", (int)word, verdict.text, verdict.text + word);
    probe_phrase_answers(result, &answers);
    text_cut(answers.text, LINE_COLUMNS);
    svg_text(out, PROBE_PLOT_MARGIN, 86, "sub", "start", answers.text);
}

void probe_report_plot(const struct probe_result *result, FILE *out)
{
    struct probe_plot_panel panel = probe_plot_panel(result, HEAD_HEIGHT);
    int notes_top = HEAD_HEIGHT + probe_plot_height(result, &panel);
    struct text_line title = {0};
    struct notes notes;

    text_append(&title, "Probe of ");
    probe_phrase_target(result, &title);
    note_all(&notes, result);
    int height = notes_top + (int)notes.count * LINE_HEIGHT + FOOT_HEIGHT;
    svg_open(out, PROBE_PLOT_WIDTH, height, title.text, probe_plot_style, probe_plot_dark_style);
    text_cut(title.text, TITLE_COLUMNS);
    put_head(out, result, title.text);
    probe_plot_waterfall(result, &panel, out);
    put_notes(out, &notes, notes_top);
    svg_close(out, PROBE_PLOT_WIDTH, height, "");
}

void probe_report_waterfall(const struct probe_result *result, FILE *out)
{
    struct probe_plot_panel panel = probe_plot_panel(result, AXIS_HEIGHT);
    int height = probe_plot_height(result, &panel);

    if (height == 0)
        return;
    (void)fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n<title>Phases of ", PROBE_PLOT_WIDTH,
                  AXIS_HEIGHT + height);
    svg_escaped(out, result->target);
    (void)fputs("</title>\n", out);
    probe_plot_waterfall(result, &panel, out);
    (void)fputs("</svg>\n", out);
}

void probe_waterfall_style(FILE *out)
{
    svg_style(out, probe_plot_style, probe_plot_dark_style);
}
