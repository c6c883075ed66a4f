/*
 * An arbitrary world: two bytes an event, what happens and how much of it. Whatever it does, the race keeps
 * its invariants, never starts an attempt twice or too soon, wakes for a reason, and comes to its end.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/core/race.h"

enum { ATTEMPTS = RACE_FAMILIES * RACE_ENDPOINTS_PER_FAMILY, EVENTS_MAX = 256 };

struct world {
    struct race race;
    int64_t now_ms;
    int64_t last_start_ms;
    size_t starts;
    bool failed; /* an attempt, since the last start */
    bool seen[ATTEMPTS];
};

static void check_invariants(const struct race *race)
{
    size_t pending = 0, connected = 0;
    for (size_t f = 0; f < RACE_FAMILIES; f++) {
        CHECK(race->next[f] <= race->count[f] && race->count[f] <= RACE_ENDPOINTS_PER_FAMILY);
        for (size_t i = 0; i < RACE_ENDPOINTS_PER_FAMILY; i++) {
            CHECK((i < race->next[f]) == (race->states[f][i] != RACE_NOT_STARTED));
            pending += race->states[f][i] == RACE_PENDING;
            connected += race->states[f][i] == RACE_CONNECTED;
        }
    }
    CHECK(pending == race->pending);
    CHECK(connected == (race->winner >= 0 ? 1 : 0));
}

static bool is_unstarted(const struct race *race, enum race_family family)
{
    return race->next[family] < race->count[family];
}

static bool is_over(const struct race *race)
{
    return race->answered[RACE_V6] && race->answered[RACE_V4] && race->pending == 0 &&
           !is_unstarted(race, RACE_V6) && !is_unstarted(race, RACE_V4);
}

static void check_start(struct world *world, const struct race *before, int attempt)
{
    CHECK(attempt >= 0 && attempt < ATTEMPTS && !world->seen[attempt]);
    CHECK(before->winner < 0 && world->now_ms < before->config.deadline_ms);
    enum race_family family = (enum race_family)(attempt / RACE_ENDPOINTS_PER_FAMILY);
    enum race_family other = family == RACE_V6 ? RACE_V4 : RACE_V6;
    CHECK((size_t)attempt % RACE_ENDPOINTS_PER_FAMILY == before->next[family]);
    if (world->starts > 0) {
        CHECK(world->failed || world->now_ms - world->last_start_ms >= RACE_ATTEMPT_DELAY_MIN_MS);
        CHECK(before->last != family || !is_unstarted(before, other));
    } else {
        CHECK(family == RACE_V6 || !is_unstarted(before, RACE_V6));
    }
    world->seen[attempt] = true;
    world->starts++;
    world->last_start_ms = world->now_ms;
    world->failed = false;
}

/* Asks until there is nothing to do now. Returns: the last step. */
static struct race_step ask(struct world *world)
{
    for (size_t asked = 0; asked <= ATTEMPTS; asked++) {
        struct race before = world->race;
        struct race_step step = race_next(&world->race, world->now_ms);
        check_invariants(&world->race);
        CHECK((step.verdict == RACE_WON) == (before.winner >= 0));
        if (step.verdict == RACE_WON)
            CHECK(step.attempt == before.winner);
        if (step.verdict == RACE_SLEEP)
            CHECK(step.until_ms > world->now_ms && step.until_ms <= before.config.deadline_ms);
        if (step.verdict == RACE_TIMED_OUT)
            CHECK(world->now_ms >= before.config.deadline_ms);
        CHECK((step.verdict == RACE_EXHAUSTED) == (before.winner < 0 && is_over(&before)));
        if (step.verdict != RACE_START)
            return step;
        check_start(world, &before, step.attempt);
    }
    abort();
}

static void answer(struct world *world, enum race_family family, uint8_t amount)
{
    struct endpoint endpoints[UINT8_MAX];
    size_t count = amount;
    for (size_t i = 0; i < count; i++) { /* with duplicates: every eighth */
        endpoints[i] = endpoint_wildcard(family == RACE_V6 ? AF_INET6 : AF_INET, 6000);
        uint8_t last = (uint8_t)(i % 8 == 7 ? 0 : i);
        if (family == RACE_V6)
            endpoints[i].address.v6.sin6_addr.s6_addr[15] = last;
        else
            endpoints[i].address.v4.sin_addr.s_addr = htonl(last);
    }
    race_answer(&world->race, family, endpoints, count, world->now_ms);
    for (size_t i = 0; i < world->race.count[family]; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(!endpoint_equal(&world->race.endpoints[family][i], &world->race.endpoints[family][j]));
}

static void end_attempt(struct world *world, uint8_t amount, void (*end)(struct race *race, int attempt))
{
    int attempt = amount % ATTEMPTS;
    bool pending =
        world->race.states[attempt / RACE_ENDPOINTS_PER_FAMILY][attempt % RACE_ENDPOINTS_PER_FAMILY] ==
        RACE_PENDING;
    end(&world->race, attempt);
    world->failed |= pending && end == race_failed;
}

static void happen(struct world *world, uint8_t what, uint8_t amount)
{
    switch (what % 6) {
    case 0:
        answer(world, RACE_V6, amount);
        break;
    case 1:
        answer(world, RACE_V4, amount);
        break;
    case 2:
        end_attempt(world, amount, race_failed);
        break;
    case 3:
        end_attempt(world, amount, race_connected);
        break;
    case 4:
        world->now_ms += amount;
        break;
    default:
        world->now_ms += 16 * (int64_t)amount;
        break;
    }
}

/* From here nothing happens but time. */
static void run_out(struct world *world)
{
    for (size_t slept = 0; slept <= ATTEMPTS + 1; slept++) {
        size_t starts = world->starts;
        struct race_step step = ask(world);
        CHECK(slept == 0 || step.verdict != RACE_SLEEP || world->starts > starts);
        if (step.verdict != RACE_SLEEP)
            return;
        world->now_ms = step.until_ms;
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {0};
    struct race_config config = {RACE_ATTEMPT_DELAY_MS, 10000, true, true};
    if (size >= 4) {
        config.attempt_delay_ms = data[0] * 2;
        config.deadline_ms = data[1] * 40 + data[2];
        config.want_v6 = (data[3] & 1) == 0;
        config.want_v4 = (data[3] & 2) == 0;
        data += 4;
        size -= 4;
    }
    race_init(&world.race, &config);
    check_invariants(&world.race);
    for (size_t events = 0; events < EVENTS_MAX && size >= 2; events++, data += 2, size -= 2) {
        if ((data[0] & 0x80) == 0) /* else several things happen before the race is asked */
            ask(&world);
        happen(&world, data[0] & 0x7f, data[1]);
        check_invariants(&world.race);
    }
    run_out(&world);
    return 0;
}
