#include "tcpgreet/core/stream.h"

enum stream_result stream_handshake(struct stream *stream, struct err *err)
{
    return stream->ops->handshake(stream, false, err);
}

enum stream_result stream_handshake_expire(struct stream *stream, struct err *err)
{
    return stream->ops->handshake(stream, true, err);
}

enum stream_result stream_read(struct stream *stream, void *data, size_t room, size_t *count, struct err *err)
{
    return stream->ops->read(stream, data, room, count, err);
}

enum stream_result stream_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                struct err *err)
{
    return stream->ops->write(stream, data, length, count, err);
}

enum stream_result stream_shutdown(struct stream *stream, struct err *err)
{
    return stream->ops->shutdown(stream, err);
}

int stream_fd(const struct stream *stream)
{
    return stream->ops->fd(stream);
}

void stream_free(struct stream *stream)
{
    if (stream != NULL)
        stream->ops->free(stream);
}

struct stream *stream_lower(const struct stream *stream)
{
    return stream->ops->lower != NULL ? stream->ops->lower(stream) : NULL;
}

const struct stream *stream_find(const struct stream *stream, enum stream_layer layer)
{
    while (stream != NULL && stream->ops->layer != layer)
        stream = stream_lower(stream);
    return stream;
}
