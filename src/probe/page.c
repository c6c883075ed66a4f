#include "page.h"

#include <string.h>

static const char *const paints[PROBE_PAINTS] = {
    [PROBE_PLAIN] = "",         [PROBE_GOOD] = "\x1b[32m", [PROBE_WARNING] = "\x1b[33m",
    [PROBE_BAD] = "\x1b[1;31m", [PROBE_HEAD] = "\x1b[1m",  [PROBE_FAINT] = "\x1b[2m"};

size_t probe_page_columns(const struct probe_style *style)
{
    if (style->columns < PROBE_PAGE_COLUMNS_MIN)
        return PROBE_PAGE_COLUMNS_MIN;
    return style->columns < PROBE_PAGE_COLUMNS_MAX ? (size_t)style->columns : PROBE_PAGE_COLUMNS_MAX;
}

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
    char shown[TEXT_PRINTABLE_BYTES];
    size_t indent = first;

    text = text_printable(text, !page->style->utf8, shown, sizeof(shown));
    while (*text != '\0') {
        size_t length = text_break(text, page->columns - indent);
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
