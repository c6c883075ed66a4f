/* Standard input or a FIFO read whole, by a process that can be asked to end meanwhile. */
#ifndef TCPGREET_OS_INPUT_H
#define TCPGREET_OS_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/file.h"

/* Whether it is a FIFO, such as a shell makes of <(COMMAND). */
bool input_is_fifo(const char *path);

/* What is read, and for how long at most. */
struct input {
    const char *path;   /* NULL: standard input */
    const char *name;   /* of it in messages */
    int64_t timeout_ms; /* --timeout; 0: none */
    int64_t took_ms;    /* is set */
};

/* Reads to the end, and waits for it and for the FIFO's first writer. Shape: more than FILE_BYTES_MAX is
 * refused. Returns: 0, for file_free; -1 with *file empty. Errors: system-file, system-permission,
 * system-descriptors; connect-timeout: timeout_ms is over; interrupted: SIGINT, terminated: SIGTERM, unless
 * they are ignored; internal: memory. Thread: before any other starts. Source: pselect(2), fifo(7). */
int input_read_all(struct input *input, struct file *file, struct err *err);

#endif
