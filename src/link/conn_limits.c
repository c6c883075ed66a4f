#include "conn_limits.h"

enum { MS_PER_S = 1000 };

void conn_limits_set_phase(struct conn *conn, enum conn_phase phase, int64_t timeout_ms)
{
    conn->phase = (uint8_t)phase;
    conn->limit_ms = timeout_ms == DIALOGUE_NEVER ? DIALOGUE_NEVER : conn_now_ms(conn) + timeout_ms;
}

/* Only the time counts in which something was queued: within CONN_STALL_MS of that, and as long as something
 * is queued, it has to take enough. */
void conn_limits_watch(struct conn *conn, size_t taken)
{
    bool counts = conn_is_queued(conn) && (conn->phase == CONN_ENDING || conn_is_held_up(conn));
    bool watched = conn->limit_ms != DIALOGUE_NEVER;
    int64_t rest_ms = watched ? conn->limit_ms - conn_now_ms(conn) : CONN_STALL_MS - conn->held_ms;

    conn->taken += (uint32_t)taken;
    conn->trickles = conn->trickles || (watched && taken > 0);
    if (conn->taken > 0 && conn->taken >= (uint32_t)conn->least_rate * CONN_STALL_MS / MS_PER_S) {
        conn->taken = 0;
        conn->trickles = false;
        rest_ms = CONN_STALL_MS;
    }
    conn->held_ms = (uint16_t)(CONN_STALL_MS - (rest_ms > 0 ? rest_ms : 0));
    conn->limit_ms = counts ? conn_now_ms(conn) + rest_ms : DIALOGUE_NEVER;
}

int64_t conn_limits_next(struct conn *conn)
{
    enum { QUOTE_MS = 1000 }; /* as long as a probe listens */
    int64_t quoted_ms = conn_now_ms(conn) + QUOTE_MS;

    if (conn->phase == CONN_HANDSHAKING && conn->stream->is_quoting && quoted_ms < conn->limit_ms)
        conn->limit_ms = quoted_ms;
    int64_t due = conn->limit_ms < conn->notice_ms ? conn->limit_ms : conn->notice_ms;
    int64_t dialogue = conn->dialogue->deadline_ms;
    bool counts = conn->phase == CONN_TALKING && !conn_is_held_up(conn) && !conn_is_paused(conn);
    return counts && dialogue < due ? dialogue : due;
}

void conn_limits_explain(struct conn *conn, struct err *err)
{
    if (conn->phase == CONN_HANDSHAKING && conn->turn_requested)
        err_set(
            err, ERR_TLS_TIMEOUT, 0,
            "TLS handshake not started before --handshake-timeout: the limit of handshakes in progress is reached (--max-handshakes)");
    else if (conn->phase == CONN_HANDSHAKING)
        stream_handshake_expire(conn->stream, err);
    else if (conn_is_queued(conn))
        err_set(err, ERR_DIALOGUE_TIMEOUT, 0, "%s",
                conn->trickles ? "the peer reads too slowly" : "the peer does not read");
}

void conn_limit_handshake(struct conn *conn, int64_t at_ms, bool stops)
{
    if (conn->phase != CONN_HANDSHAKING)
        return;
    conn->limit_ms = at_ms;
    conn->limit_stops = stops;
}
