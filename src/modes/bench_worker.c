#include "tcpgreet/bench_worker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/timerfd.h>
#include <unistd.h>
#endif
#include <uv.h>

#include "tcpgreet/conn.h"
#include "tcpgreet/pace.h"
#include "tcpgreet/stream_tcp.h"
#include "tcpgreet/stream_tls.h"

enum {
    NAME_BYTES = 32,
    OPENINGS_AT_ONCE = 32, /* connections begun in one turn of the loop, */
    RAMP_MS = 1,           /* and how far such turns are apart: a ramp, not a wall of SYNs */
    RETRY_MS = 50,         /* after a connection failed, before the next in its place */
    FAREWELL_MS = 3000     /* for the last answers and good byes */
};

/* One dialogue at a time, and then the next in the same place. */
struct visitor {
    struct conn conn;
    struct bench_worker *worker;
    struct visitor *next; /* in the worker's list of waiting, or of idle visitors */
    const struct endpoint *endpoint;
    uint64_t opened_ns;
    uint64_t said_ns; /* when the name now asked was said, or due; 0: none */
    uint64_t said;    /* names, in this dialogue */
    bool open;
    char name[NAME_BYTES];
};

struct bench_worker {
    struct bench_plan plan;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t limit;   /* the end of the run, then of the farewells */
    uv_timer_t opening; /* opens what waits to be opened */
    uv_timer_t ticks;   /* open loop, where there is no timerfd */
    uv_poll_t alarm;    /* open loop: the next name is due */
    int alarm_fd;
    struct tls_client *tls;
    struct visitor *visitors;
    struct visitor *waiting; /* to be opened */
    struct visitor *idle;    /* open loop: ready, no name is due */
    struct pace pace;
    uint64_t open_count;
    uint64_t sequence; /* of names */
    uint64_t endpoint_turn;
    uint64_t source_turn;
    atomic_bool stop;
    bool ending;
    uint64_t retry_ms; /* by the loop's clock: not before, after a connection has failed */
    struct bench_result result;
    struct conn_shared shared;
};

static void push(struct visitor **list, struct visitor *visitor)
{
    visitor->next = *list;
    *list = visitor;
}

static struct visitor *pop(struct visitor **list)
{
    struct visitor *visitor = *list;
    if (visitor != NULL)
        *list = visitor->next;
    return visitor;
}

static void count_failure(struct bench_worker *worker, const struct err *err)
{
    worker->result.failures[err->reason < ERR_REASON_COUNT ? err->reason : ERR_INTERNAL]++;
}

/* A name that no other dialogue of this run says, so that a mixed-up answer is a wrong one. */
static struct bytes next_name(struct visitor *visitor)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    struct bench_worker *worker = visitor->worker;
    uint64_t number = worker->sequence++ * worker->plan.count + worker->plan.index;
    char *end = visitor->name + NAME_BYTES;
    char *at = end;

    do {
        *--at = digits[number & 31];
        number >>= 5;
    } while (number > 0);
    *--at = 'n';
    return (struct bytes){at, (size_t)(end - at)};
}

static void say(struct visitor *visitor, uint64_t since_ns)
{
    visitor->said_ns = since_ns;
    visitor->said++;
    conn_say(&visitor->conn, next_name(visitor));
}

static void say_exit(struct visitor *visitor)
{
    visitor->said_ns = 0;
    conn_say(&visitor->conn, BYTES_LITERAL(GREETING_EXIT));
}

static void arm_alarm(struct bench_worker *worker);

/* The dialogue's turn: the next name, the end, or waiting until a name is due. */
static void go_on(struct visitor *visitor, uint64_t now_ns)
{
    struct bench_worker *worker = visitor->worker;
    uint64_t due_ns;

    if (worker->ending || (worker->plan.names > 0 && visitor->said == worker->plan.names)) {
        say_exit(visitor);
    } else if (worker->plan.rate <= 0) {
        say(visitor, now_ns);
    } else if (pace_take(&worker->pace, now_ns, &due_ns)) {
        say(visitor, due_ns);
    } else {
        push(&worker->idle, visitor);
        arm_alarm(worker);
    }
}

