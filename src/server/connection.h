/* The connections of one worker: served with the greeting dialogue, or rejected. */
#ifndef TCPGREET_SERVER_CONNECTION_H
#define TCPGREET_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "busy.h"
#include "counters.h"
#include "handshakes.h"
#include "limits.h"
#include "measures.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/link/acceptor.h"
#include "tcpgreet/link/conn.h"

/* The policy's whoami, of a session that is one of these connections'. */
bool connection_whoami(const struct session *session, struct sink *out);

struct connections_config {
    uv_loop_t *loop;                     /* borrowed */
    const struct session_policy *policy; /* borrowed */
    struct limits *limits;               /* borrowed: of all workers together */
    int64_t handshake_ms;
    struct counters *counters;    /* borrowed */
    struct measures *measures;    /* borrowed */
    void (*wake)(void *context);  /* from any thread, with a lock held: connections_wake is due */
    void (*ended)(void *context); /* from the loop, after each end: its descriptors are closed */
    void *context;
};

/* Invariant: a connection is in the list, and holds a place unless it is rejected, until it has ended. */
struct connections {
    struct connections_config config;
    struct acceptor_policy streams; /* of the next connection; may be changed at any time */
    struct connection *first;       /* NULL: none */
    struct handshakes handshakes;
    struct busy_queue busy;
    struct conn_shared shared;
};

/* Begins without connections. Returns: 0, or an error of libuv. Thread: the loop's, or before it runs, as of
 * all that follow. */
int connections_init(struct connections *connections, const struct connections_config *config,
                     const struct acceptor_policy *streams);

/* When there are none any more, and before its config.wake becomes invalid. May be called again, and before
 * connections_init. */
void connections_fini(struct connections *connections);

/* After config.wake. */
void connections_wake(struct connections *connections);

/* Takes a place for a connection that is admitted, for connections_serve or connections_drop, here or at
 * another worker. Returns: whether there was one. */
bool connections_reserve(struct connections *connections, const struct accepted_socket *accepted);

/* Serves a connection that has its place. Takes: the descriptor. */
void connections_serve(struct connections *connections, const struct accepted_socket *accepted);

/* Closes a connection that has its place. Takes: the descriptor. */
void connections_drop(struct connections *connections, const struct accepted_socket *accepted);

/* Closes a connection without a place: reports that there are too many, unless it is not admitted. Takes: the
 * descriptor. */
void connections_reject(struct connections *connections, const struct accepted_socket *accepted);

/* Holds every dialogue to another policy, those of connections yet to come also. Borrows: policy. */
void connections_set_policy(struct connections *connections, const struct session_policy *policy);

/* Ends every dialogue with its final message. */
void connections_stop(struct connections *connections);

/* Closes every connection at once. */
void connections_abort(struct connections *connections);

#endif
