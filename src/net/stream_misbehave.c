#include "stream_misbehave_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tcpgreet/base/trace.h"

/* The kinds that need no clock. */
struct untimed {
    struct misbehaving misbehaving;
    bool welcomed; /* half-close: the first answer has left */
    bool ended;    /* half-close: so has our end */
    bool heard;    /* something came */
};

static struct untimed *of(struct stream *stream)
{
    return (struct untimed *)stream;
}

static struct stream *lower_of(struct stream *stream)
{
    return ((struct misbehaving *)stream)->lower;
}

static enum stream_result hand_on_handshake(struct stream *stream, struct err *err)
{
    return stream_handshake(lower_of(stream), err);
}

static enum stream_result hand_on_read(struct stream *stream, void *data, size_t room, size_t *count,
                                       struct err *err)
{
    enum stream_result result = stream_read(lower_of(stream), data, room, count, err);
    if (result == STREAM_OK)
        of(stream)->heard = true;
    return result;
}

static enum stream_result hand_on_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                        struct err *err)
{
    return stream_write(lower_of(stream), data, length, count, err);
}

static enum stream_result hand_on_shutdown(struct stream *stream, struct err *err)
{
    return stream_shutdown(lower_of(stream), err);
}

static int hand_on_fd(const struct stream *stream)
{
    return stream_fd(((const struct misbehaving *)stream)->lower);
}

static void free_untimed(struct stream *stream)
{
    stream_free(lower_of(stream));
    free(stream);
}

static enum stream_result write_nothing(struct stream *stream, const void *data, size_t length, size_t *count,
                                        struct err *err)
{
    (void)stream;
    (void)data;
    (void)err;
    *count = length;
    return STREAM_OK;
}

/* The other words reach nobody: an exit would be a reason to end. An empty name is what asks for nothing. */
static enum stream_result read_empty_names(struct stream *stream, void *data, size_t room, size_t *count,
                                           struct err *err)
{
    enum stream_result result = hand_on_read(stream, data, room, count, err);
    if (result == STREAM_OK) {
        *(char *)data = '\n';
        *count = 1;
    }
    return result;
}

/* Whoever closes the socket next sends an RST, and what waits in it is thrown away. */
static enum stream_result reset(struct stream *stream, struct err *err)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (setsockopt(stream_fd(stream), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0)
        err_set(err, ERR_INTERNAL, errno, "cannot reset the connection: %s", strerror(errno));
    else
        err_set(err, ERR_DIALOGUE_RESET, 0, "reset on purpose (--misbehave)");
    return STREAM_FAILED;
}

static enum stream_result write_until_heard(struct stream *stream, const void *data, size_t length,
                                            size_t *count, struct err *err)
{
    return of(stream)->heard ? reset(stream, err) : hand_on_write(stream, data, length, count, err);
}

static enum stream_result end_once(struct stream *stream, struct err *err)
{
    enum stream_result result = of(stream)->ended ? STREAM_OK : hand_on_shutdown(stream, err);
    of(stream)->ended = result == STREAM_OK;
    return result;
}

/* The last byte of the welcome counts as written once our side is ended, so that an end that has to wait is
 * waited for. */
static enum stream_result write_welcome(struct stream *stream, const void *data, size_t length, size_t *count,
                                        struct err *err)
{
    struct untimed *untimed = of(stream);
    if (!untimed->welcomed) {
        enum stream_result result = hand_on_write(stream, data, length, count, err);
        untimed->welcomed = result == STREAM_OK && *count == length;
        if (!untimed->welcomed || length > 1) {
            *count -= untimed->welcomed ? 1 : 0;
            return result;
        }
    }
    enum stream_result result = end_once(stream, err);
    return result == STREAM_OK ? write_nothing(stream, data, length, count, err) : result;
}

static enum stream_result shutdown_bare(struct stream *stream, struct err *err)
{
    int fd = stream_fd(stream);
    uint64_t begin = trace_begin();
    int result = shutdown(fd, SHUT_WR);

    trace(.step = TRACE_SHUTDOWN, .fd = fd, .begin_ns = begin, .arguments = "SHUT_WR", .result = result,
          .native = result < 0 ? errno : 0);
    if (result == 0)
        return STREAM_OK;
    err_set(err, ERR_DIALOGUE_RESET, errno, "ending our side failed: %s", strerror(errno));
    return STREAM_FAILED;
}

void stream_misbehave_waiting(const struct stream *stream, struct err *err)
{
    stream_waiting(((const struct misbehaving *)stream)->lower, err);
}

#define UNTIMED(read_, write_, shutdown_)                                                                    \
    {                                                                                                        \
        .handshake = hand_on_handshake, .read = (read_), .write = (write_), .shutdown = (shutdown_),         \
        .waiting = stream_misbehave_waiting, .fd = hand_on_fd, .free = free_untimed                          \
    }

static const struct stream_ops untimed_ops[STREAM_MISBEHAVE_KINDS] = {
    [STREAM_MISBEHAVE_RESET] = UNTIMED(hand_on_read, write_until_heard, hand_on_shutdown),
    [STREAM_MISBEHAVE_HALF_CLOSE] = UNTIMED(hand_on_read, write_welcome, end_once),
    [STREAM_MISBEHAVE_NO_CLOSE_NOTIFY] = UNTIMED(hand_on_read, hand_on_write, shutdown_bare),
    [STREAM_MISBEHAVE_MUTE] = UNTIMED(read_empty_names, write_nothing, hand_on_shutdown),
};

static bool is_timed(enum stream_misbehave_kind kind)
{
    return kind == STREAM_MISBEHAVE_DELAY || kind == STREAM_MISBEHAVE_DRIP;
}

struct stream *stream_misbehave_new(const struct stream_misbehaviour *how, uv_loop_t *loop,
                                    struct stream *lower, struct err *err)
{
    if (is_timed(how->kind))
        return stream_misbehave_timed_new(how, loop, lower, err);
    struct untimed *untimed = malloc(sizeof *untimed);
    if (untimed == NULL) {
        stream_free(lower);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a connection");
        return NULL;
    }
    *untimed = (struct untimed){.misbehaving = {{&untimed_ops[how->kind]}, lower}};
    return &untimed->misbehaving.base;
}

const struct stream *stream_misbehave_below(const struct stream *stream)
{
    return stream->ops->waiting == stream_misbehave_waiting ? ((const struct misbehaving *)stream)->lower
                                                            : stream;
}

unsigned stream_misbehave_descriptors(enum stream_misbehave_kind kind)
{
    return is_timed(kind) ? 2 : 0;
}

const char *stream_misbehave_text(const struct stream_misbehaviour *how, char *text, size_t room)
{
    static const char *const names[STREAM_MISBEHAVE_KINDS] = {
        [STREAM_MISBEHAVE_NOT] = "nothing is done to answers",
        [STREAM_MISBEHAVE_DELAY] = "each answer leaves late, by",
        [STREAM_MISBEHAVE_DRIP] = "answers leave byte by byte, one each",
        [STREAM_MISBEHAVE_RESET] = "the first answer to a name is a reset",
        [STREAM_MISBEHAVE_HALF_CLOSE] = "this side ends after the welcome, and names are not answered",
        [STREAM_MISBEHAVE_NO_CLOSE_NOTIFY] = "TLS ends without close_notify",
        [STREAM_MISBEHAVE_MUTE] = "nothing is said",
    };
    if (is_timed(how->kind))
        snprintf(text, room, "%s %lld ms", names[how->kind], (long long)how->ms);
    else
        snprintf(text, room, "%s", names[how->kind]);
    return text;
}
