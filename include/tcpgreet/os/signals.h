/* Signals that end the process, on a loop. */
#ifndef TCPGREET_OS_SIGNALS_H
#define TCPGREET_OS_SIGNALS_H

#include <uv.h>

/* Initializes the handle and starts it, unless the signal is ignored: a shell ignores SIGINT for a command
 * that it runs in the background, and that stays so. Returns: 0, or the error code of libuv. Calls back:
 * callback, from the loop, once for each signal. Source: POSIX, "Signals and Error Handling" of the shell.
 * Thread: the loop's. */
int signals_watch(uv_loop_t *loop, uv_signal_t *handle, uv_signal_cb callback, int number);

#endif
