#include "tcpgreet/bench/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "addresses.h"
#include "tcpgreet/format/atomic_file.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/link/connector.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/output.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/os/signals.h"
#include "worker.h"

enum {
    RESERVED_DESCRIPTORS = 32,
    DESCRIPTORS_A_WORKER = 8,
    PORTS_AN_ADDRESS = 28232, /* Linux's default ip_local_port_range, 32768 to 60999 */
    PROGRESS_MS = 500,
    PROGRESS_BYTES = 128
};

struct run {
    const struct bench_config *config;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS_OF_END];
    uv_timer_t progress;
    uv_async_t ended; /* a worker has */
    struct bench_addresses addresses;
    struct proxy_route route; /* through the proxy, if there is one */
    struct session_policy policy;
    struct bench_worker *workers[BENCH_WORKERS_MAX];
    size_t worker_count;
    uint64_t start_ns;
    uint64_t reported_names;
    struct output *output; /* NULL: the result is not there yet */
    int signal;            /* that ended the run; 0 */
    bool on_terminal;
};

/* Reports before the run what it would exhaust. */
static int check_resources(const struct run *run, struct err *err)
{
    size_t connections = (size_t)run->config->connections;
    size_t limit = process_raise_descriptors();
    size_t needed = connections + RESERVED_DESCRIPTORS + run->worker_count * DESCRIPTORS_A_WORKER;
    size_t sources = run->addresses.source_count > 0 ? run->addresses.source_count : 1;
    size_t ports = PORTS_AN_ADDRESS * sources * run->addresses.endpoint_count;

    if (needed > limit)
        return err_set(
            err, ERR_SYSTEM_DESCRIPTORS, 0,
            "%zu connections need %zu file descriptors, but the hard limit is %zu (raise it with ulimit -Hn)",
            connections, needed, limit);
    if (connections > ports)
        return err_set(
            err, ERR_SYSTEM_OTHER, 0,
            "%zu connections need more than the %zu local ports available (add source addresses with --source FIRST-LAST)",
            connections, ports);
    return 0;
}

static uint64_t count_names(const struct run *run)
{
    uint64_t names = 0;
    for (size_t i = 0; i < run->worker_count; i++)
        names += run->workers[i] != NULL ? bench_worker_names(run->workers[i]) : 0;
    return names;
}

static void on_progress(uv_timer_t *timer)
{
    struct run *run = timer->data;
    uint64_t names = count_names(run);
    double seconds = (double)(uv_hrtime() - run->start_ns) / 1e9;
    char text[PROGRESS_BYTES];

    snprintf(text, sizeof text, "%5.1f of %.1f s, %llu names, %.0f names/s", seconds,
             (double)run->config->duration_ms / 1000, (unsigned long long)names,
             (double)(names - run->reported_names) * 1000 / (double)PROGRESS_MS);
    message_show_progress(text);
    run->reported_names = names;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct run *run = signal->data;

    run->signal = number;
    if (run->output != NULL || run->workers[0] == NULL) /* the workers have ended, or not begun */
        uv_stop(&run->loop);
    else
        for (size_t i = 0; i < run->worker_count; i++)
            bench_worker_stop(run->workers[i]);
}

static void on_worker_ended(uv_async_t *ended)
{
    struct run *run = ended->data;
    size_t count = 0;

    while (count < run->worker_count && bench_worker_has_ended(run->workers[count]))
        count++;
    if (count == run->worker_count)
        uv_stop(&run->loop);
}

static int watch_workers(struct run *run, struct err *err)
{
    int result = uv_async_init(&run->loop, &run->ended, on_worker_ended);
    return result == 0 ? 0 : loop_fail(err, result, "cannot watch the workers");
}

