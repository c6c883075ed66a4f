#include "worker_state.h"

#include <errno.h>
#include <stdlib.h>

#include "tcpgreet/base/trace.h"

enum { FAREWELL_MS = 2 * 1000 /* for the good byes after a drain to be read */ };

void worker_finish_if_empty(struct worker *worker)
{
    if (worker->obeyed == RUN || worker->guests != NULL || uv_is_closing((uv_handle_t *)&worker->wake))
        return;
    uv_close((uv_handle_t *)&worker->wake, NULL);
    uv_close((uv_handle_t *)&worker->timer, NULL);
}

/* First the time for dialogues to finish is over, then the time for the good byes. */
static void on_drain_over(uv_timer_t *timer)
{
    struct worker *worker = timer->data;

    if (worker->farewell_said) {
        worker_abort_guests(worker);
        return;
    }
    worker->farewell_said = true;
    worker_say_farewell(worker);
    uv_timer_start(timer, on_drain_over, FAREWELL_MS, 0);
}

static void take_up_tls(struct worker *worker)
{
    struct tls_server *tls = atomic_exchange(&worker->new_tls, NULL);
    if (tls == NULL)
        return;
    tls_server_inherit(tls, worker->tls);
    tls_server_free(worker->tls);
    worker->tls = tls;
}

static void begin_end(struct worker *worker)
{
    worker_close_listeners(worker);
    if (worker->obeyed == STOP)
        worker_abort_guests(worker);
    else
        uv_timer_start(&worker->timer, on_drain_over, (uint64_t)worker->config.drain_ms, 0);
    worker_finish_if_empty(worker);
}

static void on_wake(uv_async_t *async)
{
    struct worker *worker = async->data;
    enum command command = (enum command)atomic_load(&worker->command);
    bool fresh = command > worker->obeyed;

    worker->obeyed = command;
    take_up_tls(worker);
    worker_take_arrivals(worker);
    if (fresh)
        begin_end(worker);
}

static void run(void *context)
{
    struct worker *worker = context;
    trace(.step = TRACE_WAIT, .fd = -1);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    if (worker->config.stopped != NULL)
        worker->config.stopped(worker->config.context);
}

/* Puts the loop's handles in place and starts the thread. */
static int prepare(struct worker *worker, struct err *err)
{
    int result = uv_async_init(&worker->loop, &worker->wake, on_wake);
    if (result == 0)
        result = uv_timer_init(&worker->loop, &worker->timer);
    worker->wake.data = worker->timer.data = worker;
    if (result == 0)
        result = worker_open_listeners(worker);
    if (result == 0)
        result = uv_thread_create(&worker->thread, run, worker);
    return result == 0 ? 0 : err_set(err, ERR_INTERNAL, 0, "cannot start a worker: %s", uv_strerror(result));
}

static void close_any(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Takes down what never ran, or has ended. */
static void dismantle(struct worker *worker)
{
    uv_walk(&worker->loop, close_any, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
    uv_mutex_destroy(&worker->inbox.mutex);
    for (size_t i = 0; i < worker->config.listener_count; i++)
        listener_close(&worker->listeners[i].listener);
    tls_server_free(worker->tls);
    tls_server_free(atomic_load(&worker->new_tls));
    free(worker);
}

/* Returns: a worker with a loop and a lock, or NULL. */
static struct worker *allocate(size_t listeners, struct err *err)
{
    struct worker *worker = calloc(1, sizeof *worker + listeners * sizeof worker->listeners[0]);
    if (worker == NULL || uv_mutex_init(&worker->inbox.mutex) != 0) {
        free(worker);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a worker");
        return NULL;
    }
    int result = uv_loop_init(&worker->loop);
    if (result == 0)
        return worker;
    if (result == UV_EMFILE || result == UV_ENFILE)
        err_set(err, ERR_SYSTEM_DESCRIPTORS, -result, "no descriptors for a worker (raise ulimit -n)");
    else
        err_set(err, ERR_INTERNAL, -result, "cannot start a worker: %s", uv_strerror(result));
    uv_mutex_destroy(&worker->inbox.mutex);
    free(worker);
    return NULL;
}

struct worker *worker_start(const struct worker_config *config, struct err *err)
{
    struct worker *worker = allocate(config->listener_count, err);

    if (worker == NULL) {
        for (size_t i = 0; i < config->listener_count; i++)
            listener_close(&(struct listener){config->listeners[i].fd, config->listeners[i].at});
        tls_server_free(config->tls);
        return NULL;
    }
    worker->config = *config;
    worker->config.listeners = NULL;
    worker->tls = config->tls;
    worker->shared.loop = &worker->loop;
    worker->shared.handshake_ms = config->handshake_ms;
    for (size_t i = 0; i < config->listener_count; i++)
        worker->listeners[i].listener = config->listeners[i];
    if (prepare(worker, err) < 0) {
        dismantle(worker);
        return NULL;
    }
    return worker;
}

void worker_stop(struct worker *worker, bool at_once)
{
    int due = at_once ? STOP : DRAIN, command = atomic_load(&worker->command);
    while (command < due) {
        if (atomic_compare_exchange_weak(&worker->command, &command, due)) {
            uv_async_send(&worker->wake);
            return;
        }
    }
}

void worker_replace_tls(struct worker *worker, struct tls_server *tls)
{
    tls_server_free(atomic_exchange(&worker->new_tls, tls)); /* one that was never taken up */
    uv_async_send(&worker->wake);
}

void worker_count(struct worker *worker, struct worker_counters *sum)
{
#define ADD_FIELD(name, words)                                                                               \
    sum->name += atomic_load_explicit(&worker->counters.name, memory_order_relaxed);
    WORKER_COUNTERS(ADD_FIELD)
#undef ADD_FIELD
    sum->names += atomic_load_explicit(&worker->shared.names, memory_order_relaxed);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    uv_thread_join(&worker->thread);
    dismantle(worker);
}
