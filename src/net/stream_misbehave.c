#include "tcpgreet/net/stream_misbehave.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpgreet/base/trace.h"

/* First member of each kind. */
struct misbehaving {
    struct stream base;
    struct stream *lower;
};

/* The kinds that need no clock. */
struct untimed {
    struct misbehaving misbehaving;
    bool welcomed; /* half-close: the first answer has left */
    bool ended;    /* half-close: so has our end */
    bool received; /* at least one byte */
};

/*
 * Delay and drip. The caller polls a descriptor, and a socket does not become ready at a time; so the caller
 * is given one end of a bell, a socketpair: a byte in it means "try again", because the lower stream is ready
 * or the time has come. Nothing is kept here: what may not leave yet is not taken. Invariants: rung: one byte
 * is in the bell; held: the timer runs; while held the lower stream is not polled, because what comes
 * meanwhile is not read either; open_handles counts poll and timer.
 */
struct timed {
    struct misbehaving misbehaving;
    uv_poll_t poll;
    uv_timer_t timer;
    int64_t ms;
    int bell[2]; /* the caller's end, ours */
    bool is_drip;
    bool rung;
    bool held;
    bool released; /* delay: the answer's time has come, and part of it may have left */
    uint8_t watched;
    uint8_t open_handles;
};

static struct untimed *of(struct stream *stream)
{
    return (struct untimed *)stream;
}

static struct stream *lower_of(const struct stream *stream)
{
    return ((const struct misbehaving *)stream)->lower;
}

static enum stream_result pass_handshake(struct stream *stream, bool expired, struct err *err)
{
    struct stream *lower = lower_of(stream);
    enum stream_result result = lower->ops->handshake(lower, expired, err);
    stream->more = lower->more;
    return result;
}

static enum stream_result pass_read(struct stream *stream, void *data, size_t room, size_t *count,
                                    struct err *err)
{
    enum stream_result result = stream_read(lower_of(stream), data, room, count, err);
    stream->more = lower_of(stream)->more;
    return result;
}

static enum stream_result read_untimed(struct stream *stream, void *data, size_t room, size_t *count,
                                       struct err *err)
{
    enum stream_result result = pass_read(stream, data, room, count, err);
    if (result == STREAM_OK)
        of(stream)->received = true;
    return result;
}

static enum stream_result pass_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                     struct err *err)
{
    enum stream_result result = stream_write(lower_of(stream), data, length, count, err);
    stream->more = lower_of(stream)->more;
    return result;
}

static enum stream_result pass_shutdown(struct stream *stream, struct err *err)
{
    enum stream_result result = stream_shutdown(lower_of(stream), err);
    stream->more = lower_of(stream)->more;
    return result;
}

