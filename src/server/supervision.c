#include "supervision.h"

#include <inttypes.h>
#include <stdio.h>

#include "log.h"

/* Workers that end answer no more; draining has its own limit. */
static bool is_working(void *context)
{
    const struct supervision *supervision = context;
    bool all = true;

    for (size_t i = 0; !supervision->is_stopping && i < supervision->worker_count; i++) {
        all = worker_has_answered(supervision->workers[i]) && all;
        worker_ping(supervision->workers[i]);
    }
    return all;
}

static void put_status(void *context, char status[SERVICE_MANAGER_STATUS_BYTES])
{
    const struct supervision *supervision = context;
    struct counters_sum sum = {0};

    for (size_t i = 0; i < supervision->worker_count; i++)
        worker_count(supervision->workers[i], &sum);
    (void)snprintf(status, SERVICE_MANAGER_STATUS_BYTES,
                   "%s%" PRIu64 " connections open, %" PRIu64 " since the start, %" PRIu64 " names greeted",
                   supervision->is_stopping ? "Shutting down: " : "", sum.open, sum.connections, sum.names);
}

int supervision_start(struct supervision *supervision, uv_loop_t *loop, struct err *err)
{
    struct service_manager *manager = supervision->manager;
    const struct service_manager_watch watch = {is_working, put_status, supervision};

    if (manager != NULL && manager->failure.reason != ERR_OK)
        server_log_unsupervised(&manager->failure);
    return service_manager_start(manager, loop, &watch, err);
}

void supervision_reloading(struct supervision *supervision)
{
    if (!supervision->is_stopping)
        service_manager_reloading(supervision->manager);
}

void supervision_reloaded(struct supervision *supervision)
{
    if (!supervision->is_stopping)
        service_manager_ready(supervision->manager);
}

void supervision_stopping(struct supervision *supervision)
{
    supervision->is_stopping = true;
    service_manager_stopping(supervision->manager);
}
