#include "handshakes.h"

#include <stdbool.h>
#include <stddef.h>

static int64_t now_ms(const struct handshakes *handshakes)
{
    return (int64_t)uv_now(handshakes->loop);
}

static bool is_empty(const struct handshake *head)
{
    return head->next == head;
}

static void append(struct handshake *head, struct handshake *handshake)
{
    handshake->previous = head->previous;
    handshake->next = head;
    head->previous->next = handshake;
    head->previous = handshake;
}

static void take_out(struct handshake *handshake)
{
    handshake->previous->next = handshake->next;
    handshake->next->previous = handshake->previous;
}

static bool has_place(const struct handshake *handshake)
{
    return handshake->state == HANDSHAKE_READY || handshake->state == HANDSHAKE_STEPPING ||
           handshake->state == HANDSHAKE_STALLED;
}

static bool is_listed(const struct handshake *handshake)
{
    return handshake->state == HANDSHAKE_WAITING || handshake->state == HANDSHAKE_READY ||
           handshake->state == HANDSHAKE_STALLED;
}

static uint8_t rank_of(size_t others)
{
    uint8_t rank = 0;
    for (; others > 0 && rank + 1 < HANDSHAKES_RANKS; others >>= 1)
        rank++;
    return rank;
}

/* Returns: the one in progress that makes room for a handshake of this rank; NULL. */
static struct handshake *find_displaceable(struct handshakes *handshakes, uint8_t rank)
{
    int64_t since = now_ms(handshakes) - HANDSHAKES_STALLED_MS;
    for (size_t i = HANDSHAKES_RANKS; i-- > 0;) {
        struct handshake *longest = handshakes->stalled[i].next;
        if (longest != &handshakes->stalled[i] && (i > rank || longest->active_ms <= since))
            return longest;
    }
    return NULL;
}

/* is_free: its place becomes free; else it passes to the handshake that displaces it. */
static void displace(struct handshakes *handshakes, struct handshake *handshake, bool is_free)
{
    take_out(handshake);
    handshake->state = HANDSHAKE_OVER;
    limits_end_handshake(handshakes->limits, handshake->peer, is_free);
    handshakes->displace(handshake);
}

/* Returns: whether it has a place now. */
static bool take_place(struct handshakes *handshakes, const struct handshake *handshake)
{
    if (limits_begin_handshake(handshakes->limits, &handshakes->waiter))
        return true;
    struct handshake *other = find_displaceable(handshakes, handshake->rank);
    if (other != NULL)
        displace(handshakes, other, false);
    return other != NULL;
}

/* Returns: the next of this rank, in no list any more; NULL. is_full: no place is free. */
static struct handshake *choose_of(struct handshakes *handshakes, size_t rank, bool *is_full)
{
    struct handshake *next = handshakes->ready[rank].next;
    if (next == &handshakes->ready[rank]) {
        next = handshakes->waiting[rank].next;
        if (next == &handshakes->waiting[rank] || *is_full)
            return NULL;
        *is_full = !take_place(handshakes, next);
        if (*is_full)
            return NULL;
    }
    take_out(next);
    return next;
}

static struct handshake *choose(struct handshakes *handshakes, bool highest, bool *is_full)
{
    struct handshake *next = NULL;
    for (size_t i = 0; i < HANDSHAKES_RANKS && next == NULL; i++)
        next = choose_of(handshakes, highest ? HANDSHAKES_RANKS - 1 - i : i, is_full);
    return next;
}

static void step(struct handshakes *handshakes, struct handshake *handshake)
{
    handshake->state = HANDSHAKE_STEPPING;
    handshake->active_ms = now_ms(handshakes);
    handshakes->proceed(handshake);
    if (handshake->state != HANDSHAKE_STEPPING)
        return;
    handshake->state = HANDSHAKE_STALLED;
    append(&handshakes->stalled[handshake->rank], handshake);
}

static bool is_any_in(const struct handshake heads[HANDSHAKES_RANKS])
{
    for (size_t i = 0; i < HANDSHAKES_RANKS; i++)
        if (!is_empty(&heads[i]))
            return true;
    return false;
}

static void on_stall(uv_timer_t *timer)
{
    handshakes_wake(timer->data);
}

/* Reports those for which the others were called before, and none made room: each once. */
static void report_waiting(struct handshakes *handshakes)
{
    const struct handshake *first = NULL;
    uint64_t count = 0;

    for (size_t i = 0; i < HANDSHAKES_RANKS; i++) {
        struct handshake *head = &handshakes->waiting[i];
        for (struct handshake *at = head->next; at != head; at = at->next) {
            bool is_due = at->was_called_for && !at->is_reported;
            first = first == NULL && is_due ? at : first;
            count += is_due;
            at->is_reported = at->was_called_for;
            at->was_called_for = true;
        }
    }
    if (first != NULL)
        limits_report_waiting(handshakes->limits, first->peer, count, now_ms(handshakes));
}

