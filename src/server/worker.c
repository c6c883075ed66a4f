#include "worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "accept.h"
#include "connection.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/os/loop.h"

enum {
    DRAIN_IDLE_MS = 1000,   /* silence that ends a dialogue during a drain, unless a name is begun */
    FINAL_MESSAGE_MS = 1500 /* after a drain, for the final messages to be read */
};

enum command { RUN, DRAIN, STOP };

/* What other workers have accepted for this one. Invariants: each has its place; once closed, it stays empty.
 */
struct queue {
    uv_mutex_t mutex; /* of all that follows */
    struct accepted_socket sockets[WORKER_QUEUE];
    size_t count;
    bool closed;
};

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t timer; /* the drain's deadlines */
    struct worker_config config;
    struct session_policy drain_policy;
    struct accept *accept;
    struct connections connections;
    struct counters counters;
    struct measures measures;
    struct queue queue;
    size_t turn; /* whose the next connection is: an index of peers, or peer_count: its own */
    _Atomic(struct tls_server *) new_tls; /* to be taken up, from other threads; NULL */
    atomic_int command;                   /* enum command, set from other threads */
    atomic_uint pings;                    /* counted by other threads */
    atomic_uint answered;                 /* of them */
    enum command obeyed;
    bool final_message_sent;
    bool is_started;
    bool has_ended; /* under the queue's lock: its loop runs no more */
};

/* Returns: false where the worker is to end, or its queue is full. */
static bool push(struct worker *to, const struct accepted_socket *accepted)
{
    struct queue *queue = &to->queue;

    uv_mutex_lock(&queue->mutex);
    bool pushed = !queue->closed && queue->count < WORKER_QUEUE;
    if (pushed) {
        queue->sockets[queue->count++] = *accepted;
        uv_async_send(&to->wake); /* within the lock: a worker that has closed its queue is not woken */
    }
    uv_mutex_unlock(&queue->mutex);
    return pushed;
}

/* Hands a connection off to the peer whose turn it is. Returns: false where it is this worker's own. */
static bool hand_off(struct worker *worker, const struct accepted_socket *accepted)
{
    size_t turn = worker->turn;
    worker->turn = turn < worker->config.peer_count ? turn + 1 : 0;
    return turn < worker->config.peer_count && push(worker->config.peers[turn], accepted);
}

/* Serves what other workers have handed off, or closes it under a stop at once. A worker that is to end
 * closes its queue with this. */
static void serve_queue(struct worker *worker)
{
    struct accepted_socket sockets[WORKER_QUEUE];
    struct queue *queue = &worker->queue;

    uv_mutex_lock(&queue->mutex);
    size_t count = queue->count;
    memcpy(sockets, queue->sockets, count * sizeof *sockets);
    queue->count = 0;
    queue->closed = worker->obeyed != RUN;
    uv_mutex_unlock(&queue->mutex);

    for (size_t i = 0; i < count; i++) {
        if (worker->obeyed == STOP)
            connections_drop(&worker->connections, &sockets[i]);
        else
            connections_serve(&worker->connections, &sockets[i]);
    }
}

static void on_accepted(void *context, const struct accepted_socket *accepted)
{
    struct worker *worker = context;
    if (!connections_reserve(&worker->connections, accepted))
        connections_reject(&worker->connections, accepted);
    else if (!hand_off(worker, accepted))
        connections_serve(&worker->connections, accepted);
}

static void on_paused(void *context)
{
    struct worker *worker = context;
    counters_add(&worker->counters.pauses, 1);
}

static void on_failed(void *context, const struct err *err)
{
    struct worker *worker = context;
    if (worker->config.failed != NULL)
        worker->config.failed(worker->config.context, err);
}

/* Closes what keeps the loop running, where it is to end and no connection is left. */
static void finish_if_empty(struct worker *worker)
{
    if (worker->obeyed == RUN || worker->connections.first != NULL ||
        uv_is_closing((uv_handle_t *)&worker->wake))
        return;
    connections_fini(&worker->connections);
    uv_close((uv_handle_t *)&worker->wake, NULL);
    uv_close((uv_handle_t *)&worker->timer, NULL);
}

/* From any thread. */
static void on_handshake_over(void *context)
{
    struct worker *worker = context;
    uv_async_send(&worker->wake);
}

static void on_connection_ended(void *context)
{
    struct worker *worker = context;
    accept_retry(worker->accept);
    finish_if_empty(worker);
}

/* The drain timeout expires first, then the time for the final messages. */
static void on_drain_over(uv_timer_t *timer)
{
    struct worker *worker = timer->data;

    if (worker->final_message_sent) {
        connections_abort(&worker->connections);
        return;
    }
    worker->final_message_sent = true;
    connections_stop(&worker->connections);
    uv_timer_start(timer, on_drain_over, FINAL_MESSAGE_MS, 0);
}

static void take_up_tls(struct worker *worker)
{
    struct tls_server *tls = atomic_exchange(&worker->new_tls, NULL);
    if (tls == NULL)
        return;
    tls_server_inherit(tls, worker->connections.streams.tls);
    tls_server_free(worker->connections.streams.tls);
    worker->connections.streams.tls = tls;
    if (worker->config.replaced != NULL)
        worker->config.replaced(worker->config.context);
}

static void begin_end(struct worker *worker)
{
    accept_stop(worker->accept, worker->obeyed == DRAIN);
    if (worker->obeyed == STOP) {
        connections_abort(&worker->connections);
    } else {
        connections_set_policy(&worker->connections, &worker->drain_policy);
        uv_timer_start(&worker->timer, on_drain_over, (uint64_t)worker->config.drain_ms, 0);
    }
    finish_if_empty(worker);
}

