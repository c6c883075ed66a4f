#include "worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "pace.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/link/connector.h"
#include "tcpgreet/os/alarm.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/tls/stream_tls.h"

enum {
    NAME_BYTES = 32,
    OPENINGS_AT_ONCE = 32, /* connections opened in one turn of the loop, */
    RAMP_MS = 1,           /* and the time between such turns: a ramp, not a burst of SYNs */
    RETRY_MS = 50,         /* after a connection failed, before the next in its place */
    GRACE_MS = 3000        /* for the last answers and final messages */
};

/* One dialogue at a time, and then the next in the same place. */
struct connection {
    struct conn conn;
    struct session session;
    struct bench_worker *worker;
    struct connection *next; /* in the worker's list of waiting, or of idle connections */
    const struct endpoint *endpoint;
    uint64_t opened_ns;
    uint64_t sent_ns; /* when the name that awaits its answer was sent, or scheduled; 0: none */
    uint64_t sent;    /* names, in this dialogue */
    bool open;
    bool up; /* the handshake is complete */
    char name[NAME_BYTES];
};

struct bench_worker {
    struct bench_plan plan;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t limit;   /* the end of the run, then of the final answers */
    uv_timer_t opening; /* opens what waits to be opened */
    struct alarm alarm; /* open loop: the next name is due */
    struct tls_client *tls;
    struct connection *connections;
    struct connection *waiting; /* to be opened */
    struct connection *idle;    /* open loop: ready, no name is scheduled yet */
    struct pace pace;
    uint64_t open_count;
    uint64_t sequence; /* of names */
    uint64_t endpoint_turn;
    uint64_t source_turn;
    atomic_bool stop;
    atomic_bool has_ended;
    atomic_uint_fast64_t names; /* greeted; written by the worker's thread, read by any */
    bool ending;
    uint64_t retry_ms; /* by the loop's clock: not before, after a connection has failed */
    struct bench_result result;
    struct conn_shared shared;
};

static void end_run(struct bench_worker *worker);
static void end_if_over(struct bench_worker *worker);

static void push(struct connection **list, struct connection *connection)
{
    connection->next = *list;
    *list = connection;
}

/* Of a list that is not empty. */
static struct connection *pop(struct connection **list)
{
    struct connection *connection = *list;
    *list = connection->next;
    return connection;
}

static void count_failure(struct bench_worker *worker, const struct err *err)
{
    worker->result.failures[err->reason < ERR_REASON_COUNT ? err->reason : ERR_INTERNAL]++;
}

/* A name that no other dialogue of this run sends, so that an answer to another one is detected. */
static struct bytes next_name(struct connection *connection)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    struct bench_worker *worker = connection->worker;
    uint64_t number = worker->sequence++ * worker->plan.count + worker->plan.index;
    char *end = connection->name + NAME_BYTES;
    char *at = end;

    do {
        *--at = digits[number & 31];
        number >>= 5;
    } while (number > 0);
    *--at = 'n';
    return (struct bytes){at, (size_t)(end - at)};
}

static void send_bytes(struct connection *connection, struct bytes name)
{
    session_send(&connection->session, name, conn_now_ms(&connection->conn));
    conn_resume(&connection->conn);
}

static void send_name(struct connection *connection, uint64_t since_ns)
{
    connection->sent_ns = since_ns;
    connection->sent++;
    send_bytes(connection, next_name(connection));
}

static void send_exit(struct connection *connection)
{
    connection->sent_ns = 0;
    send_bytes(connection, BYTES_LITERAL(GREETING_EXIT));
}

static void set_alarm(struct bench_worker *worker)
{
    if (worker->idle != NULL)
        alarm_set(&worker->alarm, pace_due_ns(&worker->pace));
}

/* Sends the next name or exit, or waits until a name is scheduled. */
static void proceed(struct connection *connection, uint64_t now_ns)
{
    struct bench_worker *worker = connection->worker;
    uint64_t due_ns;

    if (worker->ending || (worker->plan.names > 0 && connection->sent == worker->plan.names)) {
        send_exit(connection);
    } else if (worker->plan.rate <= 0) {
        send_name(connection, now_ns);
    } else if (pace_take(&worker->pace, now_ns, &due_ns)) {
        send_name(connection, due_ns);
    } else {
        push(&worker->idle, connection);
        set_alarm(worker);
    }
}

static void count_answer(struct connection *connection, uint64_t now_ns)
{
    struct bench_result *result = &connection->worker->result;
    double at_s = (double)(now_ns - connection->worker->plan.start_ns) / 1e9;
    size_t slot = (size_t)(at_s / result->slot_s);

    histogram_record(&result->answers, (int64_t)(now_ns - connection->sent_ns));
    result->names++;
    atomic_store_explicit(&connection->worker->names, result->names, memory_order_relaxed);
    result->slots[slot < BENCH_SLOTS ? slot : BENCH_SLOTS - 1]++;
    connection->sent_ns = 0;
}

