#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ending.h"
#include "log.h"
#include "proxied.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/net/stream_tcp.h"
#include "tcpgreet/tls/stream_tls.h"
#include "whoami.h"

enum { LEAST_RATE = 64 /* bytes a second: docs/protocol.md */ };

/* One connection that is being served, or rejected. */
struct connection {
    struct conn conn;
    struct session session;
    union {
        struct handshake handshake;
        struct busy busy; /* once it is up */
    };
    struct connection *next, **link; /* in the list; what leads here */
    int64_t since_ms;
    uint64_t since_ns; /* uv_hrtime: it was accepted; once its stream is up, since then */
    uint64_t number;   /* of those since the start, where whoami is answered */
    struct endpoint peer;
    uint16_t counted; /* names of the session that the counter has, modulo 2^16: one read brings fewer */
    struct measured_bytes measured;
    bool is_up, uses_tls;
    bool is_displaced; /* its handshake made room for another */
    bool rejected;
    bool lingers;            /* it has a place among those being rejected */
    bool logged;             /* as accepted */
    bool is_counted;         /* for the limit of its address */
    struct proxied *proxied; /* heap; NULL: no PROXY header has come */
};

static struct connections *list_of(const struct connection *connection)
{
    return (struct connections *)((char *)connection->conn.shared - offsetof(struct connections, shared));
}

static int64_t now_ms(const struct connections *connections)
{
    return (int64_t)uv_now(connections->config.loop);
}

/* Returns: whose connection it is, for the log. */
static struct server_log_peer log_peer(const struct connection *connection)
{
    const struct proxied *proxied = connection->proxied;
    return (struct server_log_peer){.address = &connection->peer,
                                    .proxy_peer = proxied != NULL ? &proxied->sender : NULL,
                                    .unique_id = proxied_header(proxied).unique_id};
}

/* Whether each connection is logged as soon as its peer is known. */
static bool is_traced(void)
{
    return log_enabled(LOG_DEBUG) || trace_sink != NULL;
}

static void log_accepted(struct connection *connection)
{
    if (connection->logged)
        return;
    connection->logged = true;
    if (!log_enabled(LOG_INFO))
        return;
    const struct endpoint local = acceptor_local(connection->conn.stream);
    const struct server_log_peer peer = log_peer(connection);
    server_log_accepted(&peer, &local);
}

/* Until then the socket's peer is only who passes a connection on. */
static bool awaits_header(const struct connection *connection)
{
    return list_of(connection)->streams.proxy_header && connection->proxied == NULL;
}

static void on_noticed(void *context)
{
    struct connection *connection = context;
    if (!connection->rejected && !awaits_header(connection))
        log_accepted(connection);
}

/* What was sent since is measured the next time. */
static void measure_bytes(struct connection *connection)
{
    measures_add_bytes(list_of(connection)->config.measures, &connection->measured, connection->conn.bytes_in,
                       connection->conn.bytes_out);
}

static void on_advanced(void *context, const struct conn_advance *advance)
{
    struct connection *connection = context;
    uint16_t names = (uint16_t)(connection->session.names - connection->counted);

    measure_bytes(connection);
    if (names > 0)
        counters_add(&list_of(connection)->config.counters->names, names);
    connection->counted = (uint16_t)connection->session.names;
    if (trace_sink != NULL && !connection->rejected)
        server_log_names(stream_fd(connection->conn.stream), advance, names);
}

/* At a shutdown, silence ends a handshake as it ends a dialogue, unless the handshake waits for its turn. */
static void limit_handshake(struct connection *connection)
{
    const struct connections_config *config = &list_of(connection)->config;
    const int64_t limit_ms = connection->since_ms + config->handshake_ms;

    if (!config->policy->is_stopping || connection->is_up)
        return;
    int64_t silent_ms = handshakes_silent_since(&connection->handshake, connection->since_ms);
    silent_ms =
        silent_ms < limit_ms - config->policy->idle_ms ? silent_ms + config->policy->idle_ms : limit_ms;
    conn_limit_handshake(&connection->conn, silent_ms, silent_ms < limit_ms);
}

static void on_handshake_ready(void *context)
{
    struct connection *connection = context;
    handshakes_request(&list_of(connection)->handshakes, &connection->handshake);
    limit_handshake(connection);
}

static struct connection *connection_of(struct handshake *handshake)
{
    return (struct connection *)((char *)handshake - offsetof(struct connection, handshake));
}

