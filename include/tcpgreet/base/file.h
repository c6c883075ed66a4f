/* A regular file read whole: never one whose open or read can wait for another process. */
#ifndef TCPGREET_BASE_FILE_H
#define TCPGREET_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"

enum { FILE_BYTES_MAX = 16 * 1024 * 1024 };

struct file {
    char *data; /* NULL where it is empty */
    size_t length;
    mode_t mode;
};

/* Reads it, without waiting: a FIFO, a device, a socket or a directory is refused by its name. Shape: what
 * names the option or the purpose, "--ca"; a file of more than FILE_BYTES_MAX is refused. Returns: 0, or -1
 * with *file empty. Errors: system-permission: EACCES; system-file: everything else; internal: memory.
 * Source: open(2), O_NONBLOCK. */
int file_read(const char *what, const char *path, struct file *file, struct err *err);

/* Opens it as file_read does: without waiting, for reading. Returns: the descriptor, -1 with errno. Source:
 * open(2).
 */
int file_open(const char *path);

/* From now on file_read opens through this function instead of file_open, with the same results; ECHILD: the
 * process that opens files has ended. Thread: no other is running. */
void file_open_by(int (*function)(const char *path));

/* Overwrites the contents, which may be a secret, and frees them. Shape: {0} is allowed. */
void file_free(struct file *file);

#endif