static void on_ready(void *context)
{
    struct connection *connection = context;
    uint64_t now_ns = uv_hrtime();
    if (connection->sent_ns != 0)
        count_answer(connection, now_ns);
    proceed(connection, now_ns);
}

static void on_up(void *context)
{
    struct connection *connection = context;
    struct bench_worker *worker = connection->worker;

    connection->up = true;
    histogram_record(&worker->result.connects, (int64_t)(uv_hrtime() - connection->opened_ns));
    worker->result.connections++;
    if (worker->tls != NULL && stream_tls_resumed(connection->conn.stream))
        worker->result.resumed++;
}

/* None was ever connected, every address was tried, and every place has failed once, or all that were tried.
 */
static bool has_only_failed(const struct bench_worker *worker)
{
    uint64_t failed = bench_result_failed(&worker->result);
    return worker->result.connections == 0 && failed >= worker->plan.endpoint_count &&
           (failed >= worker->plan.connections || worker->open_count == 0);
}

static void open_waiting_after(struct bench_worker *worker, uint64_t delay_ms);

static void on_done(void *context, const struct conn_result *result)
{
    struct connection *connection = context;
    struct bench_worker *worker = connection->worker;

    connection->open = false;
    worker->open_count--;
    if (result->err != NULL)
        count_failure(worker, result->err);
    for (struct connection **link = &worker->idle; *link != NULL; link = &(*link)->next)
        if (*link == connection) {
            *link = connection->next;
            break;
        }
    if (worker->ending) {
        end_if_over(worker);
        return;
    }
    push(&worker->waiting, connection);
    if (result->err != NULL)
        worker->retry_ms = uv_now(&worker->loop) + RETRY_MS;
    if (has_only_failed(worker))
        end_run(worker);
    open_waiting_after(worker, 0);
}

static struct stream *begin_stream(struct bench_worker *worker, struct connection *connection,
                                   struct err *err)
{
    const struct bench_plan *plan = &worker->plan;
    const struct connector_policy policy = {
        .proxy = plan->proxy, .send_proxy = plan->send_proxy, .tls = worker->tls, .host = plan->host};
    const struct endpoint *source =
        plan->source_count > 0 ? &plan->sources[worker->source_turn++ % plan->source_count] : NULL;

    connection->endpoint = &plan->endpoints[worker->endpoint_turn++ % plan->endpoint_count];
    if (worker->tls != NULL && !plan->resume)
        tls_client_forget(worker->tls);
    return connector_connect(&policy, connection->endpoint, source, err);
}

static void open_connection(struct bench_worker *worker, struct connection *connection)
{
    static const struct conn_events events = {.up = on_up, .ready = on_ready, .done = on_done};
    struct conn_config config = {.shared = &worker->shared,
                                 .dialogue = &connection->session.dialogue,
                                 .events = &events,
                                 .context = connection,
                                 .handshake_ms = worker->plan.connect_ms};
    struct err err = {0};

    connection->opened_ns = uv_hrtime();
    connection->sent_ns = connection->sent = 0;
    connection->up = false;
    session_init_client(&connection->session, worker->plan.policy);
    struct stream *stream = begin_stream(worker, connection, &err);
    if (stream == NULL || conn_start(&connection->conn, &config, stream, &err) < 0) {
        count_failure(worker, &err);
        push(&worker->waiting, connection);
        worker->retry_ms = uv_now(&worker->loop) + RETRY_MS;
        return;
    }
    connection->open = true;
    worker->open_count++;
}

static void open_waiting(struct bench_worker *worker)
{
    for (int i = 0; i < OPENINGS_AT_ONCE && worker->waiting != NULL && !worker->ending &&
                    uv_now(&worker->loop) >= worker->retry_ms;
         i++)
        open_connection(worker, pop(&worker->waiting));
    if (has_only_failed(worker))
        end_run(worker);
    open_waiting_after(worker, RAMP_MS);
}

static void on_opening(uv_timer_t *timer)
{
    open_waiting(timer->data);
}

/* Or when it is worth trying again after a failure. */
static void open_waiting_after(struct bench_worker *worker, uint64_t delay_ms)
{
    uint64_t now = uv_now(&worker->loop);
    if (worker->ending || worker->waiting == NULL || uv_is_active((uv_handle_t *)&worker->opening))
        return;
    uv_timer_start(&worker->opening, on_opening,
                   worker->retry_ms > now + delay_ms ? worker->retry_ms - now : delay_ms, 0);
}

static void send_due(void *context)
{
    struct bench_worker *worker = context;
    uint64_t now_ns = uv_hrtime(), due_ns;
    while (!worker->ending && worker->idle != NULL && pace_take(&worker->pace, now_ns, &due_ns))
        send_name(pop(&worker->idle), due_ns);
    set_alarm(worker);
}

