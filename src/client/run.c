#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "report.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/explain/explain.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/link/stream_preamble.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/tls/stream_tls.h"

/* Ends the run, once nothing is under way and all output is written. */
void run_stop_if_done(struct run *run)
{
    if (run->in_dialogue || run->is_busy)
        return;
    if (run->is_cut || !output_is_pending(run->output))
        uv_stop(&run->loop);
}

/* Ends the run with what err holds, once whatever is under way is closed. */
static void end_run(struct run *run)
{
    if (run->use->cancel != NULL)
        run->use->cancel(run);
    dialer_cancel(run->dialer);
    run->dialer = NULL;
    if (run->in_dialogue)
        conn_abort(&run->conn, run->err);
    else
        run_stop_if_done(run);
}

static void on_received(void *context, struct bytes bytes)
{
    struct run *run = context;
    struct err why = {0};

    if (run->use->received != NULL)
        run->use->received(run, bytes);
    if (display_put(&run->display, bytes, &why) < 0) {
        conn_abort(&run->conn, &why);
    } else if (output_is_full(run->output)) {
        run->is_paused = true;
        conn_pause(&run->conn, true);
    }
}

static void on_output_changed(void *context)
{
    struct run *run = context;

    if (output_failed(run->output, run->err) < 0) {
        end_run(run);
    } else if (run->is_paused && !output_is_full(run->output)) {
        run->is_paused = false;
        conn_pause(&run->conn, false);
    }
    if (run->dialer == NULL)
        run_stop_if_done(run);
}

static void on_dialed(void *context, struct stream *stream, const struct dialer_facts *facts,
                      const struct err *err);

const struct proxy_route *run_proxy(const struct run *run)
{
    return run->config->proxy.kind != PROXY_NONE ? &run->route : NULL;
}

static int dial(struct run *run, struct err *err)
{
    const struct client_config *config = run->config;
    struct dialer_config dial = {.target = &config->target,
                                 .want_v6 = !config->ipv4_only,
                                 .want_v4 = !config->ipv6_only,
                                 .source = config->source,
                                 .skip = run->next.failed,
                                 .skip_count = run->next.failed_count,
                                 .attempt_delay_ms = config->attempt_delay_ms,
                                 .timeout_ms = next_address_left_ms(&run->next),
                                 .policy = {.proxy = run_proxy(run),
                                            .send_proxy = config->send_proxy,
                                            .starttls = &run->starttls,
                                            .tls = run->tls,
                                            .host = config->target.host}};

    run->dialer = dialer_start(&run->loop, &dial, on_dialed, run, err);
    return run->dialer != NULL ? 0 : -1;
}

/* A handshake that failed. Returns: whether another address is tried. */
static bool try_next(struct run *run, const struct err *why)
{
    struct err reported = {0};

    if (next_address_is_due(&run->next, why)) {
        if (run->config->verbose)
            message_event(
                &(struct log_event){LOG_NOTICE, "next-address",
                                    LOG_FACTS(log_text("reason", err_word(run->next.failure.reason)),
                                              log_text("error", run->next.failure.text))},
                "Trying the next address: %s", run->next.failure.text);
        return dial(run, run->err) == 0;
    }
    next_address_fail(&run->next, false, why, &reported);
    run->use->done(run, &reported);
    return false;
}

static void on_done(void *context, const struct conn_result *result)
{
    struct run *run = context;

    run->in_dialogue = false;
    run->waited_ns = (int64_t)(uv_hrtime() - run->begin_ns);
    bool has_layers = run->tls != NULL || run_proxy(run) != NULL;
    if (result->err != NULL && has_layers && !run->is_up && !run->is_cut) {
        if (try_next(run, result->err))
            return;
    } else {
        run->use->done(run, result->err);
    }
    run_stop_if_done(run);
}

