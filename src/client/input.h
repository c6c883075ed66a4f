/* Bytes of a descriptor such as standard input: what can be waited for is polled, a file is read piece by
 * piece, and neither holds up the loop. */
#ifndef TCPGREET_CLIENT_INPUT_H
#define TCPGREET_CLIENT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "tcpgreet/base/err.h"

enum input_result {
    INPUT_BYTES, /* *count of them were read */
    INPUT_END,   /* there are no more */
    INPUT_WAIT,  /* none yet; `more` is called when it is worth asking again */
    INPUT_FAILED /* err */
};

/* Starts as {.more, .context}. Invariant: poll listens only between an INPUT_WAIT and the return of more. */
struct input {
    int fd;
    bool is_polled;   /* it can be waited for: a file cannot, and need not */
    bool is_readable; /* it was, when last waited for */
    bool is_waiting;  /* the owner, since the last INPUT_WAIT */
    unsigned reads;   /* in a row, of a file */
    uv_poll_t poll;
    uv_idle_t turn; /* lets the loop have its turn while a file is read */
    void (*more)(void *context);
    void *context;
};

/* The flags of fd are left as they are: it may be shared with a shell. Calls back: more, from the loop, after
 * INPUT_WAIT. Borrows: fd. Errors: system-file. Returns: 0, -1. Thread: the loop's. */
int input_open(struct input *input, uv_loop_t *loop, int fd, struct err *err);

/* Reads once, where that does not block. Shape: room > 0. Errors: system-file, internal. Source: read(2). */
enum input_result input_read(struct input *input, char *data, size_t room, size_t *count, struct err *err);

/* Closes the handles, which are gone once the loop has run again. Shape: one that was not opened is allowed.
 */
void input_close(struct input *input);

#endif
