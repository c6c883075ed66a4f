#include "result.h"

#include <string.h>

enum { NS_PER_MS = 1000 * 1000 };

#define NEVER INT64_MAX

/* The race in virtual time. Invariant: outcome_ns[i] is that of result->attempts[i]; NEVER once it is
 * reported. */
struct simulation {
    struct probe_result *result;
    struct race race;
    int64_t now_ns;
    int64_t answer_ns[RACE_FAMILIES];
    int64_t outcome_ns[PROBE_ADDRESSES_MAX];
    int numbers[PROBE_ADDRESSES_MAX]; /* as the planner has them */
};

static size_t address_of(const struct simulation *simulation, int attempt)
{
    size_t index = (size_t)attempt % RACE_ENDPOINTS_PER_FAMILY;
    bool is_v4 = attempt / RACE_ENDPOINTS_PER_FAMILY == RACE_V4;
    return index + (is_v4 ? simulation->result->answers[RACE_V6].count : 0);
}

static bool has_connected(const struct probe_address *address)
{
    return address->spans[PROBE_CONNECT].end_ns >= 0 &&
           (address->err.reason == ERR_OK || address->last > PROBE_CONNECT);
}

/* How long connect takes until it is known how it ended; NEVER: it was waiting when it was given up. */
static int64_t connect_ns(const struct probe_address *address)
{
    bool given_up =
        address->err.reason == ERR_INTERRUPTED ||
        (address->err.reason == ERR_CONNECT_TIMEOUT && address->err.native == 0); /* not the kernel's */
    int64_t took_ns = probe_span_ns(&address->spans[PROBE_CONNECT]);
    return took_ns < 0 || (given_up && !has_connected(address)) ? NEVER : took_ns;
}

static void start_attempt(struct simulation *simulation, int attempt)
{
    struct probe_result *result = simulation->result;
    size_t number = result->attempt_count++;
    size_t address = address_of(simulation, attempt);
    int64_t took_ns = connect_ns(&result->addresses[address]);

    result->attempts[number] =
        (struct probe_attempt){.address = address, .start_ns = simulation->now_ns, .end_ns = -1};
    simulation->numbers[number] = attempt;
    simulation->outcome_ns[number] = took_ns == NEVER ? NEVER : simulation->now_ns + took_ns;
}

static int64_t next_event_ns(const struct simulation *simulation)
{
    int64_t next_ns = NEVER;
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        if (simulation->answer_ns[family] < next_ns)
            next_ns = simulation->answer_ns[family];
    for (size_t i = 0; i < simulation->result->attempt_count; i++)
        if (simulation->outcome_ns[i] < next_ns)
            next_ns = simulation->outcome_ns[i];
    return next_ns;
}

static void report_answer(struct simulation *simulation, enum race_family family)
{
    const struct probe_result *result = simulation->result;
    size_t first = family == RACE_V4 ? result->answers[RACE_V6].count : 0;
    struct endpoint endpoints[RACE_ENDPOINTS_PER_FAMILY];
    size_t count = result->answers[family].count;

    for (size_t i = 0; i < count; i++)
        endpoints[i] = result->addresses[first + i].peer;
    simulation->answer_ns[family] = NEVER;
    race_answer(&simulation->race, family, endpoints, count, simulation->now_ns / NS_PER_MS);
}

static void report_outcome(struct simulation *simulation, size_t number)
{
    struct probe_attempt *attempt = &simulation->result->attempts[number];
    bool connected = has_connected(&simulation->result->addresses[attempt->address]);

    attempt->end_ns = simulation->outcome_ns[number];
    simulation->outcome_ns[number] = NEVER;
    if (connected)
        race_connected(&simulation->race, simulation->numbers[number]);
    else
        race_failed(&simulation->race, simulation->numbers[number]);
}

/* Goes on to until_ms, or to the first thing that happens before. One at a time: a win ends it. */
static void sleep_until(struct simulation *simulation, int64_t until_ms)
{
    int64_t event_ns = next_event_ns(simulation);

    if (event_ns > until_ms * NS_PER_MS) {
        simulation->now_ns = until_ms * NS_PER_MS;
        return;
    }
    if (event_ns > simulation->now_ns)
        simulation->now_ns = event_ns;
    for (unsigned family = 0; family < RACE_FAMILIES; family++)
        if (simulation->answer_ns[family] == event_ns) {
            report_answer(simulation, (enum race_family)family);
            return;
        }
    for (size_t i = 0; i < simulation->result->attempt_count; i++)
        if (simulation->outcome_ns[i] == event_ns) {
            report_outcome(simulation, i);
            return;
        }
}

/* Of the attempts that are still open, one has won, or all are out of time. */
static void close_attempts(struct simulation *simulation, int winner)
{
    struct probe_result *result = simulation->result;
    for (size_t i = 0; i < result->attempt_count; i++) {
        result->attempts[i].won = simulation->numbers[i] == winner;
        if (winner < 0 && result->attempts[i].end_ns < 0)
            result->attempts[i].end_ns = simulation->now_ns;
    }
}

static void run(struct simulation *simulation)
{
    for (;;) {
        struct race_step step = race_next(&simulation->race, simulation->now_ns / NS_PER_MS);
        switch (step.verdict) {
        case RACE_START:
            start_attempt(simulation, step.attempt);
            break;
        case RACE_SLEEP:
            sleep_until(simulation, step.until_ms);
            break;
        case RACE_WON:
            close_attempts(simulation, step.attempt);
            return;
        case RACE_EXHAUSTED:
        case RACE_TIMED_OUT:
            close_attempts(simulation, -1);
            return;
        }
    }
}

void probe_result_simulate(struct probe_result *result, int64_t attempt_delay_ms, int64_t connect_timeout_ms)
{
    const struct probe_answer *v6 = &result->answers[RACE_V6], *v4 = &result->answers[RACE_V4];
    struct race_config config = {.attempt_delay_ms = attempt_delay_ms,
                                 .deadline_ms = connect_timeout_ms,
                                 .want_v6 = v6->asked,
                                 .want_v4 = v4->asked};
    struct simulation simulation;

    result->attempt_count = 0;
    if (result->until == PROBE_UNTIL_RESOLVE)
        return;
    memset(&simulation, 0, sizeof simulation);
    simulation.result = result;
    for (size_t family = 0; family < RACE_FAMILIES; family++) {
        const struct probe_answer *answer = &result->answers[family];
        simulation.answer_ns[family] =
            answer->asked && answer->span.end_ns >= 0 ? answer->span.end_ns : NEVER;
    }
    race_init(&simulation.race, &config);
    run(&simulation);
}
