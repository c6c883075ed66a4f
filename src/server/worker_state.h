/* What belongs to the worker and stands in files of its own. */
#ifndef TCPGREET_SERVER_WORKER_STATE_H
#define TCPGREET_SERVER_WORKER_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/link/conn.h"
#include "worker.h"

enum command { RUN, DRAIN, STOP };

/* One listening socket on the loop. Invariant: either its poll or its pause is active, until accepting from
 * it has failed for good or the worker is to end. */
struct worker_listener {
    uv_poll_t poll;
    uv_timer_t pause; /* until accepting is tried again */
    struct listener listener;
    struct worker *worker;
    unsigned lost;     /* connections in a row */
    unsigned pause_ms; /* the last pause; 0: it accepted a connection since, or its queue was empty */
    bool failing;      /* accepting failed, and its queue was not seen empty since */
    bool exhausted;    /* the last pause is for want of descriptors or memory */
};

/* One connection that was accepted. Invariant: once past worker_receive, a place is reserved for it. */
struct arrival {
    int fd;
    struct endpoint peer;
};

/* What other workers have accepted for this one. Invariant: once closed, it stays empty. */
struct inbox {
    uv_mutex_t mutex; /* of all that follows */
    struct arrival arrivals[WORKER_INBOX];
    size_t count;
    bool closed;
};

/* One connection that is being served, or turned away. */
struct guest {
    struct conn conn;
    struct guest *next, *previous;
    struct endpoint peer;
    bool refused;
    bool announced;
    int64_t since_ms;
};

struct counters {
#define ATOMIC_FIELD(name, words) atomic_uint_fast64_t name;
    WORKER_COUNTERS(ATOMIC_FIELD)
#undef ATOMIC_FIELD
};

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t timer; /* the drain's deadlines */
    struct worker_config config;
    struct guest *guests;
    size_t refusal_count;
    size_t turn; /* whose the next connection is: an index of peers, or peer_count: its own */
    struct inbox inbox;
    struct counters counters;
    struct tls_server *tls;               /* NULL: plain */
    _Atomic(struct tls_server *) new_tls; /* to be taken up, from other threads; NULL */
    atomic_int command;                   /* enum command, set from other threads */
    enum command obeyed;
    bool farewell_said;
    struct conn_shared shared;
    struct worker_listener listeners[]; /* as many as config.listener_count */
};

/* Only the worker writes, so a load and a store do what a locked addition would. */
static inline void worker_tally(atomic_uint_fast64_t *counter, int64_t change)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (uint64_t)change, memory_order_relaxed);
}

/* All that follow: Thread: the worker's, or before it runs. */

/* Closes what keeps the loop running, where it is to end and no guest is left. */
void worker_finish_if_empty(struct worker *worker);

/* Starts polling the listeners. Returns: 0, or an error of libuv. */
int worker_open_listeners(struct worker *worker);

/* Closes the listeners; under a drain what the kernel has queued is accepted first. May be called again. */
void worker_close_listeners(struct worker *worker);

/* Ends the pauses that wait for descriptors or memory: some were released. */
void worker_retry_accepting(struct worker *worker);

/* Has a connection that it accepted served by the worker whose turn it is, or turns it away.
 * Takes: the descriptor. */
void worker_receive(struct worker *worker, const struct arrival *arrival);

/* Passes a connection to the peer whose turn it is. Returns: whether that one took it; if not, it is this
 * worker's own. */
bool worker_hand_on(struct worker *worker, const struct arrival *arrival);

/* Serves what other workers have handed on, or closes it under a stop at once. A worker that is to end shuts
 * its inbox with this. */
void worker_take_arrivals(struct worker *worker);

/* Serves a connection that has its place.
 * Takes: the descriptor. */
void worker_serve(struct worker *worker, const struct arrival *arrival);

/* Closes one that has its place.
 * Takes: the descriptor. */
void worker_drop(struct worker *worker, const struct arrival *arrival);

/* Every guest is told good bye. */
void worker_say_farewell(struct worker *worker);

/* Every guest is cut off. */
void worker_abort_guests(struct worker *worker);

#endif
