#include "worker_state.h"

#include <string.h>

/* Returns: false where the worker is to end, or has more than enough waiting. */
static bool post(struct worker *to, const struct arrival *arrival)
{
    struct inbox *inbox = &to->inbox;

    uv_mutex_lock(&inbox->mutex);
    bool taken = !inbox->closed && inbox->count < WORKER_INBOX;
    if (taken) {
        inbox->arrivals[inbox->count++] = *arrival;
        uv_async_send(&to->wake); /* within the lock: a worker that has shut its inbox is left alone */
    }
    uv_mutex_unlock(&inbox->mutex);
    return taken;
}

bool worker_hand_on(struct worker *worker, const struct arrival *arrival)
{
    size_t turn = worker->turn;
    worker->turn = turn < worker->config.peer_count ? turn + 1 : 0;
    return turn < worker->config.peer_count && post(worker->config.peers[turn], arrival);
}

void worker_take_arrivals(struct worker *worker)
{
    struct arrival arrivals[WORKER_INBOX];
    struct inbox *inbox = &worker->inbox;

    uv_mutex_lock(&inbox->mutex);
    size_t count = inbox->count;
    memcpy(arrivals, inbox->arrivals, count * sizeof *arrivals);
    inbox->count = 0;
    inbox->closed = worker->obeyed != RUN;
    uv_mutex_unlock(&inbox->mutex);

    for (size_t i = 0; i < count; i++) {
        if (worker->obeyed == STOP)
            worker_drop(worker, &arrivals[i]);
        else
            worker_serve(worker, &arrivals[i]);
    }
}