/* Those that could make room are at other workers, or have not stalled long enough. */
static void call_others(struct handshakes *handshakes)
{
    uint8_t rank = 0;
    if (uv_is_active((uv_handle_t *)&handshakes->stall))
        return;
    while (is_empty(&handshakes->waiting[rank]))
        rank++;
    report_waiting(handshakes);
    uv_timer_start(&handshakes->stall, on_stall, HANDSHAKES_STALLED_MS / 4, 0);
    limits_call(handshakes->limits, &handshakes->waiter, rank);
}

/* Makes room for handshakes of another worker. */
static void answer_call(struct handshakes *handshakes)
{
    uint8_t rank;
    if (!limits_is_called(handshakes->limits, &handshakes->waiter, &rank))
        return;
    for (int i = 0; i < HANDSHAKES_PER_CALL; i++) {
        struct handshake *handshake = find_displaceable(handshakes, rank);
        if (handshake == NULL)
            return;
        displace(handshakes, handshake, true);
    }
}

static void on_turn(uv_idle_t *idle)
{
    struct handshakes *handshakes = idle->data;
    struct handshake *next;
    bool is_full = false;

    for (int i = 1; i <= HANDSHAKES_PER_TURN; i++) {
        next = choose(handshakes, i == HANDSHAKES_PER_TURN, &is_full);
        if (next == NULL)
            break;
        step(handshakes, next);
    }
    bool waits = is_any_in(handshakes->waiting);
    if (is_any_in(handshakes->ready) || (waits && !is_full))
        return;
    uv_idle_stop(idle);
    if (waits)
        call_others(handshakes);
    else
        limits_stop_waiting(handshakes->limits, &handshakes->waiter);
}

void handshakes_wake(struct handshakes *handshakes)
{
    answer_call(handshakes);
    if (is_any_in(handshakes->waiting))
        uv_idle_start(&handshakes->turn, on_turn);
    else
        limits_stop_waiting(handshakes->limits, &handshakes->waiter);
}

int handshakes_init(struct handshakes *handshakes, uv_loop_t *loop, struct limits *limits,
                    const struct limits_waiter *waiter)
{
    handshakes->loop = loop;
    handshakes->limits = limits;
    handshakes->waiter = *waiter;
    for (size_t i = 0; i < HANDSHAKES_RANKS; i++) {
        struct handshake *const heads[] = {&handshakes->waiting[i], &handshakes->ready[i],
                                           &handshakes->stalled[i]};
        for (size_t j = 0; j < sizeof heads / sizeof heads[0]; j++)
            heads[j]->next = heads[j]->previous = heads[j];
    }
    handshakes->turn.data = handshakes->stall.data = handshakes;
    int result = uv_idle_init(loop, &handshakes->turn);
    if (result == 0)
        result = uv_timer_init(loop, &handshakes->stall);
    if (result != 0)
        return result;
    uv_unref((uv_handle_t *)&handshakes->stall);
    limits_join(limits, &handshakes->waiter);
    return 0;
}

void handshakes_request(struct handshakes *handshakes, struct handshake *handshake)
{
    if (handshake->state == HANDSHAKE_STALLED) {
        take_out(handshake);
        handshake->state = HANDSHAKE_READY;
        append(&handshakes->ready[handshake->rank], handshake);
    } else if (handshake->state == HANDSHAKE_NEW) {
        handshake->rank = rank_of(limits_await_handshake(handshakes->limits, handshake->peer));
        handshake->state = HANDSHAKE_WAITING;
        append(&handshakes->waiting[handshake->rank], handshake);
    }
    uv_idle_start(&handshakes->turn, on_turn);
}

void handshakes_end(struct handshakes *handshakes, struct handshake *handshake)
{
    if (handshake->state == HANDSHAKE_OVER)
        return;
    if (is_listed(handshake))
        take_out(handshake);
    if (handshake->state != HANDSHAKE_NEW)
        limits_end_handshake(handshakes->limits, handshake->peer, has_place(handshake));
    handshake->state = HANDSHAKE_OVER;
}

int64_t handshakes_silent_since(const struct handshake *handshake, int64_t since_ms)
{
    if (handshake->state == HANDSHAKE_NEW)
        return since_ms;
    return handshake->state == HANDSHAKE_STALLED || handshake->state == HANDSHAKE_STEPPING
               ? handshake->active_ms
               : INT64_MAX;
}

void handshakes_fini(struct handshakes *handshakes)
{
    if (handshakes->limits != NULL)
        limits_leave(handshakes->limits, &handshakes->waiter);
}
