#include "transfer.h"

#include <errno.h>
#include <stdlib.h>

#include "tcpgreet/core/volume.h"

enum { TURNS_PER_STEP = 16 }; /* then the others get theirs */

enum { WHERE_BYTES = 120 };

/* Invariant: open_handles of poll and timer are open; stream is NULL once they are being closed. */
struct probe_transfer {
    struct probe_transfer_config config;
    struct stream *stream;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned open_handles;
    bool up;
    uint64_t received_ms; /* by the loop's clock: when a byte came last, or it was up */
    uint64_t answer_ms;   /* likewise: when the last whole answer came */
    struct volume volume;
    struct bytes unsent; /* of burst */
    char burst[VOLUME_BURST_MAX];
};

static void on_closed(uv_handle_t *handle)
{
    struct probe_transfer *transfer = handle->data;
    void (*closed)(void *context) = transfer->config.closed;
    void *context = transfer->config.context;

    if (--transfer->open_handles > 0)
        return;
    free(transfer);
    closed(context);
}

struct probe_volume probe_transfer_cancel(struct probe_transfer *transfer)
{
    uv_close((uv_handle_t *)&transfer->poll, on_closed);
    uv_close((uv_handle_t *)&transfer->timer, on_closed);
    stream_free(transfer->stream);
    transfer->stream = NULL;
    return (struct probe_volume){.names = transfer->volume.heard.number,
                                 .sent_bytes = transfer->volume.sent_bytes - transfer->unsent.length,
                                 .received_bytes = transfer->volume.received_bytes};
}

/* Shape: err: NULL: complete. */
static void finish(struct probe_transfer *transfer, const struct err *err)
{
    struct probe_volume volume = probe_transfer_cancel(transfer);
    transfer->config.done(transfer->config.context, &volume, err);
}

/* What cut it short, and where. */
static void fail_there(struct probe_transfer *transfer, const struct err *why)
{
    char where[WHERE_BYTES];
    struct err err = {0};

    if (transfer->up && why->reason != ERR_DIALOGUE_WRONG_ANSWER)
        err_set_from(&err, why, "%s, %s", why->text, volume_where(&transfer->volume, where, sizeof where));
    else
        err = *why;
    finish(transfer, &err);
}

static void end(struct probe_transfer *transfer)
{
    char where[WHERE_BYTES];
    struct err err = {0};

    if (volume_is_complete(&transfer->volume)) {
        stream_shutdown(transfer->stream, &err); /* an orderly close, which is not waited for */
        finish(transfer, NULL);
        return;
    }
    err_set(&err, ERR_DIALOGUE_EARLY_END, 0, "the server closed %s",
            volume_where(&transfer->volume, where, sizeof where));
    finish(transfer, &err);
}

/* Returns: whether the result was a wait, which becomes poll interest. */
static bool waits(enum stream_result result, int *interest)
{
    if (result == STREAM_WANT_READ)
        *interest |= UV_READABLE;
    else if (result == STREAM_WANT_WRITE)
        *interest |= UV_WRITABLE;
    else
        return false;
    return true;
}

static void note_answer(struct probe_transfer *transfer)
{
    transfer->received_ms = transfer->answer_ms = uv_now(transfer->config.scope->loop);
}

/* Compares what has come. Returns: 0, or -1 with err. */
static int compare(struct probe_transfer *transfer, struct bytes bytes, struct err *err)
{
    uint64_t number = transfer->volume.heard.number;

    if (volume_receive(&transfer->volume, bytes, err) < 0)
        return -1;
    transfer->received_ms = uv_now(transfer->config.scope->loop);
    if (transfer->volume.heard.number != number)
        note_answer(transfer);
    return 0;
}

/* Reads and compares what there is. Returns: false: the transfer is over. */
static bool receive(struct probe_transfer *transfer, int *interest)
{
    struct conn_shared *shared = &transfer->config.scope->shared;

    for (int turn = 0; turn < TURNS_PER_STEP; turn++) {
        struct err err = {0};
        size_t count = 0;
        enum stream_result result =
            stream_read(transfer->stream, shared->in, sizeof shared->in, &count, &err);
        if (waits(result, interest))
            return true;
        if (result == STREAM_EOF) {
            end(transfer);
            return false;
        }
        if (result == STREAM_FAILED || compare(transfer, (struct bytes){shared->in, count}, &err) < 0) {
            fail_there(transfer, &err);
            return false;
        }
    }
    *interest |= UV_READABLE | UV_WRITABLE; /* back at once: what waits in user space wakes no poll */
    return true;
}

