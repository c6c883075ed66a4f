#include "tcpgreet/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_CAPACITY_MIN = 256 };

struct bytes bytes_skip(struct bytes view, size_t n)
{
    if (n == 0)
        return view;
    return (struct bytes){view.data + n, view.length - n};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

size_t sink_room(const struct sink *sink)
{
    return sink->capacity - sink->length;
}

bool sink_put(struct sink *sink, struct bytes view)
{
    if (view.length > sink_room(sink))
        return false;
    if (view.length > 0)
        memcpy(sink->data + sink->length, view.data, view.length);
    sink->length += view.length;
    return true;
}

struct bytes buf_bytes(const struct buf *buf)
{
    if (buf->length == 0)
        return (struct bytes){0};
    return (struct bytes){buf->data + buf->offset, buf->length};
}

/* Returns: 0, or -1 with buf unchanged. */
static int grow(struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : BUF_CAPACITY_MIN;
    while (capacity < needed) {
        if (capacity > SIZE_MAX / 2)
            return -1;
        capacity *= 2;
    }
    char *data = malloc(capacity);
    if (data == NULL)
        return -1;
    if (buf->length > 0)
        memcpy(data, buf->data + buf->offset, buf->length);
    free(buf->data);
    *buf = (struct buf){.data = data, .length = buf->length, .capacity = capacity};
    return 0;
}

int buf_append(struct buf *buf, struct bytes view)
{
    if (view.length == 0)
        return 0;
    if (view.length > SIZE_MAX - buf->length)
        return -1;
    size_t needed = buf->length + view.length;
    if (needed > buf->capacity) {
        if (grow(buf, needed) < 0)
            return -1;
    } else if (needed > buf->capacity - buf->offset) {
        memmove(buf->data, buf->data + buf->offset, buf->length);
        buf->offset = 0;
    }
    memcpy(buf->data + buf->offset + buf->length, view.data, view.length);
    buf->length = needed;
    return 0;
}

void buf_consume(struct buf *buf, size_t n)
{
    buf->offset += n;
    buf->length -= n;
    if (buf->length == 0)
        buf_fini(buf);
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}
