/* A process that keeps the right to open a few files, and hands their descriptors over to this one, which
 * gave that right up. */
#ifndef TCPGREET_OS_FILE_HELPER_H
#define TCPGREET_OS_FILE_HELPER_H

#include <uv.h>

#include "tcpgreet/base/err.h"

enum { FILE_HELPER_TEXT_BYTES = 200 };

/* Confines the process that it is called in. Writes what of that it lacks to missing, a list, "" for nothing.
 */
typedef void file_helper_confine_fn(const char *const *files, char missing[FILE_HELPER_TEXT_BYTES]);

/* Starts it: from now on file_read has these files opened by it, and opens all others itself. It can open
 * none but these, for reading, and ends with this process. Borrows: files, until this process ends. Shape:
 * files ends at NULL. confine is called in it, before it waits for the first request; missing is what that
 * wrote. Errors: system-descriptors, system-other. Returns: 0, -1. Thread: no other is running. Source:
 * fork(2), unix(7), SCM_RIGHTS. */
int file_helper_start(const char *const *files, file_helper_confine_fn *confine,
                      char missing[FILE_HELPER_TEXT_BYTES], struct err *err);

/* Logs a warning, from the loop, when it ends. Borrows: loop, until it is closed, with this as every handle.
 * Shape: nothing where none was started. Returns: 0, or an error of libuv. */
int file_helper_watch(uv_loop_t *loop);

#endif
