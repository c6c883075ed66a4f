/* The mode --probe --targets: every target of a list once, many at a time, and a summary. */
#ifndef TCPGREET_PROBE_TARGETS_H
#define TCPGREET_PROBE_TARGETS_H

#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/probe/probe.h"

/* One target as its line has it. */
struct probe_target {
    size_t line; /* from 1 */
    struct probe_config config;
    char *words; /* which config borrows from */
};

/* A list, which is read again and again: what is kept of a target in between is small. */
struct probe_targets {
    const char *file; /* as the user gave it; NULL: there is no list */
    int parallel;     /* at a time; lowered where descriptors do not suffice */
    size_t count;
    int64_t took_ms; /* to get the list: a part of timeout_ms */
    /* Errors: internal: no memory. Returns: 0, for release; -1. */
    int (*read)(void *context, size_t index, struct probe_target *target, struct err *err);
    /* Shape: *target {0} is allowed. */
    void (*release)(void *context, struct probe_target *target);
    void *context;
};

/* Reports each result as it comes, and a summary. common: what concerns the whole run: format, color, quiet,
 * verbose, timeout_ms; a target's own timeout_ms is its own. Returns: the exit code if the results were
 * reported; else -1 with err. Errors: the verdict of the first target in the list's order that is not OK;
 * system-output, system-descriptors, interrupted, terminated, internal. */
int probe_targets(const struct probe_targets *targets, const struct probe_config *common, struct err *err);

#endif
