#include "tcpgreet/server/serve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "capacity.h"
#include "certificate_watch.h"
#include "certificates.h"
#include "confinement.h"
#include "connection.h"
#include "log.h"
#include "log_limit.h"
#include "metrics.h"
#include "reload.h"
#include "sockets.h"
#include "supervision.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/explain/explain.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/os/sandbox.h"
#include "tcpgreet/os/signals.h"
#include "worker.h"

enum {
    LOG_FLUSH_MS = 500,
    SETTLE_MS = 1000, /* of --watch */
    TRIM_MS = 2000    /* after a peak of connections: those that end with it are freed */
};

static const int handled_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
enum { SIGNALS = sizeof handled_signals / sizeof handled_signals[0] };

struct server {
    const struct server_config *config;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_async_t stopped;
    uv_async_t failed;
    uv_async_t ebbed;
    uv_timer_t trim;
    struct sockets sockets;
    struct session_policy policy;
    struct tls_server *tls[SERVER_WORKERS_MAX]; /* until the workers have them; NULL: plain */
    struct worker *workers[SERVER_WORKERS_MAX];
    size_t worker_count; /* to be started */
    size_t workers_made; /* in workers */
    atomic_size_t workers_running;
    struct limits *limits;
    struct accept_log accept_log;
    struct supervision supervision;
    struct certificate_watch *watch; /* NULL: none */
    struct metrics metrics;
    struct metrics_source metrics_source;
    struct expiry expiry;
    struct reload reload;
    atomic_bool is_failing; /* a worker is about to write failure */
    atomic_bool has_failed; /* failure is written */
    struct err failure;     /* why accepting can never work again */
    bool hangs_up;          /* with its terminal, unless it has files to reload */
    bool stopping;
};

/* From a worker's thread. */
static void on_ebb(void *context)
{
    struct server *server = context;
    uv_async_send(&server->ebbed);
}

static void log_counters(struct server *server)
{
    struct counters_sum sum = {0};
    for (size_t i = 0; i < server->workers_made; i++)
        worker_count(server->workers[i], &sum);
    server_log_counters(&sum);
}

static void stop_workers(struct server *server, bool at_once)
{
    for (size_t i = 0; i < server->workers_made; i++)
        worker_stop(server->workers[i], at_once);
}

/* err NULL: a signal asks for it. */
static void shut_down(struct server *server, const struct err *err)
{
    server_log_shutdown(err, server->config->drain_timeout_ms);
    supervision_stopping(&server->supervision);
    stop_workers(server, false);
    server->stopping = true;
}

/* Returns: NULL for a plain server. */
static const struct tls_server_config *tls_config(const struct server *server)
{
    return server->config->use_tls ? &server->config->tls : NULL;
}

/* libuv reads its queue of signals to the end before it does anything else, and signals that come without a
 * pause would fill it for ever: a server that is to stop at once ignores them. */
static void stop_at_once(struct server *server)
{
    for (size_t i = 0; i < SIGNALS; i++)
        (void)signal(handled_signals[i], SIG_IGN);
    stop_workers(server, true);
}

/* From a worker's thread. */
static void on_worker_replaced(void *context)
{
    struct server *server = context;
    reload_worker_replaced(&server->reload);
}

static void on_files_changed(void *context)
{
    struct server *server = context;
    if (!server->stopping)
        reload_start(&server->reload);
}

/* The first one begins the shutdown, the second one ends it. */
static void end_by_signal(struct server *server)
{
    if (server->stopping)
        stop_at_once(server);
    else
        shut_down(server, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;

    switch (number) {
    case SIGUSR1:
        log_counters(server);
        break;
    case SIGHUP:
        if (server->hangs_up && !certificates_have_files(tls_config(server)))
            end_by_signal(server);
        else
            reload_start(&server->reload);
        break;
    default:
        end_by_signal(server);
    }
}

/* From a worker's thread. The first failure counts. */
static void on_listener_failed(void *context, const struct err *err)
{
    struct server *server = context;
    if (atomic_exchange(&server->is_failing, true))
        return;
    server->failure = *err;
    atomic_store(&server->has_failed, true);
    uv_async_send(&server->failed);
}

/* A server that accepts on some of its addresses only would look healthy: it shuts down as after a signal. */
static void on_failed(uv_async_t *async)
{
    struct server *server = async->data;
    if (!server->stopping && atomic_load(&server->has_failed))
        shut_down(server, &server->failure);
}

static void on_trim(uv_timer_t *timer)
{
    struct server *server = timer->data;
    process_trim_memory();
    limits_await_ebb(server->limits);
}

/* A flood of connections is over: its memory is of no use to this server any more. */
static void on_ebbed(uv_async_t *async)
{
    struct server *server = async->data;
    uv_timer_start(&server->trim, on_trim, TRIM_MS, 0);
}

static void on_worker_stopped(void *context)
{
    struct server *server = context;
    if (atomic_fetch_sub(&server->workers_running, 1) == 1)
        uv_async_send(&server->stopped);
}

static void on_stopped(uv_async_t *async)
{
    uv_stop(async->loop);
}

/* SIGHUP reloads also under nohup(1), which ignores it. */
static int watch_signal(struct server *server, uv_signal_t *handle, int number)
{
    handle->data = server;
    if (number == SIGINT || number == SIGTERM)
        return signals_watch(&server->loop, handle, on_signal, number);
    int result = uv_signal_init(&server->loop, handle);
    return result == 0 ? uv_signal_start(handle, on_signal, number) : result;
}

/* SIGHUP would end a process that does not watch it yet: until then it waits. */
static void set_hangup(int how)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(how, &hangup, NULL);
}

