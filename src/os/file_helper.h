/* A process that keeps the right to open a few files, and hands their descriptors over to this one, which
 * gave that right up. */
#ifndef TCPGREET_OS_FILE_HELPER_H
#define TCPGREET_OS_FILE_HELPER_H

#include "tcpgreet/base/err.h"

/* Starts it: from now on file_read has these files opened by it, and opens all others itself. It can open
 * none but these, for reading, and ends with this process. Borrows: files, until this process ends. Shape:
 * files ends at NULL. confine is called in it, before it waits for the first request. Errors:
 * system-descriptors, system-other. Returns: 0, -1. Thread: no other is running. Source: fork(2), unix(7),
 * SCM_RIGHTS. */
int file_helper_start(const char *const *files, void (*confine)(const char *const *files), struct err *err);

#endif
