#include "round.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attempt.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/link/connector.h"
#include "tcpgreet/net/resolver.h"

/* Invariant: holds == trials and questions in progress; the round ends when there are none. */
struct probe_round {
    struct probe_scope scope;
    struct probe_result *result; /* NULL once it is cancelled */
    probe_round_done_fn *done;
    void *context;
    struct resolver *resolver; /* NULL once it has reported all that is awaited of it */
    uv_timer_t deadline;
    struct probe_trial *trials[RACE_FAMILIES];
    size_t trial_count[RACE_FAMILIES];
    unsigned holds;
};

static void each_trial(struct probe_round *round, void (*call)(struct probe_trial *trial))
{
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        for (size_t i = 0; i < round->trial_count[family]; i++)
            call(&round->trials[family][i]);
}

static bool is_unanswered(const struct probe_answer *answer)
{
    return answer->asked && answer->count == 0 && answer->err.reason == ERR_OK;
}

/* The end of what was asked for: a second connection for resumption takes its time, but is no part of it. */
static int64_t latest_ns(const struct probe_result *result)
{
    int64_t latest_ns = 0;
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        if (result->answers[family].span.end_ns > latest_ns)
            latest_ns = result->answers[family].span.end_ns;
    for (size_t i = 0; i < result->address_count; i++)
        for (size_t phase = 0; phase < PROBE_PHASES; phase++)
            if (result->addresses[i].spans[phase].end_ns > latest_ns)
                latest_ns = result->addresses[i].spans[phase].end_ns;
    for (size_t i = 0; i < result->address_count; i++)
        if (result->addresses[i].listened_ns > latest_ns)
            latest_ns = result->addresses[i].listened_ns;
    return latest_ns;
}

static void conclude(const struct probe_round *round)
{
    struct probe_result *result = round->result;
    int64_t latest = latest_ns(result);

    if (latest > result->total_ns)
        result->total_ns = latest;
    probe_result_compare(result);
    probe_result_simulate(result, round->scope.plan.attempt_delay_ms, round->scope.plan.connect_timeout_ms);
    probe_result_judge(result);
}

static void on_deadline_closed(uv_handle_t *handle)
{
    struct probe_round *round = handle->data;
    struct probe_result *result = round->result;
    probe_round_done_fn *done = round->done;
    void *context = round->context;

    if (result != NULL)
        conclude(round);
    each_trial(round, probe_trial_fini);
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        free(round->trials[family]);
    free(round);
    if (result != NULL)
        done(context, result);
}

static void hold(struct probe_round *round)
{
    round->holds++;
}

static void release(struct probe_round *round)
{
    if (--round->holds == 0)
        uv_close((uv_handle_t *)&round->deadline, on_deadline_closed);
}

static void forget_resolver(struct probe_round *round)
{
    if (round->resolver == NULL)
        return;
    resolver_cancel(round->resolver);
    round->resolver = NULL;
    release(round);
}

static void on_deadline(uv_timer_t *timer)
{
    struct probe_round *round = timer->data;
    struct probe_result *result = round->result;

    if (result == NULL)
        return; /* cancelled: what is open is closing */
    hold(round);
    for (unsigned family = 0; family < RACE_FAMILIES; family++) {
        struct probe_answer *answer = &result->answers[family];
        if (!is_unanswered(answer))
            continue;
        result->total_ns = probe_scope_now_ns(&round->scope);
        answer->only_in_hosts =
            resolver_is_only_in_hosts(round->resolver, family == RACE_V6 ? AF_INET6 : AF_INET);
        err_set(&answer->err, answer->only_in_hosts ? ERR_RESOLVE_NOT_FOUND : ERR_RESOLVE_TEMPORARY, 0,
                "no name server answered for the IPv%c addresses of %s within %g s",
                family == RACE_V6 ? '6' : '4', probe_result_resolved(result),
                (double)round->scope.plan.connect_timeout_ms / 1000);
    }
    each_trial(round, probe_trial_expire);
    forget_resolver(round);
    release(round);
}

/* Appends those of endpoints that are not there yet. Returns: how many there are. */
static size_t distinct(const struct endpoint *endpoints, size_t count,
                       struct endpoint found[RACE_ENDPOINTS_PER_FAMILY])
{
    size_t kept = 0;
    for (size_t i = 0; i < count && kept < RACE_ENDPOINTS_PER_FAMILY; i++) {
        size_t twin = 0;
        while (twin < kept && !endpoint_equal(&found[twin], &endpoints[i]))
            twin++;
        if (twin == kept)
            found[kept++] = endpoints[i];
    }
    return kept;
}

