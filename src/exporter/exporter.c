#include "tcpgreet/exporter/exporter.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "confinement.h"
#include "metrics.h"
#include "page.h"
#include "query.h"
#include "recent.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/core/query.h"
#include "tcpgreet/http/access.h"
#include "tcpgreet/http/body.h"
#include "tcpgreet/http/http.h"
#include "tcpgreet/http/listeners.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/os/sandbox.h"
#include "tcpgreet/os/signals.h"
#include "tcpgreet/probe/engine.h"

enum {
    PROBES_MAX = 256,
    CONNECTIONS_BESIDE = 256,  /* those whose request has no probe */
    RESERVED_DESCRIPTORS = 64, /* standard streams, the loop, name lookups */
    PROBE_DESCRIPTORS = 8,     /* a few addresses, and a second connection to each for resumption */
    LOG_FLUSH_MS = 1000
};

struct exporter {
    const struct exporter_config *config;
    uv_loop_t loop;
    uv_signal_t end[SIGNALS_OF_END];
    uv_signal_t hangup;
    struct http_listeners listeners;
    size_t limit; /* of probes in flight */
    struct http *http;
    struct probe_engine *engine;
    struct metrics metrics;
    struct recent recent;
    struct probing *first;
    bool hangs_up;       /* with its terminal, unless it has files to reload */
    struct err *failure; /* the caller's: why accepting can never work again */
};

/* A request whose probe is in flight. */
struct probing {
    struct exporter *exporter;
    struct probing *next, *previous;
    struct http_request *request;
    struct exporter_query query;
};

/* The facts of a failure, for the log. */
#define FACTS_OF(err) log_text("reason", err_word((err)->reason)), log_text("error", (err)->text)

static void refuse(struct exporter *exporter, struct http_request *request, enum metrics_refusal cause,
                   const char *why)
{
    static const enum http_status statuses[METRICS_REFUSALS] = {[METRICS_BAD_REQUEST] = HTTP_BAD_REQUEST,
                                                                [METRICS_FORBIDDEN] = HTTP_FORBIDDEN,
                                                                [METRICS_BUSY] = HTTP_UNAVAILABLE};

    exporter->metrics.refusals[cause]++;
    log_event(&(struct log_event){LOG_DEBUG, "request-refused", LOG_FACTS(log_text("error", why))},
              "Request refused: %s", why);
    http_reply_text(request, statuses[cause], why);
}

static void begin_probing(struct probing *probing)
{
    struct exporter *exporter = probing->exporter;

    probing->next = exporter->first;
    if (probing->next != NULL)
        probing->next->previous = probing;
    exporter->first = probing;
}

static void free_probing(struct probing *probing)
{
    if (probing->next != NULL)
        probing->next->previous = probing->previous;
    *(probing->previous != NULL ? &probing->previous->next : &probing->exporter->first) = probing->next;
    free(probing);
}

static void log_probe(const struct probe_result *result, const struct probe_brief *brief)
{
    char line[PROBE_LINE_BYTES];
    if (log_enabled(LOG_DEBUG))
        log_event(
            &(struct log_event){
                LOG_DEBUG, "probe",
                LOG_FACTS(log_text("target", brief->target), log_text("reason", err_word(brief->reason)),
                          log_text("error", brief->sentence), log_text("verified", brief->verified),
                          log_number("duration_seconds", (double)brief->total_ns / 1e9))},
            "Probe of %s: %s", brief->target, probe_result_line(result, line));
}

static void on_probed(void *context, struct probe_result *result)
{
    struct probing *probing = context;
    struct exporter *exporter = probing->exporter;
    struct probe_brief brief = probe_result_brief(result);
    struct http_body body;

    metrics_count(&exporter->metrics, &brief);
    log_probe(result, &brief);
    if (http_body_open(&body, probing->request)) {
        metrics_put_probe(&brief, body.out);
        probe_report_prometheus(result, body.out);
        http_body_reply(probing->request, &body, HTTP_METRICS_TYPE, NULL);
    }
    recent_add(&exporter->recent, result);
    free_probing(probing);
}

