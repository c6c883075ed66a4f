#include "tcpgreet/client/client.h"

#include <langinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "name_input.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/explain/explain.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/link/dialer.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/os/signals.h"
#include "tcpgreet/tls/stream_tls.h"

enum { UTF8_CUT_MAX = 3 };

struct client {
    const struct client_config *config;
    uv_loop_t loop;
    uv_signal_t interrupt;
    uv_timer_t limit; /* --timeout */
    struct names names;
    struct dialer *dialer;
    struct tls_client *tls; /* NULL: plain */
    struct session_policy policy;
    struct conn_shared *shared;
    struct conn conn;
    struct err *err;    /* the caller's; what the run ends with */
    unsigned refused;   /* names that could not be said */
    bool talking;       /* conn is started and not done */
    bool heard;         /* the server has said something */
    bool terminal;      /* standard output is one */
    bool typing;        /* standard input is one, and names come from it */
    bool at_line_start; /* of the terminal */
    bool utf8;
    char cut[UTF8_CUT_MAX]; /* a character whose rest is still to come */
    size_t cut_length;
};

static void stop(struct client *client)
{
    uv_stop(&client->loop);
}

/* Ends the run with what err holds, once whatever is under way is closed. */
static void end_run(struct client *client)
{
    if (client->talking) {
        conn_abort(&client->conn, client->err);
        return;
    }
    dialer_cancel(client->dialer);
    client->dialer = NULL;
    stop(client);
}

static int put(struct client *client, struct bytes bytes)
{
    if (bytes.length == 0)
        return 0;
    client->at_line_start = bytes.data[bytes.length - 1] == '\n';
    return process_write(STDOUT_FILENO, bytes, client->err);
}

/* To a terminal: bytes that could drive it are shown escaped; a character may be cut in two by the network.
 */
static int put_escaped(struct client *client, struct bytes bytes)
{
    char in[512 + UTF8_CUT_MAX], out[4 * sizeof in];
    struct escape_style style = {.ascii = !client->utf8, .keep_newline = true, .partial = true};

    while (bytes.length > 0) {
        struct sink whole = {in, 0, sizeof in};
        struct sink shown = {out, 0, sizeof out};
        size_t n = bytes.length < 512 ? bytes.length : 512;

        sink_put(&whole, (struct bytes){client->cut, client->cut_length});
        sink_put(&whole, (struct bytes){bytes.data, n});
        bytes = bytes_skip(bytes, n);
        size_t taken = escape((struct bytes){in, whole.length}, style, &shown);
        client->cut_length = whole.length - taken;
        memcpy(client->cut, in + taken, client->cut_length);
        if (put(client, (struct bytes){out, shown.length}) < 0)
            return -1;
    }
    return 0;
}

/* On a terminal a sentence of ours begins on a line of its own. */
static void finish_line(struct client *client)
{
    if (client->terminal && !client->at_line_start)
        put(client, BYTES_LITERAL("\n"));
}

static void on_received(void *context, struct bytes bytes)
{
    struct client *client = context;
    client->heard = true;
    int result = client->terminal ? put_escaped(client, bytes) : put(client, bytes);
    if (result < 0)
        conn_abort(&client->conn, client->err);
}

/* A person at a terminal sees what is said for her, too. */
static void echo(struct client *client, struct bytes name)
{
    if (client->terminal && !client->typing && put_escaped(client, name) == 0)
        put(client, BYTES_LITERAL("\n"));
    client->at_line_start = client->at_line_start || client->typing; /* she has pressed Enter */
}

static void note_refused(struct client *client, struct err *why)
{
    finish_line(client);
    fprintf(stderr, "tcpgreet: %s\n", why->text);
    client->refused++;
    err_clear(why);
}

static void say_next(void *context)
{
    struct client *client = context;
    struct bytes name;
    struct err why = {0};

    while (client->talking && client->conn.session.state == SESSION_READY) {
        switch (names_next(&client->names, &name, &why)) {
        case NAMES_NEXT:
            echo(client, name);
            conn_say(&client->conn, name);
            break;
        case NAMES_END:
            if (client->typing)
                finish_line(client);
            else
                echo(client, BYTES_LITERAL(GREETING_EXIT));
            conn_say(&client->conn, BYTES_LITERAL(GREETING_EXIT));
            return;
        case NAMES_WAIT:
            return;
        case NAMES_REFUSED:
            note_refused(client, &why);
            break;
        case NAMES_FAILED:
            conn_abort(&client->conn, &why);
            return;
        }
    }
}

static void on_done(void *context, const struct conn_result *result)
{
    struct client *client = context;
    client->talking = false;
    if (result->err != NULL && result->err->reason == ERR_DIALOGUE_EARLY_END && !client->heard &&
        client->tls == NULL)
        err_set(client->err, ERR_DIALOGUE_EARLY_END, 0,
                "the server closed the connection without sending anything: it may expect TLS (try --tls), "
                "or reject this address");
    if (result->err != NULL)
        err_set_from(client->err, result->err, "%s", result->err->text);
    if (client->config->verbose && result->err == NULL)
        fprintf(stderr, "Greeted %u name%s\n", result->names, result->names == 1 ? "" : "s");
    stop(client);
}

static void tell_connected(const struct dialer_facts *facts)
{
    char peer[ENDPOINT_TEXT_BYTES], local[ENDPOINT_TEXT_BYTES];
    fprintf(
        stderr,
        "Connected to %s from %s in %.3f ms: address known after %.3f ms, attempt %u answered in %.3f ms\n",
        endpoint_format(&facts->peer, peer), endpoint_format(&facts->local, local),
        (double)facts->total_ns / 1e6, (double)facts->resolve_ns / 1e6, facts->attempts,
        (double)facts->connect_ns / 1e6);
}

