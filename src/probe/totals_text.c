#include "totals.h"

#include <string.h>

#include "page.h"
#include "phrases.h"

enum {
    REASON_COLUMNS = 22,
    TIME_COLUMNS = 8,
    HEAD_COLUMNS = REASON_COLUMNS + TIME_COLUMNS + 4,
    HEAD_MIN = 4
};

/* The verdict's sentence, without the target, which stands before it. */
static const char *sentence_of(const struct probe_result *result)
{
    const char *text = result->verdict.text;
    size_t length = strlen(result->target);

    if (!result->verdict_names_target || strncmp(text, result->target, length) != 0)
        return text;
    text += length;
    return text + strspn(text, ": ");
}

static void put_head(const struct probe_page *page, const struct probe_result *result)
{
    struct text time = probe_phrase_time(result->total_ns);
    const char *word = probe_phrase_reason(result->verdict.reason);
    char shown[TEXT_PRINTABLE_BYTES];
    const char *text = text_printable(time.text, !page->style->utf8, shown, sizeof(shown));
    size_t columns = strlen(word), time_columns = text_columns(text);

    probe_page_paint(page, probe_page_verdict(result->verdict.reason), word);
    probe_page_spaces(page, columns < REASON_COLUMNS ? REASON_COLUMNS - columns : 0);
    probe_page_spaces(page, 2 + (time_columns < TIME_COLUMNS ? TIME_COLUMNS - time_columns : 0));
    (void)fprintf(page->out, "%s  ", text);
}

/* Text behind the head, in as many lines as it needs. */
static void put_wrapped(const struct probe_page *page, const char *text)
{
    size_t indent = page->columns > HEAD_COLUMNS + HEAD_COLUMNS ? HEAD_COLUMNS : HEAD_MIN;
    size_t room = page->columns > HEAD_COLUMNS ? page->columns - HEAD_COLUMNS : 1;

    while (*text != '\0') {
        size_t length = text_break(text, room);
        (void)fwrite(text, 1, length, page->out);
        (void)fputc('\n', page->out);
        text += length;
        text += strspn(text, " ");
        room = page->columns - indent;
        if (*text != '\0')
            probe_page_spaces(page, indent);
    }
}

/* What is verified, and what is wrong nevertheless. */
static void put_ok(const struct probe_result *result, struct text_line *line)
{
    struct probe_finding doubts[PROBE_FINDINGS_MAX];
    size_t count = probe_doubts(result, doubts);

    probe_phrase_through(result, line);
    for (size_t i = 0; i < count; i++)
        text_append(line, "%s%s", line->length > 0 ? "; " : "", doubts[i].text);
}

void probe_totals_line(const struct probe_result *result, const struct probe_style *style, bool is_wrapped,
                       FILE *out)
{
    struct probe_page page = {out, style, probe_page_columns(style)};
    struct text_line line = {0}, through = {0};
    char shown[TEXT_PRINTABLE_BYTES];
    const char *sentence = sentence_of(result);

    if (result->verdict.reason == ERR_OK) {
        put_ok(result, &through);
        sentence = through.text + strspn(through.text, " ");
    }
    text_append(&line, "%s%s%s", result->target, *sentence != '\0' ? "  " : "", sentence);
    const char *text = text_printable(line.text, !style->utf8, shown, sizeof(shown));
    put_head(&page, result);
    if (is_wrapped)
        put_wrapped(&page, text);
    else
        (void)fprintf(out, "%s\n", text);
}

static void put_times(const struct probe_totals *totals, struct text_line *line)
{
    const struct histogram *total = &totals->total;

    if (total->total == 0)
        return;
    text_append(line, "time of those OK: median %s, ",
                probe_phrase_time(histogram_quantile_ns(total, 0.5)).text);
    text_append(line, "p99 %s, ", probe_phrase_time(histogram_quantile_ns(total, 0.99)).text);
    text_append(line, "slowest %s (%s)", probe_phrase_time(totals->slowest_ns).text, totals->slowest);
}

void probe_totals_text(const struct probe_totals *totals, const struct probe_style *style, FILE *out)
{
    struct probe_page page = {out, style, probe_page_columns(style)};
    struct text_line sentence = {0}, times = {0};
    bool ok = totals->reasons[ERR_OK] == totals->targets;

    (void)fputc('\n', out);
    probe_totals_sentence(totals, &sentence);
    text_append(&sentence, ", %s", probe_phrase_time(totals->elapsed_ns).text);
    probe_page_wrap(&page, 0, 2, ok ? PROBE_GOOD : PROBE_BAD, sentence.text);
    put_times(totals, &times);
    probe_page_wrap(&page, 0, 2, PROBE_PLAIN, times.text);
}
