/* A thread that runs dialogues for a bench and counts the results. */
#ifndef TCPGREET_BENCH_WORKER_H
#define TCPGREET_BENCH_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "result.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/tls/tls.h"

/* Shape: index < count. Borrowed until bench_worker_free. */
struct bench_plan {
    const char *host;                /* the name that certificates are checked for */
    const struct proxy_route *proxy; /* NULL: none */
    enum proxy_header_version send_proxy;
    const struct endpoint *endpoints; /* the proxy's, if there is one */
    size_t endpoint_count;            /* used in turn by the connections */
    const struct endpoint *sources;
    size_t source_count;                 /* 0: the kernel's choice; else of the endpoints' family, in turn */
    const struct tls_client_config *tls; /* NULL: plain */
    const struct session_policy *policy;
    size_t connections; /* of this worker, at a time */
    uint64_t names;     /* a connection; 0: keep it */
    double rate;        /* of all workers together; 0: closed loop */
    bool resume;
    unsigned index;
    unsigned count;
    uint64_t start_ns; /* uv_hrtime */
    int64_t duration_ms;
    int64_t connect_ms;
    uv_async_t *ended; /* woken when the thread is about to end */
};

struct bench_worker;

/* Starts the thread. Returns: NULL with err. Errors: internal, and those of tls_client_new. */
struct bench_worker *bench_worker_start(const struct bench_plan *plan, struct err *err);

/* Ends the run early: every dialogue sends exit. Thread: any. */
void bench_worker_stop(struct bench_worker *worker);

/* Returns: names answered so far. Thread: any. */
uint64_t bench_worker_names(struct bench_worker *worker);

/* Returns: whether its thread is about to end. Thread: any. */
bool bench_worker_has_ended(struct bench_worker *worker);

/* Waits for the thread. Thread: any, once. */
void bench_worker_join(struct bench_worker *worker);

/* Returns: the result, valid until bench_worker_free. Shape: joined. */
const struct bench_result *bench_worker_result(const struct bench_worker *worker);

/* Shape: joined, or NULL. */
void bench_worker_free(struct bench_worker *worker);

#endif