static void start_probe(struct exporter *exporter, struct http_request *request, struct probing *probing)
{
    struct err err = {0};
    const char *seconds = http_request_header(request, "X-Prometheus-Scrape-Timeout-Seconds");

    probing->exporter = exporter;
    probing->request = request;
    begin_probing(probing);
    if (exporter_query_parse(&probing->query, exporter->config, query_begin(http_request_uri(request)),
                             &err) < 0 ||
        exporter_query_limit(&probing->query, seconds, &err) < 0)
        refuse(exporter, request, METRICS_BAD_REQUEST, err.text);
    else if (probe_engine_is_full(exporter->engine))
        refuse(exporter, request, METRICS_BUSY, "too many probes are in flight: try again");
    else if (probe_engine_submit(exporter->engine, &probing->query.probe, on_probed, probing, &err) == NULL)
        http_reply_text(request, HTTP_INTERNAL_ERROR, err.text);
    else
        return;
    free_probing(probing);
}

static void serve_probe(struct exporter *exporter, struct http_request *request)
{
    struct probing *probing = calloc(1, sizeof(*probing));

    if (probing == NULL)
        http_reply_text(request, HTTP_INTERNAL_ERROR, "not enough memory");
    else
        start_probe(exporter, request, probing);
}

static void serve_metrics(struct exporter *exporter, struct http_request *request)
{
    struct http_body body;

    if (!http_body_open(&body, request))
        return;
    metrics_put(&exporter->metrics, probe_engine_in_flight(exporter->engine), exporter->limit, body.out);
    http_body_reply(request, &body, HTTP_METRICS_TYPE, NULL);
}

static void serve_health(struct exporter *exporter, struct http_request *request)
{
    (void)exporter;
    http_reply_text(request, HTTP_OK, "OK");
}

static void serve_page(struct exporter *exporter, struct http_request *request)
{
    struct http_body body;

    if (!http_body_open(&body, request))
        return;
    page_put(&exporter->recent, probe_engine_in_flight(exporter->engine), (int64_t)time(NULL), body.out);
    http_body_reply(request, &body, "text/html; charset=utf-8", "'self'");
}

static void serve_style(struct exporter *exporter, struct http_request *request)
{
    struct http_body body;

    (void)exporter;
    if (!http_body_open(&body, request))
        return;
    page_put_style(body.out);
    http_body_reply(request, &body, "text/css; charset=utf-8", NULL);
}

static const struct route {
    const char *path;
    void (*serve)(struct exporter *exporter, struct http_request *request);
} routes[] = {
    {"/probe", serve_probe}, {"/metrics", serve_metrics}, {"/healthz", serve_health},
    {"/", serve_page},       {"/style.css", serve_style},
};

/* Returns: NULL where there is none. */
static const struct route *find_route(const char *uri)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
        if (query_has_path(uri, routes[i].path))
            return &routes[i];
    return NULL;
}

static void on_request(void *context, struct http_request *request)
{
    struct exporter *exporter = context;
    const struct route *route = find_route(http_request_uri(request));
    struct http_access access = {.host = http_request_header(request, "Host"),
                                 .origin = http_request_header(request, "Origin"),
                                 .site = http_request_header(request, "Sec-Fetch-Site"),
                                 .own = exporter->config->listen,
                                 .own_count = EXPORTER_LISTEN_MAX,
                                 .is_local = exporter->listeners.is_local,
                                 .acts = route != NULL && route->serve == serve_probe};
    const char *why = http_access_refusal(&access);

    if (why != NULL)
        refuse(exporter, request, METRICS_FORBIDDEN, why);
    else if (route == NULL)
        http_reply_text(request, HTTP_NOT_FOUND, "not found: there are /, /probe, /metrics and /healthz");
    else
        route->serve(exporter, request);
}

static void on_failed(void *context, const struct err *err, bool for_good)
{
    struct exporter *exporter = context;

    log_event(
        &(struct log_event){LOG_ERROR, for_good ? "shutdown" : "accept-paused", LOG_FACTS(FACTS_OF(err))},
        "%s", err->text);
    if (!for_good)
        return;
    *exporter->failure = *err;
    uv_stop(&exporter->loop);
}

