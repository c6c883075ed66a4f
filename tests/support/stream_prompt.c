#include "support/stream_prompt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpgreet/base/buf.h"

/* One direction. */
struct way {
    struct buf bytes;
    size_t read; /* so far */
    bool ended;
};

/* Invariant: signal[0] is readable exactly while has_come(link). */
struct link {
    const struct stream_prompt *prompt;
    struct way to_near, to_far;
    uv_idle_t turn; /* runs once in the next turn */
    int signal[2];
    bool signalled;
    bool opened;    /* nothing is held any more */
    unsigned users; /* near, far, turn */
};

struct end {
    struct stream base;
    struct link *link;
};

static struct link *of(const struct stream *stream)
{
    return ((const struct end *)stream)->link;
}

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void release(struct link *link)
{
    if (--link->users > 0)
        return;
    buf_fini(&link->to_near.bytes);
    buf_fini(&link->to_far.bytes);
    close(link->signal[0]);
    close(link->signal[1]);
    free(link);
}

/* Returns: how many bytes the near side may read now. */
static size_t come(const struct link *link)
{
    size_t there = buf_length(&link->to_near.bytes);
    size_t before_hold = link->prompt->hold_at - link->to_near.read;
    return link->opened || there < before_hold ? there : before_hold;
}

static bool has_come(const struct link *link)
{
    return come(link) > 0 || (link->to_near.ended && buf_length(&link->to_near.bytes) == 0);
}

static bool is_held(const struct link *link)
{
    return come(link) < buf_length(&link->to_near.bytes);
}

static void on_turn(uv_idle_t *turn);

/* After each change of what is on the way to the near side. */
static void settle(struct link *link)
{
    char byte = '!';
    if (is_held(link))
        uv_idle_start(&link->turn, on_turn);
    if (link->signalled == has_come(link))
        return;
    link->signalled = !link->signalled;
    must(link->signalled ? write(link->signal[1], &byte, 1) == 1 : read(link->signal[0], &byte, 1) == 1);
}

static void on_turn(uv_idle_t *turn)
{
    struct link *link = turn->data;
    uv_idle_stop(turn);
    link->opened = link->opened || is_held(link);
    settle(link);
    link->prompt->act(link->prompt->context);
}

static void act_now_or_later(struct link *link)
{
    if (link->prompt->late)
        uv_idle_start(&link->turn, on_turn);
    else
        link->prompt->act(link->prompt->context);
}

static enum stream_result handshake(struct stream *stream, bool expired, struct err *err)
{
    (void)stream;
    (void)expired;
    (void)err;
    return STREAM_OK;
}

static enum stream_result read_way(struct way *way, size_t limit, void *data, size_t room, size_t *count)
{
    if (buf_length(&way->bytes) == 0 && way->ended)
        return STREAM_EOF;
    if (limit == 0)
        return STREAM_WANT_READ;
    *count = limit < room ? limit : room;
    memcpy(data, buf_bytes(&way->bytes).data, *count);
    buf_consume(&way->bytes, *count);
    way->read += *count;
    return STREAM_OK;
}

static enum stream_result write_way(struct way *way, const void *data, size_t length, size_t *count)
{
    must(!way->ended && buf_append(&way->bytes, (struct bytes){data, length}) == 0);
    *count = length;
    return STREAM_OK;
}

static enum stream_result near_read(struct stream *stream, void *data, size_t room, size_t *count,
                                    struct err *err)
{
    struct link *link = of(stream);
    (void)err;
    enum stream_result result = read_way(&link->to_near, come(link), data, room, count);
    stream->more = come(link) > 0;
    settle(link);
    return result;
}

static enum stream_result near_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                     struct err *err)
{
    struct link *link = of(stream);
    (void)err;
    write_way(&link->to_far, data, length, count);
    act_now_or_later(link);
    return STREAM_OK;
}

static enum stream_result near_shutdown(struct stream *stream, struct err *err)
{
    struct link *link = of(stream);
    (void)err;
    link->to_far.ended = true;
    act_now_or_later(link);
    return STREAM_OK;
}

static enum stream_result far_read(struct stream *stream, void *data, size_t room, size_t *count,
                                   struct err *err)
{
    struct way *way = &of(stream)->to_far;
    (void)err;
    enum stream_result result = read_way(way, buf_length(&way->bytes), data, room, count);
    stream->more = buf_length(&way->bytes) > 0;
    return result;
}

static enum stream_result far_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                    struct err *err)
{
    struct link *link = of(stream);
    (void)err;
    enum stream_result result = write_way(&link->to_near, data, length, count);
    settle(link);
    return result;
}

static enum stream_result far_shutdown(struct stream *stream, struct err *err)
{
    struct link *link = of(stream);
    (void)err;
    link->to_near.ended = true;
    settle(link);
    return STREAM_OK;
}

static int near_fd(const struct stream *stream)
{
    return of(stream)->signal[0];
}

static int far_fd(const struct stream *stream)
{
    (void)stream;
    return -1;
}

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void near_free(struct stream *stream)
{
    struct link *link = of(stream);
    link->to_far.ended = true;
    uv_close((uv_handle_t *)&link->turn, on_closed);
    free(stream);
    release(link);
}

static void far_free(struct stream *stream)
{
    struct link *link = of(stream);
    free(stream);
    release(link);
}

static const struct stream_ops near_ops = {
    .handshake = handshake,
    .read = near_read,
    .write = near_write,
    .shutdown = near_shutdown,
    .fd = near_fd,
    .free = near_free,
};

static const struct stream_ops far_ops = {
    .handshake = handshake,
    .read = far_read,
    .write = far_write,
    .shutdown = far_shutdown,
    .fd = far_fd,
    .free = far_free,
};

void stream_prompt_pair(struct stream *ends[2], const struct stream_prompt *prompt)
{
    static const struct stream_ops *const ops[2] = {&near_ops, &far_ops};
    struct link *link = calloc(1, sizeof *link);
    must(link != NULL &&
         uv_socketpair(SOCK_STREAM, 0, link->signal, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE) == 0);
    link->prompt = prompt;
    link->users = 3;
    must(uv_idle_init(prompt->loop, &link->turn) == 0);
    link->turn.data = link;
    for (size_t i = 0; i < 2; i++) {
        struct end *end = malloc(sizeof *end);
        must(end != NULL);
        *end = (struct end){.base.ops = ops[i], .link = link};
        ends[i] = &end->base;
    }
}
