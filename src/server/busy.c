#include "busy.h"

/* Each of those that wait now, at most: the loop looks at the others after one round. */
static void on_turn(uv_idle_t *idle)
{
    struct busy_queue *queue = idle->data;
    size_t most = queue->count < BUSY_PER_TURN ? queue->count : BUSY_PER_TURN;

    for (; most > 0 && queue->count > 0; most--) {
        struct busy *next = queue->head.next;
        busy_end(queue, next);
        queue->proceed(next);
    }
    if (queue->count == 0)
        uv_idle_stop(idle);
}

int busy_init(struct busy_queue *queue, uv_loop_t *loop)
{
    queue->head.next = queue->head.previous = &queue->head;
    queue->count = 0;
    queue->turn.data = queue;
    return uv_idle_init(loop, &queue->turn);
}

void busy_request(struct busy_queue *queue, struct busy *busy)
{
    busy->previous = queue->head.previous;
    busy->next = &queue->head;
    busy->previous->next = busy->next->previous = busy;
    queue->count++;
    uv_idle_start(&queue->turn, on_turn);
}

void busy_end(struct busy_queue *queue, struct busy *busy)
{
    if (busy->next == NULL)
        return;
    busy->previous->next = busy->next;
    busy->next->previous = busy->previous;
    *busy = (struct busy){0};
    queue->count--;
}