static void proceed(struct handshake *handshake)
{
    limit_handshake(connection_of(handshake));
    conn_take_turn(&connection_of(handshake)->conn);
}

static void on_busy(void *context)
{
    struct connection *connection = context;
    busy_request(&list_of(connection)->busy, &connection->busy);
}

static void proceed_busy(struct busy *busy)
{
    conn_take_turn(&((struct connection *)((char *)busy - offsetof(struct connection, busy)))->conn);
}

static void displace(struct handshake *handshake)
{
    struct err err = {0};
    connection_of(handshake)->is_displaced = true;
    err_set(
        &err, ERR_TLS_TIMEOUT, 0,
        "TLS handshake closed to make room for another: the limit of handshakes in progress is reached (--max-handshakes)");
    conn_abort(&connection_of(handshake)->conn, &err);
}

static void on_up(void *context)
{
    struct connection *connection = context;
    struct connections *connections = list_of(connection);
    const uint64_t now_ns = uv_hrtime(), taken_ns = now_ns - connection->since_ns;

    connection->since_ns = now_ns;
    handshakes_end(&connections->handshakes, &connection->handshake);
    connection->busy = (struct busy){0};
    connection->is_up = true;
    if (!connection->uses_tls)
        return;
    measures_add_handshake(connections->config.measures, connection->conn.stream, taken_ns);
    counters_add(&connections->config.counters->handshakes, 1);
    counters_add(&connections->config.counters->resumed, stream_tls_resumed(connection->conn.stream));
}

static struct ending ending_of(const struct connection *connection)
{
    return (struct ending){.conn = &connection->conn,
                           .session = &connection->session,
                           .is_displaced = connection->is_displaced,
                           .dialogue_ns = connection->is_up ? uv_hrtime() - connection->since_ns : 0};
}

/* While the stream is still there: it knows the facts. */
static void log_closed(const struct connection *connection, const struct ending *ending)
{
    const struct conn *conn = &connection->conn;
    const bool is_minor = connection->rejected || (ending_is_silent(ending) && !connection->logged);
    if (!log_enabled(is_minor ? LOG_DEBUG : LOG_INFO))
        return;
    const struct endpoint local = acceptor_local(connection->conn.stream);
    struct stream_tls_facts tls;
    (void)stream_tls_facts(conn->stream, &tls);
    server_log_closed(&(struct server_log_closed){
        .peer = log_peer(connection),
        .local = &local,
        .err = conn->failure,
        .end = (enum session_end)connection->session.end,
        .names = connection->session.names,
        .bytes_in = conn->bytes_in,
        .bytes_out = conn->bytes_out,
        .duration_ms = now_ms(list_of(connection)) - connection->since_ms,
        .tls = &tls,
        .is_failure = conn->failure != NULL || connection->session.names == 0,
        .is_minor = is_minor,
    });
}

static void on_closing(void *context)
{
    struct connection *connection = context;
    const struct connections_config *config = &list_of(connection)->config;
    const struct ending ending = ending_of(connection);

    if (connection->is_up)
        busy_end(&list_of(connection)->busy, &connection->busy);
    else
        handshakes_end(&list_of(connection)->handshakes, &connection->handshake);
    measure_bytes(connection);
    if (!connection->rejected)
        ending_count(&ending, config->counters, config->measures);
    log_closed(connection, &ending);
}

bool connection_whoami(const struct session *session, struct sink *out)
{
    const struct connection *connection =
        (const struct connection *)(const void *)((const char *)session -
                                                  offsetof(struct connection, session));
    const struct proxied *proxied = connection->proxied;
    const struct endpoint local = acceptor_local(connection->conn.stream);
    const struct proxy_header header = proxied_header(proxied);
    struct stream_tls_facts tls;

    (void)stream_tls_facts(connection->conn.stream, &tls);
    return whoami_answer(
        &(struct whoami_facts){.peer = proxied != NULL ? &proxied->sender : &connection->peer,
                               .local = &local,
                               .header = proxied != NULL ? &header : NULL,
                               .tls = &tls,
                               .number = connection->number},
        out);
}

static void link_connection(struct connections *connections, struct connection *connection)
{
    connection->next = connections->first;
    connection->link = &connections->first;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    connections->first = connection;
}

static void unlink_connection(struct connection *connection)
{
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
}