static void on_up(void *context)
{
    struct run *run = context;
    struct stream_tls_facts facts;

    run->is_up = true;
    if (run->config->verbose && run_proxy(run) != NULL)
        client_report_tunnel(&run->route, run->conn.stream);
    if (run->config->verbose && stream_tls_facts(run->conn.stream, &facts))
        client_report_tls(&facts);
}

static void on_ready(void *context)
{
    struct run *run = context;
    run->use->ready(run);
}

/* Takes: stream. Returns: 0, or -1 with the run's err. */
static int start_dialogue(struct run *run, struct stream *stream, int64_t handshake_ms)
{
    static const struct conn_events events = {
        .up = on_up, .received = on_received, .ready = on_ready, .done = on_done};
    struct conn_config config = {.shared = run->shared,
                                 .dialogue = run->use->begin(run),
                                 .events = &events,
                                 .context = run,
                                 .handshake_ms = handshake_ms};

    run->in_dialogue = true;
    run->begin_ns = uv_hrtime();
    if (conn_start(&run->conn, &config, stream, run->err) == 0)
        return 0;
    run->in_dialogue = false;
    return -1;
}

static void on_dialed(void *context, struct stream *stream, const struct dialer_facts *facts,
                      const struct err *err)
{
    struct run *run = context;

    run->dialer = NULL;
    if (stream == NULL) {
        next_address_fail(&run->next, true, err, run->err);
        run_stop_if_done(run);
        return;
    }
    if (run->config->verbose)
        client_report_connected(facts, run_proxy(run) != NULL);
    next_address_connected(&run->next, facts);
    if (start_dialogue(run, stream, next_address_handshake_ms(&run->next)) < 0)
        run_stop_if_done(run);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct run *run = signal->data;
    run->is_cut = true;
    signals_set_end(number, run->err); /* instead of a failure whose output is still to be written */
    end_run(run);
}

int run_set_expired(struct run *run, enum err_reason reason, const char *activity)
{
    return err_set(run->err, reason, 0, "--timeout (%g s) expired while %s",
                   (double)run->config->timeout_ms / 1000, activity);
}

static void expire_handshake(struct run *run)
{
    struct stream_preamble_facts facts;
    struct err why = {0};
    bool in_starttls =
        stream_preamble_facts(run->conn.stream, STREAM_LAYER_STARTTLS, &facts) && facts.end_ns == 0;

    stream_handshake_expire(run->conn.stream, &why);
    bool is_about_tls = !in_starttls || why.reason == ERR_OK;
    if (is_about_tls && why.reason == ERR_TLS_SILENT_PEER)
        run_set_expired(run, why.reason, "waiting for a reply to the ClientHello");
    else if (is_about_tls && (why.reason == ERR_OK || why.reason == ERR_TLS_TIMEOUT))
        run_set_expired(run, ERR_TLS_TIMEOUT, "the TLS handshake was in progress");
    else if (why.detail == ERR_DETAIL_PROXY_SILENT)
        err_set_from(run->err, &why, "--timeout (%g s) expired: %s", (double)run->config->timeout_ms / 1000,
                     why.text);
    else
        err_set_from(run->err, &why, "%s", why.text);
}

static void on_limit(uv_timer_t *timer)
{
    struct run *run = timer->data;

    run->is_cut = true;
    if (run->dialer != NULL)
        client_fail_dialing(run->config, dialer_phase(run->dialer), run->err);
    else if (run->is_paused || (!run->in_dialogue && !run->is_busy))
        run_set_expired(run, ERR_SYSTEM_OUTPUT, "writing to standard output, which is not being read");
    else if (run->in_dialogue && !run->is_up)
        expire_handshake(run);
    else
        run->use->expire(run);
    end_run(run);
}

static int watch(struct run *run, struct err *err)
{
    run->limit.data = run;
    uv_timer_init(&run->loop, &run->limit); /* which cannot fail */
    if (signals_watch_end(&run->loop, run->signals, on_signal, run, err) < 0)
        return -1;
    if (run->config->timeout_ms > 0)
        uv_timer_start(&run->limit, on_limit, (uint64_t)run->config->timeout_ms, 0);
    return 0;
}

