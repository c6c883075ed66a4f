/* Sockets that wait for connections. */
#ifndef TCPGREET_NET_LISTENER_H
#define TCPGREET_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/target.h"

enum { LISTENER_MAX = 128 };

struct listener_options {
    int backlog;     /* as listen(2) */
    bool reuse_port; /* listener_open_again may share the port, another program may not */
    bool want_v6;
    bool want_v4;
    const struct listener *others; /* borrowed during the call: this process has them open already */
    size_t other_count;
};

/* Invariant: fd >= 0 is listening at `at`. */
struct listener {
    int fd;
    struct endpoint at;
    bool is_shared; /* another process has the socket, too: what it has queued is never lost */
    bool is_plain;  /* its connections are without TLS, also where the others' have it */
};

/* Opens every address of target, one socket each: a v6-only and a v4 one for "every address"; port 0 becomes
 * one port, the same for all. Where there are several, those of a family that this machine lacks are left
 * out. Shape: writes at most room listeners. Returns: how many, 0 with err on failure (then none stays
 * open). Errors: system-address-in-use: the text names the one of others that has the port;
 * system-permission, system-address-not-available, system-descriptors, resolve-…; the text names on what and
 * what to do. Source: RFC 3493 section 5.3; ipv6(7), socket(7). */
size_t listener_open(const struct target *target, const struct listener_options *options,
                     struct listener *listeners, size_t room, struct err *err);

/* Returns: whether the kernel deals connections out to all sockets that share a port. Where it does not, one
 * of them may get everything. Source: Linux socket(7), SO_REUSEPORT; FreeBSD setsockopt(2), SO_REUSEPORT_LB.
 */
bool listener_balances(void);

/* Opens one more socket at the same place as another listener, for another worker. Needs reuse_port on both.
 */
int listener_open_again(const struct listener *first, const struct listener_options *options,
                        struct listener *listener, struct err *err);

/* Makes a listener of a socket that the service manager has passed, of any family, whatever its options:
 * "every address" of one that is not IPv6 alone takes IPv4 as well. Takes: fd, also on failure. Shape: name:
 * printable, "" for none. Returns: 0, -1. Errors: usage: what it is instead, and what to do. */
int listener_adopt(int fd, const char *name, struct listener *listener, struct err *err);

/* Opens the same socket once more, for another worker: all accept from one queue. Shape: first is shared.
 * Returns: 0, -1. Errors: system-descriptors. */
int listener_adopt_again(const struct listener *first, struct listener *listener, struct err *err);

enum listener_result {
    LISTENER_ACCEPTED,
    LISTENER_EMPTY,     /* no connection is waiting */
    LISTENER_LOST,      /* a connection failed before it was accepted: accept the next one */
    LISTENER_EXHAUSTED, /* no descriptors or memory: pause until some are released */
    LISTENER_REFUSED,   /* any other error that may pass: pause */
    LISTENER_FAILED     /* accepting from this listener can never work again */
};

/* Accepts one connection: non-blocking, close-on-exec, TCP_NODELAY. Returns: from LISTENER_LOST on with err.
 * Errors: system-descriptors: EMFILE, ENFILE; system-permission: EPERM, EACCES; internal: ENOMEM;
 * system-other: most others; the text names where, why, and what to do. Source: accept4(2). */
enum listener_result listener_accept(const struct listener *listener, int *fd, struct endpoint *peer,
                                     struct err *err);

/* Closes the socket; the kernel resets what still waits in its queue. */
void listener_close(struct listener *listener);

#endif
