#include "tcpgreet/probe/probe.h"

#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "output.h"
#include "round.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/explain/explain.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/format/text.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/output.h"
#include "tcpgreet/os/signals.h"

enum {
    NS_PER_MS = 1000 * 1000,
    INTERVAL_MS = 1000,  /* of a series that names none, as ping(8) has it */
    PROGRESS_MS = 1000,  /* a probe that takes longer reports what it does, on a terminal */
    PAUSE_MIN_MS = 100,  /* of a retry: below what a person notices, above what loads a service that starts */
    PAUSE_MAX_MS = 1000, /* a service that took long to start is noticed within this */
    LAST_ROUND_MS = 100  /* what a last attempt needs: half a round trip around the world */
};

struct run {
    const struct probe_config *config;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS_OF_END];
    uv_timer_t limit; /* --timeout, --retry */
    uv_timer_t pause; /* to the next round */
    uv_timer_t progress;
    bool shows_progress; /* it stands on the terminal now */
    struct tls_client *tls;
    struct probe_output output;
    struct conn_shared *shared;
    struct probe_plan plan;
    struct probe_round *round;   /* NULL: none is under way */
    struct probe_result current; /* its result */
    struct probe_result last;    /* of the last round that is over */
    bool ok;                     /* last is, with its limits */
    int signal;                  /* that ended the run; 0 */
    bool is_waiting;             /* a round is over, and its line is not written yet */
    bool is_delivering;          /* all is over, and the output is not written yet */
    unsigned attempts;           /* rounds begun */
    uint64_t start_ns;           /* of the run, uv_hrtime */
    int64_t pause_ms;            /* of a retry, the next */
    struct probe_summary sum;    /* of a series */
    struct err *err;             /* the caller's; while it delivers, its own */
    struct err delivery;         /* why the output cannot be written */
};

static bool is_series(const struct run *run)
{
    return run->config->count > 0 || run->config->interval_ms > 0;
}

static bool is_retry(const struct run *run)
{
    return run->config->retry_ms > 0;
}

/* Returns: how long the whole run may take, 0: no end. */
static int64_t limit_ms(const struct probe_config *config)
{
    if (config->timeout_ms == 0 || config->retry_ms == 0)
        return config->timeout_ms == 0 ? config->retry_ms : config->timeout_ms;
    return config->retry_ms < config->timeout_ms ? config->retry_ms : config->timeout_ms;
}

static int64_t elapsed_ms(const struct run *run)
{
    return (int64_t)(uv_hrtime() - run->start_ns) / NS_PER_MS;
}

/* Returns: what is left of the whole run's time; INT64_MAX where it has no end. */
static int64_t left_ms(const struct run *run)
{
    int64_t limit = limit_ms(run->config);
    return limit == 0 ? INT64_MAX : limit - elapsed_ms(run);
}

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void keep_result(struct run *run)
{
    probe_result_fini(&run->last);
    run->last = run->current;
    run->current = (struct probe_result){0};
    run->ok = probe_alerts_judge(&run->last, &run->config->limits);
}

static void stop(struct run *run)
{
    uv_stop(&run->loop);
}

static int add_to_series(struct run *run)
{
    char changes[PROBE_SENTENCE_BYTES];

    probe_summary_changes(&run->sum, &run->last, changes);
    if (probe_summary_add(&run->sum, &run->last, run->err) < 0)
        return -1;
    return probe_output_round(&run->output, &run->last, changes, run->err);
}

