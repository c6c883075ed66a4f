/* A regular expression over bytes, searched in a stream of which only the beginning is known yet: PCRE2. */
#ifndef TCPGREET_CORE_PATTERN_H
#define TCPGREET_CORE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/buf.h"

enum { PATTERN_FAULT_BYTES = 128 };

struct pattern; /* compiled; it does not change, so that any number of searches may share it */

/* Why a text is no pattern. Shape: words: PCRE2's; exhausted: there was not enough memory to find out. */
struct pattern_fault {
    bool exhausted;
    size_t offset;
    char words[PATTERN_FAULT_BYTES];
};

enum pattern_result {
    PATTERN_NONE,      /* no match begins in these bytes */
    PATTERN_OPEN,      /* what follows these bytes decides */
    PATTERN_MATCH,     /* whatever follows */
    PATTERN_COSTLY,    /* given up: too many steps, or too much memory */
    PATTERN_EXHAUSTED, /* memory is exhausted */
    PATTERN_RESULTS
};

/* Shape: begin <= end, in the bytes that were searched. */
struct pattern_span {
    size_t begin;
    size_t end;
};

/* Multi-line: ^ and $ match at line ends, which are LF, CR and CR LF; bytes, never UTF-8.
 * Returns: the pattern, which pattern_free frees; NULL with fault. */
struct pattern *pattern_new(const char *text, struct pattern_fault *fault);

void pattern_free(struct pattern *pattern);

/* Searches in bytes. Shape: *from: where a match can begin, 0 at first; it becomes where one can begin in the
 * same bytes with more behind them. is_all: nothing follows; *from stays as it is, and PATTERN_OPEN is not
 * returned. span is set with PATTERN_MATCH.
 * Of two searches of the same bytes, one with more behind them, the second returns PATTERN_MATCH with the
 * same span if the first did. */
enum pattern_result pattern_search(const struct pattern *pattern, struct bytes bytes, size_t *from,
                                   bool is_all, struct pattern_span *span);

/* Returns: "10.42 2022-12-11 (built with 10.42)", the library's version, in text; NULL where this build has
 * none. */
const char *pattern_version(char *text, size_t room);

#endif
