#include "conn_private.h"

#include <stdlib.h>

static void on_handle_closed(uv_handle_t *handle)
{
    static const struct err exhausted = {.reason = ERR_INTERNAL, .text = "memory is exhausted"};
    struct conn *conn = handle->data;
    if (--conn->open_handles > 0)
        return;

    struct err *failure = conn->failure;
    struct conn_result result = {
        .end = (enum session_end)conn->session.end,
        .err = conn->exhausted ? &exhausted : failure,
        .names = conn->session.names,
        .heard = conn->heard,
    };
    conn->events->done(conn->context, &result); /* conn may be gone now */
    free(failure);
}

void conn_close(struct conn *conn)
{
    if (conn->phase == CONN_CLOSING)
        return;
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

void conn_fail(struct conn *conn, const struct err *err)
{
    if (conn->phase == CONN_CLOSING)
        return;
    if (conn->failure == NULL && err != NULL) {
        conn->failure = malloc(sizeof *conn->failure);
        conn->exhausted = conn->failure == NULL;
        if (conn->failure != NULL)
            *conn->failure = *err;
    }
    conn_close(conn);
}

void conn_fail_memory(struct conn *conn)
{
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, 0, "no memory for a connection");
    conn_fail(conn, &err);
}

void conn_fail_session(struct conn *conn, struct bytes wrong)
{
    struct err err = {0};
    session_failure(&conn->session, wrong, &err);
    conn_fail(conn, &err);
}

void conn_end_side(struct conn *conn, unsigned *interest)
{
    struct err err = {0};
    enum stream_result result = stream_shutdown(conn->stream, &err);
    if (conn_waits(result, interest)) {
        if (conn->phase_deadline_ms == SESSION_NEVER)
            conn_set_phase(conn, CONN_ENDING, CONN_LINGER_MS);
        return;
    }
    bool linger = result == STREAM_OK && !conn->peer_ended && conn->role != CONN_CLIENT;
    if (linger)
        conn_set_phase(conn, CONN_LINGERING, CONN_LINGER_MS);
    else
        conn_close(conn); /* a farewell that cannot be sent spoils nothing */
}

void conn_abort(struct conn *conn, const struct err *err)
{
    conn_fail(conn, err);
}
