#include "tcpgreet/link/conn.h"

#include "conn_limits.h"
#include "send_queue.h"
#include "tcpgreet/base/trace.h"

/* Then the other conns of the loop get theirs: encrypting what one asks for must not hold them up. */
enum { TURNS_PER_STEP = 8, STEP_BYTES = DIALOGUE_OUT_BYTES /* sent, unless the owner moves much */ };

static_assert((int)CONN_QUEUE_BYTES >= (int)DIALOGUE_OUT_BYTES, "every dialogue can go on");

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (--conn->open_handles > 0)
        return;

    struct err *failure = conn->failure;
    struct conn_result result = {.err = failure, .peer_sent = conn->bytes_in > 0};
    conn->events->done(conn->context, &result); /* conn may be gone now */
    err_free(failure);
}

static void close_conn(struct conn *conn)
{
    conn->phase = CONN_CLOSING;
    uv_close((uv_handle_t *)&conn->poll, on_handle_closed);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    if (conn->events->closing != NULL)
        conn->events->closing(conn->context);
    stream_free(conn->stream);
    conn->stream = NULL;
    buf_fini(&conn->in);
    buf_fini(&conn->out);
}

void conn_abort(struct conn *conn, const struct err *err)
{
    if (conn->phase == CONN_CLOSING)
        return;
    err_free(conn->failure); /* of a write: what came behind it names the cause */
    conn->failure = err != NULL ? err_copy(err) : NULL;
    close_conn(conn);
}

static void fail_memory(struct conn *conn)
{
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, 0, "no memory for a connection");
    conn_abort(conn, &err);
}

/* What the stream waits for becomes poll interest. Returns: whether the result was a wait. */
static bool is_wait(struct conn *conn, enum stream_result result)
{
    if (result == STREAM_WANT_READ)
        conn->wants |= UV_READABLE;
    else if (result == STREAM_WANT_WRITE)
        conn->wants |= UV_WRITABLE;
    return result == STREAM_WANT_READ || result == STREAM_WANT_WRITE;
}

/* A duplex dialogue still receives what has come by now, unless the cause is this side's own. */
static void fail_write(struct conn *conn, const struct err *err)
{
    bool by_peer = err->reason != ERR_INTERNAL && !conn->peer_ended;
    if (conn->phase == CONN_TALKING && conn->dialogue->ops->duplex && by_peer)
        conn->failure = err_copy(err);
    else
        conn_abort(conn, err);
}

/* Sends bytes behind what is queued. Returns: whether nothing is left, and more can be sent. */
static bool put(struct conn *conn, struct bytes bytes)
{
    size_t written;
    struct err err;
    enum stream_result result = send_queue_put(&conn->out, conn->stream, bytes, &written, &err);

    conn->bytes_out += written;
    if (result == STREAM_FAILED) {
        buf_fini(&conn->out);
        fail_write(conn, &err);
    } else if (written > 0 || bytes.length > 0) {
        conn_limits_watch(conn, written);
    }
    return !is_wait(conn, result) && result == STREAM_OK;
}

static bool flush(struct conn *conn)
{
    return conn_is_queued(conn) ? put(conn, (struct bytes){0}) : conn->failure == NULL;
}

/* Where a dialogue puts what it sends: nowhere, as long as something is queued. */
static struct sink room_for_output(struct conn *conn)
{
    size_t room = conn->shared->large != NULL ? sizeof conn->shared->out : STEP_BYTES;
    return (struct sink){conn->shared->out, 0, conn_is_queued(conn) || conn->failure != NULL ? 0 : room};
}

static void fail_dialogue(struct conn *conn)
{
    struct err err = {0};
    dialogue_failure(conn->dialogue, buf_bytes(&conn->in), &err);
    conn_abort(conn, &err);
}

/* After the dialogue was called: its output leaves, its owner learns of its turn, its end begins. */
static void follow(struct conn *conn, const struct sink *out, enum dialogue_state before)
{
    enum dialogue_state state = conn->dialogue->state;

    if (state == DIALOGUE_OVER && conn->failure != NULL) {
        conn_abort(conn, NULL);
        return;
    }
    if (state == DIALOGUE_OVER) {
        conn->stream->corked = true;
        conn->phase = CONN_ENDING;
        conn_limits_watch(conn, 0); /* what is queued may take its time */
        buf_fini(&conn->in);
    }
    if (out->length > 0)
        put(conn, (struct bytes){out->data, out->length});
    if (conn->phase == CONN_CLOSING)
        return;
    if (state == DIALOGUE_FAILED)
        fail_dialogue(conn);
    else if (state == DIALOGUE_READY && before != DIALOGUE_READY && conn->events->ready != NULL)
        conn->events->ready(conn->context);
}