static void on_wake(uv_async_t *async)
{
    struct worker *worker = async->data;
    enum command command = (enum command)atomic_load(&worker->command);
    bool is_new = command > worker->obeyed;

    worker->obeyed = command;
    atomic_store(&worker->answered, atomic_load(&worker->pings));
    take_up_tls(worker);
    serve_queue(worker);
    connections_wake(&worker->connections);
    if (is_new)
        begin_end(worker);
}

static void run(void *context)
{
    struct worker *worker = context;
    trace(.step = TRACE_WAIT, .fd = -1);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_mutex_lock(&worker->queue.mutex);
    worker->has_ended = true;
    uv_mutex_unlock(&worker->queue.mutex);
    take_up_tls(worker); /* what came too late to be noticed */
    if (worker->config.stopped != NULL)
        worker->config.stopped(worker->config.context);
}

/* Takes: the listeners' descriptors, also on failure. */
static struct accept *new_accept(struct worker *worker, const struct worker_config *config)
{
    static const struct accept_events events = {
        .accepted = on_accepted, .paused = on_paused, .failed = on_failed};
    return accept_new(&(struct accept_config){.listeners = config->listeners,
                                              .listener_count = config->listener_count,
                                              .log = config->accept_log,
                                              .events = &events,
                                              .context = worker});
}

static int init_connections(struct worker *worker, const struct worker_config *config)
{
    return connections_init(&worker->connections,
                            &(struct connections_config){.loop = &worker->loop,
                                                         .policy = config->policy,
                                                         .limits = config->limits,
                                                         .handshake_ms = config->handshake_ms,
                                                         .counters = &worker->counters,
                                                         .measures = &worker->measures,
                                                         .wake = on_handshake_over,
                                                         .ended = on_connection_ended,
                                                         .context = worker},
                            &config->streams);
}

static int fail(struct err *err, int result)
{
    return loop_fail(err, result, "cannot start a worker");
}

/* Returns: a worker with a loop and a lock, or NULL with err. Takes: what worker_new takes. */
static struct worker *allocate(const struct worker_config *config, struct err *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    struct accept *accept = new_accept(worker, config);
    int result = worker == NULL || accept == NULL ? UV_ENOMEM : uv_mutex_init(&worker->queue.mutex);
    if (result == 0) {
        result = loop_init(&worker->loop);
        if (result == 0) {
            worker->accept = accept;
            return worker;
        }
        uv_mutex_destroy(&worker->queue.mutex);
    }
    fail(err, result);
    accept_free(accept);
    tls_server_free(config->streams.tls);
    free(worker);
    return NULL;
}

/* Puts the loop's handles in place. */
static int prepare(struct worker *worker, const struct worker_config *config, struct err *err)
{
    int result = uv_async_init(&worker->loop, &worker->wake, on_wake);
    if (result == 0)
        result = uv_timer_init(&worker->loop, &worker->timer);
    worker->wake.data = worker->timer.data = worker;
    worker->connections.streams = config->streams;
    if (result == 0)
        result = accept_start(worker->accept, &worker->loop);
    if (result == 0)
        result = init_connections(worker, config);
    return result == 0 ? 0 : fail(err, result);
}

static void close_any(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Frees a worker that never ran or has ended. */
static void dismantle(struct worker *worker)
{
    connections_fini(&worker->connections);
    uv_walk(&worker->loop, close_any, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
    uv_mutex_destroy(&worker->queue.mutex);
    accept_free(worker->accept);
    tls_server_free(worker->connections.streams.tls);
    tls_server_free(atomic_load(&worker->new_tls));
    free(worker);
}

struct worker *worker_new(const struct worker_config *config, struct err *err)
{
    struct worker *worker = allocate(config, err);
    if (worker == NULL)
        return NULL;
    worker->config = *config;
    worker->config.listeners = NULL;
    worker->drain_policy = *config->policy;
    worker->drain_policy.is_stopping = true;
    if (worker->drain_policy.idle_ms > DRAIN_IDLE_MS)
        worker->drain_policy.idle_ms = DRAIN_IDLE_MS;
    if (prepare(worker, config, err) < 0) {
        dismantle(worker);
        return NULL;
    }
    return worker;
}

int worker_start(struct worker *worker, struct err *err)
{
    int result = uv_thread_create(&worker->thread, run, worker);
    worker->is_started = result == 0;
    if (result == 0)
        return 0;
    err_set_no_thread(err, -result);
    return err_context(err, "cannot start a worker");
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

bool worker_replace_tls(struct worker *worker, struct tls_server *tls)
{
    uv_mutex_lock(&worker->queue.mutex);
    bool has_ended = worker->has_ended;
    if (!has_ended) {
        atomic_store(&worker->new_tls, tls);
        uv_async_send(&worker->wake);
    }
    uv_mutex_unlock(&worker->queue.mutex);
    if (has_ended)
        tls_server_free(tls);
    return !has_ended;
}

void worker_ping(struct worker *worker)
{
    atomic_fetch_add(&worker->pings, 1);
    uv_async_send(&worker->wake);
}

bool worker_has_answered(const struct worker *worker)
{
    return atomic_load(&worker->answered) == atomic_load(&worker->pings);
}

void worker_count(struct worker *worker, struct counters_sum *sum)
{
    counters_sum(&worker->counters, sum);
}

void worker_measure(struct worker *worker, struct measures_sum *sum)
{
    measures_sum(&worker->measures, sum);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    if (worker->is_started)
        uv_thread_join(&worker->thread);
    dismantle(worker);
}
