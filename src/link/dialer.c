#include "tcpgreet/link/dialer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/trace.h"
#include "tcpgreet/core/race.h"
#include "tcpgreet/net/reach.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/net/stream_tcp.h"

enum { CLAUSES_BYTES = 2 * REACH_TEXT_BYTES + 8 };

/* One connect(2) in progress. Valid until its poll handle is closed. */
struct attempt {
    uv_poll_t poll;
    struct dialer *dialer; /* NULL once it is cancelled or done */
    int number;
    int fd;
    uint64_t begin_ns;
    struct attempt *next;
};

struct dialer {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct resolver *resolver;
    struct attempt *attempts;
    struct race race;
    struct target target;
    const struct endpoint *skip;
    size_t skip_count;
    struct endpoint source; /* AF_UNSPEC: the kernel's choice */
    struct connector_policy policy;
    int64_t timeout_ms;
    dialer_done_fn *done;
    void *context;
    uint64_t begin_ns;
    struct dialer_facts facts;
    struct err resolve_failure;
    bool only_in_hosts;         /* resolve_failure names its family */
    struct err connect_failure; /* of every attempt, one after another, but for those of `missing` */
    enum reach reach;           /* what all of these have in common, with reach_family; REACH_OPEN */
    int reach_family;
    enum reach missing[RACE_FAMILIES]; /* why no address of a family can be reached from here; REACH_OPEN */
};

static void advance(struct dialer *dialer);

