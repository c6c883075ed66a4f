#include "tcpgreet/probe/targets.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "exposition.h"
#include "output.h"
#include "repeats.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/format/text.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/os/signals.h"
#include "tcpgreet/probe/engine.h"
#include "totals.h"

enum {
    NS_PER_MS = 1000 * 1000,
    PROGRESS_MS = 1000,
    DESCRIPTORS_OF_RUN = 24,   /* standard ones, the loop's, the signals' */
    DESCRIPTORS_OF_PROBE = 8,  /* two addresses, each with a second connection, and two lookups */
    FAILURES_BYTES = 64 * 1024 /* of a plugin's long output */
};

struct run;

/* A target whose probe is in flight. */
struct slot {
    struct run *run;
    struct slot *next, *previous;
    struct probe_target target;
    size_t number; /* in the list, from 1 */
    struct probe_job *job;
};

struct run {
    const struct probe_targets *targets;
    const struct probe_config *common;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS_OF_END];
    uv_timer_t limit;    /* --timeout */
    uv_timer_t progress; /* on a terminal */
    struct probe_engine *engine;
    struct probe_output output;
    struct slot *first;
    size_t next; /* index of the target that is submitted next */
    struct probe_totals totals;
    struct probe_exposition exposition; /* with FORMAT_PROMETHEUS */
    struct repeats repeats;             /* likewise */
    struct output_text failures;        /* a plugin's long output */
    int plugin_code;
    uint64_t start_ns;
    int signal;          /* that ended the run; 0 */
    bool is_wrapped;     /* lines fit the terminal */
    bool shows_progress; /* it stands on the terminal now */
    bool has_warned;     /* of --insecure */
    bool is_over;        /* nothing more is submitted */
    struct err *err;     /* the caller's; while it delivers, its own */
    struct err delivery; /* why the output cannot be written */
};

static int64_t elapsed_ms(const struct run *run)
{
    return (int64_t)(uv_hrtime() - run->start_ns) / NS_PER_MS;
}

/* Returns: what is left of --timeout since start_ns. Shape: there is a --timeout. */
static int64_t limit_ms(const struct run *run)
{
    int64_t left_ms = run->common->timeout_ms - run->targets->took_ms;
    return left_ms > 0 ? left_ms : 1;
}

static void stop(struct run *run)
{
    run->is_over = true;
    uv_stop(&run->loop);
}

static void clear_progress(struct run *run)
{
    if (run->shows_progress)
        message_clear_progress();
    run->shows_progress = false;
}

static int fail_memory(struct err *err)
{
    return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a report");
}

/* Returns: 0, -1: a failure that cannot be counted must not end as OK. */
static int add_failure(struct run *run, const struct slot *slot, const struct probe_result *result)
{
    struct probe_finding doubts[PROBE_FINDINGS_MAX];
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        return fail_memory(run->err);
    int code = probe_report_nagios_line(result, &slot->target.config.limits, out);
    bool is_whole = ferror(out) == 0;
    if (fclose(out) != 0 || !is_whole) {
        free(text);
        return fail_memory(run->err);
    }
    run->plugin_code = probe_plugin_worse(code, run->plugin_code);
    bool is_shown = code != PROBE_PLUGIN_OK || probe_doubts(result, doubts) > 0;
    if (is_shown && ftell(run->failures.file) + (long)length < FAILURES_BYTES)
        (void)fprintf(run->failures.file, "%s\n", text); /* put_plugin checks it */
    free(text);
    return 0;
}

static int queue_line(struct run *run, const struct probe_result *result)
{
    struct probe_output *output = &run->output;

    if (output_text_open(&output->at, run->err) < 0)
        return -1;
    if (run->common->format == FORMAT_JSON)
        probe_report_json(result, output->at.file);
    else
        probe_totals_line(result, &output->style, run->is_wrapped, output->at.file);
    return output_text_close(&output->at, output->queue, run->err);
}

