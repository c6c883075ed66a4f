#include "tcpgreet/client/client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "display.h"
#include "name_input.h"
#include "next_address.h"
#include "report.h"
#include "tcpgreet/explain/explain.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/link/dialer.h"
#include "tcpgreet/link/tls_check.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/output.h"
#include "tcpgreet/os/signals.h"
#include "tcpgreet/tls/stream_tls.h"

enum {
    TLS_CHECK_AFTER_MS = 1000,  /* of silence: a server of ours sends its welcome at once */
    TLS_CHECK_TIMEOUT_MS = 1500 /* so that the result is there within 3 s of the connect */
};

struct client {
    const struct client_config *config;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS_OF_END];
    uv_timer_t limit;   /* --timeout */
    uv_timer_t silence; /* to the TLS check */
    struct name_input names;
    struct output *output;
    struct display display;
    struct dialer *dialer;
    struct next_address next;
    struct tls_client *tls; /* NULL: plain */
    struct tls_check *check;
    bool is_checked;
    enum tls_check_result check_result;
    struct session_policy policy;
    struct conn_shared *shared;
    struct conn conn;
    struct session session;
    struct err *err;     /* the caller's; what the run ends with */
    struct err failure;  /* of the dialogue */
    unsigned refused;    /* names that do not fit */
    bool in_dialogue;    /* conn is started and not done */
    bool is_up;          /* the stream's handshake is done */
    bool is_paused;      /* until the output has room */
    bool has_received;   /* at least one byte of the dialogue */
    bool is_interactive; /* names come from a terminal */
    bool is_cut;         /* by a signal or --timeout: the output is not waited for */
};

/* Ends the run, once nothing is under way and all output is written. */
static void stop_if_done(struct client *client)
{
    if (client->in_dialogue || client->check != NULL)
        return;
    if (client->is_cut || !output_is_pending(client->output))
        uv_stop(&client->loop);
}

/* Ends the run with what err holds, once whatever is under way is closed. */
static void end_run(struct client *client)
{
    tls_check_cancel(client->check);
    client->check = NULL;
    dialer_cancel(client->dialer);
    client->dialer = NULL;
    if (client->in_dialogue)
        conn_abort(&client->conn, client->err);
    else
        stop_if_done(client);
}

static void on_received(void *context, struct bytes bytes)
{
    struct client *client = context;
    struct err why = {0};

    if (!client->has_received)
        uv_timer_stop(&client->silence);
    client->has_received = true;
    if (display_put(&client->display, bytes, &why) < 0) {
        conn_abort(&client->conn, &why);
    } else if (output_is_full(client->output)) {
        client->is_paused = true;
        conn_pause(&client->conn, true);
    }
}

static void on_output_changed(void *context)
{
    struct client *client = context;

    if (output_failed(client->output, client->err) < 0) {
        end_run(client);
    } else if (client->is_paused && !output_is_full(client->output)) {
        client->is_paused = false;
        conn_pause(&client->conn, false);
    }
    if (client->dialer == NULL)
        stop_if_done(client);
}

/* On a terminal, a name that was not typed there is shown as it is sent. */
static void echo(struct client *client, struct bytes name)
{
    struct display *display = &client->display;

    if (client->is_interactive)
        display->at_line_start = true; /* after Enter */
    else if (display->is_terminal && display_put(display, name, NULL) == 0)
        display_put(display, BYTES_LITERAL("\n"), NULL);
}

static void send_name(struct client *client, struct bytes name)
{
    session_send(&client->session, name, conn_now_ms(&client->conn));
    conn_resume(&client->conn);
}

static void send_exit(struct client *client)
{
    if (client->is_interactive)
        display_end_line(&client->display);
    else
        echo(client, BYTES_LITERAL(GREETING_EXIT));
    send_name(client, BYTES_LITERAL(GREETING_EXIT));
}

