/* Loading the files of the TLS options again while the server serves. */
#ifndef TCPGREET_SERVER_RELOAD_H
#define TCPGREET_SERVER_RELOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "expiry.h"
#include "supervision.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/server/serve.h"
#include "tcpgreet/tls/tls.h"
#include "worker.h"

/* What a reload concerns. Borrowed until the loop is closed. */
struct reload_use {
    const struct tls_server_config *config; /* NULL: the server is plain */
    struct worker *const *workers;
    const size_t *worker_count;
    struct expiry *expiry; /* is read again, too */
    struct supervision *supervision;
};

/* Starts as {0}. Invariants: is_reading implies is_under_way, and then `tls`, `result` and `err` are the
 * thread's alone. */
struct reload {
    struct reload_use use;
    uv_async_t read;     /* the thread has ended its work */
    uv_async_t replaced; /* every worker uses what was read */
    uv_thread_t thread;
    struct tls_server *tls[SERVER_WORKERS_MAX];
    size_t count; /* of contexts to make */
    int result;
    struct err err;
    atomic_size_t pending; /* workers that do not use yet what was read, and who counts them */
    bool is_under_way;
    bool is_reading;
    bool is_wanted_again; /* it was asked for meanwhile */
};

/* Returns: 0, or an error of libuv. */
int reload_init(struct reload *reload, uv_loop_t *loop, const struct reload_use *use);

/* Reads the files in a thread of their own, so that a disk or a network file system that does not answer
 * holds up nothing but the reload, and replaces the contexts of all workers, or of none. Logs the result.
 * While one is under way, another follows it. Thread: the loop's. */
void reload_start(struct reload *reload);

/* For worker_config.replaced. Thread: any. */
void reload_worker_replaced(struct reload *reload);

/* Returns: whether the thread is reading, which may never end: then the loop must be left as it is. Thread:
 * the loop's. */
bool reload_is_reading(const struct reload *reload);

#endif
