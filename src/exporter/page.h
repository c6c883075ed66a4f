/* The exporter's page: what was found lately, without a script. */
#ifndef TCPGREET_EXPORTER_PAGE_H
#define TCPGREET_EXPORTER_PAGE_H

#include <stdint.h>
#include <stdio.h>

#include "recent.h"

/* Each writes a whole document; the caller checks out for errors. Shape: now_s is wall clock, since 1970. */
void page_put(const struct recent *recent, size_t in_flight, int64_t now_s, FILE *out);
void page_put_style(FILE *out);

#endif