static void report_refused(struct client *client, struct err *why)
{
    display_end_line(&client->display);
    message_print("tcpgreet: %s", why->text);
    client->refused++;
    err_clear(why);
}

static void send_next(void *context)
{
    struct client *client = context;
    struct bytes name;
    struct err why = {0};

    while (client->in_dialogue && client->session.state == SESSION_READY) {
        switch (name_input_next(&client->names, &name, &why)) {
        case NAME_INPUT_NEXT:
            echo(client, name);
            send_name(client, name);
            break;
        case NAME_INPUT_END:
            send_exit(client);
            return;
        case NAME_INPUT_WAIT:
            return;
        case NAME_INPUT_REFUSED:
            report_refused(client, &why);
            break;
        case NAME_INPUT_FAILED:
            conn_abort(&client->conn, &why);
            return;
        }
    }
}

static void on_checked(void *context, enum tls_check_result result)
{
    struct client *client = context;

    client->check = NULL;
    client->check_result = result;
    if (!client->in_dialogue || result == TLS_CHECK_TLS)
        tls_check_judge(result, &client->failure, client->err);
    if (client->in_dialogue && result == TLS_CHECK_TLS)
        conn_abort(&client->conn, client->err);
    stop_if_done(client);
}

/* Returns: whether a check is under way. */
static bool check_tls(struct client *client)
{
    struct tls_check_config config = {.peer = &client->next.peer,
                                      .host = client->config->target.host,
                                      .source = client->config->source,
                                      .timeout_ms = TLS_CHECK_TIMEOUT_MS};

    if (!client->is_checked)
        client->check = tls_check_start(&client->loop, &config, on_checked, client);
    client->is_checked = true;
    return client->check != NULL;
}

static void on_silence(uv_timer_t *timer)
{
    check_tls(timer->data);
}

/* A server that stays silent whatever it receives is none that uses TLS: only an end is checked. */
static void fail(struct client *client, const struct err *why)
{
    bool is_plain_end = client->tls == NULL && !client->has_received && why->reason != ERR_DIALOGUE_TIMEOUT;

    client->failure = *why;
    if (is_plain_end && client->err->reason == ERR_OK) {
        if (!check_tls(client))
            tls_check_judge(client->check_result, &client->failure, client->err);
        return;
    }
    tls_check_cancel(client->check);
    client->check = NULL;
    err_set_from(client->err, why, "%s", why->text);
}

static void on_dialed(void *context, struct stream *stream, const struct dialer_facts *facts,
                      const struct err *err);

static int dial(struct client *client, struct err *err)
{
    const struct client_config *config = client->config;
    struct dialer_config dial = {.target = &config->target,
                                 .want_v6 = !config->ipv4_only,
                                 .want_v4 = !config->ipv6_only,
                                 .source = config->source,
                                 .skip = client->next.failed,
                                 .skip_count = client->next.failed_count,
                                 .attempt_delay_ms = config->attempt_delay_ms,
                                 .timeout_ms = next_address_left_ms(&client->next),
                                 .policy = {.tls = client->tls, .host = config->target.host}};

    client->dialer = dialer_start(&client->loop, &dial, on_dialed, client, err);
    return client->dialer != NULL ? 0 : -1;
}

/* A handshake that failed. Returns: whether another address is tried. */
static bool try_next(struct client *client, const struct err *why)
{
    struct err reported = {0};

    if (next_address_is_due(&client->next, why)) {
        if (client->config->verbose)
            message_print("Trying the next address: %s", client->next.failure.text);
        return dial(client, client->err) == 0;
    }
    next_address_fail(&client->next, false, why, &reported);
    fail(client, &reported);
    return false;
}

