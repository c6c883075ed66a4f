/* A file that is replaced atomically: the old content stays until the new one is complete. */
#ifndef TCPGREET_FORMAT_ATOMIC_FILE_H
#define TCPGREET_FORMAT_ATOMIC_FILE_H

#include <stdio.h>

#include "tcpgreet/base/err.h"

enum { ATOMIC_FILE_PATH_BYTES = 4096 };

struct atomic_file {
    FILE *out;
    char path[ATOMIC_FILE_PATH_BYTES]; /* symbolic links resolved */
    char part[ATOMIC_FILE_PATH_BYTES]; /* the new content, until it is complete; "": path is not a regular
                                         file, or its folder is not writable: it is written in place */
};

/* Checks that path can be written, and writes nothing. what begins the sentence: "--plot". A FIFO stays open
 * for atomic_file_open: its reader is to see no end before. Errors: usage: what is in the way. Returns: 0,
 * -1. Thread: the one of atomic_file_open. */
int atomic_file_check(const char *what, const char *path, struct err *err);

/* what begins the sentence: "--plot". Returns: 0, file->out is open; -1: nothing is. Errors: system-file. */
int atomic_file_open(struct atomic_file *file, const char *what, const char *path, struct err *err);

/* Takes: file->out, also on failure; then what was written is removed. Errors: system-file.
 * Source: rename(2). */
int atomic_file_close(struct atomic_file *file, const char *what, struct err *err);

#endif
