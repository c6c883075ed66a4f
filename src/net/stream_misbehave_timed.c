#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_misbehave_private.h"

/*
 * Delay and drip. The caller waits for a descriptor, and a socket cannot be told to wait for a clock; so what
 * it is given is one end of a bell, a socketpair: a byte in it says "try again", because the lower stream is
 * ready or the time has come. Nothing is kept here: what may not leave yet is not taken.
 * Invariants: rung: one byte is in the bell; held: the timer runs; while held the lower stream is not
 * watched, because what comes meanwhile is not read either; open_handles counts poll and timer.
 */
struct timed {
    struct misbehaving misbehaving;
    uv_poll_t poll;
    uv_timer_t timer;
    int64_t ms;
    int bell[2]; /* the caller's end, ours */
    bool drips;
    bool rung;
    bool held;
    bool released; /* delay: the answer's time has come, and part of it may have left */
    uint8_t watched;
    uint8_t open_handles;
};

static struct timed *of(struct stream *stream)
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
    (void)status; /* the next operation tells what has failed */
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
        ring(timed); /* what cannot be watched is tried */
    }
}

/* After each operation: what can make the next one succeed rings. Whoever has written expects to be woken
 * by an answer, without having tried to read. */
static enum stream_result settle(struct timed *timed, enum stream_result result)
{
    bool over = result == STREAM_EOF || result == STREAM_FAILED;
    watch(timed, timed->held || over ? 0 : result == STREAM_WANT_WRITE ? UV_WRITABLE : UV_READABLE);
    return result == STREAM_WANT_WRITE ? STREAM_WANT_READ : result;
}

static enum stream_result timed_handshake(struct stream *stream, struct err *err)
{
    struct timed *timed = of(stream);
    answer_bell(timed);
    return settle(timed, stream_handshake(timed->misbehaving.lower, err));
}

static enum stream_result timed_read(struct stream *stream, void *data, size_t room, size_t *count,
                                     struct err *err)
{
    struct timed *timed = of(stream);
    answer_bell(timed);
    return settle(timed, stream_read(timed->misbehaving.lower, data, room, count, err));
}

static enum stream_result timed_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                      struct err *err)
{
    struct timed *timed = of(stream);

    answer_bell(timed);
    if (!timed->drips && !timed->released && !timed->held)
        hold(timed);
    if (timed->held)
        return settle(timed, STREAM_WANT_READ);
    enum stream_result result =
        stream_write(timed->misbehaving.lower, data, timed->drips ? 1 : length, count, err);
    if (result == STREAM_OK && timed->drips)
        hold(timed);
    else if (result == STREAM_OK && *count == length)
        timed->released = false; /* the next answer waits anew */
    return settle(timed, result);
}

static enum stream_result timed_shutdown(struct stream *stream, struct err *err)
{
    struct timed *timed = of(stream);
    answer_bell(timed);
    return settle(timed, stream_shutdown(timed->misbehaving.lower, err));
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
    struct timed *timed = of(stream);
    uv_close((uv_handle_t *)&timed->poll, on_handle_closed);
    uv_close((uv_handle_t *)&timed->timer, on_handle_closed);
    stream_free(timed->misbehaving.lower);
    close(timed->bell[0]);
    close(timed->bell[1]);
}

static const struct stream_ops timed_ops = {
    .handshake = timed_handshake,
    .read = timed_read,
    .write = timed_write,
    .shutdown = timed_shutdown,
    .waiting = stream_misbehave_waiting,
    .fd = timed_fd,
    .free = timed_free,
};

struct stream *stream_misbehave_timed_new(const struct stream_misbehaviour *how, uv_loop_t *loop,
                                          struct stream *lower, struct err *err)
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
    *timed = (struct timed){.misbehaving = {{&timed_ops}, lower},
                            .ms = how->ms,
                            .bell = {bell[0], bell[1]},
                            .drips = how->kind == STREAM_MISBEHAVE_DRIP,
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
    return &timed->misbehaving.base;
failed:
    free(timed);
    stream_free(lower);
    return NULL;
}
