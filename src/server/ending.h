/* How a connection has ended: counted once, for the log and for --metrics. */
#ifndef TCPGREET_SERVER_ENDING_H
#define TCPGREET_SERVER_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "measures.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/link/conn.h"

struct ending {
    const struct conn *conn;
    const struct session *session;
    uint64_t dialogue_ns; /* since its stream was up; 0: it was not */
    bool is_displaced;    /* its handshake made room for another: rejected, and no failure */
};

/* Returns: whether the peer closed without sending anything: a scanner, a load balancer's check. */
bool ending_is_silent(const struct ending *ending);

/* Counts the rejection of a connection that had a place. Thread: the worker's, as of what follows. */
void ending_count_rejected(enum limits_result why, struct counters *counters, struct measures *measures);

/* Counts a connection that could not begin. */
void ending_count_failed(enum err_reason reason, struct counters *counters, struct measures *measures);

/* Counts it. */
void ending_count(const struct ending *ending, struct counters *counters, struct measures *measures);

#endif