static void on_done(void *context, const struct conn_result *result)
{
    struct connection *connection = context;
    struct connections *connections = list_of(connection);

    (void)result;
    if (connection->lingers)
        limits_release_rejection(connections->config.limits);
    if (!connection->rejected)
        limits_release(connections->config.limits,
                       &(struct limits_peer){&connection->peer, connection->is_counted});
    unlink_connection(connection);
    free(connection->proxied);
    free(connection);
    connections->config.ended(connections->config.context);
}

/* The address that counts has too many connections. The message is sent, unless that needed a handshake. */
static enum err_reason reject_proxied(struct connections *connections, struct connection *connection,
                                      enum limits_result why)
{
    const struct connections_config *config = &connections->config;

    ending_count_rejected(why, config->counters, config->measures);
    limits_release(config->limits, &(struct limits_peer){&connection->peer, false});
    connection->rejected = true;
    connection->lingers = !connection->uses_tls && limits_take_rejection(config->limits);
    if (!connection->lingers)
        return ERR_DIALOGUE_EARLY_END;
    session_init_refusal(&connection->session);
    return ERR_OK;
}

/* From within the handshake. */
static enum err_reason on_proxied(void *context, const struct proxy_header *header, struct bytes raw)
{
    struct connection *connection = context;
    struct connections *connections = list_of(connection);

    connection->proxied = proxied_new(&connection->peer, raw);
    if (connection->proxied == NULL)
        return ERR_INTERNAL;
    if (header->kind == PROXY_HEADER_PROXIED)
        connection->peer = header->source;
    if (connection->rejected)
        return ERR_OK;
    enum limits_result result =
        limits_count(connections->config.limits, &connection->peer, now_ms(connections));
    if (result != LIMITS_ACCEPTED)
        return reject_proxied(connections, connection, result);
    connection->is_counted = true;
    if (now_ms(connections) - connection->since_ms >= CONN_NOTICE_MS || is_traced())
        log_accepted(connection);
    return ERR_OK;
}

static int start_conn(struct connections *connections, struct connection *connection, struct stream *stream,
                      struct err *err)
{
#define EVENTS                                                                                               \
    .busy = on_busy, .up = on_up, .noticed = on_noticed, .advanced = on_advanced, .closing = on_closing,     \
    .done = on_done
    static const struct conn_events plain = {EVENTS}, tls = {.handshake_ready = on_handshake_ready, EVENTS};
#undef EVENTS
    const struct conn_config config = {
        .shared = &connections->shared,
        .dialogue = &connection->session.dialogue,
        .events = connection->uses_tls ? &tls : &plain,
        .context = connection,
        .handshake_ms = connections->config.handshake_ms,
        .least_rate = connections->streams.misbehaviour.kind == STREAM_MISBEHAVE_NOT ? LEAST_RATE : 0,
    };

    if (connection->rejected)
        session_init_refusal(&connection->session);
    else
        session_init_server(&connection->session, connections->config.policy);
    return conn_start(&connection->conn, &config, stream, err);
}

/* Takes: the descriptor. Returns: a connection that has begun; NULL with err. */
static struct connection *start(struct connections *connections, const struct accepted_socket *accepted,
                                bool rejected, struct err *err)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        stream_tcp_close(accepted->fd);
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a connection");
        return NULL;
    }
    const struct acceptor_request request = {
        .loop = connections->config.loop, .accepted = accepted, .proxied = on_proxied, .context = connection};
    connection->peer = accepted->peer;
    connection->uses_tls = acceptor_uses_tls(&connections->streams, accepted);
    connection->handshake.peer = &connection->peer;
    connection->rejected = connection->lingers = rejected;
    connection->is_counted = !connections->streams.proxy_header;
    connection->since_ms = now_ms(connections);
    connection->since_ns = uv_hrtime();
    if (connections->config.policy->whoami != NULL)
        connection->number = whoami_next_number();
    struct stream *stream = acceptor_stream(&connections->streams, &request, err);
    if (stream == NULL || start_conn(connections, connection, stream, err) < 0) {
        free(connection);
        return NULL;
    }
    return connection;
}

/* Takes: the descriptor. Returns: ERR_OK, or why the connection has not begun. */
static enum err_reason begin(struct connections *connections, const struct accepted_socket *accepted,
                             bool rejected)
{
    struct err err = {0};
    struct connection *connection = start(connections, accepted, rejected, &err);
    if (connection == NULL) {
        server_log_dropped(&accepted->peer, &err);
        return err.reason;
    }
    link_connection(connections, connection);
    if (!rejected && is_traced() && !awaits_header(connection))
        log_accepted(connection);
    return ERR_OK;
}

