#include "greet.h"

#include <unistd.h>

#include "name_input.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/link/tls_check.h"

enum {
    TLS_CHECK_AFTER_MS = 1000,  /* of silence: a server of ours sends its welcome at once */
    TLS_CHECK_TIMEOUT_MS = 1500 /* so that the result is there within 3 s of the connect */
};

/* Invariant: run.is_busy: check is under way. */
struct greet {
    struct run run;
    uv_timer_t silence; /* to the TLS check */
    struct name_input names;
    struct tls_check *check;
    bool is_checked;
    enum tls_check_result check_result;
    struct session_policy policy;
    struct session session;
    struct err failure;  /* of the dialogue */
    unsigned refused;    /* names that do not fit */
    bool has_received;   /* at least one byte of the dialogue */
    bool is_interactive; /* names come from a terminal */
};

static struct greet *of(struct run *run)
{
    return (struct greet *)run;
}

static void received(struct run *run, struct bytes bytes)
{
    struct greet *greet = of(run);

    (void)bytes;
    if (!greet->has_received)
        uv_timer_stop(&greet->silence);
    greet->has_received = true;
}

/* On a terminal, a name that was not typed there is shown as it is sent. */
static void echo(struct greet *greet, struct bytes name)
{
    struct display *display = &greet->run.display;

    if (greet->is_interactive)
        display->at_line_start = true; /* after Enter */
    else if (display->is_terminal && display_put(display, name, NULL) == 0)
        display_put(display, BYTES_LITERAL("\n"), NULL);
}

static void send_name(struct greet *greet, struct bytes name)
{
    session_send(&greet->session, name, conn_now_ms(&greet->run.conn));
    conn_resume(&greet->run.conn);
}

static void send_exit(struct greet *greet)
{
    if (greet->is_interactive)
        display_end_line(&greet->run.display);
    else
        echo(greet, BYTES_LITERAL(GREETING_EXIT));
    send_name(greet, BYTES_LITERAL(GREETING_EXIT));
}

static void report_refused(struct greet *greet, struct err *why)
{
    display_end_line(&greet->run.display);
    message_event(&(struct log_event){LOG_WARNING, "name-refused",
                                      LOG_FACTS(log_text("reason", err_word(why->reason)),
                                                log_text("error", why->text))},
                  "tcpgreet: %s", why->text);
    greet->refused++;
    err_clear(why);
}

static void send_next(void *context)
{
    struct greet *greet = context;
    struct bytes name;
    struct err why = {0};

    while (greet->run.in_dialogue && greet->session.state == SESSION_READY) {
        switch (name_input_next(&greet->names, &name, &why)) {
        case NAME_INPUT_NEXT:
            echo(greet, name);
            send_name(greet, name);
            break;
        case NAME_INPUT_END:
            send_exit(greet);
            return;
        case NAME_INPUT_WAIT:
            return;
        case NAME_INPUT_REFUSED:
            report_refused(greet, &why);
            break;
        case NAME_INPUT_FAILED:
            conn_abort(&greet->run.conn, &why);
            return;
        }
    }
}

static void ready(struct run *run)
{
    send_next(run);
}

static void on_checked(void *context, enum tls_check_result result)
{
    struct greet *greet = context;
    struct run *run = &greet->run;

    greet->check = NULL;
    run->is_busy = false;
    greet->check_result = result;
    if (!run->in_dialogue || result == TLS_CHECK_TLS)
        tls_check_judge(result, &greet->failure, run->err);
    if (run->in_dialogue && result == TLS_CHECK_TLS)
        conn_abort(&run->conn, run->err);
    run_stop_if_done(run);
}

/* Returns: whether a check is under way. */
static bool check_tls(struct greet *greet)
{
    struct run *run = &greet->run;
    struct tls_check_config config = {.peer = &run->next.peer,
                                      .host = run->config->target.host,
                                      .source = run->config->source,
                                      .proxy = run_proxy(run),
                                      .send_proxy = run->config->send_proxy,
                                      .timeout_ms = TLS_CHECK_TIMEOUT_MS};

    if (!greet->is_checked)
        greet->check = tls_check_start(&run->loop, &config, on_checked, greet);
    greet->is_checked = true;
    run->is_busy = greet->check != NULL;
    return run->is_busy;
}