static void on_up(void *context)
{
    const struct client *client = context;
    struct stream_tls_facts facts;
    if (!client->config->verbose || !stream_tls_facts(client->conn.stream, &facts))
        return;
    fprintf(stderr, "Speaking %s, %s%s%s%s%s with %s (issued by %s, pin sha256:%s)\n", facts.version,
            facts.cipher, facts.group[0] != '\0' ? ", " : "", facts.group,
            facts.alpn[0] != '\0' ? ", ALPN " : "", facts.alpn, facts.subject, facts.issuer, facts.pin);
}

static void on_dialed(void *context, struct stream *stream, const struct dialer_facts *facts,
                      const struct err *err)
{
    static const struct conn_events events = {
        .up = on_up, .received = on_received, .ready = say_next, .done = on_done};
    struct client *client = context;
    struct conn_config config = {.shared = client->shared,
                                 .policy = &client->policy,
                                 .events = &events,
                                 .context = client,
                                 .role = CONN_CLIENT};

    client->dialer = NULL;
    if (stream == NULL) {
        *client->err = *err;
        stop(client);
        return;
    }
    if (client->config->verbose)
        tell_connected(facts);
    client->shared->handshake_ms = client->config->connect_timeout_ms - (int64_t)(facts->total_ns / 1000000);
    if (client->tls != NULL)
        stream = tls_client_stream(client->tls, stream, client->config->target.host, client->err);
    if (stream == NULL) {
        stop(client);
        return;
    }
    client->talking = true;
    if (conn_start(&client->conn, &config, stream, client->err) < 0) {
        client->talking = false;
        stop(client);
    }
}

static void on_interrupt(uv_signal_t *signal, int number)
{
    struct client *client = signal->data;
    (void)number;
    err_set(client->err, ERR_INTERRUPTED, 0, "interrupted");
    end_run(client);
}

static void on_limit(uv_timer_t *timer)
{
    struct client *client = timer->data;
    err_set(client->err, client->talking ? ERR_DIALOGUE_TIMEOUT : ERR_CONNECT_TIMEOUT, 0,
            "the whole run took longer than --timeout %g s", (double)client->config->timeout_ms / 1000);
    end_run(client);
}

static int start(struct client *client, struct err *err)
{
    const struct client_config *config = client->config;
    struct dialer_config dial = {.target = &config->target,
                                 .want_v6 = !config->ipv4_only,
                                 .want_v4 = !config->ipv6_only,
                                 .source = config->source,
                                 .attempt_delay_ms = config->attempt_delay_ms,
                                 .timeout_ms = config->connect_timeout_ms};

    client->interrupt.data = client->limit.data = client;
    if (signals_watch(&client->loop, &client->interrupt, on_interrupt, SIGINT) != 0 ||
        uv_timer_init(&client->loop, &client->limit) != 0)
        return err_set(err, ERR_INTERNAL, 0, "cannot watch signals");
    if (config->timeout_ms > 0)
        uv_timer_start(&client->limit, on_limit, (uint64_t)config->timeout_ms, 0);

    if (config->use_tls) {
        client->tls = tls_client_new(&config->tls, err);
        if (client->tls == NULL)
            return -1;
        if (config->tls.policy.insecure)
            fprintf(stderr,
                    "tcpgreet: --insecure: the certificate is not checked, anybody may be answering\n");
    }
    if (names_open(&client->names, &client->loop, STDIN_FILENO, err) < 0)
        return -1;
    client->dialer = dialer_start(&client->loop, &dial, on_dialed, client, err);
    return client->dialer != NULL ? 0 : -1;
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* A name server that has not answered yet keeps its request alive; then the loop is left to the end of the
 * process. */
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
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static void prepare(struct client *client)
{
    const struct client_config *config = client->config;

    client->policy = (struct session_policy){
        .answer_ms = config->answer_timeout_ms, .framing = config->framing, .over_tls = config->use_tls};
    client->names = (struct names){.operands = config->names,
                                   .operand_count = config->name_count,
                                   .framing = config->framing,
                                   .more = say_next,
                                   .context = client};
    client->shared->loop = &client->loop;
    client->terminal = isatty(STDOUT_FILENO) == 1;
    client->typing = config->name_count == 0 && isatty(STDIN_FILENO) == 1;
    client->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    client->at_line_start = true;
    if (config->explain)
        explain_start(explain_line, NULL);
}

int converse(const struct client_config *config, struct err *err)
{
    struct client *client = calloc(1, sizeof *client);
    struct conn_shared *shared = calloc(1, sizeof *shared);

    if (client == NULL || shared == NULL || uv_loop_init(&client->loop) != 0) {
        free(client);
        free(shared);
        return err_set(err, ERR_INTERNAL, 0, "no memory for a client");
    }
    client->config = config;
    client->shared = shared;
    client->err = err;
    prepare(client);
    if (start(client, err) == 0)
        uv_run(&client->loop, UV_RUN_DEFAULT);

    finish_line(client);
    if (err->reason == ERR_OK && client->refused > 0)
        err_set(err, ERR_USAGE, 0, "%u name%s could not be said", client->refused,
                client->refused == 1 ? "" : "s");
    names_close(&client->names);
    close_loop(&client->loop);
    tls_client_free(client->tls);
    if (resolver_pending() == 0) {
        free(client);
        free(shared);
    }
    trace_to(NULL, NULL);
    return err->reason == ERR_OK ? 0 : -1;
}