/* Makes room for a family's addresses, IPv6 first. Returns: the first of them; NULL: memory is exhausted. */
static struct probe_address *insert(struct probe_result *result, enum race_family family, size_t count)
{
    size_t total = result->address_count + count;
    struct probe_address *all = realloc(result->addresses, total * sizeof *all);
    if (all == NULL)
        return NULL;
    struct probe_address *first = family == RACE_V6 ? all : all + result->address_count;
    memmove(first + count, first, (size_t)(all + result->address_count - first) * sizeof *first);
    memset(first, 0, count * sizeof *first);
    result->addresses = all;
    result->address_count = total;
    result->answers[family].count = count;
    return first;
}

static void describe(struct probe_address *address, const struct endpoint *peer,
                     const struct probe_span *resolve)
{
    address->peer = *peer;
    for (size_t phase = 0; phase < PROBE_PHASES; phase++)
        address->spans[phase] = (struct probe_span){-1, -1};
    address->spans[PROBE_RESOLVE] = *resolve;
}

/* The records have moved: a family's answer makes room for its own. */
static void bind_records(struct probe_round *round)
{
    struct probe_address *record = round->result->addresses;
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        for (size_t i = 0; i < round->trial_count[family]; i++)
            round->trials[family][i].record = record++;
}

static void on_trial_done(void *context)
{
    release(context);
}

static int add_trials(struct probe_round *round, enum race_family family, const struct endpoint *endpoints,
                      size_t count)
{
    struct endpoint found[RACE_ENDPOINTS_PER_FAMILY];
    struct probe_answer *answer = &round->result->answers[family];

    count = distinct(endpoints, count, found);
    struct probe_trial *trials = calloc(count, sizeof *trials);
    struct probe_address *addresses = trials != NULL ? insert(round->result, family, count) : NULL;
    if (addresses == NULL) {
        free(trials);
        return err_set(&answer->err, ERR_INTERNAL, ENOMEM, "no memory for %zu addresses", count);
    }
    for (size_t i = 0; i < count; i++) {
        trials[i].scope = &round->scope;
        trials[i].done = on_trial_done;
        trials[i].context = round;
        trials[i].stage = PROBE_STAGE_OVER;
        describe(&addresses[i], &found[i], &answer->span);
    }
    round->trials[family] = trials;
    round->trial_count[family] = count;
    bind_records(round);
    return 0;
}

static void start_trials(struct probe_round *round, enum race_family family)
{
    for (size_t i = 0; i < round->trial_count[family] && round->scope.plan.until != PROBE_UNTIL_RESOLVE;
         i++) {
        hold(round);
        probe_trial_start(&round->trials[family][i]);
    }
}

static void on_answer(void *context, const struct resolver_answer *reported)
{
    struct probe_round *round = context;
    enum race_family family = reported->family == AF_INET6 ? RACE_V6 : RACE_V4;
    struct probe_answer *answers = round->result->answers;

    uv_update_time(probe_scope_loop(&round->scope));
    hold(round);
    answers[family].span.end_ns = probe_scope_now_ns(&round->scope);
    answers[family].only_in_hosts = reported->only_in_hosts;
    if (reported->count == 0)
        answers[family].err = *reported->err;
    else if (add_trials(round, family, reported->endpoints, reported->count) == 0)
        start_trials(round, family);
    if (!is_unanswered(&answers[RACE_V6]) && !is_unanswered(&answers[RACE_V4]))
        forget_resolver(round);
    release(round);
}

/* A host that cannot be asked for is an answer too. */
static void on_unaskable(uv_timer_t *timer)
{
    release(timer->data);
}