static void end_idle(struct bench_worker *worker)
{
    while (worker->idle != NULL)
        send_exit(pop(&worker->idle));
}

static void abort_all(struct bench_worker *worker)
{
    for (size_t i = 0; i < worker->plan.connections; i++) {
        struct connection *connection = &worker->connections[i];
        struct err err = {0};
        if (!connection->open || connection->conn.stream == NULL) /* NULL: it is being closed */
            continue;
        if (!connection->up)
            stream_handshake_expire(connection->conn.stream, &err);
        else
            err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "the run ended before the answer arrived");
        conn_abort(&connection->conn, &err);
    }
}

static int make_connections(struct bench_worker *worker, struct err *err)
{
    const struct bench_plan *plan = &worker->plan;

    worker->connections = calloc(plan->connections, sizeof *worker->connections);
    if (worker->connections == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for %zu connections", plan->connections);
    for (size_t i = plan->connections; i > 0; i--) {
        worker->connections[i - 1].worker = worker;
        push(&worker->waiting, &worker->connections[i - 1]);
    }
    return 0;
}
static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_handles(struct bench_worker *worker)
{
    if (alarm_is_open(&worker->alarm))
        alarm_close(&worker->alarm, NULL);
    uv_walk(&worker->loop, close_handle, NULL);
}

static void end_if_over(struct bench_worker *worker)
{
    if (worker->ending && worker->open_count == 0)
        close_handles(worker);
}

static void on_grace_expired(uv_timer_t *timer)
{
    abort_all(timer->data);
}

static void end_run(struct bench_worker *worker)
{
    if (worker->ending)
        return;
    worker->ending = true;
    if (worker->plan.rate > 0)
        worker->result.late += pace_behind(&worker->pace, uv_hrtime());
    worker->result.duration_s = (double)(uv_hrtime() - worker->plan.start_ns) / 1e9;
    uv_timer_start(&worker->limit, on_grace_expired, GRACE_MS, 0);
    end_idle(worker);
    end_if_over(worker);
}

static void on_limit(uv_timer_t *timer)
{
    end_run(timer->data);
}

static void on_wake(uv_async_t *async)
{
    struct bench_worker *worker = async->data;
    if (atomic_load(&worker->stop))
        end_run(worker);
}

static void run(void *context)
{
    struct bench_worker *worker = context;
    uint64_t now = uv_hrtime();
    uint64_t start = worker->plan.start_ns;
    int64_t ms = worker->plan.duration_ms - (int64_t)((now > start ? now - start : 0) / 1000000);

    uv_update_time(&worker->loop);
    uv_timer_start(&worker->limit, on_limit, ms > 0 ? (uint64_t)ms : 0, 0);
    open_waiting(worker);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    atomic_store(&worker->has_ended, true);
    uv_async_send(worker->plan.ended);
}

static int prepare(struct bench_worker *worker, struct err *err)
{
    const struct bench_plan *plan = &worker->plan;

    if (make_connections(worker, err) < 0)
        return -1;
    if (plan->tls != NULL && (worker->tls = tls_client_new(plan->tls, err)) == NULL)
        return -1;
    worker->wake.data = worker->limit.data = worker->opening.data = worker;
    uv_timer_init(&worker->loop, &worker->limit); /* which cannot fail */
    uv_timer_init(&worker->loop, &worker->opening);
    int result = uv_async_init(&worker->loop, &worker->wake, on_wake);
    if (result != 0)
        return loop_fail(err, result, "cannot start a worker");
    if (plan->rate > 0) {
        worker->pace = pace_begin(plan->start_ns, plan->rate, plan->index, plan->count);
        if (alarm_open(&worker->alarm, &worker->loop, send_due, worker) != 0)
            return err_set(err, ERR_SYSTEM_OTHER, errno, "cannot create a timer: %s", strerror(errno));
    }
    result = uv_thread_create(&worker->thread, run, worker);
    if (result == 0)
        return 0;
    err_set_no_thread(err, -result);
    return err_context(err, "cannot start a worker");
}

struct bench_worker *bench_worker_start(const struct bench_plan *plan, struct err *err)
{
    struct bench_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a worker");
        return NULL;
    }
    int result = loop_init(&worker->loop);
    if (result != 0) {
        free(worker);
        loop_fail(err, result, "cannot start a worker");
        return NULL;
    }
    worker->plan = *plan;
    worker->shared.loop = &worker->loop;
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
    return atomic_load_explicit(&worker->names, memory_order_relaxed);
}

bool bench_worker_has_ended(struct bench_worker *worker)
{
    return atomic_load(&worker->has_ended);
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
    close_handles(worker);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
    tls_client_free(worker->tls);
    free(worker->connections);
    free(worker);
}
