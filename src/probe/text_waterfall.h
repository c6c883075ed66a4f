/* The waterfall of a probe's text. */
#ifndef TCPGREET_PROBE_TEXT_WATERFALL_H
#define TCPGREET_PROBE_TEXT_WATERFALL_H

#include "page.h"

/* Writes the axis, a row for each address, and the legend. */
void probe_text_waterfall(const struct probe_page *page, const struct probe_result *result);

#endif
