/* Listens to a conn for a time that may be less than a millisecond, the unit of a dialogue's deadlines. */
#ifndef TCPGREET_PROBE_BRIEF_H
#define TCPGREET_PROBE_BRIEF_H

#include "tcpgreet/link/conn.h"
#include "tcpgreet/os/alarm.h"

/* In the owner's storage, which stays where it is until `closed`. Shape: zero where it was never begun. */
struct probe_brief {
    struct alarm alarm;
    struct conn *conn;
    void (*closed)(void *context);
    void *context;
    bool is_due;
};

/* After us µs it aborts conn with dialogue-timeout. Borrows: conn, until probe_brief_end. Calls back: closed,
 * from the loop, some time after that. Returns: whether it has begun; else descriptors are exhausted. */
bool probe_brief_begin(struct probe_brief *brief, int64_t us);

/* It is over: conn is aborted from the loop. Does nothing where it was not begun. Shape: context: the brief.
 */
void probe_brief_hasten(void *context);

/* Does nothing where it was not begun. */
void probe_brief_end(struct probe_brief *brief);

#endif