/* Hands something to the dialogue, with what it has left before. */
static void advance(struct conn *conn, enum conn_cause cause, struct bytes fresh)
{
    struct dialogue *dialogue = conn->dialogue;
    enum dialogue_state before = dialogue->state;
    struct sink out = room_for_output(conn);
    int64_t now_ms = conn_now_ms(conn);
    bool kept = buf_length(&conn->in) > 0;

    if (kept && buf_append(&conn->in, fresh) < 0) {
        fail_memory(conn);
        return;
    }
    struct bytes in = kept ? buf_bytes(&conn->in) : fresh;
    size_t consumed = cause == CONN_BYTES ? dialogue_receive(dialogue, in, &out, now_ms)
                      : cause == CONN_END ? dialogue_eof(dialogue, in, &out, now_ms)
                                          : dialogue_expire(dialogue, in, &out, now_ms);
    if (cause == CONN_DEADLINE && consumed == 0)
        trace(.step = TRACE_DEADLINE, .fd = stream_fd(conn->stream));
    if (conn->events->advanced != NULL)
        conn->events->advanced(conn->context, &(struct conn_advance){cause, in, consumed});
    if (kept) {
        buf_consume(&conn->in, consumed);
    } else if (consumed < in.length && buf_append(&conn->in, bytes_skip(in, consumed)) < 0) {
        fail_memory(conn);
        return;
    }
    follow(conn, &out, before);
}

static void notice(struct conn *conn)
{
    conn->notice_ms = DIALOGUE_NEVER;
    if (conn->events->noticed != NULL)
        conn->events->noticed(conn->context);
}

static void take(struct conn *conn, struct bytes fresh)
{
    if (conn->bytes_in == 0 && conn->notice_ms != DIALOGUE_NEVER)
        notice(conn);
    conn->bytes_in += fresh.length;
    if (conn->phase != CONN_CLOSING && conn->events->received != NULL)
        conn->events->received(conn->context, fresh);
    if (conn->phase == CONN_TALKING)
        advance(conn, CONN_BYTES, fresh);
}

static void end_of_peer(struct conn *conn)
{
    conn->peer_ended = true;
    if (conn->phase == CONN_TALKING && conn->failure == NULL)
        advance(conn, CONN_END, (struct bytes){0});
    else
        close_conn(conn);
}

/* One read. Returns: false where the stream waits. */
static bool read_once(struct conn *conn)
{
    struct err err;
    size_t count = 0;
    struct conn_shared *shared = conn->shared;
    char *data = shared->large != NULL ? shared->large : shared->in;
    size_t room = shared->large != NULL ? shared->large_bytes : sizeof shared->in;
    err_clear(&err);
    enum stream_result result = stream_read(conn->stream, data, room, &count, &err);

    if (result == STREAM_FAILED)
        conn_abort(conn, conn->phase == CONN_LINGERING ? NULL : &err); /* after our end any end will do */
    else if (result == STREAM_EOF)
        end_of_peer(conn);
    else if (is_wait(conn, result) && conn->failure != NULL)
        close_conn(conn);
    else if (result != STREAM_OK)
        return false;
    else
        take(conn, (struct bytes){data, count});
    return true;
}

static bool may_read(const struct conn *conn)
{
    bool needs_more = buf_length(&conn->in) == 0 || conn->dialogue->state == DIALOGUE_RUNNING;
    return !conn->peer_ended && needs_more && !conn_is_held_up(conn) && !conn_is_paused(conn);
}

/* From here on the stream waits for its owner, not for its peer. */
static void ask_for_turn(struct conn *conn)
{
    conn->is_held = conn->turn_requested = true;
    (conn->phase == CONN_HANDSHAKING ? conn->events->handshake_ready : conn->events->busy)(conn->context);
}

static void shake_hands(struct conn *conn, bool *readable)
{
    struct err err;
    err_clear(&err);
    enum stream_result result = stream_handshake(
        conn->is_prefaced ? (struct stream *)stream_find(conn->stream, STREAM_LAYER_PROXY_HEADER)
                          : conn->stream,
        &err);
    if (is_wait(conn, result))
        return;
    if (result != STREAM_OK) {
        conn_abort(conn, &err);
        return;
    }
    if (conn->is_prefaced) {
        conn->is_prefaced = false;
        ask_for_turn(conn); /* what comes behind it may be here */
        return;
    }
    *readable = false; /* what came behind the handshake is known to the stream */
    if (conn->events->up != NULL)
        conn->events->up(conn->context);
    if (conn->phase != CONN_HANDSHAKING) /* it was aborted */
        return;
    struct sink out = room_for_output(conn);
    conn_limits_set_phase(conn, CONN_TALKING, DIALOGUE_NEVER);
    dialogue_begin(conn->dialogue, &out, conn_now_ms(conn));
    follow(conn, &out, DIALOGUE_RUNNING);
}

