#include "accept.h"

#include <stdlib.h>

enum {
    ACCEPTS_PER_WAKE = 64, /* then the connections that are open get their turn */
    LAST_ROUNDS = 1024, /* of those, before a listener is closed: more than a queue holds; a flood must end */
    LOST_IN_A_ROW = 256, /* then accepting pauses; a BSD's queue, where this is common, holds fewer */
    PAUSE_MIN_MS = 10,   /* doubled with each failure in a row */
    PAUSE_MAX_MS = 1000,
    EXHAUSTED_MAX_MS = 100 /* other workers and processes release descriptors without a notice */
};

/* One listening socket on the loop. Invariant: either its poll or its pause is active, until accepting from
 * it has failed for good or is stopped. */
struct accept_listener {
    uv_poll_t poll;
    uv_timer_t pause; /* until accepting is tried again */
    struct listener listener;
    struct accept *accept;
    unsigned lost;     /* connections in a row */
    unsigned pause_ms; /* the last pause; 0: it accepted a connection since, or its queue was empty */
    bool failing;      /* accepting failed, and its queue was not seen empty since */
    bool exhausted;    /* the last pause is for want of descriptors or memory */
};

struct accept {
    uv_loop_t *loop;
    struct accept_log *log;
    const struct accept_events *events;
    void *context;
    bool stopped;
    size_t listener_count;
    struct accept_listener listeners[];
};

/* What comes next at a listener. */
enum next {
    ACCEPT_MORE,
    AWAIT_CONNECTION,
    AWAIT_RETRY, /* its timer runs, or it failed for good */
};

static void on_pause_over(uv_timer_t *timer);

static unsigned next_pause_ms(const struct accept_listener *at)
{
    unsigned max = at->exhausted ? EXHAUSTED_MAX_MS : PAUSE_MAX_MS;
    if (at->pause_ms == 0)
        return PAUSE_MIN_MS;
    return at->pause_ms * 2 < max ? at->pause_ms * 2 : max;
}

/* A listener that is closed next is not tried again, and its failure is not logged. */
static enum next pause_accepting(struct accept_listener *at, enum listener_result why, const struct err *err)
{
    struct accept *accept = at->accept;

    if (accept->stopped)
        return AWAIT_RETRY;
    if (!at->failing)
        accept->events->paused(accept->context);
    accept_log_failure(accept->log, err, !at->failing, (int64_t)uv_now(accept->loop));
    at->failing = true;
    at->exhausted = why == LISTENER_EXHAUSTED;
    at->lost = 0;
    at->pause_ms = next_pause_ms(at);
    uv_poll_stop(&at->poll);
    uv_timer_start(&at->pause, on_pause_over, at->pause_ms, 0);
    return AWAIT_RETRY;
}

/* An empty queue: every connection that waited during a pause is accepted. */
static enum next finish_accepting(struct accept_listener *at)
{
    at->lost = 0;
    at->pause_ms = 0;
    if (at->failing && !at->accept->stopped) {
        at->failing = false;
        accept_log_recovery(at->accept->log);
    }
    return AWAIT_CONNECTION;
}

static enum next give_up(struct accept_listener *at, const struct err *err)
{
    struct accept *accept = at->accept;

    uv_poll_stop(&at->poll);
    if (!accept->stopped)
        accept->events->failed(accept->context, err);
    return AWAIT_RETRY;
}

static enum next accept_one(struct accept_listener *at)
{
    struct accepted_socket accepted = {.is_plain = at->listener.is_plain};
    struct err err = {0};
    enum listener_result result = listener_accept(&at->listener, &accepted.fd, &accepted.peer, &err);

    switch (result) {
    case LISTENER_ACCEPTED:
        at->lost = 0;
        at->pause_ms = 0;
        at->accept->events->accepted(at->accept->context, &accepted);
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
static enum next accept_some(struct accept_listener *at)
{
    enum next next = ACCEPT_MORE;
    for (int i = 0; next == ACCEPT_MORE && i < ACCEPTS_PER_WAKE; i++)
        next = accept_one(at);
    return next;
}

static void pause_polling(struct accept_listener *at, int status)
{
    char text[ENDPOINT_TEXT_BYTES];
    struct err err = {0};
    err_set(&err, ERR_SYSTEM_OTHER, -status, "cannot wait for connections on %s: %s",
            endpoint_format(&at->listener.at, text), uv_strerror(status));
    pause_accepting(at, LISTENER_REFUSED, &err);
}

/* Where a socket has an error pending, libuv stops polling it and reports that in status. */
static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct accept_listener *at = poll->data;
    enum next next = accept_some(at);
    (void)events;

    if (status < 0 && next != AWAIT_RETRY)
        pause_polling(at, status);
}

static void on_pause_over(uv_timer_t *timer)
{
    struct accept_listener *at = timer->data;
    if (accept_some(at) == AWAIT_RETRY)
        return;
    int result = uv_poll_start(&at->poll, UV_READABLE, on_readable);
    if (result != 0)
        pause_polling(at, result);
}

void accept_retry(struct accept *accept)
{
    for (size_t i = 0; i < accept->listener_count; i++) {
        struct accept_listener *at = &accept->listeners[i];
        if (at->exhausted && uv_is_active((uv_handle_t *)&at->pause))
            uv_timer_start(&at->pause, on_pause_over, 0, 0);
    }
}

struct accept *accept_new(const struct accept_config *config)
{
    size_t count = config->listener_count;
    struct accept *accept = calloc(1, sizeof *accept + count * sizeof accept->listeners[0]);

    for (size_t i = 0; i < count; i++) {
        struct listener listener = config->listeners[i];
        if (accept == NULL)
            listener_close(&listener);
        else
            accept->listeners[i] = (struct accept_listener){.listener = listener, .accept = accept};
    }
    if (accept == NULL)
        return NULL;
    accept->log = config->log;
    accept->events = config->events;
    accept->context = config->context;
    accept->listener_count = count;
    return accept;
}

int accept_start(struct accept *accept, uv_loop_t *loop)
{
    int result = 0;
    accept->loop = loop;
    for (size_t i = 0; result == 0 && i < accept->listener_count; i++) {
        struct accept_listener *at = &accept->listeners[i];
        at->poll.data = at->pause.data = at;
        result = uv_poll_init(loop, &at->poll, at->listener.fd);
        if (result == 0)
            result = uv_timer_init(loop, &at->pause);
        if (result == 0)
            result = uv_poll_start(&at->poll, UV_READABLE, on_readable);
    }
    return result;
}

/* What the kernel has queued is not lost, as long as it can be accepted. */
static void accept_last(struct accept_listener *at)
{
    enum next next = ACCEPT_MORE;
    for (int i = 0; next == ACCEPT_MORE && i < LAST_ROUNDS; i++)
        next = accept_some(at);
}

void accept_stop(struct accept *accept, bool with_queue)
{
    if (accept->stopped)
        return;
    accept->stopped = true;
    for (size_t i = 0; i < accept->listener_count; i++) {
        struct accept_listener *at = &accept->listeners[i];
        if (with_queue && !at->listener.is_shared)
            accept_last(at);
        uv_close((uv_handle_t *)&at->poll, NULL);
        uv_close((uv_handle_t *)&at->pause, NULL);
        listener_close(&at->listener);
    }
}

void accept_free(struct accept *accept)
{
    for (size_t i = 0; accept != NULL && i < accept->listener_count; i++)
        listener_close(&accept->listeners[i].listener);
    free(accept);
}
