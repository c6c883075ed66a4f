/* What conn.c, conn_deadline.c and conn_end.c share. */
#ifndef TCPGREET_LINK_CONN_PRIVATE_H
#define TCPGREET_LINK_CONN_PRIVATE_H

#include "tcpgreet/link/conn.h"

enum conn_phase {
    CONN_HANDSHAKING,
    CONN_TALKING,   /* the session decides */
    CONN_ENDING,    /* everything is said: our side is to be shut down */
    CONN_LINGERING, /* it is; what the peer still sends is thrown away */
    CONN_CLOSING    /* the handles are being closed */
};

static inline int64_t conn_now_ms(const struct conn *conn)
{
    return (int64_t)uv_now(conn->shared->loop);
}

static inline struct sink conn_empty_sink(struct conn *conn)
{
    return (struct sink){conn->shared->out, 0, sizeof conn->shared->out};
}

/* What the stream waits for becomes poll interest. Returns: whether the result was a wait. */
static inline bool conn_waits(enum stream_result result, unsigned *interest)
{
    if (result == STREAM_WANT_READ)
        *interest |= UV_READABLE;
    else if (result == STREAM_WANT_WRITE)
        *interest |= UV_WRITABLE;
    else
        return false;
    return true;
}

static inline int64_t conn_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline bool conn_is_paused(const struct conn *conn)
{
    return conn->paused_ms != SESSION_NEVER;
}

/* Returns: when the timer is needed next; every step asks. */
static inline int64_t conn_deadline(const struct conn *conn)
{
    int64_t due = conn_earlier(conn->phase_deadline_ms, conn->notice_ms);
    bool queued = buf_length(&conn->out) > 0;
    if (queued)
        due = conn_earlier(due, conn->stall_deadline_ms);
    if (conn->phase == CONN_TALKING && !conn_is_paused(conn) && (!queued || conn->role == CONN_CLIENT))
        due = conn_earlier(due, session_deadline(&conn->session));
    return due;
}

/* Goes on as far as the stream lets it; it may be over then. Shape: readable: the descriptor may be. What
 * waits in user space is read whatever it is. */
void conn_step(struct conn *conn, bool readable);

/* After the session has changed: answers go out, a client learns of its turn, an end begins. */
void conn_follow(struct conn *conn, const struct sink *answers, struct bytes rest, unsigned *interest);

/* Shape: timeout_ms: SESSION_NEVER for none. */
void conn_set_phase(struct conn *conn, enum conn_phase phase, int64_t timeout_ms);

/* Tells that the peer is to be taken notice of, once. */
void conn_notice(struct conn *conn);

/* Does what is due, and then a step. */
void conn_on_timer(uv_timer_t *timer);

/* Everything is said and sent: ends our side. */
void conn_end_side(struct conn *conn, unsigned *interest);

/* Ends at once; done comes when the handles are closed. */
void conn_close(struct conn *conn);

/* The same, and done tells err. Shape: err NULL: the session's end tells, also that it has none. */
void conn_fail(struct conn *conn, const struct err *err);
void conn_fail_memory(struct conn *conn);

/* What a client's session failed on, in words, while the wrong bytes are at hand. */
void conn_fail_session(struct conn *conn, struct bytes wrong);

#endif
