/* One round of a probe: resolves, tries every address side by side, fills a result. */
#ifndef TCPGREET_PROBE_ROUND_H
#define TCPGREET_PROBE_ROUND_H

#include <uv.h>

#include "plan.h"
#include "result.h"
#include "tcpgreet/base/err.h"

struct probe_round;

/* Borrows: result, judged. The round is gone when it returns. */
typedef void probe_round_done_fn(void *context, struct probe_result *result);

/* Writes what a result is about, with nothing asked for yet. */
void probe_round_describe(const struct probe_plan *plan, struct probe_result *result);

/* Calls back: done once, from the loop, never from inside; not after probe_round_cancel.
 * Takes nothing. Shape: *result is {0}; probe_result_fini is the caller's. Returns: the round, NULL on
 * failure. Errors: usage (source, family), internal. Thread: the loop's. */
struct probe_round *probe_round_start(const struct probe_plan *plan, struct probe_result *result,
                                      probe_round_done_fn *done, void *context, struct err *err);

/* Gives up: what is known so far stays in result; what was not done, and the verdict, are ERR_INTERRUPTED;
 * awaited is then the reason that a handshake would have ended with, had its own time been over.
 * Shape: NULL is allowed. The loop must still run, to close what was open. */
void probe_round_cancel(struct probe_round *round);

#endif
