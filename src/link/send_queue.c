#include "send_queue.h"

#include <errno.h>

/* Returns: STREAM_OK where the stream took all of it. */
static enum stream_result write_some(struct stream *stream, struct bytes bytes, size_t *written,
                                     struct err *err)
{
    enum stream_result result = STREAM_OK;

    for (*written = 0; *written < bytes.length && result == STREAM_OK;) {
        size_t count = 0;
        err_clear(err);
        result = stream_write(stream, bytes.data + *written, bytes.length - *written, &count, err);
        if (result == STREAM_OK)
            *written += count;
    }
    return result;
}

enum stream_result send_queue_put(struct buf *queue, struct stream *stream, struct bytes bytes,
                                  size_t *written, struct err *err)
{
    size_t count = 0;
    enum stream_result result = write_some(stream, buf_bytes(queue), written, err);

    if (*written > 0)
        buf_consume(queue, *written);
    if (result == STREAM_OK) {
        result = write_some(stream, bytes, &count, err);
        *written += count;
    }
    if (result == STREAM_OK || result == STREAM_FAILED || buf_append(queue, bytes_skip(bytes, count)) == 0)
        return result;
    err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a connection");
    return STREAM_FAILED;
}