static void on_done(void *context, const struct conn_result *result)
{
    struct client *client = context;

    client->in_dialogue = false;
    uv_timer_stop(&client->silence);
    if (result->err != NULL && client->tls != NULL && !client->is_up && !client->is_cut) {
        if (try_next(client, result->err))
            return;
    } else if (result->err != NULL)
        fail(client, result->err);
    else if (client->config->verbose)
        message_print("Greeted %u name%s", client->session.names, client->session.names == 1 ? "" : "s");
    stop_if_done(client);
}

static void on_up(void *context)
{
    struct client *client = context;
    struct stream_tls_facts facts;

    client->is_up = true;
    if (!client->config->verbose || !stream_tls_facts(client->conn.stream, &facts))
        return;
    client_report_tls(&facts);
}

/* Takes: stream. Returns: 0, or -1 with the client's err. */
static int start_dialogue(struct client *client, struct stream *stream, int64_t handshake_ms)
{
    static const struct conn_events events = {
        .up = on_up, .received = on_received, .ready = send_next, .done = on_done};
    struct conn_config config = {.shared = client->shared,
                                 .dialogue = &client->session.dialogue,
                                 .events = &events,
                                 .context = client,
                                 .handshake_ms = handshake_ms};

    client->in_dialogue = true;
    session_init_client(&client->session, &client->policy);
    if (conn_start(&client->conn, &config, stream, client->err) == 0)
        return 0;
    client->in_dialogue = false;
    return -1;
}

static void on_dialed(void *context, struct stream *stream, const struct dialer_facts *facts,
                      const struct err *err)
{
    struct client *client = context;

    client->dialer = NULL;
    if (stream == NULL) {
        next_address_fail(&client->next, true, err, client->err);
        stop_if_done(client);
        return;
    }
    if (client->config->verbose)
        client_report_connected(facts);
    next_address_connected(&client->next, facts);
    if (start_dialogue(client, stream, next_address_handshake_ms(&client->next)) < 0)
        stop_if_done(client);
    else if (client->tls == NULL)
        uv_timer_start(&client->silence, on_silence, TLS_CHECK_AFTER_MS, 0);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct client *client = signal->data;
    client->is_cut = true;
    signals_set_end(number, client->err); /* instead of a failure whose output is still to be written */
    end_run(client);
}

/* Records that --timeout expired, by what it interrupted. */
static int set_expired(struct client *client, enum err_reason reason, const char *activity)
{
    return err_set(client->err, reason, 0, "--timeout (%g s) expired while %s",
                   (double)client->config->timeout_ms / 1000, activity);
}

static void expire_handshake(struct client *client)
{
    struct err why = {0};

    stream_handshake_expire(client->conn.stream, &why);
    if (why.reason == ERR_TLS_SILENT_PEER)
        set_expired(client, why.reason, "waiting for a reply to the ClientHello");
    else if (why.reason == ERR_OK || why.reason == ERR_TLS_TIMEOUT)
        set_expired(client, ERR_TLS_TIMEOUT, "the TLS handshake was in progress");
    else
        err_set_from(client->err, &why, "%s", why.text);
}

static void on_limit(uv_timer_t *timer)
{
    struct client *client = timer->data;

    client->is_cut = true;
    if (client->dialer != NULL)
        client_fail_dialing(client->config, dialer_phase(client->dialer), client->err);
    else if (client->is_paused || (!client->in_dialogue && client->check == NULL))
        set_expired(client, ERR_SYSTEM_OUTPUT, "writing to standard output, which is not being read");
    else if (!client->in_dialogue)
        tls_check_judge(client->check_result, &client->failure, client->err);
    else if (!client->is_up)
        expire_handshake(client);
    else if (client->session.state == SESSION_READY)
        set_expired(client, ERR_DIALOGUE_TIMEOUT, "waiting for a name on standard input");
    else
        set_expired(client, ERR_DIALOGUE_TIMEOUT, "waiting for the server's answer");
    end_run(client);
}