static bool has_files(const struct probe_config *probe)
{
    return probe->tls.ca != NULL || probe->tls.identity.cert != NULL || probe->tls.policy.crl != NULL;
}

static void on_end(uv_signal_t *handle, int number)
{
    (void)number;
    struct exporter *exporter = handle->data;
    log_event(&(struct log_event){LOG_INFO, "shutdown", NULL}, "Shutting down");
    service_manager_stopping(exporter->config->manager);
    uv_stop(handle->loop);
}

/* A terminal that closes ends an exporter that was started on it, unless it has files to load again. */
static void on_hangup(uv_signal_t *handle, int number)
{
    struct exporter *exporter = handle->data;
    struct err err = {0};

    if (exporter->hangs_up && !has_files(&exporter->config->probe)) {
        on_end(handle, number);
        return;
    }
    service_manager_reloading(exporter->config->manager);
    if (probe_engine_reload(exporter->engine, &err) == 0)
        log_event(&(struct log_event){LOG_NOTICE, "reloaded", NULL},
                  "The files of the TLS options are loaded again");
    else
        log_event(&(struct log_event){LOG_ERROR, "reload-failed", LOG_FACTS(FACTS_OF(&err))},
                  "The files of the TLS options are not loaded again, the old ones stay in use: %s",
                  err.text);
    service_manager_ready(exporter->config->manager);
}

/* SIGHUP reloads also under nohup(1), which ignores it. */
static int watch_signals(struct exporter *exporter, struct err *err)
{
    if (signals_watch_end(&exporter->loop, exporter->end, on_end, exporter, err) < 0)
        return -1;
    exporter->hangup.data = exporter;
    int result = sandbox_watch(&exporter->loop);
    if (result == 0)
        result = uv_signal_init(&exporter->loop, &exporter->hangup);
    if (result == 0)
        result = uv_signal_start(&exporter->hangup, on_hangup, SIGHUP);
    return result == 0 ? 0 : loop_fail(err, result, "cannot watch signals");
}

/* Each address is announced on standard output: scripts wait for it. */
static int announce(const struct exporter *exporter, struct err *err)
{
    for (size_t i = 0; i < exporter->listeners.count; i++) {
        char at[ENDPOINT_TEXT_BYTES], line[ENDPOINT_TEXT_BYTES + 32];
        int length = snprintf(line, sizeof(line), "Waiting for connection on %s\n",
                              endpoint_format(&exporter->listeners.list[i].at, at));
        if (process_write(STDOUT_FILENO, (struct bytes){line, (size_t)length}, err) < 0)
            return err_context(err, "cannot announce the exporter");
    }
    if (!exporter->listeners.is_local)
        log_event(&(struct log_event){LOG_WARNING, "reachable", NULL},
                  "This exporter connects to any target for every client: restrict who can reach it "
                  "(see docs/exporter.md)");
    return 0;
}

/* What is wrong with the files of the TLS options is reported at the beginning, not by each probe. */
static int check_tls(const struct probe_config *probe, struct err *err)
{
    if (!probe->use_tls && !has_files(probe))
        return 0;
    struct tls_client *client = tls_client_new(&probe->tls, err);
    tls_client_free(client);
    return client != NULL ? 0 : -1;
}

static size_t choose_limit(size_t descriptors)
{
    size_t beside = RESERVED_DESCRIPTORS + CONNECTIONS_BESIDE + LISTENER_MAX;
    size_t probes = descriptors > beside ? (descriptors - beside) / (PROBE_DESCRIPTORS + 1) : 0;

    return probes > PROBES_MAX ? PROBES_MAX : probes > 0 ? probes : 1;
}

