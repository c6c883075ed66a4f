#include "result.h"

#include <string.h>

enum { NS_PER_MS = 1000 * 1000 };

#define NEVER INT64_MAX

/* The race in virtual time. Invariant: outcome_ns[i] is that of heats[i]; NEVER once it was told. */
struct rehearsal {
    struct probe_result *result;
    struct race race;
    int64_t now_ns;
    int64_t answer_ns[RACE_FAMILIES];
    int64_t outcome_ns[PROBE_ADDRESSES_MAX];
    int attempts[PROBE_ADDRESSES_MAX];
};

static size_t address_of(const struct rehearsal *rehearsal, int attempt)
{
    size_t index = (size_t)attempt % RACE_ENDPOINTS_PER_FAMILY;
    bool is_v4 = attempt / RACE_ENDPOINTS_PER_FAMILY == RACE_V4;
    return index + (is_v4 ? rehearsal->result->answers[RACE_V6].count : 0);
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

static void start_heat(struct rehearsal *rehearsal, int attempt)
{
    struct probe_result *result = rehearsal->result;
    size_t number = result->heat_count++;
    size_t address = address_of(rehearsal, attempt);
    int64_t took_ns = connect_ns(&result->addresses[address]);

    result->heats[number] =
        (struct probe_heat){.address = address, .start_ns = rehearsal->now_ns, .end_ns = -1};
    rehearsal->attempts[number] = attempt;
    rehearsal->outcome_ns[number] = took_ns == NEVER ? NEVER : rehearsal->now_ns + took_ns;
}

static int64_t next_event_ns(const struct rehearsal *rehearsal)
{
    int64_t next_ns = NEVER;
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        if (rehearsal->answer_ns[family] < next_ns)
            next_ns = rehearsal->answer_ns[family];
    for (size_t i = 0; i < rehearsal->result->heat_count; i++)
        if (rehearsal->outcome_ns[i] < next_ns)
            next_ns = rehearsal->outcome_ns[i];
    return next_ns;
}

static void tell_answer(struct rehearsal *rehearsal, enum race_family family)
{
    const struct probe_result *result = rehearsal->result;
    size_t first = family == RACE_V4 ? result->answers[RACE_V6].count : 0;
    struct endpoint endpoints[RACE_ENDPOINTS_PER_FAMILY];
    size_t count = result->answers[family].count;

    for (size_t i = 0; i < count; i++)
        endpoints[i] = result->addresses[first + i].peer;
    rehearsal->answer_ns[family] = NEVER;
    race_answer(&rehearsal->race, family, endpoints, count, rehearsal->now_ns / NS_PER_MS);
}

static void tell_outcome(struct rehearsal *rehearsal, size_t number)
{
    struct probe_heat *heat = &rehearsal->result->heats[number];
    bool connected = has_connected(&rehearsal->result->addresses[heat->address]);

    heat->end_ns = rehearsal->outcome_ns[number];
    rehearsal->outcome_ns[number] = NEVER;
    if (connected)
        race_connected(&rehearsal->race, rehearsal->attempts[number]);
    else
        race_failed(&rehearsal->race, rehearsal->attempts[number]);
}

/* Goes on to until_ms, or to the first thing that happens before. One at a time: a win ends it. */
static void sleep_until(struct rehearsal *rehearsal, int64_t until_ms)
{
    int64_t event_ns = next_event_ns(rehearsal);

    if (event_ns > until_ms * NS_PER_MS) {
        rehearsal->now_ns = until_ms * NS_PER_MS;
        return;
    }
    if (event_ns > rehearsal->now_ns)
        rehearsal->now_ns = event_ns;
    for (unsigned family = 0; family < RACE_FAMILIES; family++)
        if (rehearsal->answer_ns[family] == event_ns) {
            tell_answer(rehearsal, (enum race_family)family);
            return;
        }
    for (size_t i = 0; i < rehearsal->result->heat_count; i++)
        if (rehearsal->outcome_ns[i] == event_ns) {
            tell_outcome(rehearsal, i);
            return;
        }
}

/* Of the heats that are still open, one has won, or all are out of time. */
static void close_heats(struct rehearsal *rehearsal, int winner)
{
    struct probe_result *result = rehearsal->result;
    for (size_t i = 0; i < result->heat_count; i++) {
        result->heats[i].won = rehearsal->attempts[i] == winner;
        if (winner < 0 && result->heats[i].end_ns < 0)
            result->heats[i].end_ns = rehearsal->now_ns;
    }
}

static void run(struct rehearsal *rehearsal)
{
    for (;;) {
        struct race_step step = race_next(&rehearsal->race, rehearsal->now_ns / NS_PER_MS);
        switch (step.verdict) {
        case RACE_START:
            start_heat(rehearsal, step.attempt);
            break;
        case RACE_SLEEP:
            sleep_until(rehearsal, step.until_ms);
            break;
        case RACE_WON:
            close_heats(rehearsal, step.attempt);
            return;
        case RACE_EXHAUSTED:
        case RACE_TIMED_OUT:
            close_heats(rehearsal, -1);
            return;
        }
    }
}

void probe_result_rehearse(struct probe_result *result, int64_t attempt_delay_ms, int64_t connect_timeout_ms)
{
    const struct probe_answer *v6 = &result->answers[RACE_V6], *v4 = &result->answers[RACE_V4];
    struct race_config config = {.attempt_delay_ms = attempt_delay_ms,
                                 .deadline_ms = connect_timeout_ms,
                                 .want_v6 = v6->asked,
                                 .want_v4 = v4->asked};
    struct rehearsal rehearsal;

    result->heat_count = 0;
    if (result->until == PROBE_UNTIL_RESOLVE)
        return;
    memset(&rehearsal, 0, sizeof rehearsal);
    rehearsal.result = result;
    for (size_t family = 0; family < RACE_FAMILIES; family++) {
        const struct probe_answer *answer = &result->answers[family];
        rehearsal.answer_ns[family] = answer->asked && answer->span.end_ns >= 0 ? answer->span.end_ns : NEVER;
    }
    race_init(&rehearsal.race, &config);
    run(&rehearsal);
}
