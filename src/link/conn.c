#include "tcpgreet/conn.h"

#include <stdlib.h>
#include <string.h>

#include "tcpgreet/trace.h"

enum conn_phase {
    HANDSHAKING,
    TALKING,   /* the session decides */
    ENDING,    /* everything is said: our side is to be shut down */
    LINGERING, /* it is; what the peer still sends is thrown away */
    CLOSING    /* the handles are being closed */
};

enum { READS_PER_STEP = 4 }; /* then the others get their turn */

static int64_t now_ms(const struct conn *conn)
{
    return (int64_t)uv_now(conn->shared->loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
    static const struct err exhausted = {ERR_INTERNAL, 0, "memory is exhausted"};
    struct conn *conn = handle->data;
    if (--conn->open_handles > 0)
        return;

    struct err *failure = conn->failure;
    struct conn_result result = {
        .end = (enum session_end)conn->session.end,
        .err = failure,
        .names = conn->session.names,
        .heard = conn->heard,
    };
    if (failure == NULL && conn->session.end == SESSION_END_NONE)
        result.err = &exhausted;
    conn->events->done(conn->context, &result); /* conn may be gone now */
    free(failure);
}

static void close_now(struct conn *conn)
{
    if (conn->phase == CLOSING)
        return;
    conn->phase = CLOSING;
    uv_close((uv_handle_t *)&conn->poll, on_handle_closed);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    if (conn->events->closing != NULL)
        conn->events->closing(conn->context);
    stream_free(conn->stream);
    conn->stream = NULL;
    buf_fini(&conn->in);
    buf_fini(&conn->out);
}

static void fail(struct conn *conn, const struct err *err)
{
    if (conn->phase == CLOSING)
        return;
    if (conn->failure == NULL && err != NULL) {
        conn->failure = malloc(sizeof *conn->failure);
        if (conn->failure != NULL)
            *conn->failure = *err;
    }
    close_now(conn);
}

static void fail_memory(struct conn *conn)
{
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, 0, "no memory for a connection");
    fail(conn, &err);
}

static void set_phase(struct conn *conn, enum conn_phase phase, int64_t timeout_ms)
{
    conn->phase = (uint8_t)phase;
    conn->phase_deadline_ms = timeout_ms == SESSION_NEVER ? SESSION_NEVER : now_ms(conn) + timeout_ms;
}

static void notice(struct conn *conn)
{
    conn->notice_ms = SESSION_NEVER;
    if (conn->events->noticed != NULL)
        conn->events->noticed(conn->context);
}

/* What the stream waits for becomes poll interest. Returns: whether the result was a wait. */
static bool waits(enum stream_result result, unsigned *interest)
{
    if (result == STREAM_WANT_READ)
        *interest |= UV_READABLE;
    else if (result == STREAM_WANT_WRITE)
        *interest |= UV_WRITABLE;
    else
        return false;
    return true;
}

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
            fail(conn, &err);
            return written;
        }
        *waiting = waits(result, interest);
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
    if (conn->phase == CLOSING)
        return false;
    if (written > 0) {
        buf_consume(&conn->out, written);
        conn->stall_deadline_ms = now_ms(conn) + CONN_STALL_MS;
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
        conn->stall_deadline_ms = now_ms(conn) + CONN_STALL_MS;
    }
    if (conn->phase != CLOSING && bytes.length > 0 && buf_append(&conn->out, bytes) < 0)
        fail_memory(conn);
}

static struct sink empty_sink(struct conn *conn)
{
    return (struct sink){conn->shared->out, 0, sizeof conn->shared->out};
}

