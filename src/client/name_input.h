/* Where a client's names come from: the command line, a pipe or file, a terminal. */
#ifndef TCPGREET_CLIENT_NAME_INPUT_H
#define TCPGREET_CLIENT_NAME_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "input.h"
#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/session.h"

enum name_input_result {
    NAME_INPUT_NEXT,    /* *name is the next one */
    NAME_INPUT_END,     /* there are no more */
    NAME_INPUT_WAIT,    /* none yet; `more` is called when it is worth asking again */
    NAME_INPUT_REFUSED, /* the next one does not fit; err; ask for the one after */
    NAME_INPUT_FAILED   /* standard input cannot be read; err */
};

/* Invariants: line holds what was read and not given out, at most one read beyond the longest name;
 * while skipping, the rest of a line that is too long is thrown away. */
struct name_input {
    const char *const *operands; /* borrowed */
    size_t operand_count;
    size_t given; /* operands, or lines read */
    enum session_framing framing;
    struct input input; /* where there are no operands */
    struct buf line;
    size_t taken; /* bytes of line that the last name given out occupies */
    bool skipping;
    bool ended;
};

/* Names from operands, or from the lines of fd where there are none. Shape: input.more and its context are
 * set. Calls back: more, from the loop, after NAME_INPUT_WAIT. Borrows: operands. Errors: system-file.
 * Thread: the loop's. */
int name_input_open(struct name_input *names, uv_loop_t *loop, int fd, struct err *err);

/* The next name: a line without its newline and one CR before it, the last one also without a newline.
 * *name is valid until the next call. Errors: usage, system-file. Source: read(2). */
enum name_input_result name_input_next(struct name_input *names, struct bytes *name, struct err *err);

/* Frees it, after the loop has run its closing callbacks for what name_input_close closes. */
void name_input_close(struct name_input *names);

#endif