static int ask(struct probe_round *round, const struct resolver_query *query, struct err *err)
{
    struct probe_answer *answers = round->result->answers;
    struct err why = {0};

    round->resolver = resolver_start(probe_scope_loop(&round->scope), query, on_answer, round, &why);
    if (round->resolver != NULL) {
        uv_timer_start(&round->deadline, on_deadline, (uint64_t)round->scope.plan.connect_timeout_ms, 0);
        return 0;
    }
    if (why.reason != ERR_RESOLVE_NOT_FOUND && why.reason != ERR_RESOLVE_TEMPORARY) {
        *err = why;
        return -1;
    }
    for (unsigned family = 0; family < RACE_FAMILIES; family++)
        if (answers[family].asked) {
            answers[family].err = why;
            answers[family].span.end_ns = probe_scope_now_ns(&round->scope);
        }
    uv_timer_start(&round->deadline, on_unaskable, 0, 0);
    return 0;
}

/* Returns: what is resolved and connected to. */
static const struct target *resolved(const struct probe_plan *plan)
{
    return plan->proxy != NULL ? &plan->proxy->at : plan->target;
}

static void describe_proxy(const struct proxy_config *proxy, struct probe_result *result)
{
    proxy_format(proxy, result->proxy, sizeof result->proxy);
    escape_text((struct bytes){proxy->at.host, strlen(proxy->at.host)}, result->proxy_host,
                sizeof result->proxy_host);
}

void probe_round_describe(const struct probe_plan *plan, struct probe_result *result)
{
    const struct target *target = plan->target, *first = resolved(plan);

    *result = (struct probe_result){.literal = first->kind == TARGET_IPV4 || first->kind == TARGET_IPV6,
                                    .tls = plan->tls != NULL,
                                    .until = plan->until,
                                    .require_any = plan->require_any,
                                    .sends_header = plan->send_proxy != PROXY_HEADER_NONE,
                                    .started_s = time(NULL)};
    target_format(target, result->target, sizeof result->target);
    escape_text((struct bytes){target->host, strlen(target->host)}, result->host, sizeof result->host);
    if (plan->proxy != NULL)
        describe_proxy(plan->proxy, result);
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        result->answers[family].span = (struct probe_span){-1, -1};
}

static void describe_questions(const struct resolver_query *query, struct probe_answer answers[RACE_FAMILIES])
{
    answers[RACE_V6].asked = query->want_v6;
    answers[RACE_V4].asked = query->want_v4;
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        if (answers[family].asked)
            answers[family].span.begin_ns = 0;
}

struct probe_round *probe_round_start(const struct probe_plan *plan, struct probe_result *result,
                                      probe_round_done_fn *done, void *context, struct err *err)
{
    struct resolver_query query = {resolved(plan), plan->want_v6, plan->want_v4};
    struct probe_round *round = calloc(1, sizeof *round);
    if (round == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a probe");
        return NULL;
    }
    round->scope.plan = *plan;
    round->result = result;
    round->done = done;
    round->context = context;
    round->scope.policy = (struct session_policy){
        .answer_ms = plan->answer_timeout_ms, .framing = plan->framing, .over_tls = plan->tls != NULL};
    if ((plan->proxy != NULL && connector_route(&round->scope.route, plan->proxy, plan->target, err) < 0) ||
        resolver_narrow(&query, plan->source, &round->scope.source, err) < 0) {
        free(round);
        return NULL;
    }
    uv_timer_init(plan->shared->loop, &round->deadline);
    round->deadline.data = round;
    probe_round_describe(plan, result);
    result->port = round->scope.route.port;
    describe_questions(&query, result->answers);
    uv_update_time(plan->shared->loop);
    round->scope.begin_ns = uv_hrtime();
    hold(round); /* the questions' */
    if (ask(round, &query, err) < 0) {
        round->result = NULL;
        release(round);
        return NULL;
    }
    return round;
}

static void report_interrupted(struct probe_result *result)
{
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        if (is_unanswered(&result->answers[family]))
            err_set(&result->answers[family].err, ERR_INTERRUPTED, 0,
                    "interrupted before the answer arrived");
    err_set(&result->verdict, ERR_INTERRUPTED, 0, "interrupted before the round was complete");
}

void probe_round_cancel(struct probe_round *round)
{
    if (round == NULL)
        return;
    if (uv_is_closing((uv_handle_t *)&round->deadline)) {
        conclude(round); /* done was about to be called */
        round->result = NULL;
        return;
    }
    hold(round);
    each_trial(round, probe_trial_cancel);
    report_interrupted(round->result);
    round->result->total_ns = probe_scope_now_ns(&round->scope);
    round->result = NULL;
    forget_resolver(round);
    release(round);
}