/* What a client's session failed on, in words, while the wrong bytes are at hand. */
static void fail_session(struct conn *conn, struct bytes wrong)
{
    struct err err = {0};
    session_failure(&conn->session, wrong, &err);
    fail(conn, &err);
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

/* After the session has changed: answers go out, a client learns of its turn, an end begins. */
static void follow(struct conn *conn, const struct sink *answers, struct bytes rest, unsigned *interest)
{
    bool over = conn->session.state == SESSION_ENDED;
    bool client = conn->role == CONN_CLIENT;

    count_names(conn);
    if (over)
        stream_cork(conn->stream, true);
    send_answers(conn, answers, interest);
    if (conn->phase == CLOSING)
        return;
    if (client && over && conn->session.end != SESSION_END_EXIT) {
        fail_session(conn, rest);
        return;
    }
    if (over)
        set_phase(conn, ENDING, SESSION_NEVER); /* what is queued may take its time */
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
    struct sink answers = empty_sink(conn);
    struct bytes in = fresh;
    uint32_t names = conn->session.names;

    if (buf_length(&conn->in) > 0) {
        if (fresh.length > 0 && buf_append(&conn->in, fresh) < 0) {
            fail_memory(conn);
            return;
        }
        in = buf_bytes(&conn->in);
    }
    size_t taken = session_receive(&conn->session, in, &answers, now_ms(conn));
    tell_split(conn, names, in.length - taken, in);

    struct bytes rest = bytes_skip(in, taken);
    follow(conn, &answers, rest, interest);
    if (conn->phase == CLOSING)
        return;
    if (buf_length(&conn->in) > 0)
        buf_consume(&conn->in, taken);
    else if (rest.length > 0 && buf_append(&conn->in, rest) < 0)
        fail_memory(conn);
}

static void hear_end(struct conn *conn, unsigned *interest)
{
    struct sink answers = empty_sink(conn);
    conn->peer_ended = true;
    if (conn->phase != TALKING)
        return;
    session_eof(&conn->session, buf_bytes(&conn->in), &answers);
    follow(conn, &answers, (struct bytes){0}, interest);
}

/* One read. Returns: whether to go on: false where the stream waits, or will, or is over. */
static bool read_once(struct conn *conn, unsigned *interest)
{
    struct err err;
    size_t count = 0;
    char *data = conn->shared->in;
    err_clear(&err);
    enum stream_result result = stream_read(conn->stream, data, sizeof conn->shared->in, &count, &err);

    if (result == STREAM_FAILED) {
        fail(conn, conn->phase == LINGERING ? NULL : &err); /* after the farewell any end will do */
        return false;
    }
    if (waits(result, interest))
        return false;
    if (result == STREAM_EOF) {
        hear_end(conn, interest);
        return false;
    }
    if (!conn->heard) {
        conn->heard = true;
        if (conn->notice_ms != SESSION_NEVER)
            notice(conn);
    }
    struct bytes fresh = {data, count};
    if (conn->events->received != NULL)
        conn->events->received(conn->context, fresh);
    if (conn->phase == TALKING)
        feed(conn, fresh, interest);
    return conn->phase == CLOSING || !stream_drained(conn->stream);
}

static void begin_talking(struct conn *conn, unsigned *interest)
{
    struct sink answers = empty_sink(conn);
    set_phase(conn, TALKING, SESSION_NEVER);
    if (conn->role == CONN_SERVER)
        session_serve(&conn->session, conn->session.policy, &answers, now_ms(conn));
    else if (conn->role == CONN_CLIENT)
        session_visit(&conn->session, conn->session.policy, now_ms(conn));
    else
        session_refuse(&conn->session, &answers);
    follow(conn, &answers, (struct bytes){0}, interest);
}

static void shake_hands(struct conn *conn, unsigned *interest)
{
    struct err err = {0};
    enum stream_result result = stream_handshake(conn->stream, &err);
    if (result == STREAM_OK) {
        if (conn->events->up != NULL)
            conn->events->up(conn->context);
        if (conn->phase == HANDSHAKING) /* it may have aborted */
            begin_talking(conn, interest);
    } else if (!waits(result, interest)) {
        fail(conn, &err);
    }
}

/* Everything is said and sent: end our side. */
static void end_side(struct conn *conn, unsigned *interest)
{
    struct err err = {0};
    enum stream_result result = stream_shutdown(conn->stream, &err);
    if (waits(result, interest)) {
        if (conn->phase_deadline_ms == SESSION_NEVER)
            set_phase(conn, ENDING, CONN_LINGER_MS);
        return;
    }
    bool linger = result == STREAM_OK && !conn->peer_ended && conn->role != CONN_CLIENT;
    if (linger)
        set_phase(conn, LINGERING, CONN_LINGER_MS);
    else
        close_now(conn); /* a farewell that cannot be sent spoils nothing */
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t deadline(const struct conn *conn)
{
    int64_t due = earlier(conn->phase_deadline_ms, conn->notice_ms);
    bool queued = buf_length(&conn->out) > 0;
    if (queued)
        due = earlier(due, conn->stall_deadline_ms);
    if (conn->phase == TALKING && (!queued || conn->role == CONN_CLIENT))
        due = earlier(due, session_deadline(&conn->session));
    return due;
}

static void on_timer(uv_timer_t *timer);
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
            fail_memory(conn);
            return;
        }
    }
    int64_t due = deadline(conn);
    if (due < conn->armed_ms) {
        int64_t delay = due - now_ms(conn);
        conn->armed_ms = due;
        uv_timer_start(&conn->timer, on_timer, delay > 0 ? (uint64_t)delay : 0, 0);
    }
}

