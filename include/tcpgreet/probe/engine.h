/* Many probes at once on one loop, each of one round, with a limit on those in flight. */
#ifndef TCPGREET_PROBE_ENGINE_H
#define TCPGREET_PROBE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/probe/faces.h"
#include "tcpgreet/probe/probe.h"

struct probe_engine;

/* One probe in flight. */
struct probe_job;

struct probe_engine_config {
    size_t limit; /* probes in flight; at least 1 */
};

/* Takes: result. The job is gone when it returns. */
typedef void probe_job_done_fn(void *context, struct probe_result *result);

/* Borrows: loop, until it has run once more after probe_engine_close. Returns: the engine; NULL with err.
 * Errors: internal. Thread: the loop's, as for all functions below. */
struct probe_engine *probe_engine_open(uv_loop_t *loop, const struct probe_engine_config *config,
                                       struct err *err);

/* Returns: how many probes are in flight; whether that is the limit. */
size_t probe_engine_in_flight(const struct probe_engine *engine);
bool probe_engine_is_full(const struct probe_engine *engine);

/* Starts one round of a probe, which ends on its own after config->timeout_ms (0: as the other time limits
 * have it); what is asked for beyond one round is ignored: count, interval, retry, command, format, plot.
 * A TLS context is made once for equal settings, and its files are read then. What keeps the probe from
 * beginning, such as a file that cannot be read, is a result too: its verdict.
 * Borrows: config, until done or probe_job_cancel. Shape: the engine is not full. Calls back: done once, from
 * the loop, never from inside, not after probe_job_cancel; it may call everything here, probe_engine_close
 * included. Returns: the job; NULL with err. Errors: internal: no memory. */
struct probe_job *probe_engine_submit(struct probe_engine *engine, const struct probe_config *config,
                                      probe_job_done_fn *done, void *context, struct err *err);

/* Gives up. Returns: what is known so far, for probe_result_free; what was not done, and so mostly the
 * verdict, is ERR_INTERRUPTED. */
struct probe_result *probe_job_cancel(struct probe_job *job);

/* Reads the files of all TLS contexts again, for the probes that are submitted from now on. A context whose
 * files cannot be used stays as it is. Returns: 0; -1 with the first failure. Errors: as tls_client_new. */
int probe_engine_reload(struct probe_engine *engine, struct err *err);

/* Cancels every job, without a result. The loop must run once more. Shape: NULL is allowed. */
void probe_engine_close(struct probe_engine *engine);

#endif