/* Returns: false where the next byte has to wake a poll. */
static bool read_or_wait(struct conn *conn, bool *readable)
{
    if (!*readable && !conn->stream->more && conn->failure == NULL) {
        conn->wants |= UV_READABLE;
        return false;
    }
    *readable = false;
    return read_once(conn);
}

/* Ends this side of a dialogue that goes on receiving. */
static void half_close(struct conn *conn)
{
    struct err err = {0};
    conn->stream->half_close = true;
    enum stream_result result = stream_shutdown(conn->stream, &err);
    conn->side_ended = !is_wait(conn, result);
    if (result == STREAM_FAILED)
        fail_write(conn, &err);
}

/* Returns: whether something has moved. */
static bool exchange(struct conn *conn, bool *readable)
{
    bool is_flushed = flush(conn), moved = false;

    if (is_flushed && conn->dialogue->state == DIALOGUE_SENDING) {
        advance(conn, CONN_BYTES, (struct bytes){0});
        moved = true;
    } else if (is_flushed && conn->dialogue->half_closed && !conn->side_ended) {
        half_close(conn);
    }
    if (conn->phase != CONN_TALKING)
        return true;
    return (may_read(conn) && read_or_wait(conn, readable)) || moved;
}

/* Sends what is left and ends our side. */
static void end_side(struct conn *conn)
{
    struct err err;
    err_clear(&err);
    if (!flush(conn))
        return;
    enum stream_result result = conn->side_ended ? STREAM_OK : stream_shutdown(conn->stream, &err);
    if (is_wait(conn, result)) {
        if (conn->limit_ms == DIALOGUE_NEVER)
            conn_limits_set_phase(conn, CONN_ENDING, CONN_LINGER_MS);
    } else if (result == STREAM_OK && !conn->peer_ended) {
        conn_limits_set_phase(conn, CONN_LINGERING, CONN_LINGER_MS);
    } else {
        close_conn(conn); /* what cannot be sent any more spoils nothing */
    }
}

/* One turn of what the phase is about. Returns: whether another may move something. */
static bool turn(struct conn *conn, bool *readable)
{
    enum conn_phase before = (enum conn_phase)conn->phase;

    if (before == CONN_TALKING)
        return exchange(conn, readable);
    if (before == CONN_LINGERING)
        return read_or_wait(conn, readable);
    if (before == CONN_HANDSHAKING)
        shake_hands(conn, readable);
    else if (before == CONN_ENDING)
        end_side(conn);
    return (enum conn_phase)conn->phase != before;
}

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

/* Waits for what is needed now, recomputed and not patched. A timer that fires too early is cheaper than
 * moving it at every name. */
static void settle(struct conn *conn)
{
    if (conn->wants != conn->interest) {
        conn->interest = conn->wants;
        int result =
            conn->wants == 0 ? uv_poll_stop(&conn->poll) : uv_poll_start(&conn->poll, conn->wants, on_poll);
        if (result != 0) {
            fail_memory(conn);
            return;
        }
    }
    int64_t due = conn_limits_next(conn);
    if (due < conn->armed_ms) {
        int64_t delay = due - conn_now_ms(conn);
        conn->armed_ms = due;
        uv_timer_start(&conn->timer, on_timer, delay > 0 ? (uint64_t)delay : 0, 0);
    }
}