static void count_answer(struct visitor *visitor, uint64_t now_ns)
{
    struct bench_result *result = &visitor->worker->result;
    double at_s = (double)(now_ns - visitor->worker->plan.start_ns) / 1e9;
    size_t slot = (size_t)(at_s / result->slot_s);

    histogram_record(&result->answers, (int64_t)(now_ns - visitor->said_ns));
    result->names++;
    result->slots[slot < BENCH_SLOTS ? slot : BENCH_SLOTS - 1]++;
    visitor->said_ns = 0;
}

static void on_ready(void *context)
{
    struct visitor *visitor = context;
    uint64_t now_ns = uv_hrtime();
    if (visitor->said_ns != 0)
        count_answer(visitor, now_ns);
    go_on(visitor, now_ns);
}

static void on_up(void *context)
{
    struct visitor *visitor = context;
    struct bench_worker *worker = visitor->worker;

    histogram_record(&worker->result.connects, (int64_t)(uv_hrtime() - visitor->opened_ns));
    worker->result.connections++;
    if (worker->tls != NULL && stream_tls_resumed(visitor->conn.stream))
        worker->result.resumed++;
}

static void end_if_over(struct bench_worker *worker);
static void end_run(struct bench_worker *worker);
static void open_waiting(struct bench_worker *worker, uint64_t delay_ms);

/* None was ever connected, every address was tried, and every place has failed once, or all that were tried.
 */
static bool is_hopeless(const struct bench_worker *worker)
{
    uint64_t failed = bench_result_failed(&worker->result);
    return worker->result.connections == 0 && failed >= worker->plan.endpoint_count &&
           (failed >= worker->plan.connections || worker->open_count == 0);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct visitor *visitor = context;
    struct bench_worker *worker = visitor->worker;

    visitor->open = false;
    worker->open_count--;
    if (result->err != NULL)
        count_failure(worker, result->err);
    for (struct visitor **link = &worker->idle; *link != NULL; link = &(*link)->next)
        if (*link == visitor) {
            *link = visitor->next;
            break;
        }
    if (worker->ending) {
        end_if_over(worker);
        return;
    }
    push(&worker->waiting, visitor);
    if (result->err != NULL)
        worker->retry_ms = uv_now(&worker->loop) + RETRY_MS;
    if (is_hopeless(worker))
        end_run(worker);
    open_waiting(worker, 0);
}

static struct stream *begin_stream(struct bench_worker *worker, struct visitor *visitor, struct err *err)
{
    const struct bench_plan *plan = &worker->plan;
    const struct endpoint *source =
        plan->source_count > 0 ? &plan->sources[worker->source_turn++ % plan->source_count] : NULL;

    visitor->endpoint = &plan->endpoints[worker->endpoint_turn++ % plan->endpoint_count];
    int fd = stream_tcp_connect(visitor->endpoint, source, err);
    struct stream *stream = fd >= 0 ? stream_tcp_new_connecting(fd, visitor->endpoint, err) : NULL;
    if (stream != NULL && worker->tls != NULL) {
        if (!plan->resume)
            tls_client_forget(worker->tls);
        stream = tls_client_stream(worker->tls, stream, plan->host, err);
    }
    return stream;
}

static void open_visitor(struct bench_worker *worker, struct visitor *visitor)
{
    static const struct conn_events events = {.up = on_up, .ready = on_ready, .done = on_done};
    struct conn_config config = {.shared = &worker->shared,
                                 .policy = worker->plan.policy,
                                 .events = &events,
                                 .context = visitor,
                                 .role = CONN_CLIENT};
    struct err err = {0};

    visitor->opened_ns = uv_hrtime();
    visitor->said_ns = visitor->said = 0;
    struct stream *stream = begin_stream(worker, visitor, &err);
    if (stream == NULL || conn_start(&visitor->conn, &config, stream, &err) < 0) {
        count_failure(worker, &err);
        push(&worker->waiting, visitor);
        worker->retry_ms = uv_now(&worker->loop) + RETRY_MS;
        return;
    }
    visitor->open = true;
    worker->open_count++;
}

static void on_opening(uv_timer_t *timer)
{
    struct bench_worker *worker = timer->data;

    for (int i = 0; i < OPENINGS_AT_ONCE && worker->waiting != NULL && !worker->ending &&
                    uv_now(&worker->loop) >= worker->retry_ms;
         i++)
        open_visitor(worker, pop(&worker->waiting));
    if (is_hopeless(worker))
        end_run(worker);
    open_waiting(worker, RAMP_MS);
}

