#include "tcpgreet/link/tls_check.h"

#include <stdlib.h>

#include "tcpgreet/core/session.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/link/dialer.h"
#include "tcpgreet/tls/tls.h"

/* Invariant: at most one of dialer and is_connected. */
struct tls_check {
    tls_check_done_fn *done; /* NULL: cancelled */
    void *context;
    const char *host;
    int64_t timeout_ms;
    struct target target;      /* the peer's address, as a literal */
    struct proxy_config proxy; /* at that address */
    struct proxy_route route;
    struct tls_client *tls;
    struct dialer *dialer;
    bool is_connected; /* conn is started and not done */
    enum tls_check_result result;
    struct session_policy policy;
    struct conn_shared shared;
    struct session session; /* never begun */
    struct conn conn;
};

static void finish(struct tls_check *check)
{
    tls_check_done_fn *done = check->done;
    void *context = check->context;
    enum tls_check_result result = check->result;

    tls_client_free(check->tls);
    free(check);
    if (done != NULL)
        done(context, result);
}

static void on_up(void *context)
{
    struct tls_check *check = context;
    check->result = TLS_CHECK_TLS;
    conn_abort(&check->conn, NULL);
}

/* A failed handshake proves TLS, too, where an alert or a handshake record was received. */
static enum tls_check_result result_of(const struct err *err)
{
    switch (err->reason) {
    case ERR_TLS_ALERT:
    case ERR_TLS_CLIENT_CERTIFICATE:
    case ERR_TLS_TIMEOUT:
        return TLS_CHECK_TLS;
    case ERR_CONNECT_PROXY:
    case ERR_CONNECT_TIMEOUT:
        return TLS_CHECK_UNKNOWN;
    case ERR_TLS_PROTOCOL:
        return err->detail == ERR_DETAIL_TLS_VERSION || err->alert != 0 ? TLS_CHECK_TLS : TLS_CHECK_NOT_TLS;
    default:
        return TLS_CHECK_NOT_TLS;
    }
}

static void on_done(void *context, const struct conn_result *result)
{
    struct tls_check *check = context;
    if (check->result != TLS_CHECK_TLS && result->err != NULL)
        check->result = result_of(result->err);
    finish(check);
}

static void on_dialed(void *context, struct stream *stream, const struct dialer_facts *facts,
                      const struct err *err)
{
    static const struct conn_events events = {.up = on_up, .done = on_done};
    struct tls_check *check = context;
    struct conn_config config = {.shared = &check->shared,
                                 .dialogue = &check->session.dialogue,
                                 .events = &events,
                                 .context = check,
                                 .handshake_ms = check->timeout_ms - (int64_t)(facts->total_ns / 1000000)};

    (void)err;
    check->dialer = NULL;
    session_init_client(&check->session, &check->policy);
    check->is_connected = stream != NULL && conn_start(&check->conn, &config, stream, NULL) == 0;
    if (!check->is_connected)
        finish(check);
}

static int prepare(struct tls_check *check, uv_loop_t *loop, const struct tls_check_config *config)
{
    static const struct tls_client_config any = {.policy.insecure = true};
    char peer[ENDPOINT_TEXT_BYTES];
    struct dialer_config dial = {.target = &check->target,
                                 .want_v6 = true,
                                 .want_v4 = true,
                                 .source = config->source,
                                 .timeout_ms = config->timeout_ms};

    check->shared.loop = loop;
    check->policy.over_tls = true;
    if (tls_available(NULL) < 0 ||
        target_parse_word(&check->target, endpoint_format(config->peer, peer), NULL) < 0)
        return -1;
    check->tls = tls_client_new(&any, NULL);
    dial.policy =
        (struct connector_policy){.send_proxy = config->send_proxy, .tls = check->tls, .host = check->host};
    if (config->proxy != NULL) {
        check->proxy = *config->proxy->proxy;
        check->proxy.at = check->target;
        check->route = *config->proxy;
        check->route.proxy = &check->proxy;
        dial.policy.proxy = &check->route;
    }
    if (check->tls != NULL)
        check->dialer = dialer_start(loop, &dial, on_dialed, check, NULL);
    return check->dialer != NULL ? 0 : -1;
}

struct tls_check *tls_check_start(uv_loop_t *loop, const struct tls_check_config *config,
                                  tls_check_done_fn *done, void *context)
{
    struct tls_check *check = calloc(1, sizeof *check);

    if (check == NULL)
        return NULL;
    check->context = context;
    check->host = config->host;
    check->timeout_ms = config->timeout_ms;
    check->done = done;
    if (prepare(check, loop, config) == 0)
        return check;
    tls_client_free(check->tls);
    free(check);
    return NULL;
}

void tls_check_cancel(struct tls_check *check)
{
    if (check == NULL)
        return;
    check->done = NULL;
    if (check->is_connected) {
        conn_abort(&check->conn, NULL);
        return;
    }
    dialer_cancel(check->dialer);
    finish(check);
}

void tls_check_judge(enum tls_check_result result, const struct err *failure, struct err *err)
{
    bool is_assumed = failure->reason == ERR_DIALOGUE_TLS_PEER && failure->detail == ERR_DETAIL_TLS_ASSUMED;
    bool is_end = failure->reason == ERR_DIALOGUE_EARLY_END;
    struct err_facts facts = {.detail = is_assumed ? ERR_DETAIL_UNANSWERED : ERR_DETAIL_NONE};

    if (result == TLS_CHECK_TLS)
        err_set(err, ERR_DIALOGUE_TLS_PEER, 0, "the server uses TLS: add --tls");
    else if (result == TLS_CHECK_NOT_TLS && (is_end || is_assumed))
        err_set_facts(
            err, ERR_DIALOGUE_EARLY_END, &facts,
            "the server closed the connection without sending anything: it may reject this address");
    else if (is_end || (is_assumed && tls_available(NULL) == 0))
        err_set_facts(
            err, ERR_DIALOGUE_EARLY_END, &facts,
            "the server closed the connection without sending anything: it may expect TLS (try --tls), or reject this address");
    else
        err_set_from(err, failure, "%s", failure->text);
}
