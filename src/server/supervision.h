/* What the service manager learns of a server: its states, its status line, that it works. */
#ifndef TCPGREET_SERVER_SUPERVISION_H
#define TCPGREET_SERVER_SUPERVISION_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/os/service_manager.h"
#include "worker.h"

/* Starts as {0}. */
struct supervision {
    struct service_manager *manager; /* borrowed; NULL: there is none */
    struct worker *const *workers;   /* borrowed, until the loop has ended */
    size_t worker_count;
    bool is_stopping;
};

/* Notifies that the server is ready, then of its counts. The watchdog is content as long as this loop runs
 * and every worker answers between two beats. Logs where notifications cannot be sent. Returns: 0; -1 with
 * err. */
int supervision_start(struct supervision *supervision, uv_loop_t *loop, struct err *err);

/* Around a reload, whatever comes of it. */
void supervision_reloading(struct supervision *supervision);
void supervision_reloaded(struct supervision *supervision);

/* The shutdown begins. */
void supervision_stopping(struct supervision *supervision);

#endif
