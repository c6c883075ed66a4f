/* Standard input read whole, by a process that can be asked to end meanwhile. */
#ifndef TCPGREET_OS_INPUT_H
#define TCPGREET_OS_INPUT_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/file.h"

/* Reads to the end, and waits for it. Shape: more than FILE_BYTES_MAX is refused. Returns: 0, for file_free;
 * -1 with *file empty. Errors: system-file; interrupted: SIGINT, terminated: SIGTERM, unless they are
 * ignored; internal: memory. Thread: before any other starts. Source: pselect(2). */
int input_read_all(struct file *file, struct err *err);

#endif