/* Of the server: the time that a proxy takes does not count. */
static void on_silence(uv_timer_t *timer)
{
    struct greet *greet = timer->data;

    if (greet->run.is_up)
        check_tls(greet);
    else
        uv_timer_start(timer, on_silence, TLS_CHECK_AFTER_MS, 0);
}

static void cancel(struct run *run)
{
    tls_check_cancel(of(run)->check);
    of(run)->check = NULL;
    run->is_busy = false;
}

/* A server that stays silent whatever it receives is none that uses TLS: only an end is checked. */
static void fail(struct greet *greet, const struct err *why)
{
    struct run *run = &greet->run;
    bool is_plain_end =
        run->is_up && run->tls == NULL && !greet->has_received && why->reason != ERR_DIALOGUE_TIMEOUT;

    greet->failure = *why;
    if (is_plain_end && run->err->reason == ERR_OK) {
        if (!check_tls(greet))
            tls_check_judge(greet->check_result, &greet->failure, run->err);
        return;
    }
    cancel(run);
    err_set_from(run->err, why, "%s", why->text);
}

static void done(struct run *run, const struct err *err)
{
    struct greet *greet = of(run);

    uv_timer_stop(&greet->silence);
    if (err != NULL)
        fail(greet, err);
    else if (run->config->verbose)
        message_event(&(struct log_event){LOG_NOTICE, "closed",
                                          LOG_FACTS(log_text("reason", "exit"),
                                                    log_count("names", greet->session.names),
                                                    log_count("bytes_in", run->conn.bytes_in),
                                                    log_count("bytes_out", run->conn.bytes_out))},
                      "Greeted %u name%s", greet->session.names, greet->session.names == 1 ? "" : "s");
}

static struct dialogue *begin(struct run *run)
{
    struct greet *greet = of(run);

    session_init_client(&greet->session, &greet->policy);
    if (run->tls == NULL)
        uv_timer_start(&greet->silence, on_silence, TLS_CHECK_AFTER_MS, 0);
    return &greet->session.dialogue;
}

static void expire(struct run *run)
{
    struct greet *greet = of(run);

    if (!run->in_dialogue)
        tls_check_judge(greet->check_result, &greet->failure, run->err);
    else if (greet->session.state == SESSION_READY)
        run_set_expired(run, ERR_DIALOGUE_TIMEOUT, "waiting for a name on standard input");
    else
        run_set_expired(run, ERR_DIALOGUE_TIMEOUT, "waiting for the server's answer");
}

static int open_names(struct run *run, struct err *err)
{
    struct greet *greet = of(run);
    const struct client_config *config = run->config;

    greet->policy = (struct session_policy){
        .answer_ms = config->answer_timeout_ms, .framing = config->framing, .over_tls = config->use_tls};
    greet->names = (struct name_input){.operands = config->names,
                                       .operand_count = config->name_count,
                                       .framing = config->framing,
                                       .input = {.more = send_next, .context = greet}};
    greet->is_interactive = config->name_count == 0 && isatty(STDIN_FILENO) == 1;
    greet->silence.data = greet;
    uv_timer_init(&run->loop, &greet->silence); /* which cannot fail */
    return name_input_open(&greet->names, &run->loop, STDIN_FILENO, err);
}

static void close_names(struct run *run)
{
    struct greet *greet = of(run);

    name_input_close(&greet->names);
    if (run->err->reason == ERR_OK && greet->refused > 0)
        err_set(run->err, ERR_USAGE, 0, "%u name%s not sent", greet->refused,
                greet->refused == 1 ? " was" : "s were");
}

const struct run_use greet_use = {
    .size = sizeof(struct greet),
    .open = open_names,
    .close = close_names,
    .begin = begin,
    .received = received,
    .ready = ready,
    .done = done,
    .expire = expire,
    .cancel = cancel,
};
