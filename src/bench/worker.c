#include "worker_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FAREWELL_MS = 3000 }; /* for the last answers and good byes */

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void bench_worker_end_if_over(struct bench_worker *worker)
{
    if (worker->ending && worker->open_count == 0)
        uv_walk(&worker->loop, close_handle, NULL);
}

static void on_farewells_over(uv_timer_t *timer)
{
    bench_visitor_abort_all(timer->data);
}

void bench_worker_end_run(struct bench_worker *worker)
{
    if (worker->ending)
        return;
    worker->ending = true;
    if (worker->plan.rate > 0)
        worker->result.late += pace_behind(&worker->pace, uv_hrtime());
    worker->result.duration_s = (double)(uv_hrtime() - worker->plan.start_ns) / 1e9;
    uv_timer_start(&worker->limit, on_farewells_over, FAREWELL_MS, 0);
    bench_visitor_dismiss_idle(worker);
    bench_worker_end_if_over(worker);
}

static void on_limit(uv_timer_t *timer)
{
    bench_worker_end_run(timer->data);
}

static void on_wake(uv_async_t *async)
{
    struct bench_worker *worker = async->data;
    if (atomic_load(&worker->stop))
        bench_worker_end_run(worker);
}

static void run(void *context)
{
    struct bench_worker *worker = context;
    uint64_t now = uv_hrtime();
    uint64_t start = worker->plan.start_ns;
    int64_t ms = worker->plan.duration_ms - (int64_t)((now > start ? now - start : 0) / 1000000);

    uv_update_time(&worker->loop);
    uv_timer_start(&worker->limit, on_limit, ms > 0 ? (uint64_t)ms : 0, 0);
    bench_visitor_open_waiting(worker);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
}

static int prepare(struct bench_worker *worker, struct err *err)
{
    const struct bench_plan *plan = &worker->plan;

    if (bench_visitor_make_all(worker, err) < 0)
        return -1;
    if (plan->tls != NULL && (worker->tls = tls_client_new(plan->tls, err)) == NULL)
        return -1;
    worker->wake.data = worker->limit.data = worker->opening.data = worker->ticks.data = worker;
    if (uv_async_init(&worker->loop, &worker->wake, on_wake) != 0 ||
        uv_timer_init(&worker->loop, &worker->limit) != 0 ||
        uv_timer_init(&worker->loop, &worker->opening) != 0 ||
        uv_timer_init(&worker->loop, &worker->ticks) != 0)
        return err_set(err, ERR_INTERNAL, 0, "cannot prepare a loop");
    if (plan->rate > 0) {
        worker->pace = pace_begin(plan->start_ns, plan->rate, plan->index, plan->count);
        if (bench_alarm_open(worker) != 0)
            return err_set(err, ERR_SYSTEM_OTHER, errno, "cannot make a timer: %s", strerror(errno));
    }
    if (uv_thread_create(&worker->thread, run, worker) != 0)
        return err_set(err, ERR_SYSTEM_OTHER, 0, "cannot start a thread");
    return 0;
}

struct bench_worker *bench_worker_start(const struct bench_plan *plan, struct err *err)
{
    struct bench_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL || uv_loop_init(&worker->loop) != 0) {
        free(worker);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a worker");
        return NULL;
    }
    worker->plan = *plan;
    worker->alarm_fd = -1;
    worker->shared.loop = &worker->loop;
    worker->shared.handshake_ms = plan->connect_ms;
    worker->result.slot_s = (double)plan->duration_ms / 1000 / (double)BENCH_SLOTS;
    if (prepare(worker, err) == 0)
        return worker;
    bench_worker_free(worker);
    return NULL;
}

void bench_worker_stop(struct bench_worker *worker)
{
    atomic_store(&worker->stop, true);
    uv_async_send(&worker->wake);
}

uint64_t bench_worker_names(struct bench_worker *worker)
{
    return atomic_load_explicit(&worker->shared.names, memory_order_relaxed);
}

void bench_worker_join(struct bench_worker *worker)
{
    uv_thread_join(&worker->thread);
}

const struct bench_result *bench_worker_result(const struct bench_worker *worker)
{
    return &worker->result;
}

void bench_worker_free(struct bench_worker *worker)
{
    if (worker == NULL)
        return;
    uv_walk(&worker->loop, close_handle, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
    bench_alarm_close(worker);
    tls_client_free(worker->tls);
    free(worker->visitors);
    free(worker);
}
