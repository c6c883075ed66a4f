/* The phases of a conn and how long each may last. For conn.c. */
#ifndef TCPGREET_LINK_CONN_LIMITS_H
#define TCPGREET_LINK_CONN_LIMITS_H

#include "tcpgreet/link/conn.h"

enum conn_phase {
    CONN_HANDSHAKING,
    CONN_TALKING,   /* the dialogue decides */
    CONN_ENDING,    /* it is over: what is queued is sent, then our side is shut down */
    CONN_LINGERING, /* it is; what the peer still sends is thrown away */
    CONN_CLOSING    /* the handles are being closed */
};

static inline bool conn_is_queued(const struct conn *conn)
{
    return buf_length(&conn->out) > 0;
}

/* Whether a dialogue that answers is held up by what its peer has not read. */
static inline bool conn_is_held_up(const struct conn *conn)
{
    return conn_is_queued(conn) && !conn->dialogue->ops->duplex;
}

static inline bool conn_is_paused(const struct conn *conn)
{
    return conn->paused_ms != DIALOGUE_NEVER;
}

/* Shape: timeout_ms may be DIALOGUE_NEVER. */
void conn_limits_set_phase(struct conn *conn, enum conn_phase phase, int64_t timeout_ms);

/* The peer has taken this much, or something was queued for it. */
void conn_limits_watch(struct conn *conn, size_t taken);

/* Returns: when the timer is needed next. */
int64_t conn_limits_next(struct conn *conn);

/* The time of the phase is over: why the conn ends, where that is a failure. */
void conn_limits_explain(struct conn *conn, struct err *err);

#endif