static int64_t now_ms(const struct dialer *dialer)
{
    return (int64_t)uv_now(dialer->loop);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Takes the attempt out of the dialer. The descriptor is closed unless it is kept. */
static void drop_attempt(struct attempt *attempt, bool keep)
{
    struct attempt **link = &attempt->dialer->attempts;
    while (*link != attempt)
        link = &(*link)->next;
    *link = attempt->next;
    attempt->dialer = NULL;
    uv_close((uv_handle_t *)&attempt->poll, on_attempt_closed);
    if (!keep)
        stream_tcp_close(attempt->fd);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void dialer_cancel(struct dialer *dialer)
{
    if (dialer == NULL)
        return;
    while (dialer->attempts != NULL)
        drop_attempt(dialer->attempts, false);
    resolver_cancel(dialer->resolver);
    uv_close((uv_handle_t *)&dialer->timer, on_timer_closed);
}

static void finish(struct dialer *dialer, struct stream *stream, const struct err *err)
{
    dialer_done_fn *done = dialer->done;
    void *context = dialer->context;
    struct dialer_facts facts = dialer->facts;
    struct err copy = err != NULL ? *err : (struct err){0};

    facts.total_ns = uv_hrtime() - dialer->begin_ns;
    dialer_cancel(dialer);
    done(context, stream, &facts, err != NULL ? &copy : NULL);
}

static int af_of(enum race_family family)
{
    return family == RACE_V6 ? AF_INET6 : AF_INET;
}

/* What the machine lacks is reported once a family, not with each address. */
static void note_missing(struct dialer *dialer, int family, enum reach reach)
{
    dialer->missing[family == AF_INET6 ? RACE_V6 : RACE_V4] = reach;
}

/* Several attempts, one sentence: the most specific reason stands for all. */
static void note_failure(struct dialer *dialer, int number, enum reach reach, const struct err *why)
{
    static const enum err_reason telling[] = {ERR_CONNECT_REFUSED, ERR_CONNECT_RESET, ERR_CONNECT_UNREACHABLE,
                                              ERR_CONNECT_TIMEOUT};
    int family = endpoint_family(race_endpoint(&dialer->race, number));
    struct err *all = &dialer->connect_failure;

    if (reach_is_impossible(reach)) {
        note_missing(dialer, family, reach);
        return;
    }
    if (all->reason == ERR_OK) {
        *all = *why;
        dialer->reach = reach;
        dialer->reach_family = family;
        return;
    }
    if (reach != dialer->reach || family != dialer->reach_family)
        dialer->reach = REACH_OPEN;
    enum err_reason reason = all->reason;
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++) {
        if (all->reason == telling[i] || why->reason == telling[i]) {
            reason = telling[i];
            break;
        }
    }
    struct err joined = {0};
    err_set_from(&joined, reason == all->reason ? all : why, "%s; %s", all->text, why->text);
    *all = joined;
}

/* Writes what to do, or nothing. Returns: text. */
static const char *remedy(enum err_reason reason, enum reach reach, int family, char text[CLAUSES_BYTES])
{
    char what[REACH_TEXT_BYTES];

    text[0] = '\0';
    if (reason == ERR_CONNECT_REFUSED)
        snprintf(text, CLAUSES_BYTES, " (nothing listens there, or a firewall refuses)");
    else if (reason == ERR_CONNECT_UNREACHABLE && reach != REACH_OPEN)
        snprintf(text, CLAUSES_BYTES, " (%s)", reach_remedy(reach, family, what));
    return text;
}

/* Writes what the machine lacks for the families that were tried, each clause behind a semicolon. Returns:
 * text. */
static const char *put_missing(const struct dialer *dialer, char text[CLAUSES_BYTES])
{
    text[0] = '\0';
    for (unsigned family = 0; family < RACE_FAMILIES; family++) {
        char why[REACH_TEXT_BYTES];
        size_t length = strlen(text);
        if (dialer->missing[family] != REACH_OPEN)
            snprintf(text + length, CLAUSES_BYTES - length, "; %s",
                     reach_text(dialer->missing[family], af_of((enum race_family)family), why));
    }
    return text;
}

static void report_unresolved(const struct dialer *dialer, bool timed_out, struct err *err)
{
    const struct race_config *config = &dialer->race.config;
    const struct err *why = &dialer->resolve_failure;
    int family = config->want_v6 ? AF_INET6 : AF_INET;
    bool one = config->want_v6 != config->want_v4;

    if (timed_out && one && resolver_is_only_in_hosts(dialer->resolver, family))
        err_set(err, ERR_RESOLVE_NOT_FOUND, 0,
                "/etc/hosts has no IPv%c address for %s, and no name server answered within %g s",
                family == AF_INET6 ? '6' : '4', dialer->target.host, (double)dialer->timeout_ms / 1000);
    else if (timed_out)
        err_set(err, ERR_RESOLVE_TEMPORARY, 0, "no name server answered for %s within %g s",
                dialer->target.host, (double)dialer->timeout_ms / 1000);
    else if (why->reason == ERR_RESOLVE_NOT_FOUND && one && !dialer->only_in_hosts)
        err_set_from(err, why, "there is no IPv%c address for %s", family == AF_INET6 ? '6' : '4',
                     dialer->target.host);
    else
        *err = *why;
}

static bool is_literal(const struct dialer *dialer)
{
    return dialer->target.kind == TARGET_IPV4 || dialer->target.kind == TARGET_IPV6;
}

enum err_reason dialer_phase(const struct dialer *dialer)
{
    return dialer->facts.attempts == 0 && !is_literal(dialer) ? ERR_RESOLVE_TEMPORARY : ERR_CONNECT_TIMEOUT;
}

/* No attempt had a chance: this machine lacks the family, or both. */
static void report_missing(const struct dialer *dialer, const char *target, struct err *err)
{
    char missing[CLAUSES_BYTES], what[CLAUSES_BYTES] = "";
    enum reach v6 = dialer->missing[RACE_V6], v4 = dialer->missing[RACE_V4];

    if (v6 == REACH_OPEN || v4 == REACH_OPEN)
        remedy(ERR_CONNECT_UNREACHABLE, v6 != REACH_OPEN ? v6 : v4, v6 != REACH_OPEN ? AF_INET6 : AF_INET,
               what);
    err_set(err, ERR_CONNECT_UNREACHABLE, 0, "cannot connect to %s: %s%s", target,
            put_missing(dialer, missing) + strlen("; "), what);
}

static void give_up(struct dialer *dialer, bool timed_out)
{
    char target[300], missing[CLAUSES_BYTES], what[CLAUSES_BYTES];
    const char *proxy = dialer->policy.proxy != NULL ? "the proxy " : "";
    struct err err = {0};
    const struct err *failed = &dialer->connect_failure;
    double seconds = (double)dialer->timeout_ms / 1000;
    bool literal = is_literal(dialer);

    target_format(&dialer->target, target, sizeof target);
    put_missing(dialer, missing);
    if (dialer->facts.attempts == 0)
        report_unresolved(dialer, timed_out, &err);
    else if (timed_out)
        err_set(&err, ERR_CONNECT_TIMEOUT, 0, "cannot connect to %s%s: no answer within %g s%s%s%s", proxy,
                target, seconds, failed->reason == ERR_OK ? "" : "; ", failed->text, missing);
    else if (failed->reason == ERR_OK)
        report_missing(dialer, target, &err);
    else
        err_set_from(&err, failed, "cannot connect to %s%s%s%s%s%s", proxy, literal ? "" : target,
                     literal ? "" : ": ", failed->text,
                     remedy(failed->reason, dialer->reach, dialer->reach_family, what), missing);
    if (dialer->facts.attempts == 0 && proxy[0] != '\0')
        err_context(&err, "cannot resolve the proxy");
    finish(dialer, NULL, &err);
}

/* What a caller can go on with where the winner turns out to be of no use. */
static void note_others(struct dialer *dialer)
{
    const struct race *race = &dialer->race;
    struct dialer_facts *facts = &dialer->facts;

    facts->is_partial = !race->answered[RACE_V6] || !race->answered[RACE_V4];
    for (unsigned family = 0; family < RACE_FAMILIES; family++)
        for (size_t i = 0; i < race->count[family]; i++)
            if (race->states[family][i] != RACE_FAILED && facts->other_count < DIALER_OTHERS_MAX &&
                !endpoint_equal(&race->endpoints[family][i], &facts->peer))
                facts->others[facts->other_count++] = race->endpoints[family][i];
}

/* The race is won: everything else is closed, done is called. */
static void keep(struct dialer *dialer, int number)
{
    struct attempt *winner = dialer->attempts;
    while (winner->number != number)
        winner = winner->next;

    struct err err = {0};
    int fd = winner->fd;

    trace(.step = TRACE_RACE_WON, .fd = fd, .begin_ns = dialer->begin_ns);
    dialer->facts.peer = *race_endpoint(&dialer->race, number);
    note_others(dialer);
    dialer->facts.connect_ns = uv_hrtime() - winner->begin_ns;
    dialer->facts.local = stream_tcp_local(fd);
    drop_attempt(winner, true);
    for (const struct attempt *other = dialer->attempts; other != NULL; other = other->next)
        trace(.step = TRACE_RACE_LOST, .fd = other->fd);

    struct stream *stream = connector_stream(&dialer->policy, fd, &err);
    finish(dialer, stream, stream == NULL ? &err : NULL);
}

static void on_outcome(uv_poll_t *poll, int status, int events)
{
    struct attempt *attempt = poll->data;
    struct dialer *dialer = attempt->dialer;
    char text[ENDPOINT_TEXT_BYTES];
    struct err err = {0};
    (void)status;
    (void)events;

    const struct endpoint *to = race_endpoint(&dialer->race, attempt->number);
    if (stream_tcp_outcome(attempt->fd, to, attempt->begin_ns, &err) == 0) {
        uv_poll_stop(&attempt->poll);
        race_connected(&dialer->race, attempt->number);
    } else {
        err_context(&err, "%s", endpoint_format(to, text));
        note_failure(dialer, attempt->number, REACH_OPEN, &err);
        race_failed(&dialer->race, attempt->number);
        drop_attempt(attempt, false);
    }
    advance(dialer);
}

/* Returns: 0, or -1 with err. */
static int watch_attempt(struct dialer *dialer, struct attempt *attempt, struct err *err)
{
    int result = uv_poll_init(dialer->loop, &attempt->poll, attempt->fd);
    if (result != 0) {
        stream_tcp_close(attempt->fd);
        free(attempt);
        return err_set(err, ERR_INTERNAL, 0, "cannot watch a connection: %s", uv_strerror(result));
    }
    attempt->poll.data = attempt;
    attempt->dialer = dialer;
    attempt->next = dialer->attempts;
    dialer->attempts = attempt;
    result = uv_poll_start(&attempt->poll, UV_WRITABLE, on_outcome);
    if (result != 0) {
        drop_attempt(attempt, false);
        return err_set(err, ERR_INTERNAL, 0, "cannot watch a connection: %s", uv_strerror(result));
    }
    return 0;
}

/* Returns: 0, or -1 with err where this attempt has failed already. */
static int start_attempt(struct dialer *dialer, int number, enum reach *reach, struct err *err)
{
    bool from = endpoint_family(&dialer->source) != AF_UNSPEC;
    char text[ENDPOINT_TEXT_BYTES];
    const struct endpoint *to = race_endpoint(&dialer->race, number);
    struct attempt *attempt = calloc(1, sizeof *attempt);

    dialer->facts.attempts++;
    if (attempt == NULL) {
        err_set(err, ERR_INTERNAL, 0, "not enough memory for a connection");
        return err_context(err, "%s", endpoint_format(to, text));
    }
    attempt->begin_ns = uv_hrtime();
    attempt->number = number;
    attempt->fd = stream_tcp_connect(to, from ? &dialer->source : NULL, reach, err);
    int result = -1;
    if (attempt->fd < 0)
        free(attempt);
    else
        result = watch_attempt(dialer, attempt, err);
    return result == 0 ? 0 : err_context(err, "%s", endpoint_format(to, text));
}

static void on_timer(uv_timer_t *timer)
{
    advance(timer->data);
}

static void sleep_until(struct dialer *dialer, int64_t until_ms)
{
    int64_t delay = until_ms - now_ms(dialer);
    uv_timer_start(&dialer->timer, on_timer, delay > 0 ? (uint64_t)delay : 0, 0);
}

/* Follows the race until it has to wait, or it is over. The dialer may be gone afterwards. */
static void advance(struct dialer *dialer)
{
    for (;;) {
        struct race_step step = race_next(&dialer->race, now_ms(dialer));
        enum reach reach = REACH_OPEN;
        struct err err = {0};

        switch (step.verdict) {
        case RACE_START:
            if (start_attempt(dialer, step.attempt, &reach, &err) < 0) {
                note_failure(dialer, step.attempt, reach, &err);
                race_failed(&dialer->race, step.attempt);
            }
            break;
        case RACE_SLEEP:
            trace(.step = dialer->facts.attempts == 0 ? TRACE_RACE_HOLD : TRACE_RACE_NEXT, .fd = -1,
                  .result = step.until_ms - now_ms(dialer));
            sleep_until(dialer, step.until_ms);
            return;
        case RACE_WON:
            keep(dialer, step.attempt);
            return;
        case RACE_EXHAUSTED:
        case RACE_TIMED_OUT:
            give_up(dialer, step.verdict == RACE_TIMED_OUT);
            return;
        }
    }
}

/* Returns: how many are kept. */
static size_t leave_out_skipped(const struct dialer *dialer, const struct resolver_answer *answer,
                                struct endpoint kept[RACE_ENDPOINTS_PER_FAMILY])
{
    size_t count = 0;

    for (size_t i = 0; i < answer->count && count < RACE_ENDPOINTS_PER_FAMILY; i++) {
        bool is_skipped = false;
        for (size_t j = 0; j < dialer->skip_count; j++)
            is_skipped = is_skipped || endpoint_equal(&answer->endpoints[i], &dialer->skip[j]);
        if (!is_skipped)
            kept[count++] = answer->endpoints[i];
    }
    return count;
}

static void on_answer(void *context, const struct resolver_answer *answer)
{
    struct dialer *dialer = context;

    uv_update_time(dialer->loop);
    if (answer->count > 0 && dialer->facts.resolve_ns == 0)
        dialer->facts.resolve_ns = uv_hrtime() - dialer->begin_ns;
    if (answer->count == 0 && dialer->resolve_failure.reason != ERR_RESOLVE_TEMPORARY) {
        dialer->resolve_failure =
            *answer->err; /* a temporary failure is reported rather than a permanent one */
        dialer->only_in_hosts = answer->only_in_hosts;
    }
    struct endpoint kept[RACE_ENDPOINTS_PER_FAMILY];
    size_t count = leave_out_skipped(dialer, answer, kept);
    race_answer(&dialer->race, answer->family == AF_INET6 ? RACE_V6 : RACE_V4, kept, count, now_ms(dialer));
    advance(dialer);
}

struct dialer *dialer_start(uv_loop_t *loop, const struct dialer_config *config, dialer_done_fn *done,
                            void *context, struct err *err)
{
    const struct proxy_route *proxy = config->policy.proxy;
    const struct target *target = proxy != NULL ? &proxy->proxy->at : config->target;
    struct resolver_query query = {target, config->want_v6, config->want_v4};
    struct dialer *dialer = calloc(1, sizeof *dialer);
    if (dialer == NULL) {
        err_set(err, ERR_INTERNAL, 0, "no memory to connect");
        return NULL;
    }
    dialer->loop = loop;
    dialer->target = *target;
    dialer->policy = config->policy;
    dialer->timeout_ms = config->timeout_ms;
    dialer->skip = config->skip;
    dialer->skip_count = config->skip_count;
    dialer->done = done;
    dialer->context = context;
    dialer->begin_ns = uv_hrtime();
    if (resolver_narrow(&query, config->source, &dialer->source, err) < 0 ||
        uv_timer_init(loop, &dialer->timer) != 0) {
        err_set(err, ERR_INTERNAL, 0, "cannot make a timer");
        free(dialer);
        return NULL;
    }
    dialer->timer.data = dialer;
    uv_update_time(loop);
    struct race_config race = {.attempt_delay_ms = config->attempt_delay_ms,
                               .deadline_ms = now_ms(dialer) + config->timeout_ms,
                               .want_v6 = query.want_v6,
                               .want_v4 = query.want_v4};
    race_init(&dialer->race, &race);
    dialer->resolver = resolver_start(loop, &query, on_answer, dialer, err);
    if (dialer->resolver == NULL) {
        dialer_cancel(dialer);
        return NULL;
    }
    sleep_until(dialer, race.deadline_ms);
    return dialer;
}