static int watch(struct client *client, struct err *err)
{
    client->limit.data = client->silence.data = client;
    uv_timer_init(&client->loop, &client->limit); /* which cannot fail */
    uv_timer_init(&client->loop, &client->silence);
    if (signals_watch_end(&client->loop, client->signals, on_signal, client, err) < 0)
        return -1;
    if (client->config->timeout_ms > 0)
        uv_timer_start(&client->limit, on_limit, (uint64_t)client->config->timeout_ms, 0);
    return 0;
}

static int use_tls(struct client *client, struct err *err)
{
    client->tls = tls_client_new(&client->config->tls, err);
    if (client->tls == NULL)
        return -1;
    if (client->config->tls.policy.insecure)
        message_print(
            "tcpgreet: --insecure: the certificate is not verified, the connection may be intercepted");
    return 0;
}

static int start(struct client *client, struct err *err)
{
    const struct client_config *config = client->config;

    if (watch(client, err) < 0 || (config->use_tls && use_tls(client, err) < 0))
        return -1;
    client->output = output_open(&client->loop, STDOUT_FILENO, on_output_changed, client, err);
    client->display.output = client->output;
    if (client->output == NULL || name_input_open(&client->names, &client->loop, STDIN_FILENO, err) < 0)
        return -1;
    client->next = (struct next_address){.timeout_ms = config->connect_timeout_ms, .start_ns = uv_hrtime()};
    return dial(client, err);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* A lookup that has not been answered yet cannot be closed; then the loop is left to the end of the process.
 */
static void close_loop(uv_loop_t *loop)
{
    uv_walk(loop, close_handle, NULL);
    if (resolver_pending() > 0)
        return;
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
}

static void explain_line(void *context, const char *line)
{
    struct client *client = context;
    display_settle(&client->display);
    message_print("%s", line);
}

static void prepare(struct client *client)
{
    const struct client_config *config = client->config;

    client->policy = (struct session_policy){
        .answer_ms = config->answer_timeout_ms, .framing = config->framing, .over_tls = config->use_tls};
    client->names = (struct name_input){.operands = config->names,
                                        .operand_count = config->name_count,
                                        .framing = config->framing,
                                        .more = send_next,
                                        .context = client};
    client->shared->loop = &client->loop;
    client->is_interactive = config->name_count == 0 && isatty(STDIN_FILENO) == 1;
    display_init(&client->display, NULL);
    if (config->explain)
        explain_start(explain_line, client);
}

/* What was received comes first: an output that failed is what the run ends with, unless it was cut short. */
static void close_output(struct client *client)
{
    struct err why = {0};

    display_end_line(&client->display);
    client->display.output = NULL;
    if (output_close(client->output, OUTPUT_GRACE_MS, &why) < 0 && !client->is_cut)
        *client->err = why;
}

static void run(struct client *client)
{
    prepare(client);
    if (start(client, client->err) == 0)
        uv_run(&client->loop, UV_RUN_DEFAULT);
    close_output(client);
    if (client->err->reason == ERR_OK && client->refused > 0)
        err_set(client->err, ERR_USAGE, 0, "%u name%s not sent", client->refused,
                client->refused == 1 ? " was" : "s were");
    name_input_close(&client->names);
    close_loop(&client->loop);
    tls_client_free(client->tls);
    trace_to(NULL, NULL);
}

int client_run(const struct client_config *config, struct err *err)
{
    struct client *client = calloc(1, sizeof *client);
    struct conn_shared *shared = calloc(1, sizeof *shared);

    if (client == NULL || shared == NULL) {
        free(client);
        free(shared);
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a client");
    }
    client->config = config;
    client->shared = shared;
    client->err = err;
    if (loop_open(&client->loop, err) == 0)
        run(client);
    if (resolver_pending() == 0) {
        free(client);
        free(shared);
    }
    /* A lookup that cannot be cancelled may still refer to both. */
    return err->reason == ERR_OK ? 0 : -1; /* NOLINT(clang-analyzer-unix.Malloc) */
}