int connections_init(struct connections *connections, const struct connections_config *config,
                     const struct acceptor_policy *streams)
{
    connections->config = *config;
    connections->streams = *streams;
    connections->first = NULL;
    connections->shared.loop = config->loop;
    connections->handshakes.proceed = proceed;
    connections->handshakes.displace = displace;
    connections->busy.proceed = proceed_busy;
    const struct limits_waiter waiter = {.wake = config->wake, .context = config->context};
    int result = busy_init(&connections->busy, config->loop);
    return result == 0 ? handshakes_init(&connections->handshakes, config->loop, config->limits, &waiter)
                       : result;
}

void connections_fini(struct connections *connections)
{
    handshakes_fini(&connections->handshakes);
}

void connections_wake(struct connections *connections)
{
    handshakes_wake(&connections->handshakes);
}

/* With a PROXY header, the address that counts is not known yet. */
static struct limits_peer place_of(const struct connections *connections,
                                   const struct accepted_socket *accepted)
{
    return (struct limits_peer){&accepted->peer, !connections->streams.proxy_header};
}

/* Before the welcome is sent, so that two workers never give the last place twice. */
bool connections_reserve(struct connections *connections, const struct accepted_socket *accepted)
{
    const struct limits_peer peer = place_of(connections, accepted);
    if (!acceptor_admits(&connections->streams, &accepted->peer))
        return false;
    enum limits_result result = limits_take(connections->config.limits, &peer, now_ms(connections));
    if (result != LIMITS_ACCEPTED)
        measures_add(connections->config.measures, MEASURE_REJECTED + (size_t)result, 1);
    return result == LIMITS_ACCEPTED;
}

void connections_serve(struct connections *connections, const struct accepted_socket *accepted)
{
    const struct limits_peer peer = place_of(connections, accepted);
    const struct connections_config *config = &connections->config;

    counters_add(&config->counters->connections, 1);
    counters_add(&config->counters->open, 1); /* it may be over when it has begun */
    enum err_reason reason = begin(connections, accepted, false);
    if (reason == ERR_OK)
        return;
    ending_count_failed(reason, config->counters, config->measures);
    limits_release(config->limits, &peer);
}

void connections_drop(struct connections *connections, const struct accepted_socket *accepted)
{
    const struct limits_peer peer = place_of(connections, accepted);
    stream_tcp_close(accepted->fd);
    limits_release(connections->config.limits, &peer);
}

/* Under TLS even the message that there are too many would cost a handshake. */
void connections_reject(struct connections *connections, const struct accepted_socket *accepted)
{
    const struct connections_config *config = &connections->config;

    if (!acceptor_admits(&connections->streams, &accepted->peer)) {
        counters_add(&config->counters->proxy_header, 1);
        measures_add(config->measures, MEASURE_PROXY_FROM, 1);
        server_log_proxy_from(&accepted->peer);
        stream_tcp_close(accepted->fd);
        return;
    }
    counters_add(&config->counters->rejected, 1);
    if (acceptor_uses_tls(&connections->streams, accepted) || !limits_take_rejection(config->limits))
        acceptor_reject(&connections->streams, accepted, BYTES_LITERAL(GREETING_TOO_MANY));
    else if (begin(connections, accepted, true) != ERR_OK)
        limits_release_rejection(config->limits);
}

void connections_set_policy(struct connections *connections, const struct session_policy *policy)
{
    connections->config.policy = policy;
    for (struct connection *at = connections->first; at != NULL; at = at->next) {
        session_set_policy(&at->session, policy);
        limit_handshake(at);
        conn_resume(&at->conn); /* its deadline has changed */
    }
}

void connections_stop(struct connections *connections)
{
    for (struct connection *at = connections->first; at != NULL; at = at->next)
        conn_stop(&at->conn);
}

void connections_abort(struct connections *connections)
{
    struct err err = {0};
    err_set(&err, ERR_DIALOGUE_EARLY_END, 0, "%s", session_end_text(SESSION_END_STOPPED));
    for (struct connection *at = connections->first; at != NULL; at = at->next)
        conn_abort(&at->conn, &err);
}