/* The first of them, before their time. */
static void end_workers(struct run *run, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bench_worker_stop(run->workers[i]);
    for (size_t i = 0; i < count; i++)
        bench_worker_join(run->workers[i]);
}

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int start_workers(struct run *run, struct err *err)
{
    const struct bench_config *config = run->config;
    size_t connections = (size_t)config->connections;

    run->start_ns = uv_hrtime();
    for (size_t i = 0; i < run->worker_count; i++) {
        struct bench_plan plan = {
            .host = config->target.host,
            .proxy = config->proxy.kind != PROXY_NONE ? &run->route : NULL,
            .send_proxy = config->send_proxy,
            .endpoints = run->addresses.endpoints,
            .endpoint_count = run->addresses.endpoint_count,
            .sources = run->addresses.sources,
            .source_count = run->addresses.source_count,
            .tls = config->use_tls ? &config->tls : NULL,
            .policy = &run->policy,
            .connections = connections / run->worker_count + (i < connections % run->worker_count),
            .names = (uint64_t)config->names,
            .rate = config->rate,
            .resume = config->resume,
            .index = (unsigned)i,
            .count = (unsigned)run->worker_count,
            .start_ns = run->start_ns,
            .duration_ms = config->duration_ms,
            .connect_ms = config->connect_timeout_ms,
            .ended = &run->ended,
        };
        run->workers[i] = bench_worker_start(&plan, err);
        if (run->workers[i] == NULL) {
            end_workers(run, i);
            return -1;
        }
    }
    return 0;
}

/* Waits for the workers; signals and the progress line are handled meanwhile. */
static void wait_for_workers(struct run *run)
{
    if (run->on_terminal)
        uv_timer_start(&run->progress, on_progress, PROGRESS_MS, PROGRESS_MS);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < run->worker_count; i++)
        bench_worker_join(run->workers[i]);
    uv_close((uv_handle_t *)&run->ended, NULL); /* the last may have woken it once more */
    if (run->on_terminal)
        message_clear_progress();
}

static void describe(const struct run *run, struct bench_result *result)
{
    const struct bench_config *config = run->config;
    target_format(&config->target, result->target, sizeof result->target);
    if (config->proxy.kind != PROXY_NONE)
        proxy_format(&config->proxy, result->proxy, sizeof result->proxy);
    result->tls = config->use_tls;
    result->open_loop = config->rate > 0;
    result->rate_asked = config->rate;
    result->connections_asked = (uint64_t)config->connections;
    result->runs = 1;
    result->slot_s = (double)config->duration_ms / 1000 / (double)BENCH_SLOTS;
}

static bool is_plot_output(const char *plot)
{
    return plot != NULL && strcmp(plot, "-") == 0;
}

/* After the result; to standard output it has been written instead of that. */
static int write_plot(const struct bench_result *result, const char *path, struct err *err)
{
    struct atomic_file file;

    if (path == NULL || is_plot_output(path))
        return 0;
    if (atomic_file_open(&file, "--plot", path, err) < 0)
        return -1;
    bench_result_plot(result, file.out);
    return atomic_file_close(&file, "--plot", err);
}

static void print_result(enum format format, const char *plot, const struct bench_result *result, FILE *out)
{
    if (is_plot_output(plot))
        bench_result_plot(result, out);
    else if (format == FORMAT_JSON)
        bench_result_json(result, out);
    else if (format == FORMAT_PROMETHEUS)
        bench_result_prometheus(result, out);
    else
        bench_result_text(result, out);
}

static void on_output_changed(void *context)
{
    struct run *run = context;
    if (!output_is_pending(run->output))
        uv_stop(&run->loop);
}

static int queue_result(struct run *run, const struct bench_result *result, struct err *err)
{
    struct output_text text;

    if (output_text_open(&text, err) < 0)
        return -1;
    print_result(run->config->format, run->config->plot, result, text.file);
    return output_text_close(&text, run->output, err);
}

/* Waits until the result is written, or a signal comes. */
static int write_result(struct run *run, const struct bench_result *result, struct err *err)
{
    run->output = output_open(&run->loop, STDOUT_FILENO, on_output_changed, run, err);
    if (run->output == NULL)
        return -1;
    int status = queue_result(run, result, err);
    if (run->signal == 0 && output_is_pending(run->output))
        uv_run(&run->loop, UV_RUN_DEFAULT);
    struct err why = {0};
    if (output_close(run->output, OUTPUT_GRACE_MS, &why) < 0 && status == 0)
        status = err_set_from(err, &why, "%s", why.text);
    if (status == 0)
        status = write_plot(result, run->config->plot, err);
    return status;
}