/* After delay_ms, or when it is worth trying again after a failure. */
static void open_waiting(struct bench_worker *worker, uint64_t delay_ms)
{
    uint64_t now = uv_now(&worker->loop);
    if (worker->ending || worker->waiting == NULL || uv_is_active((uv_handle_t *)&worker->opening))
        return;
    uv_timer_start(&worker->opening, on_opening,
                   worker->retry_ms > now + delay_ms ? worker->retry_ms - now : delay_ms, 0);
}

/* Gives names that are due to visitors that wait for one. */
static void serve_due(struct bench_worker *worker)
{
    uint64_t now_ns = uv_hrtime(), due_ns;
    while (worker->idle != NULL && pace_take(&worker->pace, now_ns, &due_ns))
        say(pop(&worker->idle), due_ns);
    arm_alarm(worker);
}

#ifdef __linux__
static void on_alarm(uv_poll_t *poll, int status, int events)
{
    struct bench_worker *worker = poll->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    if (read(worker->alarm_fd, &expirations, sizeof expirations) > 0 && !worker->ending)
        serve_due(worker);
}

static void arm_alarm(struct bench_worker *worker)
{
    uint64_t due = pace_due_ns(&worker->pace);
    struct itimerspec when = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};
    if (worker->idle != NULL)
        timerfd_settime(worker->alarm_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int open_alarm(struct bench_worker *worker)
{
    worker->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); /* uv_hrtime's clock */
    if (worker->alarm_fd < 0 || uv_poll_init(&worker->loop, &worker->alarm, worker->alarm_fd) != 0)
        return -1;
    worker->alarm.data = worker;
    return uv_poll_start(&worker->alarm, UV_READABLE, on_alarm);
}

static void close_alarm(struct bench_worker *worker)
{
    if (worker->alarm_fd >= 0)
        close(worker->alarm_fd);
}
#else
static void on_tick(uv_timer_t *timer)
{
    struct bench_worker *worker = timer->data;
    if (!worker->ending)
        serve_due(worker);
}

static void arm_alarm(struct bench_worker *worker)
{
    uint64_t now = uv_hrtime(), due = pace_due_ns(&worker->pace);
    if (worker->idle != NULL)
        uv_timer_start(&worker->ticks, on_tick, due > now ? (due - now) / 1000000 : 0, 0);
}

static int open_alarm(struct bench_worker *worker)
{
    (void)worker;
    return 0;
}

static void close_alarm(struct bench_worker *worker)
{
    (void)worker;
}
#endif

static void close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void end_if_over(struct bench_worker *worker)
{
    if (worker->ending && worker->open_count == 0)
        uv_walk(&worker->loop, close_handle, NULL);
}

static void on_farewells_over(uv_timer_t *timer)
{
    struct bench_worker *worker = timer->data;
    struct err err = {0};
    err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "the run was over before the answer came");
    for (uint64_t i = 0; i < worker->plan.connections; i++)
        if (worker->visitors[i].open)
            conn_abort(&worker->visitors[i].conn, &err);
}

/* The run is over: who is ready says exit, the others after their answer. */
static void end_run(struct bench_worker *worker)
{
    if (worker->ending)
        return;
    worker->ending = true;
    if (worker->plan.rate > 0)
        worker->result.late += pace_behind(&worker->pace, uv_hrtime());
    worker->result.duration_s = (double)(uv_hrtime() - worker->plan.start_ns) / 1e9;
    uv_timer_start(&worker->limit, on_farewells_over, FAREWELL_MS, 0);
    struct visitor *visitor;
    while ((visitor = pop(&worker->idle)) != NULL)
        say_exit(visitor);
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
    on_opening(&worker->opening);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
}

static int prepare(struct bench_worker *worker, struct err *err)
{
    const struct bench_plan *plan = &worker->plan;

    worker->visitors = calloc(plan->connections, sizeof *worker->visitors);
    if (worker->visitors == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "no memory for %llu connections",
                       (unsigned long long)plan->connections);
    for (uint64_t i = plan->connections; i > 0; i--) {
        worker->visitors[i - 1].worker = worker;
        push(&worker->waiting, &worker->visitors[i - 1]);
    }
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
        if (open_alarm(worker) != 0)
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
    worker->result.slot_s = (double)plan->duration_ms / 1000 / BENCH_SLOTS;
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
    close_alarm(worker);
    tls_client_free(worker->tls);
    free(worker->visitors);
    free(worker);
}