/* Goes on as far as the stream lets it. */
static void conn_step(struct conn *conn, bool readable)
{
    unsigned interest = 0;
    int reads = 0;

    conn->in_step = true;
    if (conn->phase == HANDSHAKING)
        shake_hands(conn, &interest);
    while (conn->phase == TALKING || conn->phase == ENDING || conn->phase == LINGERING) {
        if (!flush(conn, &interest))
            break;
        if (conn->phase == TALKING && conn->session.stalled) {
            feed(conn, (struct bytes){0}, &interest);
        } else if (conn->phase == ENDING) {
            end_side(conn, &interest);
            if (conn->phase == ENDING)
                break;
        } else if (conn->phase == LINGERING && conn->peer_ended) {
            close_now(conn);
        } else if (!readable) {
            interest |= UV_READABLE;
            break;
        } else if (reads++ == READS_PER_STEP) {
            interest |= UV_READABLE | UV_WRITABLE; /* back at once: what waits in user space wakes no poll */
            break;
        } else {
            readable = read_once(conn, &interest);
        }
    }
    conn->in_step = false;
    if (conn->phase != CLOSING)
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

static void expire(struct conn *conn, int64_t now)
{
    struct err err = {0};
    struct sink answers = empty_sink(conn);
    unsigned interest = 0;
    bool queued = buf_length(&conn->out) > 0;

    if (conn->phase != TALKING && now >= conn->phase_deadline_ms) {
        trace(.step = TRACE_DEADLINE, .fd = stream_fd(conn->stream));
        if (conn->phase == HANDSHAKING)
            stream_waiting(conn->stream, &err);
        fail(conn, err.reason == ERR_OK ? NULL : &err);
    } else if (queued && now >= conn->stall_deadline_ms) {
        trace(.step = TRACE_DEADLINE, .fd = stream_fd(conn->stream));
        err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "the peer does not read");
        fail(conn, &err);
    } else if (conn->phase == TALKING && now >= session_deadline(&conn->session) &&
               (!queued || conn->role == CONN_CLIENT)) {
        size_t taken = session_expire(&conn->session, buf_bytes(&conn->in), &answers, now);
        trace(.step = taken > 0 ? TRACE_NAME_PAUSE : TRACE_DEADLINE, .fd = stream_fd(conn->stream),
              .data = {buf_length(&conn->in) > 0 ? buf_bytes(&conn->in).data : "", taken});
        if (buf_length(&conn->in) > 0)
            buf_consume(&conn->in, taken);
        follow(conn, &answers, (struct bytes){0}, &interest);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    int64_t now = now_ms(conn);

    conn->armed_ms = SESSION_NEVER;
    if (now >= conn->notice_ms)
        notice(conn);
    if (now >= deadline(conn))
        expire(conn, now);
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
        conn->notice_ms = now_ms(conn) + CONN_NOTICE_MS;
    set_phase(conn, HANDSHAKING, config->shared->handshake_ms);
    conn_step(conn, false);
    return 0;
}

void conn_say(struct conn *conn, struct bytes name)
{
    struct sink out = empty_sink(conn);
    unsigned interest = 0;

    if (conn->phase != TALKING || conn->session.state != SESSION_READY)
        return;
    session_say(&conn->session, name, &out, now_ms(conn));
    send_answers(conn, &out, &interest);
    if (!conn->in_step && conn->phase != CLOSING)
        conn_step(conn, true);
}

void conn_farewell(struct conn *conn)
{
    struct sink out = empty_sink(conn);
    unsigned interest = 0;

    if (conn->phase == HANDSHAKING) {
        session_farewell(&conn->session, &out);
        close_now(conn);
    } else if (conn->phase == TALKING) {
        session_farewell(&conn->session, &out);
        follow(conn, &out, (struct bytes){0}, &interest);
        conn_step(conn, true);
    }
}

void conn_abort(struct conn *conn, const struct err *err)
{
    fail(conn, err);
}
