#include "result.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

uint64_t bench_result_failed(const struct bench_result *result)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ERR_REASON_COUNT; i++)
        sum += result->failures[i];
    return sum;
}

/* Slots of different widths cannot be added: the rate over time is dropped. */
static void add_slots(struct bench_result *result, const struct bench_result *other)
{
    bool first = result->runs == 0 && !(result->slot_s > 0);
    bool alike = first || (result->slot_s <= other->slot_s && result->slot_s >= other->slot_s);

    result->slot_s = alike ? other->slot_s : 0;
    for (size_t i = 0; i < BENCH_SLOTS; i++)
        result->slots[i] = alike ? result->slots[i] + other->slots[i] : 0;
}

static void add_proxy(struct bench_result *result, const struct bench_result *other)
{
    if (result->runs == 0)
        memcpy(result->proxy, other->proxy, sizeof(result->proxy));
    else if (other->runs > 0 && strcmp(result->proxy, other->proxy) != 0)
        (void)snprintf(result->proxy, sizeof(result->proxy), "several proxies");
}

void bench_result_add(struct bench_result *result, const struct bench_result *other)
{
    add_proxy(result, other);
    if (result->target[0] == '\0')
        memcpy(result->target, other->target, sizeof(result->target));
    else if (other->target[0] != '\0' && strcmp(result->target, other->target) != 0)
        (void)snprintf(result->target, sizeof(result->target), "several targets");
    add_slots(result, other);
    result->tls = result->tls || other->tls;
    result->open_loop = result->open_loop || other->open_loop;
    result->rate_asked += other->rate_asked;
    result->connections_asked += other->connections_asked;
    if (other->duration_s > result->duration_s)
        result->duration_s = other->duration_s;
    result->runs += other->runs;
    result->names += other->names;
    result->connections += other->connections;
    result->resumed += other->resumed;
    result->late += other->late;
    for (size_t i = 0; i < ERR_REASON_COUNT; i++)
        result->failures[i] += other->failures[i];
    histogram_add(&result->answers, &other->answers);
    histogram_add(&result->connects, &other->connects);
}

bool bench_result_fits(const struct bench_result *result)
{
    const uint64_t counts[] = {result->connections_asked, result->names, result->connections,
                               result->resumed,           result->late,  result->answers.total,
                               result->connects.total};
    bool fits = result->runs <= INT_MAX && result->rate_asked <= (double)BENCH_COUNT_MAX;

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        fits = fits && counts[i] <= BENCH_COUNT_MAX;
    for (size_t i = 0; i < ERR_REASON_COUNT; i++)
        fits = fits && result->failures[i] <= BENCH_COUNT_MAX;
    for (size_t i = 0; i < BENCH_SLOTS; i++)
        fits = fits && result->slots[i] <= BENCH_COUNT_MAX;
    return fits;
}
