#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/core/query.h"
#include "tcpgreet/format/exposition.h"
#include "tcpgreet/format/serialize.h"
#include "tcpgreet/http/access.h"
#include "tcpgreet/http/body.h"
#include "tcpgreet/http/http.h"
#include "tcpgreet/os/process.h"

#define NAME "tcpgreet_server_"

/* Of all workers together. */
struct totals {
    struct counters_sum counters;
    struct measures_sum measures;
};

static void put_one(FILE *out, const char *name, const char *help, uint64_t count)
{
    exposition_one(out, name, "counter", help, (double)count);
}

static void put_reason(FILE *out, const char *name, const char *reason, uint64_t count)
{
    exposition_put(out, &(struct exposition_sample){name, "reason", reason, count});
}

static void put_traffic(const struct totals *totals, FILE *out)
{
    const uint64_t *counts = totals->measures.counts;

    put_one(out, NAME "connections_total", "Connections that were accepted and had a place.",
            totals->counters.connections);
    exposition_one(out, NAME "connections_open", "gauge", "Connections that are open.",
                   (double)totals->counters.open);
    put_one(out, NAME "names_total", "Names that were greeted.", totals->counters.names);
    put_one(out, NAME "received_bytes_total", "Bytes received in dialogues, TLS records not counted.",
            counts[MEASURE_BYTES_IN]);
    put_one(out, NAME "sent_bytes_total", "Bytes sent in dialogues, TLS records not counted.",
            counts[MEASURE_BYTES_OUT]);
    put_one(out, NAME "accept_pauses_total", "How often accepting failed and was paused.",
            totals->counters.pauses);
    put_one(out, NAME "log_lines_dropped_total", "Log lines that were dropped because no process read them.",
            log_dropped());
}

static void put_handshakes(const uint64_t *counts, FILE *out)
{
    static const char *const versions[] = {"TLSv1.2", "TLSv1.3"};
    static const char *const words[] = {"false", "true"};
    const char *name = NAME "handshakes_total";

    exposition_head(out, name, "counter", "TLS handshakes that were completed.");
    for (size_t version = 0; version < 2; version++)
        for (size_t resumed = 0; resumed < 2; resumed++)
            (void)fprintf(out, "%s{version=\"%s\",resumed=\"%s\"} %" PRIu64 "\n", name, versions[version],
                          words[resumed], counts[MEASURE_HANDSHAKES + 2 * version + resumed]);
}

static void put_rejected(const uint64_t *counts, FILE *out)
{
    const char *name = NAME "rejected_total";

    exposition_head(out, name, "counter", "Connections that were rejected, by the option that does so.");
    for (size_t i = LIMITS_ACCEPTED + 1; i < LIMITS_RESULTS; i++)
        exposition_put(out, &(struct exposition_sample){name, "limit",
                                                        server_log_limit_word((enum limits_result)i),
                                                        counts[MEASURE_REJECTED + i]});
    exposition_put(out, &(struct exposition_sample){name, "limit", "proxy-from", counts[MEASURE_PROXY_FROM]});
}

/* The ends that are no failures. Returns: NULL: it is one, or none of a server. */
static const char *word_of_orderly(enum session_end end)
{
    return end == SESSION_END_EXIT || end == SESSION_END_PEER || end == SESSION_END_STOPPED
               ? server_log_end_word(end)
               : NULL;
}

static bool is_failed_end(enum session_end end)
{
    return end == SESSION_END_IDLE || end == SESSION_END_NAME_TIMEOUT || end == SESSION_END_TLS_CLIENT ||
           end == SESSION_END_HTTP_CLIENT;
}

static void put_closed(const uint64_t *counts, FILE *out)
{
    const char *name = NAME "closed_total";

    exposition_head(
        out, name, "counter",
        "Connections that were closed without a failure; silent: the peer sent nothing; rejected: after "
        "they had a place.");
    for (unsigned end = 0; end < SESSION_ENDS; end++)
        if (word_of_orderly((enum session_end)end) != NULL)
            put_reason(out, name, word_of_orderly((enum session_end)end), counts[MEASURE_ENDS + end]);
    put_reason(out, name, "silent", counts[MEASURE_SILENT]);
    put_reason(out, name, "rejected", counts[MEASURE_LATE_REJECTED]);
}

/* Reasons that have not occurred are left out, but those of every service. */
static void put_failures(const uint64_t *counts, FILE *out)
{
    const char *name = NAME "failures_total";

    exposition_head(out, name, "counter", "Connections that failed, by reason (docs/exit-codes.md).");
    for (unsigned end = 0; end < SESSION_ENDS; end++)
        if (is_failed_end((enum session_end)end))
            put_reason(out, name, server_log_end_word((enum session_end)end), counts[MEASURE_ENDS + end]);
    for (unsigned reason = 0; reason < ERR_REASON_COUNT; reason++)
        if (counts[MEASURE_FAILURES + reason] > 0 || reason == ERR_DIALOGUE_RESET)
            put_reason(out, name, err_word((enum err_reason)reason), counts[MEASURE_FAILURES + reason]);
}

static void put_times(const uint64_t *counts, enum measure at, const char *name, const char *help, FILE *out)
{
    struct exposition_histogram histogram = {.name = name, .help = help};

    for (size_t i = 0; i < EXPOSITION_BUCKETS; i++)
        histogram.buckets[i] = counts[at + i];
    histogram.sum_s = (double)counts[(size_t)at + EXPOSITION_BUCKETS] / 1e9;
    exposition_put_histogram(out, &histogram);
}