/* Goes on as far as the stream lets it; it may be over then. */
static void step(struct conn *conn, bool readable)
{
    if (conn->in_step || conn->phase == CONN_CLOSING)
        return;
    if (conn->is_held) {
        conn->wants = conn->interest;
        settle(conn);
        return;
    }
    uint64_t most_out = conn->shared->large != NULL ? UINT64_MAX : conn->bytes_out + STEP_BYTES / 2;

    conn->in_step = true;
    conn->wants = 0;
    for (int turns = 1; turn(conn, &readable) && conn->phase != CONN_CLOSING; turns++) {
        if (turns < TURNS_PER_STEP && conn->bytes_out < most_out)
            continue;
        if (conn->events->busy != NULL)
            ask_for_turn(conn);
        /* Back at once: what waits in user space wakes no poll. */
        conn->wants = conn->is_held ? conn->interest : UV_READABLE | UV_WRITABLE;
        break;
    }
    conn->in_step = false;
    if (conn->phase != CONN_CLOSING)
        settle(conn);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    (void)events;
    if (status < 0)
        conn->interest = 0; /* libuv has stopped on an error; the next read or write returns it */
    conn->wants = 0;
    if (!conn->is_held && (!conn_is_queued(conn) || conn->events->busy == NULL))
        step(conn, true);
    else if (!conn->turn_requested)
        ask_for_turn(conn);
    else
        settle(conn); /* until it has its turn, its poll is only in the way */
}

static void expire_limit(struct conn *conn)
{
    struct err err = {0};

    trace(.step = TRACE_DEADLINE, .fd = stream_fd(conn->stream));
    if (conn->phase == CONN_HANDSHAKING && conn->limit_stops) {
        conn_stop(conn);
        return;
    }
    conn_limits_explain(conn, &err);
    conn_abort(conn, err.reason == ERR_OK ? NULL : &err);
}

static void on_timer(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    int64_t now = conn_now_ms(conn);

    conn->armed_ms = DIALOGUE_NEVER;
    if (now >= conn->notice_ms)
        notice(conn);
    if (conn->phase != CONN_CLOSING && now >= conn_limits_next(conn)) {
        if (now >= conn->limit_ms)
            expire_limit(conn);
        else
            advance(conn, CONN_DEADLINE, (struct bytes){0});
    }
    step(conn, false);
}

int conn_start(struct conn *conn, const struct conn_config *config, struct stream *stream, struct err *err)
{
    *conn = (struct conn){
        .stream = stream,
        .dialogue = config->dialogue,
        .shared = config->shared,
        .events = config->events,
        .context = config->context,
        .least_rate = config->least_rate,
        .armed_ms = DIALOGUE_NEVER,
        .notice_ms = DIALOGUE_NEVER,
        .paused_ms = DIALOGUE_NEVER,
    };
    int result = uv_poll_init(config->shared->loop, &conn->poll, stream_fd(stream));
    if (result != 0) {
        stream_free(stream);
        return err_set(err, ERR_INTERNAL, 0, "cannot watch a connection: %s", uv_strerror(result));
    }
    uv_timer_init(config->shared->loop, &conn->timer);
    conn->poll.data = conn->timer.data = conn;
    conn->open_handles = 2;
    if (conn->events->noticed != NULL)
        conn->notice_ms = conn_now_ms(conn) + CONN_NOTICE_MS;
    conn_limits_set_phase(conn, CONN_HANDSHAKING, config->handshake_ms);
    conn->is_prefaced =
        conn->events->handshake_ready != NULL && stream_find(stream, STREAM_LAYER_PROXY_HEADER) != NULL;
    conn->is_held = conn->events->handshake_ready != NULL && !conn->is_prefaced;
    if (conn->is_held) {
        conn->wants = UV_READABLE; /* a server's: the peer sends first */
        settle(conn);
    } else {
        step(conn, false);
    }
    return 0;
}

void conn_take_turn(struct conn *conn)
{
    conn->is_held = conn->turn_requested = false;
    step(conn, true);
    conn->is_held = conn->turn_requested || conn->phase == CONN_HANDSHAKING;
}

void conn_resume(struct conn *conn)
{
    step(conn, false);
}

void conn_pause(struct conn *conn, bool paused)
{
    int64_t now_ms = conn_now_ms(conn);
    if (paused == conn_is_paused(conn))
        return;
    if (!paused && conn->dialogue->deadline_ms != DIALOGUE_NEVER)
        conn->dialogue->deadline_ms += now_ms - conn->paused_ms;
    conn->paused_ms = paused ? now_ms : DIALOGUE_NEVER;
    step(conn, !paused);
}

void conn_stop(struct conn *conn)
{
    struct sink out = {conn->shared->out, 0, sizeof conn->shared->out};
    enum conn_phase phase = (enum conn_phase)conn->phase;

    if (phase != CONN_HANDSHAKING && phase != CONN_TALKING)
        return;
    dialogue_shut_down(conn->dialogue, &out);
    if (phase == CONN_HANDSHAKING || conn->dialogue->state != DIALOGUE_OVER) {
        close_conn(conn);
        return;
    }
    follow(conn, &out, DIALOGUE_OVER);
    step(conn, false);
}
