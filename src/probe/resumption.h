/* A second connection with the ticket of the first: does the server accept it? */
#ifndef TCPGREET_PROBE_RESUMPTION_H
#define TCPGREET_PROBE_RESUMPTION_H

#include "plan.h"
#include "result.h"
#include "tcpgreet/core/session.h"

/* In the owner's storage, which stays where it is until done. */
struct probe_resumption_test {
    struct conn conn;
    struct session greeting; /* never begun */
    enum probe_resumption outcome;
    void (*done)(void *context, enum probe_resumption outcome);
    void *context;
};

/* Borrows: scope, peer and session, until done. Shape: done and context are set; session NULL: plain.
 * Calls back: done once, from the loop, never from inside, also after probe_resumption_cancel.
 * Returns: true: it is in progress; false: it is over, and outcome is set. */
bool probe_resumption_start(struct probe_resumption_test *test, struct probe_scope *scope,
                            const struct endpoint *peer, struct tls_session *session);

/* Closes the connection at once. */
void probe_resumption_cancel(struct probe_resumption_test *test);

#endif
