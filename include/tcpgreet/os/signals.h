/* Signals that end the process, on a loop. */
#ifndef TCPGREET_OS_SIGNALS_H
#define TCPGREET_OS_SIGNALS_H

#include <uv.h>

#include "tcpgreet/base/err.h"

enum { SIGNALS_OF_END = 2 };

/* Initializes the handle and starts it, unless the signal is ignored: a shell ignores SIGINT for a command
 * that it runs in the background, and that stays so. Returns: 0, or the error code of libuv. Calls back:
 * callback, from the loop, once for each signal. Source: POSIX, "Signals and Error Handling" of the shell.
 * Thread: the loop's. */
int signals_watch(uv_loop_t *loop, uv_signal_t *handle, uv_signal_cb callback, int number);

/* The same for SIGINT and SIGTERM, each with its handle; their data is context. A process that is the first
 * of a container has no default action for signals, so every run that may last watches them from its
 * beginning. Returns: 0, -1. Errors: as loop_fail. */
int signals_watch_end(uv_loop_t *loop, uv_signal_t handles[SIGNALS_OF_END], uv_signal_cb callback,
                      void *context, struct err *err);

/* Replaces what err holds by the signal that ended the run. Errors: interrupted: SIGINT; terminated: SIGTERM.
 * Returns: -1, always. */
int signals_set_end(int number, struct err *err);

#endif