/* Returns: ms to the next point of the grid that the first round began; rounds never overlap. */
static int64_t next_on_grid(const struct run *run)
{
    const struct probe_config *config = run->config;
    uint64_t interval_ns =
        (uint64_t)(config->interval_ms > 0 ? config->interval_ms : INTERVAL_MS) * NS_PER_MS;
    uint64_t into_ns = (uv_hrtime() - run->start_ns) % interval_ns;

    return (int64_t)((interval_ns - into_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void go_on(struct run *run);

static void on_output_changed(void *context)
{
    struct run *run = context;
    bool is_idle = output_failed(run->output.queue, run->err) < 0 || !output_is_pending(run->output.queue);

    if (run->err->reason == ERR_SYSTEM_OUTPUT || (is_idle && run->is_delivering)) {
        stop(run);
    } else if (is_idle && run->is_waiting) {
        run->is_waiting = false;
        go_on(run);
    }
}

/* Returns: ms to the next round; -1: that was the last. */
static int64_t next_round(struct run *run)
{
    const struct probe_config *config = run->config;
    int64_t pause_ms = least_of(run->pause_ms, left_ms(run) - LAST_ROUND_MS);

    if (is_series(run))
        return config->count > 0 && run->sum.rounds >= (uint64_t)config->count ? -1 : next_on_grid(run);
    if (!is_retry(run) || run->ok || pause_ms <= 0)
        return -1;
    run->pause_ms = least_of(2 * run->pause_ms, PAUSE_MAX_MS);
    return pause_ms;
}

static void on_progress(uv_timer_t *timer)
{
    struct run *run = timer->data;
    const struct probe_config *config = run->config;
    char target[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 4];
    struct text_line line = {0};

    text_append(&line, "Probing %s: %.0f s", target_format(&config->target, target, sizeof(target)),
                (double)elapsed_ms(run) / 1000);
    if (limit_ms(config) > 0)
        text_append(&line, " of %g s", (double)limit_ms(config) / 1000);
    if (is_retry(run))
        text_append(&line, ", attempt %u", run->attempts);
    if (run->last.started_s != 0)
        text_append(&line, ", last result: %s", err_word(run->last.verdict.reason));
    message_show_progress(line.text);
    run->shows_progress = true;
}

static void clear_progress(struct run *run)
{
    if (run->shows_progress)
        message_clear_progress();
    run->shows_progress = false;
}

static void start_round(uv_timer_t *timer);

static void on_round(void *context, struct probe_result *result)
{
    struct run *run = context;

    (void)result;
    run->round = NULL;
    keep_result(run);
    if (is_series(run) && add_to_series(run) < 0)
        stop(run);
    else if (is_series(run) && output_is_pending(run->output.queue))
        run->is_waiting = true;
    else
        go_on(run);
}

/* A round is over, and its line is written. */
static void go_on(struct run *run)
{
    int64_t pause_ms = next_round(run);
    if (pause_ms < 0) {
        stop(run);
        return;
    }
    if (is_retry(run)) {
        clear_progress(run);
        probe_output_attempt(&run->output, &run->last);
    }
    uv_update_time(&run->loop);
    uv_timer_start(&run->pause, start_round, (uint64_t)pause_ms, 0);
}

static void start_round(uv_timer_t *timer)
{
    struct run *run = timer->data;

    run->attempts++;
    run->round = probe_round_start(&run->plan, &run->current, on_round, run, run->err);
    if (run->round == NULL)
        stop(run);
}

static void give_up(struct run *run)
{
    probe_round_cancel(run->round);
    run->round = NULL;
    uv_timer_stop(&run->pause); /* which may be due, too */
    stop(run);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct run *run = signal->data;
    bool is_first = run->round != NULL && run->last.started_s == 0 && !is_series(run);

    run->signal = number;
    give_up(run);
    if (!is_first)
        return; /* an earlier round is whole */
    probe_result_simulate(&run->current, run->plan.attempt_delay_ms, run->plan.connect_timeout_ms);
    probe_result_judge(&run->current);
    if (number == SIGTERM && run->current.verdict.reason == ERR_INTERRUPTED)
        run->current.verdict.reason = ERR_TERMINATED;
    keep_result(run);
}

static void on_limit(uv_timer_t *timer)
{
    struct run *run = timer->data;
    bool cut = run->round != NULL;

    if (run->is_delivering) {
        err_clear(run->err);
        err_set(run->err, ERR_SYSTEM_OUTPUT, 0,
                "--timeout (%g s) expired while writing to standard output, which is not being read",
                (double)run->config->timeout_ms / 1000);
        stop(run);
        return;
    }
    give_up(run);
    if (!cut || run->sum.rounds > 0)
        return; /* what a series has not finished does not count, unless it is all there is */
    if (run->last.started_s != 0 && run->current.total_ns < run->last.total_ns)
        return; /* nor does an attempt that had less time than the one before needed for its result */
    probe_result_simulate(&run->current, run->plan.attempt_delay_ms, run->plan.connect_timeout_ms);
    probe_late(&run->current, limit_ms(run->config));
    keep_result(run);
    if (is_series(run))
        add_to_series(run);
}

static int watch(struct run *run, struct err *err)
{
    int64_t limit = limit_ms(run->config);

    bool may_show = !run->config->quiet && !run->config->explain && !is_series(run);

    if (may_show)
        uv_timer_start(&run->progress, on_progress, PROGRESS_MS, PROGRESS_MS);
    if (signals_watch_end(&run->loop, run->signals, on_signal, run, err) < 0)
        return -1;
    if (limit > 0)
        uv_timer_start(&run->limit, on_limit, (uint64_t)limit, 0);
    return 0;
}

static void close_run(struct run *run)
{
    uv_handle_t *own[] = {(uv_handle_t *)&run->signals[0], (uv_handle_t *)&run->signals[1],
                          (uv_handle_t *)&run->limit, (uv_handle_t *)&run->pause,
                          (uv_handle_t *)&run->progress};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (own[i]->type != UV_UNKNOWN_HANDLE)
            uv_close(own[i], NULL);
    probe_result_fini(&run->last);
    probe_result_fini(&run->current);
    probe_summary_fini(&run->sum);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    uv_loop_close(&run->loop);
    tls_client_free(run->tls);
    free(run->shared);
    free(run);
}

static void explain_line(void *context, const struct log_event *event, const char *line)
{
    (void)context;
    message_event(event, "%s", line);
}

static int prepare(struct run *run, struct err *err)
{
    const struct probe_config *config = run->config;

    run->limit.data = run->pause.data = run->progress.data = run;
    /* Which cannot fail. From libuv 1.45 on, only a timer that was initialised can be stopped. */
    uv_timer_init(&run->loop, &run->limit);
    uv_timer_init(&run->loop, &run->pause);
    uv_timer_init(&run->loop, &run->progress);
    probe_output_init(&run->output, config);
    if (config->explain)
        explain_start(message_format(), explain_line, NULL);
    if (config->use_tls) {
        run->tls = tls_client_new(&config->tls, err);
        if (run->tls == NULL)
            return -1;
        if (config->tls.policy.insecure)
            message_event(
                &(struct log_event){LOG_WARNING, "insecure", NULL},
                "tcpgreet: --insecure: the certificate is not verified, the connection may be intercepted");
    }
    run->plan = probe_plan_of(config, run->tls, run->shared);
    run->pause_ms = PAUSE_MIN_MS;
    run->start_ns = uv_hrtime();
    run->output.queue = output_open(&run->loop, run->output.fd, on_output_changed, run, err);
    return run->output.queue != NULL ? watch(run, err) : -1;
}

/* Returns: the exit code where the verdict has been reported, else -1 with err. */
static int conclude(const struct run *run, const struct err *verdict, struct err *err)
{
    if (verdict->reason != ERR_OK && !probe_output_is_complete(&run->output)) {
        *err = *verdict;
        return -1;
    }
    return err_exit_code(verdict->reason);
}

/* Writes what is to be written at the end. Returns: as probe. */
static int report(struct run *run, struct err *err)
{
    if (err->reason != ERR_OK)
        return -1;
    if (run->signal != 0 && run->last.started_s == 0)
        return signals_set_end(run->signal, err); /* nothing is known */
    if ((is_series(run) ? probe_output_summary(&run->output, &run->sum, &run->last, err)
                        : probe_output_result(&run->output, &run->last, err)) < 0)
        return -1;
    if (run->config->format == FORMAT_NAGIOS)
        return run->output.plugin_code;
    if (run->signal == SIGTERM || (run->signal != 0 && !is_series(run)))
        return signals_set_end(run->signal, err);
    return conclude(run, is_series(run) ? &run->sum.worst : &run->last.verdict, err);
}

/* Waits until what was queued is written, for as long as --timeout and SIGINT let it, and for
 * OUTPUT_GRACE_MS. Returns: code, or -1 with err. */
static int deliver(struct run *run, int code, struct err *err)
{
    struct output *queue = run->output.queue;
    int64_t left_ms = run->config->timeout_ms - elapsed_ms(run);
    bool is_cut = run->signal != 0 || (run->config->timeout_ms > 0 && left_ms <= OUTPUT_GRACE_MS);

    uv_timer_stop(&run->limit);
    run->is_delivering = true;
    run->err = &run->delivery;
    if (queue != NULL && !is_cut && output_is_pending(queue)) {
        uv_update_time(&run->loop);
        if (run->config->timeout_ms > 0)
            uv_timer_start(&run->limit, on_limit, (uint64_t)left_ms, 0);
        uv_run(&run->loop, UV_RUN_DEFAULT);
    }
    bool is_failed = output_close(queue, OUTPUT_GRACE_MS, run->err) < 0;
    if (is_failed && run->signal != 0)
        signals_set_end(run->signal, run->err);
    if (!is_failed || (run->signal != 0 && err->reason != ERR_OK))
        return code;
    *err = run->delivery;
    return -1;
}

int probe(const struct probe_config *config, struct err *err)
{
    struct run *run = calloc(1, sizeof(*run));
    int code = -1;

    if (run != NULL)
        run->shared = conn_shared_new(&run->loop);
    if (run == NULL || run->shared == NULL)
        err_set(err, ERR_INTERNAL, 0, "no memory for a probe");
    if (run == NULL || run->shared == NULL || loop_open(&run->loop, err) < 0) {
        if (run != NULL)
            free(run->shared);
        free(run);
        return -1;
    }
    run->config = config;
    run->err = err;
    if (prepare(run, err) == 0) {
        start_round(&run->pause);
        uv_run(&run->loop, UV_RUN_DEFAULT); /* at least to use up the stop of a round that did not start */
        uv_timer_stop(&run->progress);
        clear_progress(run);
        code = report(run, err);
    }
    code = deliver(run, code, err);
    bool becomes = code == 0 && config->command != NULL;
    close_run(run);
    trace_to(NULL, NULL);
    return becomes ? probe_command_run(config->command) : code;
}