static void put_expiry(const struct expiry *expiry, FILE *out)
{
    const char *name = NAME "certificate_not_after_seconds";

    if (expiry->count == 0)
        return;
    exposition_head(
        out, name, "gauge",
        "When a certificate that is sent expires, in seconds since 1970; depth 0 is the server's own.");
    for (size_t i = 0; i < expiry->count; i++) {
        const struct expiry_certificate *at = &expiry->list[i];
        (void)fprintf(out, "%s{identity=\"%zu\",depth=\"%zu\",subject=", name, at->identity, at->depth);
        serialize_quoted(out, at->facts.subject);
        (void)fprintf(out, "} %" PRId64 "\n", at->facts.not_after);
    }
}

static void put_all(const struct metrics *metrics, FILE *out)
{
    const struct metrics_source *source = metrics->source;
    const struct process_usage usage = process_meter_read(&metrics->meter);
    struct totals totals = {0};
    const uint64_t *counts = totals.measures.counts;

    for (size_t i = 0; i < *source->worker_count; i++) {
        worker_count(source->workers[i], &totals.counters);
        worker_measure(source->workers[i], &totals.measures);
    }
    exposition_build_info(out, uv_version_string());
    put_traffic(&totals, out);
    put_handshakes(counts, out);
    put_rejected(counts, out);
    put_closed(counts, out);
    put_failures(counts, out);
    put_times(counts, MEASURE_HANDSHAKE, NAME "handshake_duration_seconds",
              "From accept to the end of the TLS handshake.", out);
    put_times(counts, MEASURE_DIALOGUE, NAME "dialogue_duration_seconds",
              "From the welcome to the end of the connection.", out);
    put_expiry(source->expiry, out);
    exposition_process(out, &usage);
}

static void serve_metrics(const struct metrics *metrics, struct http_request *request)
{
    struct http_body body;

    if (!http_body_open(&body, request))
        return;
    put_all(metrics, body.out);
    http_body_reply(request, &body, HTTP_METRICS_TYPE, NULL);
}

static void serve_health(const struct metrics *metrics, struct http_request *request)
{
    (void)metrics;
    http_reply_text(request, HTTP_OK, "OK");
}

static void serve_readiness(const struct metrics *metrics, struct http_request *request)
{
    if (*metrics->source->is_stopping)
        http_reply_text(request, HTTP_UNAVAILABLE, "draining");
    else
        http_reply_text(request, HTTP_OK, "OK");
}

static void on_request(void *context, struct http_request *request)
{
    static const struct {
        const char *path;
        void (*serve)(const struct metrics *metrics, struct http_request *request);
    } routes[] = {{"/metrics", serve_metrics}, {"/healthz", serve_health}, {"/readyz", serve_readiness}};
    const struct metrics *metrics = context;
    const struct http_access access = {.host = http_request_header(request, "Host"),
                                       .own = metrics->at,
                                       .own_count = 1,
                                       .is_local = metrics->listeners.is_local};
    const char *why = http_access_refusal(&access);

    if (why != NULL) {
        http_reply_text(request, HTTP_FORBIDDEN, why);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (query_has_path(http_request_uri(request), routes[i].path)) {
            routes[i].serve(metrics, request);
            return;
        }
    }
    http_reply_text(request, HTTP_NOT_FOUND, "not found: there are /metrics, /healthz and /readyz");
}

/* The server goes on without metrics. */
static void on_failed(void *context, const struct err *err, bool for_good)
{
    (void)context;
    server_log_metrics_failed(err, for_good);
}

int metrics_open(struct metrics *metrics, const struct target *at, uv_loop_t *loop,
                 const struct metrics_source *source, const struct sockets *sockets, struct err *err)
{
    metrics->at = at;
    metrics->source = source;
    metrics->meter = (struct process_meter){.memory = -1};
    if (at->service[0] == '\0')
        return 0;
    process_meter_open(&metrics->meter);
    metrics->listeners.others = sockets->list;
    metrics->listeners.other_count = sockets->count;
    if (http_listeners_open(&metrics->listeners, at, 1, err) < 0)
        return err_context(err, "--metrics");
    const struct http_config config = {.listeners = metrics->listeners.list,
                                       .listener_count = metrics->listeners.count,
                                       .max_connections = METRICS_CONNECTIONS,
                                       .wait_ms = HTTP_WAIT_MS,
                                       .handle = on_request,
                                       .failed = on_failed,
                                       .context = metrics};
    metrics->http = http_open(loop, &config, err);
    if (metrics->http == NULL)
        metrics->listeners.count = 0; /* they are closed */
    return metrics->http != NULL ? 0 : -1;
}

int metrics_announce(const struct metrics *metrics, struct err *err)
{
    for (size_t i = 0; metrics->http != NULL && i < metrics->listeners.count; i++) {
        char at[ENDPOINT_TEXT_BYTES], line[ENDPOINT_TEXT_BYTES + 32];
        int length = snprintf(line, sizeof line, "Metrics on http://%s/metrics\n",
                              endpoint_format(&metrics->listeners.list[i].at, at));
        if (process_write(STDOUT_FILENO, (struct bytes){line, (size_t)length}, err) < 0)
            return err_context(err, "cannot announce the metrics");
    }
    return 0;
}

void metrics_close(struct metrics *metrics)
{
    if (metrics->at == NULL)
        return; /* it was never opened */
    process_meter_close(&metrics->meter);
    http_close(metrics->http);
    if (metrics->http == NULL)
        http_listeners_close(&metrics->listeners);
}
