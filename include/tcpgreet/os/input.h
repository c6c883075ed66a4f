/* Standard input or a FIFO read whole, by a process that can be asked to end meanwhile. */
#ifndef TCPGREET_OS_INPUT_H
#define TCPGREET_OS_INPUT_H

#include <stdbool.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/file.h"

/* Whether it is a FIFO, such as a shell makes of <(COMMAND). */
bool input_is_fifo(const char *path);

/* Reads to the end, and waits for it and for the FIFO's first writer. Shape: path: NULL is standard input;
 * name stands for it in messages; more than FILE_BYTES_MAX is refused. Returns: 0, for file_free; -1 with
 * *file empty. Errors: system-file, system-permission, system-descriptors; interrupted: SIGINT, terminated:
 * SIGTERM, unless they are ignored; internal: memory. Thread: before any other starts. Source: pselect(2),
 * fifo(7). */
int input_read_all(const char *path, const char *name, struct file *file, struct err *err);

#endif
