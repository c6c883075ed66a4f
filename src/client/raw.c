#include "raw.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "input.h"
#include "tcpgreet/core/pipe.h"
#include "tcpgreet/format/message.h"

enum {
    READ_BYTES = CONN_QUEUE_BYTES, /* what a conn takes at a time */
    RECEIVE_BYTES = 128 * 1024,    /* half of the calls and of the time that 16 KiB take */
    LINGER_MS = 500 /* behind the peer's end, for a program that is about to write more to standard input; a
                       person is not to type what no peer reads */
};

struct raw {
    struct run run;
    struct pipe pipe;
    struct input input;
    bool has_ended; /* standard input */
    char data[READ_BYTES];
    char received[RECEIVE_BYTES];
};

static struct raw *of(struct run *run)
{
    return (struct raw *)run;
}

/* Gives the pipe what can be read now, once it has sent what it had. */
static void send_next(void *context)
{
    struct raw *raw = context;
    size_t count = 0;
    struct err why = {0};

    if (!raw->run.in_dialogue || raw->pipe.dialogue.state != DIALOGUE_READY)
        return;
    switch (input_read(&raw->input, raw->data, sizeof raw->data, &count, &why)) {
    case INPUT_BYTES:
        pipe_send(&raw->pipe, (struct bytes){raw->data, count});
        break;
    case INPUT_END:
        raw->has_ended = true;
        pipe_end(&raw->pipe);
        break;
    case INPUT_WAIT:
        return;
    case INPUT_FAILED:
        conn_abort(&raw->run.conn, &why);
        return;
    }
    conn_resume(&raw->run.conn);
}

static void ready(struct run *run)
{
    send_next(run);
}

static struct dialogue *begin(struct run *run)
{
    struct raw *raw = of(run);

    pipe_init(&raw->pipe, isatty(STDIN_FILENO) == 1 ? 0 : LINGER_MS);
    return &raw->pipe.dialogue;
}

static void done(struct run *run, const struct err *err)
{
    struct raw *raw = of(run);

    if (err != NULL)
        err_set_from(run->err, err, "%s", err->text);
    if (run->config->verbose && run->is_up)
        message_event(&(struct log_event){LOG_NOTICE, "closed",
                                          LOG_FACTS(log_text("reason", err_word(run->err->reason)),
                                                    log_count("bytes_in", raw->pipe.received_bytes),
                                                    log_count("bytes_out", raw->pipe.sent_bytes))},
                      "Sent %" PRIu64 " bytes%s, received %" PRIu64, raw->pipe.sent_bytes,
                      raw->has_ended ? "" : " (before the end of standard input)", raw->pipe.received_bytes);
}

static void expire(struct run *run)
{
    const struct raw *raw = of(run);
    char activity[128];

    snprintf(activity, sizeof activity, "the connection was open: sent %" PRIu64 " bytes, received %" PRIu64,
             raw->pipe.sent_bytes, raw->pipe.received_bytes);
    run_set_expired(run, ERR_DIALOGUE_TIMEOUT, activity);
}

static int open_input(struct run *run, struct err *err)
{
    struct raw *raw = of(run);

    run->display.keeps_layout = true;
    run->shared->large = raw->received;
    run->shared->large_bytes = sizeof raw->received;
    raw->input = (struct input){.more = send_next, .context = raw};
    return input_open(&raw->input, &run->loop, STDIN_FILENO, err);
}

static void close_input(struct run *run)
{
    input_close(&of(run)->input);
}

const struct run_use raw_use = {
    .size = sizeof(struct raw),
    .open = open_input,
    .close = close_input,
    .begin = begin,
    .ready = ready,
    .done = done,
    .expire = expire,
};
