/* A run of --probe: what its rounds share, and where their results go. */
#ifndef TCPGREET_PROBE_OUTPUT_H
#define TCPGREET_PROBE_OUTPUT_H

#include <stdint.h>
#include <stdio.h>

#include "report.h"
#include "result.h"
#include "summary.h"
#include "tcpgreet/os/output.h"
#include "tcpgreet/probe/probe.h"

/* Where results go. Borrows config. */
struct probe_output {
    const struct probe_config *config;
    int fd;                /* of the reports */
    struct output *queue;  /* to fd; borrowed */
    struct output_text at; /* the report that is being printed */
    struct probe_style style;
    int plugin_code; /* of the line that was written last */
};

/* Looks at the descriptor and the environment; queue is still to be set. */
void probe_output_init(struct probe_output *output, const struct probe_config *config);

/* Queues the report of one result in the requested format, and the plot. Nothing with -q or COMMAND.
 * Errors: system-output, system-file. */
int probe_output_result(struct probe_output *output, const struct probe_result *result, struct err *err);

/* Queues one round of a series; its summary, with the plot of the last round. Errors: as above. */
int probe_output_round(struct probe_output *output, const struct probe_result *result, const char *changes,
                       struct err *err);
int probe_output_summary(struct probe_output *output, const struct probe_summary *summary,
                         const struct probe_result *last, struct err *err);

/* With -v, reports a round that will be repeated, on standard error. */
void probe_output_attempt(const struct probe_output *output, const struct probe_result *result);

/* Returns: whether a failed result needs no further message: the output reports it, or -q is given. */
bool probe_output_is_complete(const struct probe_output *output);

/* Makes of a round that was given up because the time of the whole run was over one that came to its end, and
 * judges it. */
void probe_late(struct probe_result *result, int64_t limit_ms);

/* Executes the command. Returns: only on failure, after reporting it: 127 or 126, as env(1) does. */
int probe_command_run(const char *const *words);

#endif
