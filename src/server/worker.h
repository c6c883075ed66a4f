/* A thread that serves: its own loop, listeners, guests and counters. */
#ifndef TCPGREET_SERVER_WORKER_H
#define TCPGREET_SERVER_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accept_log.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/net/stream_misbehave.h"
#include "tcpgreet/tls/tls.h"

/* The table of counters: field, and its words in the log. */
#define WORKER_COUNTERS(X)                                                                                   \
    X(connections, "connections")                                                                            \
    X(open, "open now")                                                                                      \
    X(handshakes, "TLS handshakes")                                                                          \
    X(resumed, "of them resumed")                                                                            \
    X(names, "names greeted")                                                                                \
    X(silent, "without a byte")                                                                              \
    X(refused, "turned away")                                                                                \
    X(failed, "failed")                                                                                      \
    X(timed_out, "timed out")                                                                                \
    X(strangers, "speaking something else")                                                                  \
    X(pauses, "pauses of accepting")

struct worker_counters {
#define WORKER_FIELD(name, words) uint64_t name;
    WORKER_COUNTERS(WORKER_FIELD)
#undef WORKER_FIELD
};

struct worker;

enum { WORKER_INBOX = 64 /* connections at most that a worker was handed and has not taken up yet */ };

struct worker_config {
    const struct listener *listeners; /* borrowed during the call */
    size_t listener_count;            /* 0: it serves what it is handed */
    struct worker *const *peers;      /* borrowed until worker_free: those that it hands connections on to */
    size_t peer_count;
    const struct session_policy *policy; /* borrowed until worker_free */
    struct tls_server *tls;              /* taken, also on failure; NULL: plain */
    size_t max_connections;
    struct accept_log *accept_log; /* borrowed: of all workers together */
    atomic_size_t *guests;         /* borrowed: of all workers together, held to max_connections */
    size_t max_refusals;           /* guests being turned away at once; more are closed without a word */
    int64_t handshake_ms;
    int64_t drain_ms;
    struct stream_misbehaviour misbehaviour; /* of every guest's stream */
    /* From the worker's thread, once for each listener from which accepting can never work again; the worker
     * goes on without it. NULL. */
    void (*failed)(void *context, const struct err *err);
    void (*stopped)(void *context); /* from the worker's thread, once, as its last act; NULL */
    void *context;
};

/* Starts the thread. Where accepting fails, it is tried again after a pause that grows from 10 ms to 1 s (to
 * 100 ms where descriptors or memory are exhausted, and at once where a connection of this worker ends); the
 * log says so. What it accepts is served in turn by its
 * peers and itself; where a peer's inbox is full, or that peer is to end, by itself. Peers are started before
 * it and freed after it, and may be stopped before, with or after it: one that drains serves what it was
 * handed, one that stops at once closes it. Takes: the listeners' descriptors, also on failure. Returns: the
 * worker, or NULL. Errors: internal, system-…. */
struct worker *worker_start(const struct worker_config *config, struct err *err);

/* Asks it to stop: no more is accepted (what the kernel has queued still is), dialogues may finish for
 * drain_ms, the rest is told good bye. at_once: everything is closed now. May be called again; what asks for
 * more holds. Thread: any, several at a time; returns at once. */
void worker_stop(struct worker *worker, bool at_once);

/* From now on new guests meet this identity; running dialogues stay as they are, ticket keys too.
 * Takes: tls. Thread: one at a time, any; returns at once. */
void worker_replace_tls(struct worker *worker, struct tls_server *tls);

/* Adds what it has counted so far. Thread: any. */
void worker_count(struct worker *worker, struct worker_counters *sum);

/* Waits for the thread and frees it. Call worker_stop before. Shape: NULL is allowed. */
void worker_free(struct worker *worker);

#endif
