#include "resumption.h"

#include "tcpgreet/tls/stream_tls.h"

static void on_up(void *context)
{
    struct probe_resumption_test *test = context;
    struct err err = {0};

    test->outcome =
        stream_tls_resumed(test->conn.stream) ? PROBE_RESUMPTION_ACCEPTED : PROBE_RESUMPTION_REFUSED;
    stream_shutdown(test->conn.stream, &err); /* an orderly close, which is not waited for */
    conn_abort(&test->conn, NULL);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct probe_resumption_test *test = context;
    (void)result;
    test->done(test->context, test->outcome);
}

/* Returns: 0, or -1 where it has failed already. */
static int connect_again(struct probe_resumption_test *test, struct probe_scope *scope,
                         const struct endpoint *peer, struct tls_session *session)
{
    static const struct conn_events events = {.up = on_up, .done = on_done};
    struct conn_config config = {
        .shared = scope->plan.shared,
        .dialogue = &test->greeting.dialogue,
        .events = &events,
        .context = test,
        .handshake_ms = scope->plan.connect_timeout_ms /* its own: the verdict does not wait for it */
    };
    struct err err = {0};
    struct stream *stream = probe_scope_connect(scope, peer, session, &err);

    session_init_client(&test->greeting, &scope->policy);
    return stream != NULL ? conn_start(&test->conn, &config, stream, &err) : -1;
}

bool probe_resumption_start(struct probe_resumption_test *test, struct probe_scope *scope,
                            const struct endpoint *peer, struct tls_session *session)
{
    test->outcome = PROBE_RESUMPTION_UNTRIED;
    if (session == NULL)
        return false;
    test->outcome = PROBE_RESUMPTION_NO_TICKET;
    if (!tls_session_has_ticket(session))
        return false;
    test->outcome = PROBE_RESUMPTION_FAILED;
    return connect_again(test, scope, peer, session) == 0;
}

void probe_resumption_cancel(struct probe_resumption_test *test)
{
    conn_abort(&test->conn, NULL);
}
