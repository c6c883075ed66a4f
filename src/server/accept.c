#include "worker_state.h"

enum {
    ACCEPTS_PER_WAKE = 64, /* then the connections that are open get their turn */
    LAST_ROUNDS = 1024,    /* of those, under a drain: more than a queue holds; a flood must not hold it up */
    LOST_IN_A_ROW = 256,   /* then accepting pauses; a BSD's queue, where this is common, holds fewer */
    PAUSE_MIN_MS = 10,     /* doubled with each failure in a row */
    PAUSE_MAX_MS = 1000,
    EXHAUSTED_MAX_MS = 100 /* other workers and processes release descriptors without a notice */
};

/* What comes next at a listener. */
enum next {
    ACCEPT_MORE,
    AWAIT_CONNECTION,
    AWAIT_RETRY, /* its timer runs, or it failed for good */
};

static void on_pause_over(uv_timer_t *timer);

static unsigned next_pause_ms(const struct worker_listener *at)
{
    unsigned max = at->exhausted ? EXHAUSTED_MAX_MS : PAUSE_MAX_MS;
    if (at->pause_ms == 0)
        return PAUSE_MIN_MS;
    return at->pause_ms * 2 < max ? at->pause_ms * 2 : max;
}

/* Under a drain the listener is closed soon: nothing is to be tried again, nor to be logged. */
static enum next pause_accepting(struct worker_listener *at, enum listener_result why, const struct err *err)
{
    struct worker *worker = at->worker;

    if (worker->obeyed != RUN)
        return AWAIT_RETRY;
    if (!at->failing)
        worker_tally(&worker->counters.pauses, 1);
    accept_log_failure(worker->config.accept_log, err, !at->failing, (int64_t)uv_now(&worker->loop));
    at->failing = true;
    at->exhausted = why == LISTENER_EXHAUSTED;
    at->lost = 0;
    at->pause_ms = next_pause_ms(at);
    uv_poll_stop(&at->poll);
    uv_timer_start(&at->pause, on_pause_over, at->pause_ms, 0);
    return AWAIT_RETRY;
}

/* An empty queue: every connection that waited during a pause is accepted. */
static enum next finish_accepting(struct worker_listener *at)
{
    at->lost = 0;
    at->pause_ms = 0;
    if (at->failing && at->worker->obeyed == RUN) {
        at->failing = false;
        accept_log_recovery(at->worker->config.accept_log);
    }
    return AWAIT_CONNECTION;
}

static enum next give_up(struct worker_listener *at, const struct err *err)
{
    struct worker *worker = at->worker;

    uv_poll_stop(&at->poll);
    if (worker->obeyed == RUN && worker->config.failed != NULL)
        worker->config.failed(worker->config.context, err);
    return AWAIT_RETRY;
}

static enum next accept_one(struct worker_listener *at)
{
    struct arrival arrival;
    struct err err = {0};
    enum listener_result result = listener_accept(&at->listener, &arrival.fd, &arrival.peer, &err);

    switch (result) {
    case LISTENER_ACCEPTED:
        at->lost = 0;
        at->pause_ms = 0;
        worker_receive(at->worker, &arrival);
        return ACCEPT_MORE;
    case LISTENER_EMPTY:
        return finish_accepting(at);
    case LISTENER_LOST:
        if (++at->lost < LOST_IN_A_ROW)
            return ACCEPT_MORE;
        return pause_accepting(at, result, &err);
    case LISTENER_EXHAUSTED:
    case LISTENER_REFUSED:
        return pause_accepting(at, result, &err);
    case LISTENER_FAILED:
        break;
    }
    return give_up(at, &err);
}

/* Accepts some of what waits at one listener. */
static enum next accept_some(struct worker_listener *at)
{
    enum next next = ACCEPT_MORE;
    for (int i = 0; next == ACCEPT_MORE && i < ACCEPTS_PER_WAKE; i++)
        next = accept_one(at);
    return next;
}

/* Where a socket has an error pending, libuv stops polling it and reports that in status. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct worker_listener *at = poll->data;
    enum next next = accept_some(at);
    (void)events;

    if (status < 0 && next != AWAIT_RETRY) {
        char text[ENDPOINT_TEXT_BYTES];
        struct err err = {0};
        err_set(&err, ERR_SYSTEM_OTHER, -status, "cannot wait for connections on %s: %s",
                endpoint_format(&at->listener.at, text), uv_strerror(status));
        pause_accepting(at, LISTENER_REFUSED, &err);
    }
}

static void on_pause_over(uv_timer_t *timer)
{
    struct worker_listener *at = timer->data;
    if (accept_some(at) != AWAIT_RETRY)
        uv_poll_start(&at->poll, UV_READABLE, on_readable);
}

void worker_retry_accepting(struct worker *worker)
{
    for (size_t i = 0; i < worker->config.listener_count; i++) {
        struct worker_listener *at = &worker->listeners[i];
        if (at->exhausted && uv_is_active((uv_handle_t *)&at->pause))
            uv_timer_start(&at->pause, on_pause_over, 0, 0);
    }
}

int worker_open_listeners(struct worker *worker)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < worker->config.listener_count; i++) {
        struct worker_listener *at = &worker->listeners[i];
        at->worker = worker;
        at->poll.data = at->pause.data = at;
        result = uv_poll_init(&worker->loop, &at->poll, at->listener.fd);
        if (result == 0)
            result = uv_timer_init(&worker->loop, &at->pause);
        if (result == 0)
            result = uv_poll_start(&at->poll, UV_READABLE, on_readable);
    }
    return result;
}

/* What the kernel has queued is not lost, as long as it can be accepted. */
static void accept_last(struct worker_listener *at)
{
    enum next next = ACCEPT_MORE;
    for (int i = 0; next == ACCEPT_MORE && i < LAST_ROUNDS; i++)
        next = accept_some(at);
}

void worker_close_listeners(struct worker *worker)
{
    for (size_t i = 0; i < worker->config.listener_count; i++) {
        struct worker_listener *at = &worker->listeners[i];
        if (uv_is_closing((uv_handle_t *)&at->poll))
            continue;
        if (worker->obeyed == DRAIN)
            accept_last(at);
        uv_close((uv_handle_t *)&at->poll, NULL);
        uv_close((uv_handle_t *)&at->pause, NULL);
        listener_close(&at->listener);
    }
}
