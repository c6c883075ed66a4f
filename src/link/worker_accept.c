#include "worker_private.h"

#include "tcpgreet/log.h"

enum {
    ACCEPTS_PER_WAKE = 64, /* then the guests get their turn */
    LAST_ROUNDS = 1024,    /* of those, under a drain: more than a queue holds; a flood must not hold it up */
    ACCEPT_PAUSE_MS =
        100 /* with no descriptors left, accepting is tried again after this, or when a guest goes */
};

static void on_pause_over(uv_timer_t *timer)
{
    worker_set_accepting(timer->data, true);
}

static void pause_accepting(struct worker *worker, const struct err *err)
{
    if (!worker->paused) {
        worker_tally(&worker->counters.pauses, 1);
        if (atomic_fetch_add(worker->config.pausing, 1) == 0)
            log_write(LOG_WARNING, "%s: accepting pauses until a connection ends (raise ulimit -n)",
                      err->text);
    }
    worker->paused = true;
    worker_set_accepting(worker, false);
    uv_timer_start(&worker->pause_timer, on_pause_over, ACCEPT_PAUSE_MS, 0);
}

/* Accepts some of what waits at one door. Returns: whether more may wait. */
static bool accept_some(struct worker *worker, struct door *door)
{
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        struct arrival arrival;
        struct err err = {0};

        switch (listener_accept(&door->listener, &arrival.fd, &arrival.peer, &err)) {
        case LISTENER_ACCEPTED:
            worker_receive(worker, &arrival);
            break;
        case LISTENER_EMPTY:
            if (worker->paused)
                atomic_fetch_sub(worker->config.pausing, 1);
            worker->paused = false;
            return false;
        case LISTENER_EXHAUSTED:
            pause_accepting(worker, &err);
            return false;
        case LISTENER_FAILED:
            log_write(LOG_ERROR, "%s", err.text);
            uv_poll_stop(&door->poll);
            return false;
        }
    }
    return true;
}

static void on_knock(uv_poll_t *poll, int status, int events)
{
    struct door *door = poll->data;
    (void)status;
    (void)events;
    accept_some(door->worker, door);
}

void worker_set_accepting(struct worker *worker, bool accepting)
{
    if (worker->obeyed != RUN)
        return;
    uv_timer_stop(&worker->pause_timer);
    for (size_t i = 0; i < worker->config.listener_count; i++) {
        if (accepting)
            uv_poll_start(&worker->doors[i].poll, UV_READABLE, on_knock);
        else
            uv_poll_stop(&worker->doors[i].poll);
    }
}

int worker_open_doors(struct worker *worker)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < worker->config.listener_count; i++) {
        struct door *door = &worker->doors[i];
        door->worker = worker;
        result = uv_poll_init(&worker->loop, &door->poll, door->listener.fd);
        if (result == 0) {
            door->poll.data = door;
            result = uv_poll_start(&door->poll, UV_READABLE, on_knock);
        }
    }
    return result;
}

/* What the kernel has queued is not lost, as long as there are descriptors. */
static void accept_last(struct worker *worker, struct door *door)
{
    bool more = true;
    for (int i = 0; more && !worker->paused && i < LAST_ROUNDS; i++)
        more = accept_some(worker, door);
}

void worker_close_doors(struct worker *worker)
{
    for (size_t i = 0; i < worker->config.listener_count; i++) {
        struct door *door = &worker->doors[i];
        if (uv_is_closing((uv_handle_t *)&door->poll))
            continue;
        if (worker->obeyed == DRAIN)
            accept_last(worker, door);
        uv_close((uv_handle_t *)&door->poll, NULL);
        listener_close(&door->listener);
    }
}
