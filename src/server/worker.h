/* A server thread with its own loop, listeners, connections and counters. */
#ifndef TCPGREET_SERVER_WORKER_H
#define TCPGREET_SERVER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accept_log.h"
#include "counters.h"
#include "limits.h"
#include "measures.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/link/acceptor.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/tls/tls.h"

struct worker;

enum { WORKER_QUEUE = 64 /* connections at most that were handed off to a worker and wait for it */ };

struct worker_config {
    const struct listener *listeners; /* borrowed during the call */
    size_t listener_count;            /* 0: it serves what is handed off to it */
    struct worker *const *peers;      /* borrowed until worker_free: those that it hands connections off to */
    size_t peer_count;
    const struct session_policy *policy; /* borrowed until worker_free */
    struct acceptor_policy streams;      /* of every connection; tls is taken, also on failure */
    struct accept_log *accept_log;       /* borrowed: of all workers together */
    struct limits *limits;               /* likewise */
    int64_t handshake_ms;
    int64_t drain_ms;
    /* From the worker's thread, once for each listener from which accepting can never work again; the worker
     * goes on without it. NULL. */
    void (*failed)(void *context, const struct err *err);
    void (*replaced)(
        void *context); /* from the worker's thread, for each worker_replace_tls that is done; NULL */
    void (*stopped)(void *context); /* from the worker's thread, once, as its last act; NULL */
    void *context;
};

/* Makes what a worker has but its thread: all descriptors, and all memory that it begins with. What it
 * accepts is served in turn by its peers and itself; where a peer's queue is full, or that peer is to end, by
 * itself. Peers are started before it and freed after it, and may be stopped before, with or after it: one
 * that drains serves what was handed off to it, one that stops at once closes it. Takes: the listeners'
 * descriptors, also on failure. Returns: the worker, or NULL. Errors: internal, system-…. */
struct worker *worker_new(const struct worker_config *config, struct err *err);

/* Starts the thread. Returns: 0, -1. Errors: internal. */
int worker_start(struct worker *worker, struct err *err);

/* Asks it to stop: no more is accepted (what the kernel has queued still is), dialogues may finish for
 * drain_ms, but those that are silent for a second and have no name begun, and the rest, are sent the final
 * message. at_once: everything is closed now. May be called again; what
 * asks for more holds. Thread: any, several at a time; returns at once. */
void worker_stop(struct worker *worker, bool at_once);

/* Soon new connections use this identity; running dialogues stay as they are, ticket keys too. Takes: tls.
 * Returns: false where the worker has ended; else `replaced` is called, and until then this is not called
 * again. Thread: one at a time, any; returns at once. */
bool worker_replace_tls(struct worker *worker, struct tls_server *tls);

/* Requests a liveness reply. Thread: one at a time, any; returns at once. */
void worker_ping(struct worker *worker);

/* Returns: whether it has given one since the last worker_ping. Thread: as worker_ping. */
bool worker_has_answered(const struct worker *worker);

/* Adds what it has counted so far. Thread: any. */
void worker_count(struct worker *worker, struct counters_sum *sum);

/* The same of what it has measured. */
void worker_measure(struct worker *worker, struct measures_sum *sum);

/* Waits for the thread, where it was started, and frees it. Call worker_stop before. Shape: NULL is allowed.
 */
void worker_free(struct worker *worker);

#endif
