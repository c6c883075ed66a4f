#include "conn_private.h"
#include "tcpgreet/base/trace.h"

void conn_set_phase(struct conn *conn, enum conn_phase phase, int64_t timeout_ms)
{
    conn->phase = (uint8_t)phase;
    conn->phase_deadline_ms = timeout_ms == SESSION_NEVER ? SESSION_NEVER : conn_now_ms(conn) + timeout_ms;
}

void conn_notice(struct conn *conn)
{
    conn->notice_ms = SESSION_NEVER;
    if (conn->events->noticed != NULL)
        conn->events->noticed(conn->context);
}

static void expire(struct conn *conn, int64_t now)
{
    struct err err = {0};
    struct sink answers = conn_empty_sink(conn);
    unsigned interest = 0;
    bool queued = buf_length(&conn->out) > 0;

    if (conn->phase != CONN_TALKING && now >= conn->phase_deadline_ms) {
        trace(.step = TRACE_DEADLINE, .fd = stream_fd(conn->stream));
        if (conn->phase == CONN_HANDSHAKING)
            stream_handshake_expire(conn->stream, &err);
        conn_fail(conn, err.reason == ERR_OK ? NULL : &err);
    } else if (queued && now >= conn->stall_deadline_ms) {
        trace(.step = TRACE_DEADLINE, .fd = stream_fd(conn->stream));
        err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "the peer does not read");
        conn_fail(conn, &err);
    } else if (conn->phase == CONN_TALKING && !conn_is_paused(conn) &&
               now >= session_deadline(&conn->session) && (!queued || conn->role == CONN_CLIENT)) {
        size_t taken = session_expire(&conn->session, buf_bytes(&conn->in), &answers, now);
        trace(.step = taken > 0 ? TRACE_NAME_PAUSE : TRACE_DEADLINE, .fd = stream_fd(conn->stream),
              .data = {buf_length(&conn->in) > 0 ? buf_bytes(&conn->in).data : "", taken});
        if (buf_length(&conn->in) > 0)
            buf_consume(&conn->in, taken);
        conn_follow(conn, &answers, (struct bytes){0}, &interest);
    }
}

void conn_on_timer(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    int64_t now = conn_now_ms(conn);

    conn->armed_ms = SESSION_NEVER;
    if (now >= conn->notice_ms)
        conn_notice(conn);
    if (now >= conn_deadline(conn))
        expire(conn, now);
    conn_step(conn, false);
}