/* The run ends with the most frequent failure. */
static int judge(const struct bench_result *result, struct err *err)
{
    uint64_t failed = bench_result_failed(result);
    size_t worst = 0;

    for (size_t i = 1; i < ERR_REASON_COUNT; i++)
        if (result->failures[i] > result->failures[worst])
            worst = i;
    if (failed == 0)
        return 0;
    return err_set(err, (enum err_reason)worst, 0, "%llu dialogue%s failed (run --probe for the cause)",
                   (unsigned long long)failed, failed == 1 ? "" : "s");
}

static void measure(struct run *run, struct bench_result *result)
{
    wait_for_workers(run);
    describe(run, result);
    for (size_t i = 0; i < run->worker_count; i++)
        bench_result_add(result, bench_worker_result(run->workers[i]));
}

static int run_bench(struct run *run, struct err *err)
{
    struct bench_result *result = calloc(1, sizeof *result);
    int status = -1;

    if (result == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a result");
    if (start_workers(run, err) == 0) {
        measure(run, result);
        status = write_result(run, result, err) == 0 ? judge(result, err) : -1;
    }
    for (size_t i = 0; i < run->worker_count; i++)
        bench_worker_free(run->workers[i]);
    free(result);
    return status;
}

static int find_route(struct run *run, struct err *err)
{
    const struct bench_config *config = run->config;
    return config->proxy.kind == PROXY_NONE
               ? 0
               : connector_route(&run->route, &config->proxy, &config->target, err);
}

int bench(const struct bench_config *config, struct err *err)
{
    struct run *run = calloc(1, sizeof *run);
    int status = -1;

    if (run == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a bench");
    if (loop_open(&run->loop, err) < 0) {
        free(run);
        return -1;
    }
    run->config = config;
    run->policy = (struct session_policy){
        .answer_ms = config->answer_timeout_ms, .framing = config->framing, .over_tls = config->use_tls};
    run->worker_count = config->workers > 0 ? (size_t)config->workers : 1;
    if (run->worker_count > (size_t)config->connections)
        run->worker_count = (size_t)config->connections;
    run->on_terminal = isatty(STDERR_FILENO) == 1 && !config->quiet;
    run->progress.data = run->ended.data = run;
    uv_timer_init(&run->loop, &run->progress); /* which cannot fail */
    if (watch_workers(run, err) == 0 &&
        signals_watch_end(&run->loop, run->signals, on_signal, run, err) == 0 && find_route(run, err) == 0 &&
        bench_addresses_find(&run->addresses, config, &run->loop, err) == 0 && check_resources(run, err) == 0)
        status = run_bench(run, err);
    if (run->signal != 0)
        status = signals_set_end(run->signal, err);
    uv_walk(&run->loop, close_handle, NULL);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    uv_loop_close(&run->loop);
    free(run);
    return status;
}

static int read_result(const char *path, struct bench_result *result, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot read %s: %s", path, strerror(errno));
    int status = bench_result_read(file, path, result, err);
    (void)fclose(file);
    return status;
}

/* There is nothing to wait for beside it: a signal ends the process. */
static int write_sum(const struct bench_merge_config *config, const struct bench_result *sum, struct err *err)
{
    print_result(config->format, config->plot, sum, stdout);
    if (fflush(stdout) != 0 || ferror(stdout))
        return err_set(err, ERR_SYSTEM_OUTPUT, errno, "cannot write to standard output: %s", strerror(errno));
    return write_plot(sum, config->plot, err);
}

int bench_merge(const struct bench_merge_config *config, struct err *err)
{
    struct bench_result *sum = calloc(2, sizeof *sum);
    int status = 0;

    if (sum == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for the results");
    for (size_t i = 0; status == 0 && i < config->file_count; i++) {
        status = read_result(config->files[i], &sum[i > 0], err);
        if (status == 0 && i > 0)
            bench_result_add(&sum[0], &sum[1]);
        if (status == 0 && !bench_result_fits(&sum[0]))
            status = err_set(err, ERR_SYSTEM_FILE, 0,
                             "%s: its sum with the results before it exceeds what a result can hold",
                             config->files[i]);
    }
    if (status == 0)
        status = write_sum(config, &sum[0], err);
    free(sum);
    return status;
}
