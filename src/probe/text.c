#include "text.h"

#include <string.h>

#include "phrases.h"

static const char *const paints[PROBE_PAINTS] = {
    [PROBE_PLAIN] = "",         [PROBE_GOOD] = "\x1b[32m", [PROBE_WARNING] = "\x1b[33m",
    [PROBE_BAD] = "\x1b[1;31m", [PROBE_HEAD] = "\x1b[1m",  [PROBE_FAINT] = "\x1b[2m"};

void probe_page_spaces(const struct probe_page *page, size_t count)
{
    (void)fprintf(page->out, "%*s", (int)count, "");
}

static void put_painted(const struct probe_page *page, enum probe_paint paint, const char *text,
                        size_t length)
{
    bool color = page->style->color && paint != PROBE_PLAIN;
    (void)fputs(color ? paints[paint] : "", page->out);
    (void)fwrite(text, 1, length, page->out);
    (void)fputs(color ? "\x1b[0m" : "", page->out);
}

void probe_page_paint(const struct probe_page *page, enum probe_paint paint, const char *text)
{
    put_painted(page, paint, text, strlen(text));
}

void probe_page_wrap(const struct probe_page *page, size_t first, size_t rest, enum probe_paint paint,
                     const char *text)
{
    char shown[WORDS_SHOWN_BYTES];
    size_t indent = first;

    text = words_shown(text, !page->style->utf8, shown, sizeof(shown));
    while (*text != '\0') {
        size_t length = words_break(text, page->columns - indent);
        probe_page_spaces(page, indent);
        put_painted(page, paint, text, length);
        (void)fputc('\n', page->out);
        text += length;
        text += strspn(text, " ");
        indent = rest;
    }
}

enum probe_paint probe_page_verdict(enum err_reason reason)
{
    if (reason == ERR_OK)
        return PROBE_GOOD;
    return reason == ERR_DEGRADED || reason == ERR_THRESHOLD ? PROBE_WARNING : PROBE_BAD;
}

static void put_head(const struct probe_page *page, const struct probe_result *result)
{
    struct words_line head = {0};
    struct words_line answers = {0};

    probe_words_target(result, &head);
    words_add(&head, ": ");
    probe_words_verdict(result, &head);
    probe_page_wrap(page, 0, 2, probe_page_verdict(result->verdict.reason), head.text);
    probe_words_answers(result, &answers);
    probe_page_wrap(page, 0, 2, PROBE_PLAIN, answers.text);
}

static void put_race(const struct probe_page *page, const struct probe_result *result)
{
    struct words_line race = {0};

    probe_words_race(result, &race);
    if (race.length == 0)
        return;
    (void)fputc('\n', page->out);
    words_add(&race, ".");
    race.text[0] = 'A';
    probe_page_wrap(page, 0, 2, PROBE_PLAIN, race.text);
}

static void put_end(const struct probe_page *page, const struct probe_result *result)
{
    struct probe_finding findings[PROBE_FINDINGS_MAX];
    size_t count = probe_diagnose(result, findings);
    const char *last = probe_words_last(result, count);
    struct words_line line = {0};

    (void)fputc('\n', page->out);
    for (size_t i = 0; i < count; i++) {
        line = (struct words_line){0};
        words_add(&line, "- %s", findings[i].text);
        probe_page_wrap(page, 0, 2, PROBE_PLAIN, line.text);
    }
    if (last != NULL)
        probe_page_wrap(page, 0, 2, probe_page_verdict(result->verdict.reason), last);
}

static size_t columns_of(const struct probe_style *style)
{
    if (style->columns < PROBE_PAGE_COLUMNS_MIN)
        return PROBE_PAGE_COLUMNS_MIN;
    return style->columns < PROBE_PAGE_COLUMNS_MAX ? (size_t)style->columns : PROBE_PAGE_COLUMNS_MAX;
}

void probe_report_text(const struct probe_result *result, const struct probe_style *style, FILE *out)
{
    struct probe_page page = {out, style, columns_of(style)};

    put_head(&page, result);
    probe_text_waterfall(&page, result);
    probe_text_facts(&page, result);
    probe_text_certificates(&page, result);
    put_race(&page, result);
    put_end(&page, result);
}
