/* Text for the trace: each step with its call, arguments, result and time, and why it is done. */
#ifndef TCPGREET_EXPLAIN_EXPLAIN_H
#define TCPGREET_EXPLAIN_EXPLAIN_H

#include "tcpgreet/base/log.h"
#include "tcpgreet/base/trace.h"

/* One line, without a newline; every byte of it printable. Thread: as the trace's. */
typedef void explain_line_fn(void *context, const struct log_event *event, const char *line);

/* Turns the trace on. Each step is printed, the first time with its reason: as text in further lines, as JSON
 * as facts of the one event. Thread: before any other thread starts. */
void explain_start(enum log_format format, explain_line_fn *line, void *context);

/* Returns: the title of a step, and why it is done; NULL for a step that is not in the table. */
const char *explain_title(enum trace_step step);
const char *explain_why(enum trace_step step);

/* Writes the line for one event, as explain_start's. Returns: text. Shape: room >= 128. */
const char *explain_format(const struct trace_event *event, uint64_t start_ns, uint64_t now_ns, char *text,
                           size_t room);

#endif