/* Counts a result and reports it. Returns: 0, -1: the output has failed. */
static int report(struct run *run, const struct slot *slot, struct probe_result *result)
{
    bool is_repeated = repeats_has(&run->repeats, result->target);

    result->line = slot->target.line;
    probe_totals_add(&run->totals, result, slot->number);
    switch (run->common->format) {
    case FORMAT_PROMETHEUS:
        probe_exposition_add(&run->exposition, result, is_repeated ? result->line : 0);
        return 0;
    case FORMAT_NAGIOS:
        return add_failure(run, slot, result);
    case FORMAT_TEXT:
        if (run->common->quiet)
            return 0;
        clear_progress(run);
        return queue_line(run, result);
    default:
        return queue_line(run, result);
    }
}

/* Takes it out of those in flight. */
static void free_slot(struct slot *slot)
{
    if (slot->next != NULL)
        slot->next->previous = slot->previous;
    if (slot->previous != NULL)
        slot->previous->next = slot->next;
    else
        slot->run->first = slot->next;
    slot->run->targets->release(slot->run->targets->context, &slot->target);
    free(slot);
}

static void fill(struct run *run);

static void on_done(void *context, struct probe_result *result)
{
    struct slot *slot = context;
    struct run *run = slot->run;
    int reported = report(run, slot, result);

    probe_result_free(result);
    free_slot(slot);
    if (reported < 0)
        stop(run);
    else
        fill(run);
}

static void warn(struct run *run, const struct probe_config *config)
{
    if (!config->use_tls || !config->tls.policy.insecure || run->has_warned)
        return;
    run->has_warned = true;
    message_event(&(struct log_event){LOG_WARNING, "insecure", NULL},
                  "tcpgreet: --insecure: certificates are not verified, connections may be intercepted");
}

/* Starts the next target of the list. Returns: 0, -1 with run->err. */
static int start_next(struct run *run)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    if (slot == NULL)
        return err_set(run->err, ERR_INTERNAL, ENOMEM, "not enough memory for a target");
    slot->run = run;
    slot->next = run->first;
    if (slot->next != NULL)
        slot->next->previous = slot;
    run->first = slot;
    if (run->targets->read(run->targets->context, run->next, &slot->target, run->err) == 0) {
        slot->number = ++run->next;
        warn(run, &slot->target.config);
        slot->job = probe_engine_submit(run->engine, &slot->target.config, on_done, slot, run->err);
    }
    if (slot->job != NULL)
        return 0;
    free_slot(slot);
    return -1;
}

/* Starts as many as may be in flight, as long as their results are read. */
static void fill(struct run *run)
{
    while (!run->is_over && run->next < run->targets->count && !probe_engine_is_full(run->engine) &&
           !output_is_full(run->output.queue))
        if (start_next(run) < 0)
            stop(run);
    if (!run->is_over && run->totals.done == run->targets->count)
        stop(run);
}

static void on_output_changed(void *context)
{
    struct run *run = context;

    if (output_failed(run->output.queue, run->err) < 0)
        stop(run);
    else if (run->is_over && !output_is_pending(run->output.queue))
        uv_stop(&run->loop);
    else
        fill(run);
}

static void on_progress(uv_timer_t *timer)
{
    struct run *run = timer->data;
    struct text_line line = {0};

    text_append(&line, "Probing: %zu of %zu targets finished", run->totals.done, run->targets->count);
    if (probe_totals_failed(&run->totals) > 0)
        text_append(&line, ", %zu failed", probe_totals_failed(&run->totals));
    text_append(&line, ", %.0f s", (double)elapsed_ms(run) / 1000);
    if (output_is_pending(run->output.queue))
        return;
    message_show_progress(line.text);
    run->shows_progress = true;
}

/* Gives up what is in flight; limit_ms: what has expired; 0: a signal came. What was known by then is
 * reported. */
static void give_up(struct run *run, int64_t limit_ms)
{
    run->is_over = true;
    for (struct slot *slot = run->first, *next; slot != NULL; slot = next) {
        next = slot->next;
        struct probe_result *result = probe_job_cancel(slot->job);
        if (limit_ms > 0)
            probe_late(result, limit_ms);
        if (result->verdict.reason != ERR_INTERRUPTED && run->err->reason == ERR_OK)
            (void)report(run, slot, result); /* where that fails, err has it */
        probe_result_free(result);
        free_slot(slot);
    }
    uv_stop(&run->loop);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct run *run = signal->data;

    run->signal = number;
    give_up(run, 0);
}