static int watch_signals(struct server *server, struct err *err)
{
    int result = uv_async_init(&server->loop, &server->stopped, on_stopped);
    if (result == 0)
        result = uv_async_init(&server->loop, &server->failed, on_failed);
    if (result == 0)
        result = uv_async_init(&server->loop, &server->ebbed, on_ebbed);
    if (result == 0)
        result = reload_init(&server->reload, &server->loop,
                             &(struct reload_use){tls_config(server), server->workers, &server->workers_made,
                                                  &server->expiry, &server->supervision});
    if (result == 0)
        result = uv_timer_init(&server->loop, &server->trim);
    if (result == 0)
        result = sandbox_watch(&server->loop);
    server->failed.data = server->ebbed.data = server->trim.data = server;
    for (size_t i = 0; result == 0 && i < SIGNALS; i++)
        result = watch_signal(server, &server->signals[i], handled_signals[i]);
    if (result == 0)
        set_hangup(SIG_UNBLOCK);
    return result == 0 ? 0 : loop_fail(err, result, "cannot watch signals");
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* From here on signals have no effect: without a handler, one more would kill a process that is about to exit
 * with 0. */
static void close_loop(struct server *server)
{
    sigset_t handled;
    sigemptyset(&handled);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaddset(&handled, handled_signals[i]);
    pthread_sigmask(SIG_BLOCK, &handled, NULL);
    if (!certificate_watch_close(server->watch) || reload_is_reading(&server->reload)) {
        loop_leave();
        return;
    }
    uv_walk(&server->loop, close_handle, NULL);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    uv_loop_close(&server->loop);
}

static int make_worker(struct server *server, struct worker_config *config, struct err *err)
{
    size_t i = server->workers_made;
    config->streams.tls = server->tls[i];
    server->tls[i] = NULL;
    server->workers[i] = worker_new(config, err);
    if (server->workers[i] == NULL)
        return -1;
    server->workers_made++;
    return 0;
}

/* Returns: 0; -1 with err. */
static int init_worker_config(struct server *server, struct worker_config *config, struct err *err)
{
    *config = (struct worker_config){
        .peers = server->workers,
        .policy = &server->policy,
        .streams = {.proxy_header = server->config->proxy_protocol,
                    .proxy_from = &server->config->proxy_from,
                    .misbehaviour = server->config->misbehaviour},
        .accept_log = &server->accept_log,
        .handshake_ms = server->config->handshake_timeout_ms,
        .drain_ms = server->config->drain_timeout_ms,
        .failed = on_listener_failed,
        .replaced = on_worker_replaced,
        .stopped = on_worker_stopped,
        .context = server,
    };
    const struct capacity capacity = {.workers = server->worker_count,
                                      .listeners = server->sockets.count,
                                      .reserved = server->metrics.http != NULL ? METRICS_DESCRIPTORS : 0,
                                      .descriptors = acceptor_descriptors(&config->streams)};
    struct limits_config limits = capacity_limits(server->config, &capacity);
    limits.is_proxied = server->config->proxy_protocol;
    limits.ebbed = on_ebb;
    limits.context = server;
    config->limits = server->limits = limits_new(&limits, err);
    return server->limits != NULL ? 0 : -1;
}

/* Where the kernel distributes connections, every worker listens. Elsewhere the last one listens for all: the
 * workers that it hands connections off to are running then. */
static int make_workers(struct server *server, struct err *err)
{
    struct listener listeners[LISTENER_MAX];
    struct worker_config config;

    if (init_worker_config(server, &config, err) < 0)
        return -1;
    config.listeners = listeners;
    for (size_t i = 0; i < server->worker_count; i++) {
        bool listens = listener_balances() || i + 1 == server->worker_count;
        if (listens && sockets_take(&server->sockets, server->config, listeners, err) < 0)
            return -1;
        config.listener_count = listens ? server->sockets.count : 0;
        config.peer_count = listener_balances() ? 0 : i;
        if (make_worker(server, &config, err) < 0)
            return -1;
    }
    return 0;
}

/* On failure those that were started go on. */
static int start_workers(struct server *server, struct err *err)
{
    for (size_t i = 0; i < server->workers_made; i++) {
        atomic_fetch_add(&server->workers_running, 1);
        if (worker_start(server->workers[i], err) == 0)
            continue;
        atomic_fetch_sub(&server->workers_running, 1);
        return -1;
    }
    return 0;
}

/* The log's thread is the first: what is done to this process before is done to all its threads. */
static int start_threads(struct server *server, struct err *err)
{
    if (server_confinement_enter(err) < 0)
        return -1;
    if (log_release() < 0) {
        err_set_no_thread(err, errno);
        return err_context(err, "cannot start the log");
    }
    return start_workers(server, err);
}

static int start_supervision(struct server *server, struct err *err)
{
    server->supervision = (struct supervision){
        .manager = server->config->manager, .workers = server->workers, .worker_count = server->workers_made};
    return supervision_start(&server->supervision, &server->loop, err);
}

/* Serves from open listeners until the shutdown is complete. */
static int run_workers(struct server *server, struct err *err)
{
    const struct listener *with_tls = sockets_find_tls(&server->sockets, server->config);

    if (with_tls != NULL)
        certificates_log_pin(&server->config->tls, server->tls[0], &with_tls->at);
    server_log_misbehaviour(&server->config->misbehaviour);
    if (server->config->proxy_protocol && server->config->proxy_from.count == 0)
        server_log_proxy_from_any(server->sockets.list, server->sockets.count);
    int result = make_workers(server, err);
    if (result == 0 && server->watch != NULL)
        certificate_watch_start(server->watch, &server->loop,
                                &(struct certificate_watch_use){SETTLE_MS, on_files_changed, server});
    if (result == 0)
        result = start_threads(server, err);
    if (result == 0)
        result = sockets_announce(&server->sockets, server->config, err);
    if (result == 0)
        result = metrics_announce(&server->metrics, err);
    if (result == 0)
        result = start_supervision(server, err);
    if (result < 0)
        stop_workers(server, true);
    if (atomic_load(&server->workers_running) > 0)
        uv_run(&server->loop, UV_RUN_DEFAULT);
    if (log_limit_suppressed() > 0)
        log_counters(server);
    while (server->workers_made > 0) /* last to first: none is freed before the one that knows it */
        worker_free(server->workers[--server->workers_made]);
    limits_free(server->limits);
    if (result == 0 && atomic_load(&server->has_failed))
        result = err_set_from(err, &server->failure, "%s", server->failure.text);
    return result;
}

/* Returns: the number of processors that this process may run on. */
static size_t count_workers(const struct server_config *config)
{
    size_t processors = uv_available_parallelism();
    size_t workers = config->workers > 0 ? (size_t)config->workers : processors;
    return workers < SERVER_WORKERS_MAX ? workers : SERVER_WORKERS_MAX;
}

/* Before the files are read, so that no change is missed. */
static int start_watch(struct server *server, struct err *err)
{
    if (!server->config->watch)
        return 0;
    server->watch = certificate_watch_new(&server->config->tls, err);
    return server->watch != NULL ? 0 : -1;
}

static int open_metrics(struct server *server, struct err *err)
{
    expiry_read(&server->expiry, server->tls[0]);
    server->metrics_source = (struct metrics_source){.workers = server->workers,
                                                     .worker_count = &server->workers_made,
                                                     .is_stopping = &server->stopping,
                                                     .expiry = &server->expiry};
    return metrics_open(&server->metrics, &server->config->metrics, &server->loop, &server->metrics_source,
                        &server->sockets, err);
}

/* Runs the loop until the server has shut down. */
static int run_server(struct server *server, struct err *err)
{
    const struct server_config *config = server->config;
    int result = -1;

    if (start_watch(server, err) == 0 &&
        (!config->use_tls || certificates_open(&config->tls, server->tls, server->worker_count, err) == 0) &&
        watch_signals(server, err) == 0 &&
        sockets_open(&server->sockets, config, server->worker_count > 1, err) == 0 &&
        open_metrics(server, err) == 0)
        result = run_workers(server, err);
    metrics_close(&server->metrics);
    sockets_close(&server->sockets);
    for (size_t i = 0; i < server->worker_count; i++)
        tls_server_free(server->tls[i]);
    close_loop(server);
    return result;
}

static int open_log(const struct server_config *config, struct err *err)
{
    struct log_config log = log_config_of_service(config->log_format, config->verbose, config->quiet);
    log.is_held = true;
    if (log_open(&log) < 0)
        return err_set(err, ERR_INTERNAL, errno, "cannot start the log: %s", strerror(errno));
    if (config->explain)
        explain_start(config->log_format, server_log_step, NULL);
    return 0;
}

int serve(const struct server_config *config, struct err *err)
{
    static struct server server; /* its loop may be needed until the process ends */

    server.config = config;
    server.worker_count = count_workers(config);
    server.hangs_up = process_hangs_up();
    server.accept_log = (struct accept_log)ACCEPT_LOG_INIT;
    server.policy = (struct session_policy){.idle_ms = config->idle_timeout_ms,
                                            .name_ms = config->name_timeout_ms,
                                            .pause_ms = config->pause_ms,
                                            .whoami = config->whoami ? connection_whoami : NULL};
    set_hangup(SIG_BLOCK);
    if (server_confinement_prepare(config, err) < 0 || open_log(config, err) < 0)
        return -1;
    int result = loop_init(&server.loop);
    if (result == 0)
        result = run_server(&server, err);
    else
        result = loop_fail(err, result, "cannot start the server");
    trace_to(NULL, NULL);
    log_close(LOG_FLUSH_MS);
    return result;
}
