#include "conn_private.h"
#include "tcpgreet/base/trace.h"

enum { READS_PER_STEP = 4 }; /* then the others get their turn */

/* Writes from bytes. Returns: how much went out; *waiting: the stream takes no more now. */
static size_t write_some(struct conn *conn, struct bytes bytes, unsigned *interest, bool *waiting)
{
    size_t written = 0;
    *waiting = false;

    while (written < bytes.length && !*waiting) {
        size_t count = 0;
        struct err err;
        err_clear(&err);
        enum stream_result result =
            stream_write(conn->stream, bytes.data + written, bytes.length - written, &count, &err);
        if (result == STREAM_FAILED) {
            conn_fail(conn, &err);
            return written;
        }
        *waiting = conn_waits(result, interest);
        if (result == STREAM_OK)
            written += count;
    }
    return written;
}

/* Sends what is queued. Returns: whether the queue is empty. */
static bool flush(struct conn *conn, unsigned *interest)
{
    bool waiting;
    if (buf_length(&conn->out) == 0)
        return true;
    size_t written = write_some(conn, buf_bytes(&conn->out), interest, &waiting);
    if (conn->phase == CONN_CLOSING)
        return false;
    if (written > 0) {
        buf_consume(&conn->out, written);
        conn->stall_deadline_ms = conn_now_ms(conn) + CONN_STALL_MS;
    }
    return buf_length(&conn->out) == 0;
}

/* Sends what the session has put into the shared output, and queues the rest. */
static void send_answers(struct conn *conn, const struct sink *answers, unsigned *interest)
{
    struct bytes bytes = {answers->data, answers->length};
    bool waiting;

    if (buf_length(&conn->out) == 0 && bytes.length > 0) {
        bytes = bytes_skip(bytes, write_some(conn, bytes, interest, &waiting));
        conn->stall_deadline_ms = conn_now_ms(conn) + CONN_STALL_MS;
    }
    if (conn->phase != CONN_CLOSING && bytes.length > 0 && buf_append(&conn->out, bytes) < 0)
        conn_fail_memory(conn);
}

/* Only the loop's thread writes, so a load and a store do what a locked addition would. */
static void count_names(struct conn *conn)
{
    uint32_t fresh = conn->session.names - conn->counted;
    if (fresh == 0)
        return;
    uint64_t names = atomic_load_explicit(&conn->shared->names, memory_order_relaxed);
    atomic_store_explicit(&conn->shared->names, names + fresh, memory_order_relaxed);
    conn->counted = conn->session.names;
}

void conn_follow(struct conn *conn, const struct sink *answers, struct bytes rest, unsigned *interest)
{
    bool over = conn->session.state == SESSION_ENDED;
    bool client = conn->role == CONN_CLIENT;

    count_names(conn);
    if (over)
        conn->stream->corked = true;
    send_answers(conn, answers, interest);
    if (conn->phase == CONN_CLOSING)
        return;
    if (client && over && conn->session.end != SESSION_END_EXIT) {
        conn_fail_session(conn, rest);
        return;
    }
    if (over)
        conn_set_phase(conn, CONN_ENDING, SESSION_NEVER); /* what is queued may take its time */
    else if (client && conn->session.state == SESSION_READY && conn->events->ready != NULL)
        conn->events->ready(conn->context);
}

static void tell_split(struct conn *conn, uint32_t names, size_t left, struct bytes in)
{
    int64_t ended = (int64_t)(conn->session.names - names);
    if (conn->role == CONN_SERVER && (ended > 1 || left > 0))
        trace(.step = TRACE_NAME_SPLIT, .fd = stream_fd(conn->stream), .result = ended,
              .data = bytes_skip(in, in.length - left));
}

/* Hands bytes to the session: what was left, then fresh. */
static void feed(struct conn *conn, struct bytes fresh, unsigned *interest)
{
    struct sink answers = conn_empty_sink(conn);
    struct bytes in = fresh;
    uint32_t names = conn->session.names;

    if (buf_length(&conn->in) > 0) {
        if (fresh.length > 0 && buf_append(&conn->in, fresh) < 0) {
            conn_fail_memory(conn);
            return;
        }
        in = buf_bytes(&conn->in);
    }
    size_t taken = session_receive(&conn->session, in, &answers, conn_now_ms(conn));
    tell_split(conn, names, in.length - taken, in);

    struct bytes rest = bytes_skip(in, taken);
    conn_follow(conn, &answers, rest, interest);
    if (conn->phase == CONN_CLOSING)
        return;
    if (buf_length(&conn->in) > 0)
        buf_consume(&conn->in, taken);
    else if (rest.length > 0 && buf_append(&conn->in, rest) < 0)
        conn_fail_memory(conn);
}

static void hear_end(struct conn *conn, unsigned *interest)
{
    struct sink answers = conn_empty_sink(conn);
    conn->peer_ended = true;
    if (conn->phase != CONN_TALKING)
        return;
    session_eof(&conn->session, buf_bytes(&conn->in), &answers);
    conn_follow(conn, &answers, (struct bytes){0}, interest);
}

/* One read. Returns: false where the stream waits. */
static bool read_once(struct conn *conn, unsigned *interest)
{
    struct err err;
    size_t count = 0;
    char *data = conn->shared->in;
    err_clear(&err);
    enum stream_result result = stream_read(conn->stream, data, sizeof conn->shared->in, &count, &err);

    if (result == STREAM_FAILED) {
        conn_fail(conn, conn->phase == CONN_LINGERING ? NULL : &err); /* after the farewell any end will do */
        return true;
    }
    if (conn_waits(result, interest))
        return false;
    if (result == STREAM_EOF) {
        hear_end(conn, interest);
        return true;
    }
    if (!conn->heard) {
        conn->heard = true;
        if (conn->notice_ms != SESSION_NEVER)
            conn_notice(conn);
    }
    struct bytes fresh = {data, count};
    if (conn->events->received != NULL)
        conn->events->received(conn->context, fresh);
    if (conn->phase == CONN_TALKING)
        feed(conn, fresh, interest);
    return true;
}

