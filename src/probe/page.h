/* The page that a probe's text is written on: lines that fit, in colour where that is wanted. */
#ifndef TCPGREET_PROBE_PAGE_H
#define TCPGREET_PROBE_PAGE_H

#include "report.h"
#include "tcpgreet/format/text.h"

enum { PROBE_PAGE_COLUMNS_MIN = 40, PROBE_PAGE_COLUMNS_MAX = 400 };

/* The meaning of a colour; it is never the only sign of it. */
enum probe_paint { PROBE_PLAIN, PROBE_GOOD, PROBE_WARNING, PROBE_BAD, PROBE_HEAD, PROBE_FAINT, PROBE_PAINTS };

struct probe_page {
    FILE *out;
    const struct probe_style *style;
    size_t columns;
};

/* Returns: the columns of a page of this style. */
size_t probe_page_columns(const struct probe_style *style);

/* Writes any text in lines that fit the page: the first indented by so many spaces, the rest by rest. Nothing
 * for an empty text. Shape: first and rest are below PROBE_PAGE_COLUMNS_MIN / 2. */
void probe_page_wrap(const struct probe_page *page, size_t first, size_t rest, enum probe_paint paint,
                     const char *text);

/* Writes text in a colour. Shape: text needs no escape. */
void probe_page_paint(const struct probe_page *page, enum probe_paint paint, const char *text);
void probe_page_spaces(const struct probe_page *page, size_t count);

/* Returns: green for OK, yellow for degraded or a threshold, red. */
enum probe_paint probe_page_verdict(enum err_reason reason);

#endif
