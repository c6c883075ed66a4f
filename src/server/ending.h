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
};

/* Returns: whether the peer closed without sending anything: a scanner, a load balancer's check. */
bool ending_is_silent(const struct ending *ending);

/* Counts it. Thread: the worker's. */
void ending_count(const struct ending *ending, struct counters *counters, struct measures *measures);

#endif