static void begin_talking(struct conn *conn, unsigned *interest)
{
    struct sink answers = conn_empty_sink(conn);
    conn_set_phase(conn, CONN_TALKING, SESSION_NEVER);
    if (conn->role == CONN_SERVER)
        session_serve(&conn->session, conn->session.policy, &answers, conn_now_ms(conn));
    else if (conn->role == CONN_CLIENT)
        session_visit(&conn->session, conn->session.policy, conn_now_ms(conn));
    else
        session_refuse(&conn->session, &answers);
    conn_follow(conn, &answers, (struct bytes){0}, interest);
}

static void shake_hands(struct conn *conn, unsigned *interest)
{
    struct err err = {0};
    enum stream_result result = stream_handshake(conn->stream, &err);
    if (result == STREAM_OK) {
        if (conn->events->up != NULL)
            conn->events->up(conn->context);
        if (conn->phase == CONN_HANDSHAKING) /* it may have aborted */
            begin_talking(conn, interest);
    } else if (!conn_waits(result, interest)) {
        conn_fail(conn, &err);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Waits for what is needed now, recomputed and not patched. A timer that fires too early is cheaper than
 * moving it at every name. */
static void settle(struct conn *conn, unsigned interest)
{
    if (interest != conn->interest) {
        conn->interest = (uint8_t)interest;
        int result =
            interest == 0 ? uv_poll_stop(&conn->poll) : uv_poll_start(&conn->poll, (int)interest, on_poll);
        if (result != 0) {
            conn_fail_memory(conn);
            return;
        }
    }
    int64_t due = conn_deadline(conn);
    if (due < conn->armed_ms) {
        int64_t delay = due - conn_now_ms(conn);
        conn->armed_ms = due;
        uv_timer_start(&conn->timer, conn_on_timer, delay > 0 ? (uint64_t)delay : 0, 0);
    }
}

void conn_step(struct conn *conn, bool readable)
{
    unsigned interest = 0;
    int reads = 0;

    conn->in_step = true;
    if (conn->phase == CONN_HANDSHAKING)
        shake_hands(conn, &interest);
    while (conn->phase == CONN_TALKING || conn->phase == CONN_ENDING || conn->phase == CONN_LINGERING) {
        if (!flush(conn, &interest))
            break;
        if (conn->phase == CONN_TALKING && conn->session.stalled) {
            feed(conn, (struct bytes){0}, &interest);
        } else if (conn->phase == CONN_ENDING) {
            conn_end_side(conn, &interest);
            if (conn->phase == CONN_ENDING)
                break;
        } else if (conn->phase == CONN_LINGERING && conn->peer_ended) {
            conn_close(conn);
        } else if (conn_is_paused(conn)) {
            break;
        } else if (!readable && !conn->stream->more) {
            interest |= UV_READABLE;
            break;
        } else if (reads++ == READS_PER_STEP) {
            interest |= UV_READABLE | UV_WRITABLE; /* back at once: what waits in user space wakes no poll */
            break;
        } else {
            readable = false;
            if (!read_once(conn, &interest))
                break;
        }
    }
    conn->in_step = false;
    if (conn->phase != CONN_CLOSING)
        settle(conn, interest);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    (void)events;
    if (status < 0)
        conn->interest = 0; /* libuv has stopped on an error; the next read or write tells which */
    conn_step(conn, true);
}

int conn_start(struct conn *conn, const struct conn_config *config, struct stream *stream, struct err *err)
{
    *conn = (struct conn){
        .stream = stream,
        .shared = config->shared,
        .events = config->events,
        .context = config->context,
        .session.policy = config->policy,
        .role = (uint8_t)config->role,
        .armed_ms = SESSION_NEVER,
        .stall_deadline_ms = SESSION_NEVER,
        .notice_ms = SESSION_NEVER,
        .paused_ms = SESSION_NEVER,
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
    conn_set_phase(conn, CONN_HANDSHAKING, config->shared->handshake_ms);
    conn_step(conn, false);
    return 0;
}

void conn_say(struct conn *conn, struct bytes name)
{
    struct sink out = conn_empty_sink(conn);
    unsigned interest = 0;

    if (conn->phase != CONN_TALKING || conn->session.state != SESSION_READY)
        return;
    session_say(&conn->session, name, &out, conn_now_ms(conn));
    send_answers(conn, &out, &interest);
    if (!conn->in_step && conn->phase != CONN_CLOSING)
        conn_step(conn, false);
}

void conn_pause(struct conn *conn, bool paused)
{
    if (paused == conn_is_paused(conn))
        return;
    if (!paused && conn->session.deadline_ms != SESSION_NEVER)
        conn->session.deadline_ms += conn_now_ms(conn) - conn->paused_ms;
    conn->paused_ms = paused ? conn_now_ms(conn) : SESSION_NEVER;
    if (!conn->in_step && conn->phase != CONN_CLOSING)
        conn_step(conn, true);
}

void conn_farewell(struct conn *conn)
{
    struct sink out = conn_empty_sink(conn);
    unsigned interest = 0;

    if (conn->phase == CONN_HANDSHAKING) {
        session_farewell(&conn->session, &out);
        conn_close(conn);
    } else if (conn->phase == CONN_TALKING) {
        session_farewell(&conn->session, &out);
        conn_follow(conn, &out, (struct bytes){0}, &interest);
        conn_step(conn, false);
    }
}
