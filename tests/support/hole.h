/* Listeners on loopback, and one that drops SYNs, as an unreachable path does. */
#ifndef TCPGREET_TEST_HOLE_H
#define TCPGREET_TEST_HOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/net/listener.h"

enum { HOLE_CALLERS_MAX = 16 };

/* Shape: host is a literal; port 0 is the kernel's choice. Returns: the listener, fd -1 where it failed. */
struct listener hole_listen_at(const char *host, unsigned port, int backlog);

/* A listener whose queue is full, so that Linux drops further SYNs. */
struct hole {
    struct listener listener;
    int callers[HOLE_CALLERS_MAX];
    size_t count;
    bool drops;
};

struct hole hole_open(const char *host, unsigned port);
void hole_close(struct hole *hole);

/* Skips the test where this system does not drop. Shape: after hole_prepare. */
void hole_need(void);

/* A group's setup: finds that out; what libuv opens once for all loops is open from then on. */
int hole_prepare(void **state);

#endif
