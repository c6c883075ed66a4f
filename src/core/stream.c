#include "tcpgreet/core/stream.h"

enum stream_result stream_handshake(struct stream *stream, struct err *err)
{
    return stream->ops->handshake(stream, err);
}

enum stream_result stream_read(struct stream *stream, void *data, size_t room, size_t *count, struct err *err)
{
    return stream->ops->read(stream, data, room, count, err);
}

bool stream_drained(struct stream *stream)
{
    return stream->ops->drained != NULL && stream->ops->drained(stream);
}

enum stream_result stream_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                struct err *err)
{
    return stream->ops->write(stream, data, length, count, err);
}

void stream_cork(struct stream *stream, bool corked)
{
    if (stream->ops->cork != NULL)
        stream->ops->cork(stream, corked);
}

enum stream_result stream_shutdown(struct stream *stream, struct err *err)
{
    return stream->ops->shutdown(stream, err);
}

void stream_waiting(const struct stream *stream, struct err *err)
{
    stream->ops->waiting(stream, err);
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
