/* --metrics: a server's counts for Prometheus, and whether it works and takes connections. */
#ifndef TCPGREET_SERVER_METRICS_H
#define TCPGREET_SERVER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "expiry.h"
#include "sockets.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/http/listeners.h"
#include "tcpgreet/os/process.h"
#include "worker.h"

enum {
    METRICS_CONNECTIONS = 32, /* requests at a time; above it, the one that has waited longest is closed */
    METRICS_DESCRIPTORS = METRICS_CONNECTIONS + LISTENER_MAX + 8
};

/* Starts as {0}. */
struct metrics {
    const struct target *at; /* borrowed */
    struct http_listeners listeners;
    struct http *http; /* NULL: not open */
    const struct metrics_source *source;
    struct process_meter meter;
};

/* What is shown. Borrowed until metrics_close; read on the loop's thread. */
struct metrics_source {
    struct worker *const *workers;
    const size_t *worker_count;
    const bool *is_stopping;
    const struct expiry *expiry;
};

/* Listens at a target; without a host, on loopback addresses. Shape: at without a service: nothing is done,
 * as by all that follow. An error names the one of the sockets that has the port. Returns: 0; -1 with err.
 * Errors: as listener_open; internal. */
int metrics_open(struct metrics *metrics, const struct target *at, uv_loop_t *loop,
                 const struct metrics_source *source, const struct sockets *sockets, struct err *err);

/* Announces each address on standard output: scripts wait for it. Returns: 0; -1 with err. */
int metrics_announce(const struct metrics *metrics, struct err *err);

/* Answers what is asked 503, closes. The loop must still run, to close its handles. */
void metrics_close(struct metrics *metrics);

#endif
