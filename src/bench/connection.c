#include "worker_state.h"

#include <errno.h>
#include <stdlib.h>

#include "tcpgreet/net/stream_tcp.h"
#include "tcpgreet/tls/stream_tls.h"

enum {
    OPENINGS_AT_ONCE = 32, /* connections begun in one turn of the loop, */
    RAMP_MS = 1,           /* and how far such turns are apart: a ramp, not a wall of SYNs */
    RETRY_MS = 50          /* after a connection failed, before the next in its place */
};

static void push(struct bench_visitor **list, struct bench_visitor *visitor)
{
    visitor->next = *list;
    *list = visitor;
}

static struct bench_visitor *pop(struct bench_visitor **list)
{
    struct bench_visitor *visitor = *list;
    if (visitor != NULL)
        *list = visitor->next;
    return visitor;
}

static void count_failure(struct bench_worker *worker, const struct err *err)
{
    worker->result.failures[err->reason < ERR_REASON_COUNT ? err->reason : ERR_INTERNAL]++;
}

/* A name that no other dialogue of this run says, so that a mixed-up answer is a wrong one. */
static struct bytes next_name(struct bench_visitor *visitor)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    struct bench_worker *worker = visitor->worker;
    uint64_t number = worker->sequence++ * worker->plan.count + worker->plan.index;
    char *end = visitor->name + BENCH_NAME_BYTES;
    char *at = end;

    do {
        *--at = digits[number & 31];
        number >>= 5;
    } while (number > 0);
    *--at = 'n';
    return (struct bytes){at, (size_t)(end - at)};
}

static void say(struct bench_visitor *visitor, uint64_t since_ns)
{
    visitor->said_ns = since_ns;
    visitor->said++;
    conn_say(&visitor->conn, next_name(visitor));
}

static void say_exit(struct bench_visitor *visitor)
{
    visitor->said_ns = 0;
    conn_say(&visitor->conn, BYTES_LITERAL(GREETING_EXIT));
}

/* The dialogue's turn: the next name, the end, or waiting until a name is due. */
static void go_on(struct bench_visitor *visitor, uint64_t now_ns)
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
        bench_alarm_arm(worker);
    }
}

static void count_answer(struct bench_visitor *visitor, uint64_t now_ns)
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
    struct bench_visitor *visitor = context;
    uint64_t now_ns = uv_hrtime();
    if (visitor->said_ns != 0)
        count_answer(visitor, now_ns);
    go_on(visitor, now_ns);
}

static void on_up(void *context)
{
    struct bench_visitor *visitor = context;
    struct bench_worker *worker = visitor->worker;

    visitor->up = true;
    histogram_record(&worker->result.connects, (int64_t)(uv_hrtime() - visitor->opened_ns));
    worker->result.connections++;
    if (worker->tls != NULL && stream_tls_resumed(visitor->conn.stream))
        worker->result.resumed++;
}

/* None was ever connected, every address was tried, and every place has failed once, or all that were tried.
 */
static bool is_hopeless(const struct bench_worker *worker)
{
    uint64_t failed = bench_result_failed(&worker->result);
    return worker->result.connections == 0 && failed >= worker->plan.endpoint_count &&
           (failed >= worker->plan.connections || worker->open_count == 0);
}

static void open_waiting_after(struct bench_worker *worker, uint64_t delay_ms);

static void on_done(void *context, const struct conn_result *result)
{
    struct bench_visitor *visitor = context;
    struct bench_worker *worker = visitor->worker;

    visitor->open = false;
    worker->open_count--;
    if (result->err != NULL)
        count_failure(worker, result->err);
    for (struct bench_visitor **link = &worker->idle; *link != NULL; link = &(*link)->next)
        if (*link == visitor) {
            *link = visitor->next;
            break;
        }
    if (worker->ending) {
        bench_worker_end_if_over(worker);
        return;
    }
    push(&worker->waiting, visitor);
    if (result->err != NULL)
        worker->retry_ms = uv_now(&worker->loop) + RETRY_MS;
    if (is_hopeless(worker))
        bench_worker_end_run(worker);
    open_waiting_after(worker, 0);
}

static struct stream *begin_stream(struct bench_worker *worker, struct bench_visitor *visitor,
                                   struct err *err)
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

static void open_visitor(struct bench_worker *worker, struct bench_visitor *visitor)
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
    visitor->up = false;
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

void bench_visitor_open_waiting(struct bench_worker *worker)
{
    for (int i = 0; i < OPENINGS_AT_ONCE && worker->waiting != NULL && !worker->ending &&
                    uv_now(&worker->loop) >= worker->retry_ms;
         i++)
        open_visitor(worker, pop(&worker->waiting));
    if (is_hopeless(worker))
        bench_worker_end_run(worker);
    open_waiting_after(worker, RAMP_MS);
}

static void on_opening(uv_timer_t *timer)
{
    bench_visitor_open_waiting(timer->data);
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

void bench_visitor_serve_due(struct bench_worker *worker)
{
    uint64_t now_ns = uv_hrtime(), due_ns;
    while (worker->idle != NULL && pace_take(&worker->pace, now_ns, &due_ns))
        say(pop(&worker->idle), due_ns);
    bench_alarm_arm(worker);
}

void bench_visitor_dismiss_idle(struct bench_worker *worker)
{
    struct bench_visitor *visitor;
    while ((visitor = pop(&worker->idle)) != NULL)
        say_exit(visitor);
}

void bench_visitor_abort_all(struct bench_worker *worker)
{
    for (size_t i = 0; i < worker->plan.connections; i++) {
        struct bench_visitor *visitor = &worker->visitors[i];
        struct err err = {0};
        if (!visitor->open || visitor->conn.stream == NULL) /* NULL: it is being closed */
            continue;
        if (!visitor->up)
            stream_waiting(visitor->conn.stream, &err);
        else
            err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "the run was over before the answer came");
        conn_abort(&visitor->conn, &err);
    }
}

int bench_visitor_make_all(struct bench_worker *worker, struct err *err)
{
    const struct bench_plan *plan = &worker->plan;

    worker->visitors = calloc(plan->connections, sizeof *worker->visitors);
    if (worker->visitors == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "no memory for %zu connections", plan->connections);
    for (size_t i = plan->connections; i > 0; i--) {
        worker->visitors[i - 1].worker = worker;
        push(&worker->waiting, &worker->visitors[i - 1]);
    }
    return 0;
}
