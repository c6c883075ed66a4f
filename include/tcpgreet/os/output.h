/* Bytes to a descriptor whose reader may be slow or may have stopped: what it does not take at once is
 * queued, and written by a thread of its own. */
#ifndef TCPGREET_OS_OUTPUT_H
#define TCPGREET_OS_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>
#include <uv.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"

enum {
    OUTPUT_QUEUE_BYTES = 256 * 1024, /* queued beside what is being written: then the producer should pause */
    OUTPUT_GRACE_MS = 200            /* for output_close where the run was cut short: a reader needs less */
};

struct output;

/* Calls back from the loop, after output_is_full or output_is_pending returned true, each time that may have
 * changed, and once after a write failed. It may call output_close. */
typedef void output_changed_fn(void *context);

/* The flags of fd are left as they are: it may be shared with a shell.
 * Borrows: fd, until the process ends. Returns: NULL with err. Errors: internal, system-descriptors. Thread:
 * the loop's, as for all functions below. */
struct output *output_open(uv_loop_t *loop, int fd, output_changed_fn *changed, void *context,
                           struct err *err);

/* Writes or queues all of bytes and never blocks; little that is queued is written when the loop waits next.
 * Where the thread cannot be started, it is written here, and waited for as long as the reader takes some of
 * it within OUTPUT_GRACE_MS. Shape: the caller keeps the bound: it stops producing while output_is_full.
 * Errors: system-output: a write failed; system-other: there is no thread, and the reader does not read;
 * internal. Returns: 0, -1. Source: pwritev2(2), RWF_NOWAIT; pipe(7), PIPE_BUF. */
int output_write(struct output *output, struct bytes bytes, struct err *err);

/* Returns: whether OUTPUT_QUEUE_BYTES or more are queued. */
bool output_is_full(struct output *output);

/* Returns: whether anything is still to be written; false after a failure, which drops it. */
bool output_is_pending(struct output *output);

/* Returns: 0, or -1 with err where a write failed. Errors: system-output: closed, full, or no process reads
 * it. Source: write(2). */
int output_failed(struct output *output, struct err *err);

/* Waits up to wait_ms for what is queued to be written, on the loop's thread: only where what is printed next
 * must come behind it, to the same terminal. */
void output_drain(struct output *output, unsigned wait_ms);

/* Waits up to wait_ms for what is queued to be written, and drops the rest but what write(2) has already.
 * Shape: NULL is allowed. Returns: 0, or -1 with err. Errors: as output_failed; system-output: the reader
 * does not read. The loop has to run once more, for the handle to be closed. */
int output_close(struct output *output, unsigned wait_ms, struct err *err);

/* Text that is printed to `file` as a whole before it is queued, so that printing never blocks. */
struct output_text {
    FILE *file;
    char *data;
    size_t length;
};

/* Errors: internal. Returns: 0, -1. Source: open_memstream(3). */
int output_text_open(struct output_text *text, struct err *err);

/* Queues what was printed and frees it, also on failure. Errors: as output_write. Returns: 0, -1. */
int output_text_close(struct output_text *text, struct output *output, struct err *err);

#endif
