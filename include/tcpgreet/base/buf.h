/* Bytes: a view, a fixed buffer to append to, and a buffer that grows. */
#ifndef TCPGREET_BASE_BUF_H
#define TCPGREET_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A view of bytes that it does not own. */
struct bytes {
    const char *data;
    size_t length;
};

/* A fixed buffer that it does not own, to append to. Invariant: length <= capacity. */
struct sink {
    char *data;
    size_t length;
    size_t capacity;
};

/* A view of a string literal. */
#define BYTES_LITERAL(text)                                                                                  \
    (struct bytes)                                                                                           \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

/* Returns: the view without its first n bytes. Shape: n <= view.length. */
static inline struct bytes bytes_skip(struct bytes view, size_t n)
{
    return n == 0 ? view : (struct bytes){view.data + n, view.length - n};
}

/* Returns: whether both hold the same bytes. */
bool bytes_equal(struct bytes a, struct bytes b);

/* Returns: how many bytes still fit. */
static inline size_t sink_room(const struct sink *sink)
{
    return sink->capacity - sink->length;
}

/* Appends all of view. Returns: false, with nothing appended, where it does not fit. */
static inline bool sink_put(struct sink *sink, struct bytes view)
{
    if (view.length > sink_room(sink))
        return false;
    if (view.length > 0)
        memcpy(sink->data + sink->length, view.data, view.length);
    sink->length += view.length;
    return true;
}

/*
 * Heap bytes, appended at the end and consumed from the front. Starts as `struct buf buf = {0}`.
 * Holds memory only while something is in it: buf_consume releases it with the last byte; empty it is one
 * pointer. Invariants: block == NULL where it is empty; else 0 < length, offset + length <= capacity.
 */
struct buf {
    struct buf_block *block;
};

struct buf_block {
    size_t offset;
    size_t length;
    size_t capacity;
    char data[];
};

/* Returns: how many bytes are in it. */
static inline size_t buf_length(const struct buf *buf)
{
    return buf->block != NULL ? buf->block->length : 0;
}

/* Returns: what is in it; valid until the next call that changes the buffer. */
struct bytes buf_bytes(const struct buf *buf);

/* Borrows: view, which must not point into buf. Returns: 0, or -1 where memory is exhausted (nothing is
 * appended). */
int buf_append(struct buf *buf, struct bytes view);

/* Shape: n <= buf_length(buf). */
void buf_consume(struct buf *buf, size_t n);

/* Releases the memory; the buffer is empty and usable again. */
void buf_fini(struct buf *buf);

#endif