static int pass_fd(const struct stream *stream)
{
    return stream_fd(lower_of(stream));
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

/* What was received is replaced: an exit would be a reason to end. An empty name asks for nothing. */
static enum stream_result read_empty_names(struct stream *stream, void *data, size_t room, size_t *count,
                                           struct err *err)
{
    enum stream_result result = pass_read(stream, data, room, count, err);
    if (result == STREAM_OK) {
        *(char *)data = '\n';
        *count = 1;
    }
    return result;
}

/* The close that follows sends an RST, and what waits in the socket is thrown away. */
static enum stream_result reset(struct stream *stream, struct err *err)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (setsockopt(stream_fd(stream), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0)
        err_set(err, ERR_INTERNAL, errno, "cannot reset the connection: %s", strerror(errno));
    else
        err_set(err, ERR_DIALOGUE_RESET, 0, "reset on purpose (--misbehave)");
    return STREAM_FAILED;
}

static enum stream_result write_until_received(struct stream *stream, const void *data, size_t length,
                                               size_t *count, struct err *err)
{
    return of(stream)->received ? reset(stream, err) : pass_write(stream, data, length, count, err);
}

static enum stream_result end_once(struct stream *stream, struct err *err)
{
    enum stream_result result = of(stream)->ended ? STREAM_OK : pass_shutdown(stream, err);
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
        enum stream_result result = pass_write(stream, data, length, count, err);
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

#define UNTIMED(read_, write_, shutdown_)                                                                    \
    {                                                                                                        \
        .handshake = pass_handshake, .read = (read_), .write = (write_), .shutdown = (shutdown_),            \
        .fd = pass_fd, .free = free_untimed, .lower = lower_of                                               \
    }

static const struct stream_ops untimed_ops[STREAM_MISBEHAVE_KINDS] = {
    [STREAM_MISBEHAVE_RESET] = UNTIMED(read_untimed, write_until_received, pass_shutdown),
    [STREAM_MISBEHAVE_HALF_CLOSE] = UNTIMED(read_untimed, write_welcome, end_once),
    [STREAM_MISBEHAVE_NO_CLOSE_NOTIFY] = UNTIMED(read_untimed, pass_write, shutdown_bare),
    [STREAM_MISBEHAVE_MUTE] = UNTIMED(read_empty_names, write_nothing, pass_shutdown),
};

static struct timed *timed_of(struct stream *stream)
{
    return (struct timed *)stream;
}

static void ring(struct timed *timed)
{
    if (!timed->rung)
        timed->rung = write(timed->bell[1], "!", 1) == 1; /* an empty socketpair takes a byte */
}

/* Every operation answers the bell. */
static void answer_bell(struct timed *timed)
{
    char byte;
    if (timed->rung)
        timed->rung = read(timed->bell[0], &byte, 1) != 1;
}

static void on_time(uv_timer_t *timer)
{
    struct timed *timed = timer->data;
    timed->held = false;
    timed->released = true;
    ring(timed);
}

static void hold(struct timed *timed)
{
    timed->held = true;
    timed->released = false;
    uv_timer_start(&timed->timer, on_time, (uint64_t)timed->ms, 0);
}

static void watch(struct timed *timed, int events);

/* Once for each operation: a caller that does not want what has come is not woken for it again and again. */
static void on_lower(uv_poll_t *poll, int status, int events)
{
    struct timed *timed = poll->data;
    (void)status; /* the next operation returns what has failed */
    (void)events;
    watch(timed, 0);
    ring(timed);
}

static void watch(struct timed *timed, int events)
{
    if (events == timed->watched)
        return;
    timed->watched = (uint8_t)events;
    if (events == 0)
        uv_poll_stop(&timed->poll);
    else if (uv_poll_start(&timed->poll, events, on_lower) != 0) {
        timed->watched = 0;
        ring(timed); /* what cannot be polled is tried */
    }
}

/* After each operation: what can make the next one succeed rings. A caller that has written expects to be
 * woken by an answer, without having tried to read. */
static enum stream_result settle(struct timed *timed, enum stream_result result)
{
    bool over = result == STREAM_EOF || result == STREAM_FAILED;
    watch(timed, timed->held || over ? 0 : result == STREAM_WANT_WRITE ? UV_WRITABLE : UV_READABLE);
    return result == STREAM_WANT_WRITE ? STREAM_WANT_READ : result;
}

static enum stream_result timed_handshake(struct stream *stream, bool expired, struct err *err)
{
    answer_bell(timed_of(stream));
    return settle(timed_of(stream), pass_handshake(stream, expired, err));
}

static enum stream_result timed_read(struct stream *stream, void *data, size_t room, size_t *count,
                                     struct err *err)
{
    answer_bell(timed_of(stream));
    return settle(timed_of(stream), pass_read(stream, data, room, count, err));
}

static enum stream_result timed_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                      struct err *err)
{
    struct timed *timed = timed_of(stream);

    answer_bell(timed);
    if (!timed->is_drip && !timed->released && !timed->held)
        hold(timed);
    if (timed->held)
        return settle(timed, STREAM_WANT_READ);
    enum stream_result result = pass_write(stream, data, timed->is_drip ? 1 : length, count, err);
    if (result == STREAM_OK && timed->is_drip)
        hold(timed);
    else if (result == STREAM_OK && *count == length)
        timed->released = false; /* the next answer waits anew */
    return settle(timed, result);
}

static enum stream_result timed_shutdown(struct stream *stream, struct err *err)
{
    answer_bell(timed_of(stream));
    return settle(timed_of(stream), pass_shutdown(stream, err));
}

static int timed_fd(const struct stream *stream)
{
    return ((const struct timed *)stream)->bell[0];
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct timed *timed = handle->data;
    if (--timed->open_handles == 0)
        free(timed);
}

static void timed_free(struct stream *stream)
{
    struct timed *timed = timed_of(stream);
    uv_close((uv_handle_t *)&timed->poll, on_handle_closed);
    uv_close((uv_handle_t *)&timed->timer, on_handle_closed);
    stream_free(lower_of(stream));
    close(timed->bell[0]);
    close(timed->bell[1]);
}

static const struct stream_ops timed_ops = {
    .handshake = timed_handshake,
    .read = timed_read,
    .write = timed_write,
    .shutdown = timed_shutdown,
    .fd = timed_fd,
    .free = timed_free,
    .lower = lower_of,
};

static struct stream *timed_new(const struct stream_misbehaviour *how, uv_loop_t *loop, struct stream *lower,
                                struct err *err)
{
    struct timed *timed = malloc(sizeof *timed);
    int bell[2];
    int result =
        timed == NULL ? UV_ENOMEM : uv_socketpair(SOCK_STREAM, 0, bell, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
    if (result != 0) {
        err_set(err, err_reason_of_system(-result), -result, "cannot make a connection misbehave: %s",
                uv_strerror(result));
        goto failed;
    }
    *timed = (struct timed){.misbehaving = {.base.ops = &timed_ops, .lower = lower},
                            .ms = how->ms,
                            .bell = {bell[0], bell[1]},
                            .is_drip = how->kind == STREAM_MISBEHAVE_DRIP,
                            .open_handles = 2};
    result = uv_poll_init(loop, &timed->poll, stream_fd(lower));
    if (result != 0) {
        close(bell[0]);
        close(bell[1]);
        err_set(err, ERR_INTERNAL, -result, "cannot watch a connection: %s", uv_strerror(result));
        goto failed;
    }
    uv_timer_init(loop, &timed->timer);
    timed->poll.data = timed->timer.data = timed;
    watch(timed, UV_READABLE); /* a caller may wait for its peer before its first operation */
    return &timed->misbehaving.base;
failed:
    free(timed);
    stream_free(lower);
    return NULL;
}

static bool is_timed(enum stream_misbehave_kind kind)
{
    return kind == STREAM_MISBEHAVE_DELAY || kind == STREAM_MISBEHAVE_DRIP;
}

struct stream *stream_misbehave_new(const struct stream_misbehaviour *how, uv_loop_t *loop,
                                    struct stream *lower, struct err *err)
{
    if (is_timed(how->kind))
        return timed_new(how, loop, lower, err);
    struct untimed *untimed = malloc(sizeof *untimed);
    if (untimed == NULL) {
        stream_free(lower);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a connection");
        return NULL;
    }
    *untimed = (struct untimed){.misbehaving = {.base.ops = &untimed_ops[how->kind], .lower = lower}};
    /* cppcheck-suppress memleak ; the stream is its first member: stream_free frees both */
    return &untimed->misbehaving.base;
}

unsigned stream_misbehave_descriptors(enum stream_misbehave_kind kind)
{
    return is_timed(kind) ? 2 : 0;
}

const char *stream_misbehave_text(const struct stream_misbehaviour *how, char *text, size_t room)
{
    static const char *const kinds[STREAM_MISBEHAVE_KINDS] = {
        [STREAM_MISBEHAVE_NOT] = "answers are sent as usual",
        [STREAM_MISBEHAVE_DELAY] = "each answer leaves late, by",
        [STREAM_MISBEHAVE_DRIP] = "answers are sent one byte at a time, every",
        [STREAM_MISBEHAVE_RESET] = "the first answer to a name is a reset",
        [STREAM_MISBEHAVE_HALF_CLOSE] = "this side ends after the welcome, and names are not answered",
        [STREAM_MISBEHAVE_NO_CLOSE_NOTIFY] = "TLS ends without close_notify",
        [STREAM_MISBEHAVE_MUTE] = "nothing is sent",
    };
    if (is_timed(how->kind))
        snprintf(text, room, "%s %lld ms", kinds[how->kind], (long long)how->ms);
    else
        snprintf(text, room, "%s", kinds[how->kind]);
    return text;
}
