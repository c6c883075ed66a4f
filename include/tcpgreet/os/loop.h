/* Starting a loop of libuv, and its failures. */
#ifndef TCPGREET_OS_LOOP_H
#define TCPGREET_OS_LOOP_H

#include <stdbool.h>
#include <uv.h>

#include "tcpgreet/base/err.h"

/* As uv_loop_init, but where descriptors are exhausted this fails and does not abort the process. Returns: 0,
 * or an error of libuv. */
int loop_init(uv_loop_t *loop);

/* Records that `what` failed with a result of libuv below 0: "WHAT: why (what to do)". Returns: -1, always.
 * Errors: system-descriptors: UV_EMFILE, UV_ENFILE; internal: all others. */
int loop_fail(struct err *err, int result, const char *what);

/* A client's loop: only where its sockets and the C library's resolver, which calls a name unknown where it
 * can open nothing, will have descriptors, too. Errors: system-descriptors, internal. Returns: 0, -1. */
int loop_open(uv_loop_t *loop, struct err *err);

/* A thread may be blocked for ever, and the loop that it wakes is left as it is: the process must end with
 * _exit. */
void loop_leave(void);

/* Returns: whether one was left. */
bool loop_is_left(void);

#endif
