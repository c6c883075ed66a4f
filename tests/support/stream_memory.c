#include "support/stream_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One direction. Invariant: length <= capacity. */
struct pipe {
    char *data;
    size_t length;
    size_t capacity;
    bool ended;  /* nothing more will be written */
    bool closed; /* no more reads */
};

struct link {
    struct pipe pipes[2]; /* pipes[i]: written by end i */
    unsigned ends;        /* not freed yet */
};

struct end {
    struct stream base;
    struct link *link;
    struct pipe *in, *out;
};

static struct end *of(struct stream *stream)
{
    return (struct end *)stream;
}

static enum stream_result memory_handshake(struct stream *stream, bool expired, struct err *err)
{
    (void)stream;
    (void)expired;
    (void)err;
    return STREAM_OK;
}

static enum stream_result memory_read(struct stream *stream, void *data, size_t room, size_t *count,
                                      struct err *err)
{
    struct pipe *pipe = of(stream)->in;
    (void)err;

    stream->more = false;
    if (pipe->length == 0)
        return pipe->ended ? STREAM_EOF : STREAM_WANT_READ;
    *count = pipe->length < room ? pipe->length : room;
    memcpy(data, pipe->data, *count);
    pipe->length -= *count;
    memmove(pipe->data, pipe->data + *count, pipe->length);
    stream->more = pipe->length > 0;
    return STREAM_OK;
}

static enum stream_result reset(struct err *err)
{
    err_set(err, ERR_DIALOGUE_RESET, 0, "the peer is gone, or our side is ended");
    return STREAM_FAILED;
}

static enum stream_result memory_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                       struct err *err)
{
    struct pipe *pipe = of(stream)->out;
    size_t room = pipe->capacity - pipe->length;

    if (pipe->ended || pipe->closed)
        return reset(err);
    if (room == 0)
        return STREAM_WANT_WRITE;
    *count = length < room ? length : room;
    memcpy(pipe->data + pipe->length, data, *count);
    pipe->length += *count;
    return STREAM_OK;
}

static enum stream_result memory_shutdown(struct stream *stream, struct err *err)
{
    (void)err;
    of(stream)->out->ended = true;
    return STREAM_OK;
}

static int memory_fd(const struct stream *stream)
{
    (void)stream;
    return -1;
}

static void memory_free(struct stream *stream)
{
    struct end *end = of(stream);
    struct link *link = end->link;

    end->out->ended = true;
    end->in->closed = true;
    free(end);
    if (--link->ends > 0)
        return;
    for (size_t i = 0; i < 2; i++)
        free(link->pipes[i].data);
    free(link);
}

static const struct stream_ops memory_ops = {
    .handshake = memory_handshake,
    .read = memory_read,
    .write = memory_write,
    .shutdown = memory_shutdown,
    .fd = memory_fd,
    .free = memory_free,
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort();
    return memory;
}

void stream_memory_pair(struct stream *ends[2], size_t capacity)
{
    struct link *link = allocate(sizeof *link);
    link->ends = 2;
    for (size_t i = 0; i < 2; i++)
        link->pipes[i] = (struct pipe){.data = allocate(capacity), .capacity = capacity};
    for (size_t i = 0; i < 2; i++) {
        struct end *end = allocate(sizeof *end);
        *end = (struct end){
            .base.ops = &memory_ops, .link = link, .in = &link->pipes[1 - i], .out = &link->pipes[i]};
        ends[i] = &end->base;
    }
}
