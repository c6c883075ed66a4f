/* Listeners on a loop: accepts connections, and pauses where accepting fails. */
#ifndef TCPGREET_SERVER_ACCEPT_H
#define TCPGREET_SERVER_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "accept_log.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/link/acceptor.h"
#include "tcpgreet/net/listener.h"

/* All from the loop; none may free the struct accept. */
struct accept_events {
    void (*accepted)(void *context, const struct accepted_socket *accepted); /* takes the descriptor */
    void (*paused)(void *context); /* a listener that worked until now has begun to pause */
    void (*failed)(void *context, const struct err *err); /* once a listener: it can never work again */
};

struct accept_config {
    const struct listener *listeners; /* borrowed during the call */
    size_t listener_count;
    struct accept_log *log;             /* borrowed */
    const struct accept_events *events; /* borrowed */
    void *context;
};

struct accept;

/* Takes: the listeners' descriptors, also on failure. Returns: NULL where memory is exhausted. */
struct accept *accept_new(const struct accept_config *config);

/* Begins to accept. Where accepting fails, it is tried again after a pause that grows from 10 ms to 1 s (to
 * 100 ms where descriptors or memory are exhausted, and at once after accept_retry), each listener by itself;
 * this is logged. Returns: 0, or an error of libuv. Thread: the loop's, as of all that follow. */
int accept_start(struct accept *accept, uv_loop_t *loop);

/* Ends the pauses that wait for descriptors or memory: some were released. */
void accept_retry(struct accept *accept);

/* Closes the listeners, after accept_start succeeded. with_queue: what the kernel has queued is accepted
 * first, but at a shared listener, where another process will. From now on nothing is reported but
 * `accepted`. Does nothing the second time. */
void accept_stop(struct accept *accept, bool with_queue);

/* Closes listeners that are open. Call it when the loop has closed all its handles. Shape: NULL is allowed.
 */
void accept_free(struct accept *accept);

#endif
