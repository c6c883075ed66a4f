#include "tcpgreet/probe/engine.h"

#include <errno.h>
#include <stdlib.h>

#include "contexts.h"
#include "output.h"
#include "report.h"
#include "round.h"

/* Invariants: in_flight is the number of jobs in the list; open is that of jobs whose handle is not closed
 * yet, these included. */
struct probe_engine {
    struct conn_shared shared;
    struct probe_contexts contexts;
    struct tcp_interfaces interfaces;
    struct probe_job *first;
    size_t limit;
    size_t in_flight;
    size_t open;
    bool is_closed;
};

/* Invariant: round == NULL: it could not begin, and the timer delivers why. */
struct probe_job {
    struct probe_engine *engine;
    struct probe_job *next, *previous;
    const struct probe_config *config;
    struct probe_context *context_of_tls; /* NULL: plain */
    struct probe_plan plan;
    struct probe_round *round;
    struct probe_result *result; /* NULL once it is handed over */
    uv_timer_t timer;            /* the probe's --timeout */
    probe_job_done_fn *done;
    void *context;
};

struct probe_engine *probe_engine_open(uv_loop_t *loop, const struct probe_engine_config *config,
                                       struct err *err)
{
    struct probe_engine *engine = calloc(1, sizeof *engine);

    if (engine == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for probes");
        return NULL;
    }
    engine->shared.loop = loop;
    engine->limit = config->limit;
    return engine;
}

size_t probe_engine_in_flight(const struct probe_engine *engine)
{
    return engine->in_flight;
}

bool probe_engine_is_full(const struct probe_engine *engine)
{
    return engine->in_flight >= engine->limit;
}

static void link_job(struct probe_engine *engine, struct probe_job *job)
{
    job->next = engine->first;
    if (job->next != NULL)
        job->next->previous = job;
    engine->first = job;
    engine->in_flight++;
    engine->open++;
}

static void unlink_job(struct probe_engine *engine, struct probe_job *job)
{
    if (job->next != NULL)
        job->next->previous = job->previous;
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        engine->first = job->next;
    engine->in_flight--;
}

static void free_if_over(struct probe_engine *engine)
{
    if (!engine->is_closed || engine->open > 0)
        return;
    probe_contexts_fini(&engine->contexts);
    tcp_interfaces_fini(&engine->interfaces);
    free(engine);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct probe_job *job = handle->data;
    struct probe_engine *engine = job->engine;

    free(job);
    engine->open--;
    free_if_over(engine);
}

/* It is in flight no more. Returns: its result. */
static struct probe_result *end(struct probe_job *job)
{
    struct probe_result *result = job->result;

    unlink_job(job->engine, job);
    probe_contexts_put(&job->engine->contexts, job->context_of_tls);
    job->result = NULL;
    uv_close((uv_handle_t *)&job->timer, on_timer_closed);
    return result;
}

/* The job may be the engine's last, and the owner may close the engine. */
static void finish(struct probe_job *job)
{
    probe_job_done_fn *done = job->done;
    void *context = job->context;

    probe_alerts_judge(job->result, &job->config->limits);
    done(context, end(job));
}

static void on_round(void *context, struct probe_result *result)
{
    struct probe_job *job = context;

    (void)result;
    job->round = NULL;
    finish(job);
}

/* Its time is over; or it never began. */
static void on_timer(uv_timer_t *timer)
{
    struct probe_job *job = timer->data;

    if (job->round != NULL) {
        probe_round_cancel(job->round);
        job->round = NULL;
        probe_result_simulate(job->result, job->plan.attempt_delay_ms, job->plan.connect_timeout_ms);
        probe_late(job->result, job->config->timeout_ms);
    }
    finish(job);
}

/* Returns: 0, -1: what keeps it from beginning. */
static int begin(struct probe_job *job, struct err *err)
{
    const struct probe_config *config = job->config;

    if (config->use_tls) {
        job->context_of_tls = probe_contexts_get(&job->engine->contexts, &config->tls, err);
        if (job->context_of_tls == NULL)
            return -1;
        job->plan.tls = job->context_of_tls->client;
    }
    job->round = probe_round_start(&job->plan, job->result, on_round, job, err);
    return job->round != NULL ? 0 : -1;
}

struct probe_job *probe_engine_submit(struct probe_engine *engine, const struct probe_config *config,
                                      probe_job_done_fn *done, void *context, struct err *err)
{
    struct probe_job *job = calloc(1, sizeof *job);
    struct probe_result *result = calloc(1, sizeof *result);
    struct err why = {0};

    if (job == NULL || result == NULL) {
        free(job);
        free(result);
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a probe");
        return NULL;
    }
    *job = (struct probe_job){.engine = engine,
                              .config = config,
                              .plan = probe_plan_of(config, NULL, &engine->shared),
                              .result = result,
                              .done = done,
                              .context = context};
    job->plan.interfaces = &engine->interfaces;
    uv_timer_init(engine->shared.loop, &job->timer); /* which cannot fail */
    job->timer.data = job;
    link_job(engine, job);
    if (begin(job, &why) < 0) {
        probe_round_describe(&job->plan, result);
        result->tls = config->use_tls;
        err_set_from(&result->verdict, &why, "%s", why.text);
        uv_timer_start(&job->timer, on_timer, 0, 0);
    } else if (config->timeout_ms > 0) {
        uv_timer_start(&job->timer, on_timer, (uint64_t)config->timeout_ms, 0);
    }
    return job;
}

struct probe_result *probe_job_cancel(struct probe_job *job)
{
    if (job->round != NULL) {
        probe_round_cancel(job->round);
        probe_result_simulate(job->result, job->plan.attempt_delay_ms, job->plan.connect_timeout_ms);
        probe_result_judge(job->result);
    }
    return end(job);
}

int probe_engine_reload(struct probe_engine *engine, struct err *err)
{
    return probe_contexts_reload(&engine->contexts, err);
}

void probe_engine_close(struct probe_engine *engine)
{
    if (engine == NULL)
        return;
    while (engine->first != NULL)
        probe_result_free(probe_job_cancel(engine->first));
    engine->is_closed = true;
    free_if_over(engine);
}