/* Sends as much as the stream accepts. Returns: false: the transfer is over. */
static bool send_burst(struct probe_transfer *transfer, int *interest)
{
    struct bytes *unsent = &transfer->unsent;

    for (int turn = 0; turn < TURNS_PER_STEP; turn++) {
        struct err err = {0};
        size_t count = 0;
        if (unsent->length == 0)
            *unsent = (struct bytes){transfer->burst, volume_next(&transfer->volume, transfer->burst)};
        if (unsent->length == 0)
            return true;
        enum stream_result result =
            stream_write(transfer->stream, unsent->data, unsent->length, &count, &err);
        if (waits(result, interest))
            return true;
        if (result == STREAM_FAILED) {
            fail_there(transfer, &err);
            return false;
        }
        *unsent = bytes_skip(*unsent, count);
    }
    *interest |= UV_WRITABLE;
    return true;
}

/* Returns: false: the transfer is over, or is not up yet. */
static bool shake_hands(struct probe_transfer *transfer, int *interest)
{
    struct err err = {0};
    enum stream_result result = stream_handshake(transfer->stream, &err);

    if (waits(result, interest))
        return false;
    if (result != STREAM_OK) {
        fail_there(transfer, &err);
        return false;
    }
    transfer->up = true;
    note_answer(transfer);
    return true;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Receives before it sends: a server stops reading while its answers are not read. */
static void step(struct probe_transfer *transfer)
{
    int interest = 0;

    if (transfer->up || shake_hands(transfer, &interest)) {
        if (!receive(transfer, &interest) || !send_burst(transfer, &interest))
            return;
    }
    if (transfer->stream != NULL)
        uv_poll_start(&transfer->poll, interest, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status; /* the next read or write reports it */
    (void)events;
    step(poll->data);
}

/* A peer that sends one byte at a time is never silent, and would go on for years: an answer may take twice
 * as long. */
static void on_timer(uv_timer_t *timer)
{
    struct probe_transfer *transfer = timer->data;
    uint64_t limit_ms = (uint64_t)transfer->config.scope->plan.answer_timeout_ms;
    uint64_t silent_ms = transfer->received_ms + limit_ms, late_ms = transfer->answer_ms + 2 * limit_ms;
    uint64_t due_ms = silent_ms < late_ms ? silent_ms : late_ms;
    char where[WHERE_BYTES];
    struct err err = {0};

    volume_where(&transfer->volume, where, sizeof where);
    if (uv_now(timer->loop) < due_ms) {
        uv_timer_start(timer, on_timer, due_ms - uv_now(timer->loop), 0);
        return;
    }
    if (!transfer->up)
        stream_handshake_expire(transfer->stream, &err);
    else if (due_ms == silent_ms)
        err_set_facts(&err, ERR_DIALOGUE_TIMEOUT, &(struct err_facts){.detail = ERR_DETAIL_VOLUME_STALLED},
                      "received nothing for %g s, %s: the path may drop large packets",
                      (double)limit_ms / 1000, where);
    else
        err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "no answer was complete within %g s, %s",
                2 * (double)limit_ms / 1000, where);
    finish(transfer, &err);
}

struct probe_transfer *probe_transfer_start(const struct probe_transfer_config *config, struct err *err)
{
    struct probe_scope *scope = config->scope;
    struct stream *stream = probe_scope_connect(scope, config->peer, config->session, err);
    struct probe_transfer *transfer = stream != NULL ? calloc(1, sizeof *transfer) : NULL;

    if (transfer == NULL || uv_poll_init(scope->loop, &transfer->poll, stream_fd(stream)) != 0) {
        free(transfer);
        stream_free(stream);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a transfer");
        return NULL;
    }
    uv_timer_init(scope->loop, &transfer->timer);
    transfer->config = *config;
    transfer->stream = stream;
    transfer->open_handles = 2;
    transfer->poll.data = transfer->timer.data = transfer;
    volume_init(&transfer->volume, scope->plan.volume_bytes);
    note_answer(transfer);
    uv_timer_start(&transfer->timer, on_timer, (uint64_t)scope->plan.answer_timeout_ms, 0);
    uv_poll_start(&transfer->poll, UV_WRITABLE, on_poll); /* when it is connected */
    return transfer;
}