static void on_limit(uv_timer_t *timer)
{
    struct run *run = timer->data;

    give_up(run, run->common->timeout_ms);
}

/* Returns: how many probes may be in flight: as many as asked for, or as descriptors allow. */
static size_t choose_limit(const struct run *run)
{
    size_t wanted = (size_t)run->targets->parallel;
    size_t descriptors = process_raise_descriptors();
    size_t possible = descriptors < DESCRIPTORS_OF_RUN + 2 * DESCRIPTORS_OF_PROBE
                          ? 1
                          : (descriptors - DESCRIPTORS_OF_RUN) / DESCRIPTORS_OF_PROBE;

    if (wanted > run->targets->count)
        wanted = run->targets->count;
    if (possible >= wanted)
        return wanted;
    if (!run->common->quiet)
        message_event(
            &(struct log_event){LOG_WARNING, "descriptors",
                                LOG_FACTS(log_count("limit", descriptors), log_count("parallel", possible))},
            "tcpgreet: only %zu targets are probed at a time: %zu descriptors may be open (raise ulimit -n)",
            possible, descriptors);
    return possible;
}

/* For exposition: targets that the list has more than once. */
static int find_repeats(struct run *run, struct err *err)
{
    char text[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 4];

    if (run->common->format != FORMAT_PROMETHEUS)
        return 0;
    if (repeats_open(&run->repeats, run->targets->count, err) < 0)
        return -1;
    for (size_t i = 0; i < run->targets->count; i++) {
        struct probe_target target = {0};
        if (run->targets->read(run->targets->context, i, &target, err) < 0)
            return -1;
        repeats_add(&run->repeats, target_format(&target.config.target, text, PROBE_TOTALS_TARGET_BYTES));
        run->targets->release(run->targets->context, &target);
    }
    return probe_exposition_open(&run->exposition, err);
}

static int watch(struct run *run, struct err *err)
{
    const struct probe_config *common = run->common;

    run->limit.data = run->progress.data = run;
    uv_timer_init(&run->loop, &run->limit); /* which cannot fail */
    uv_timer_init(&run->loop, &run->progress);
    if (!common->quiet)
        uv_timer_start(&run->progress, on_progress, PROGRESS_MS, PROGRESS_MS);
    if (signals_watch_end(&run->loop, run->signals, on_signal, run, err) < 0)
        return -1;
    if (common->timeout_ms > 0)
        uv_timer_start(&run->limit, on_limit, (uint64_t)limit_ms(run), 0);
    return 0;
}

static int prepare(struct run *run, struct err *err)
{
    const struct probe_engine_config config = {.limit = choose_limit(run)};

    run->start_ns = uv_hrtime();
    run->totals.targets = run->targets->count;
    probe_output_init(&run->output, run->common);
    run->is_wrapped = isatty(run->output.fd) == 1;
    run->engine = probe_engine_open(&run->loop, &config, err);
    if (run->engine == NULL || watch(run, err) < 0 || find_repeats(run, err) < 0 ||
        (run->common->format == FORMAT_NAGIOS && output_text_open(&run->failures, err) < 0))
        return -1;
    run->output.queue = output_open(&run->loop, run->output.fd, on_output_changed, run, err);
    return run->output.queue != NULL ? 0 : -1;
}

/* Returns: 0, -1 with err. */
static int put_plugin(struct run *run, FILE *out, struct err *err)
{
    run->plugin_code = probe_totals_nagios(&run->totals, run->plugin_code, out);
    if (fflush(run->failures.file) != 0 || ferror(run->failures.file) != 0)
        return fail_memory(err);
    (void)fwrite(run->failures.data, 1, run->failures.length, out); /* output_text_close checks it */
    return 0;
}

