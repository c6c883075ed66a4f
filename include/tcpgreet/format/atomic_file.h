/* A file that is written whole or not at all: what stood there before stays until it is. */
#ifndef TCPGREET_FORMAT_ATOMIC_FILE_H
#define TCPGREET_FORMAT_ATOMIC_FILE_H

#include <stdio.h>

#include "tcpgreet/base/err.h"

enum { WHOLE_FILE_PATH_BYTES = 4096 };

struct whole_file {
    FILE *out;
    char path[WHOLE_FILE_PATH_BYTES]; /* behind symbolic links */
    char part[WHOLE_FILE_PATH_BYTES]; /* beside it, until it is whole; "": path is no plain file, or its
                                         folder takes no other: it is written in place */
};

/* what begins the sentence: "--plot". Returns: 0, file->out is open; -1: nothing is. Errors: system-file. */
int whole_file_open(struct whole_file *file, const char *what, const char *path, struct err *err);

/* Takes: file->out, also on failure; then nothing is left of what was written. Errors: system-file.
 * Source: rename(2). */
int whole_file_close(struct whole_file *file, const char *what, struct err *err);

#endif