static int use_tls(struct run *run, struct err *err)
{
    run->tls = tls_client_new(&run->config->tls, err);
    if (run->tls == NULL)
        return -1;
    if (run->config->tls.policy.insecure)
        message_event(
            &(struct log_event){LOG_WARNING, "insecure", NULL},
            "tcpgreet: --insecure: the certificate is not verified, the connection may be intercepted");
    return 0;
}

static int start(struct run *run, struct err *err)
{
    const struct client_config *config = run->config;

    if (watch(run, err) < 0 || (config->use_tls && use_tls(run, err) < 0))
        return -1;
    if (config->proxy.kind != PROXY_NONE &&
        connector_route(&run->route, &config->proxy, &config->target, err) < 0)
        return -1;
    run->output = output_open(&run->loop, STDOUT_FILENO, on_output_changed, run, err);
    run->display.output = run->output;
    if (run->output == NULL || run->use->open(run, err) < 0)
        return -1;
    run->next = (struct next_address){.timeout_ms = config->connect_timeout_ms, .start_ns = uv_hrtime()};
    return dial(run, err);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_loop(uv_loop_t *loop)
{
    uv_walk(loop, close_handle, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
}

static void explain_line(void *context, const struct log_event *event, const char *line)
{
    struct run *run = context;
    display_settle(&run->display);
    message_event(event, "%s", line);
}

/* What was received comes first: an output that failed is what the run ends with, unless it was cut short. */
static void close_output(struct run *run)
{
    struct err why = {0};

    display_end(&run->display);
    run->display.output = NULL;
    if (output_close(run->output, OUTPUT_GRACE_MS, &why) < 0 && !run->is_cut)
        *run->err = why;
}

/* Adds to the failure what else may be its cause. TLS that is up, and STARTTLS before it, are bytes of the
 * server. */
static void add_hint(struct run *run)
{
    const struct err why = *run->err;
    bool is_behind_starttls = run->config->starttls != STARTTLS_NONE && why.reason != ERR_TLS_STARTTLS;
    const struct proxy_header_evidence evidence = {
        .err = &why,
        .waited_ns = run->waited_ns,
        .has_received = run->conn.bytes_in > 0 || is_behind_starttls || (run->tls != NULL && run->is_up)};

    if (why.reason == ERR_OK || run->config->send_proxy != PROXY_HEADER_NONE ||
        !proxy_header_may_be_due(&evidence))
        return;
    err_clear(run->err);
    err_set_from(run->err, &why, "%s; it may expect a PROXY header (try --send-proxy v2)", why.text);
}

static void run_on_loop(struct run *run)
{
    display_init(&run->display, NULL);
    if (run->config->explain)
        explain_start(message_format(), explain_line, run);
    if (start(run, run->err) == 0)
        uv_run(&run->loop, UV_RUN_DEFAULT);
    close_output(run);
    run->use->close(run);
    add_hint(run);
    close_loop(&run->loop);
    tls_client_free(run->tls);
    trace_to(NULL, NULL);
}

int run_all(const struct run_use *use, const struct client_config *config, struct err *err)
{
    struct run *run = calloc(1, use->size);
    struct conn_shared *shared = conn_shared_new(run != NULL ? &run->loop : NULL);

    if (run == NULL || shared == NULL) {
        free(run);
        free(shared);
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a client");
    }
    run->use = use;
    run->config = config;
    run->starttls = (struct starttls_config){config->starttls, config->tls.servername};
    run->shared = shared;
    run->err = err;
    if (loop_open(&run->loop, err) == 0)
        run_on_loop(run);
    free(run);
    free(shared);
    return err->reason == ERR_OK ? 0 : -1;
}