/* Returns: 0, -1 with err. */
static int put_end(struct run *run, FILE *out, struct err *err)
{
    switch (run->common->format) {
    case FORMAT_TEXT:
        if (!run->common->quiet)
            probe_totals_text(&run->totals, &run->output.style, out);
        return 0;
    case FORMAT_JSON:
        probe_totals_json(&run->totals, out);
        return 0;
    case FORMAT_PROMETHEUS:
        return probe_exposition_close(&run->exposition, out, err);
    default:
        return put_plugin(run, out, err);
    }
}

/* Returns: the exit code where the failure has been reported, else -1 with err. */
static int conclude(const struct run *run, struct err *err)
{
    const struct probe_totals *totals = &run->totals;

    if (run->common->format == FORMAT_NAGIOS)
        return run->plugin_code;
    if (run->signal != 0)
        return signals_set_end(run->signal, err);
    if (totals->first_failed == 0 && totals->done < totals->targets)
        return err_set(err, ERR_CONNECT_TIMEOUT, 0, "--timeout (%g s) expired before every target was tried",
                       (double)run->common->timeout_ms / 1000);
    if (totals->first_failed != 0 && !probe_output_is_complete(&run->output)) {
        *err = totals->first;
        return -1;
    }
    return err_exit_code(totals->first.reason);
}

static int report_end(struct run *run, struct err *err)
{
    struct probe_output *output = &run->output;

    clear_progress(run);
    if (err->reason != ERR_OK)
        return -1;
    run->totals.elapsed_ns = (int64_t)(uv_hrtime() - run->start_ns);
    if (output_text_open(&output->at, err) < 0)
        return -1;
    int result = put_end(run, output->at.file, err);
    if (output_text_close(&output->at, output->queue, err) < 0 || result < 0)
        return -1;
    return conclude(run, err);
}

/* Waits until what was queued is written: as long as that takes, unless the run was cut short, or is now. */
static int deliver(struct run *run, int code, struct err *err)
{
    struct output *queue = run->output.queue;
    bool is_cut = run->signal != 0 || (run->common->timeout_ms > 0 && elapsed_ms(run) >= limit_ms(run));

    run->err = &run->delivery;
    if (queue != NULL && !is_cut && output_is_pending(queue))
        uv_run(&run->loop, UV_RUN_DEFAULT);
    bool is_failed = output_close(queue, OUTPUT_GRACE_MS, run->err) < 0;
    if (is_failed && run->signal != 0)
        signals_set_end(run->signal, run->err);
    if (!is_failed || (run->signal != 0 && err->reason != ERR_OK))
        return code;
    *err = run->delivery;
    return -1;
}

static void close_run(struct run *run)
{
    uv_handle_t *own[] = {(uv_handle_t *)&run->signals[0], (uv_handle_t *)&run->signals[1],
                          (uv_handle_t *)&run->limit, (uv_handle_t *)&run->progress};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (own[i]->type != UV_UNKNOWN_HANDLE)
            uv_close(own[i], NULL);
    for (struct slot *slot = run->first, *next; slot != NULL; slot = next) {
        next = slot->next;
        probe_result_free(probe_job_cancel(slot->job));
        free_slot(slot);
    }
    probe_engine_close(run->engine);
    (void)probe_exposition_close(&run->exposition, NULL, NULL);
    repeats_close(&run->repeats);
    if (run->failures.file != NULL)
        (void)fclose(run->failures.file);
    free(run->failures.data);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    uv_loop_close(&run->loop);
    free(run);
}

int probe_targets(const struct probe_targets *targets, const struct probe_config *common, struct err *err)
{
    struct run *run = calloc(1, sizeof(*run));
    int code = -1;

    if (run == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a run over targets");
    if (loop_open(&run->loop, err) < 0) {
        free(run);
        return -1;
    }
    run->targets = targets;
    run->common = common;
    run->err = err;
    if (prepare(run, err) == 0) {
        fill(run);
        uv_run(&run->loop, UV_RUN_DEFAULT);
        uv_timer_stop(&run->progress);
        code = report_end(run, err);
    }
    code = deliver(run, code, err);
    close_run(run);
    return code;
}