static int open_services(struct exporter *exporter, struct err *err)
{
    struct http_config http = {.listeners = exporter->listeners.list,
                               .listener_count = exporter->listeners.count,
                               .wait_ms = HTTP_WAIT_MS,
                               .handle = on_request,
                               .failed = on_failed,
                               .context = exporter};

    exporter->limit = choose_limit(process_raise_descriptors());
    http.max_connections = exporter->limit + CONNECTIONS_BESIDE;
    exporter->engine =
        probe_engine_open(&exporter->loop, &(struct probe_engine_config){.limit = exporter->limit}, err);
    if (exporter->engine == NULL)
        return -1;
    exporter->http = http_open(&exporter->loop, &http, err);
    if (exporter->http == NULL)
        exporter->listeners.count = 0; /* they are closed */
    return exporter->http != NULL ? 0 : -1;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Requests without an answer are answered that this ends. From here on signals have no effect: without a
 * handler, one more would kill a process that is about to exit with 0. */
static void close_all(struct exporter *exporter)
{
    sigset_t handled;

    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &handled, NULL);
    http_close(exporter->http);
    if (exporter->http == NULL)
        http_listeners_close(&exporter->listeners);
    probe_engine_close(exporter->engine);
    for (struct probing *at = exporter->first, *next; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
    recent_fini(&exporter->recent);
    process_meter_close(&exporter->metrics.meter);
    uv_run(&exporter->loop, UV_RUN_NOWAIT); /* what closes by itself does so */
    uv_walk(&exporter->loop, close_handle, NULL);
    uv_run(&exporter->loop, UV_RUN_DEFAULT);
    uv_loop_close(&exporter->loop);
}

static int open_listeners(struct exporter *exporter, struct err *err)
{
    struct service_manager *manager = exporter->config->manager;
    if (manager != NULL && manager->socket_count > 0)
        return http_listeners_adopt(&exporter->listeners, manager, err);
    return http_listeners_open(&exporter->listeners, exporter->config->listen, EXPORTER_LISTEN_MAX, err);
}

/* A loop that runs is enough: probes have limits of their own. */
static bool is_working(void *context)
{
    (void)context;
    return true;
}

static void put_status(void *context, char status[SERVICE_MANAGER_STATUS_BYTES])
{
    const struct exporter *exporter = context;
    (void)snprintf(status, SERVICE_MANAGER_STATUS_BYTES, "%zu probes in flight of at most %zu",
                   probe_engine_in_flight(exporter->engine), exporter->limit);
}

static int start_supervision(struct exporter *exporter, struct err *err)
{
    struct service_manager *manager = exporter->config->manager;
    const struct service_manager_watch watch = {is_working, put_status, exporter};

    if (manager != NULL && manager->failure.reason != ERR_OK)
        log_event(&(struct log_event){LOG_WARNING, "unsupervised", LOG_FACTS(FACTS_OF(&manager->failure))},
                  "%s", manager->failure.text);
    return service_manager_start(manager, &exporter->loop, &watch, err);
}

static int run(struct exporter *exporter, struct err *err)
{
    exporter->failure = err;
    process_meter_open(&exporter->metrics.meter); /* before the sandbox */
    int result = -1;
    if (check_tls(&exporter->config->probe, err) == 0 && watch_signals(exporter, err) == 0 &&
        open_listeners(exporter, err) == 0 && open_services(exporter, err) == 0 &&
        exporter_confinement_enter(err) == 0 && announce(exporter, err) == 0 &&
        start_supervision(exporter, err) == 0) {
        uv_run(&exporter->loop, UV_RUN_DEFAULT);
        result = err->reason == ERR_OK ? 0 : -1;
    }
    close_all(exporter);
    return result;
}

static int open_log(const struct exporter_config *config, struct err *err)
{
    struct log_config log = log_config_of_service(config->log_format, config->verbose, config->quiet);

    log.is_held = true;
    if (log_open(&log) < 0)
        return err_set(err, ERR_INTERNAL, errno, "cannot start the log: %s", strerror(errno));
    return 0;
}

int exporter(const struct exporter_config *config, struct err *err)
{
    struct exporter *exporter = calloc(1, sizeof(*exporter));
    int result = -1;

    if (exporter == NULL)
        return err_set(err, ERR_INTERNAL, 0, "not enough memory for the exporter");
    exporter->config = config;
    exporter->hangs_up = process_hangs_up();
    if (http_available("--exporter", err) == 0 && exporter_confinement_prepare(config, err) == 0 &&
        open_log(config, err) == 0) {
        int started = loop_init(&exporter->loop);
        result = started == 0 ? run(exporter, err) : loop_fail(err, started, "cannot start the exporter");
        log_close(LOG_FLUSH_MS);
    }
    free(exporter);
    return result;
}
