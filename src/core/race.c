#include "tcpgreet/core/race.h"

#include <string.h>

static int attempt_number(enum race_family family, size_t index)
{
    return (int)family * RACE_ENDPOINTS_PER_FAMILY + (int)index;
}

static enum race_state *attempt_state(struct race *race, int attempt)
{
    return &race->states[attempt / RACE_ENDPOINTS_PER_FAMILY][attempt % RACE_ENDPOINTS_PER_FAMILY];
}

static bool has_unstarted(const struct race *race, enum race_family family)
{
    return race->next[family] < race->count[family];
}

static size_t count_unstarted(const struct race *race)
{
    return race->count[RACE_V6] - race->next[RACE_V6] + race->count[RACE_V4] - race->next[RACE_V4];
}

/* The given delay, or less where the time left is too short to give every waiting endpoint as much. */
static int64_t share_of_time(const struct race *race, int64_t delay_ms, int64_t now_ms)
{
    int64_t share_ms = (race->config.deadline_ms - now_ms) / ((int64_t)count_unstarted(race) + 1);
    return share_ms < delay_ms ? share_ms : delay_ms;
}

static int64_t next_start_after(const struct race *race, int64_t now_ms)
{
    int64_t delay_ms = share_of_time(race, race->config.attempt_delay_ms, now_ms);
    return now_ms + (delay_ms > RACE_ATTEMPT_DELAY_MIN_MS ? delay_ms : RACE_ATTEMPT_DELAY_MIN_MS);
}

void race_init(struct race *race, const struct race_config *config)
{
    memset(race, 0, sizeof *race);
    race->config = *config;
    race->answered[RACE_V6] = !config->want_v6;
    race->answered[RACE_V4] = !config->want_v4;
    race->next_start_ms = INT64_MIN;
    race->winner = -1;
}

static void add_endpoint(struct race *race, enum race_family family, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < race->count[family]; i++)
        if (endpoint_equal(&race->endpoints[family][i], endpoint))
            return;
    if (race->count[family] == RACE_ENDPOINTS_PER_FAMILY)
        race->ignored++;
    else
        race->endpoints[family][race->count[family]++] = *endpoint;
}

void race_answer(struct race *race, enum race_family family, const struct endpoint *endpoints, size_t count,
                 int64_t now_ms)
{
    if (race->answered[family])
        return;
    race->answered[family] = true;
    for (size_t i = 0; i < count; i++)
        add_endpoint(race, family, &endpoints[i]);
    if (family == RACE_V4)
        race->v4_answered_ms = now_ms;
    if (race->started) { /* more endpoints share what is left */
        int64_t start_ms = next_start_after(race, now_ms);
        if (start_ms < race->next_start_ms)
            race->next_start_ms = start_ms;
    }
}

/* When the next attempt is due; something is unstarted. */
static int64_t due(const struct race *race)
{
    if (race->started || race->answered[RACE_V6])
        return race->next_start_ms;
    return race->v4_answered_ms + share_of_time(race, RACE_RESOLUTION_DELAY_MS, race->v4_answered_ms);
}

static int start(struct race *race, int64_t now_ms)
{
    enum race_family family = race->started && race->last == RACE_V6 ? RACE_V4 : RACE_V6;
    if (!has_unstarted(race, family))
        family = family == RACE_V6 ? RACE_V4 : RACE_V6;
    int attempt = attempt_number(family, race->next[family]++);
    *attempt_state(race, attempt) = RACE_PENDING;
    race->pending++;
    race->last = family;
    race->started = true;
    race->next_start_ms = next_start_after(race, now_ms);
    return attempt;
}

struct race_step race_next(struct race *race, int64_t now_ms)
{
    int64_t until_ms = race->config.deadline_ms;
    if (race->winner >= 0)
        return (struct race_step){.verdict = RACE_WON, .attempt = race->winner};
    bool waiting = count_unstarted(race) > 0;
    if (!waiting && race->pending == 0 && race->answered[RACE_V6] && race->answered[RACE_V4])
        return (struct race_step){.verdict = RACE_EXHAUSTED, .attempt = -1};
    if (now_ms >= until_ms)
        return (struct race_step){.verdict = RACE_TIMED_OUT, .attempt = -1};
    if (waiting) {
        int64_t due_ms = due(race);
        if (due_ms <= now_ms)
            return (struct race_step){.verdict = RACE_START, .attempt = start(race, now_ms)};
        if (due_ms < until_ms)
            until_ms = due_ms;
    }
    return (struct race_step){.verdict = RACE_SLEEP, .attempt = -1, .until_ms = until_ms};
}

/* Returns: whether this attempt was pending until now. */
static bool end_attempt(struct race *race, int attempt, enum race_state state)
{
    if (attempt < 0 || attempt >= RACE_FAMILIES * RACE_ENDPOINTS_PER_FAMILY ||
        *attempt_state(race, attempt) != RACE_PENDING)
        return false;
    *attempt_state(race, attempt) = state;
    race->pending--;
    return true;
}

void race_failed(struct race *race, int attempt)
{
    if (end_attempt(race, attempt, RACE_FAILED))
        race->next_start_ms = INT64_MIN;
}

void race_connected(struct race *race, int attempt)
{
    bool late = race->winner >= 0;
    if (end_attempt(race, attempt, late ? RACE_FAILED : RACE_CONNECTED) && !late)
        race->winner = attempt;
}

const struct endpoint *race_endpoint(const struct race *race, int attempt)
{
    return &race->endpoints[attempt / RACE_ENDPOINTS_PER_FAMILY][attempt % RACE_ENDPOINTS_PER_FAMILY];
}
