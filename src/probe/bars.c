#include "bars.h"

#include <math.h>
#include <string.h>

static bool has_row(const struct probe_result *result, enum race_family family)
{
    const struct probe_answer *answer = &result->answers[family];
    if (!answer->asked || answer->count > 0)
        return false;
    return result->address_count == 0 ||
           (answer->err.reason != ERR_OK && answer->err.reason != ERR_RESOLVE_NOT_FOUND);
}

size_t probe_row_count(const struct probe_result *result)
{
    return result->address_count + has_row(result, RACE_V6) + has_row(result, RACE_V4);
}

static void fill_family(const struct probe_result *result, enum race_family family, struct probe_row *row)
{
    const struct probe_answer *answer = &result->answers[family];

    memcpy(row->label, family == RACE_V6 ? "IPv6" : "IPv4", sizeof("IPv6"));
    row->spans[PROBE_RESOLVE] = answer->span;
    row->last = PROBE_RESOLVE;
    row->reason = answer->err.reason;
    row->counts = true;
}

/* For an address literal no name server was queried. */
static void fill_address(const struct probe_result *result, size_t index, struct probe_row *row)
{
    const struct probe_address *address = &result->addresses[index];

    (void)endpoint_format(&address->peer, row->label);
    row->address = address;
    memcpy(row->spans, address->spans, sizeof(row->spans));
    if (result->literal)
        row->spans[PROBE_RESOLVE] = (struct probe_span){-1, -1};
    row->last = address->last;
    row->reason = address->err.reason;
    row->counts = probe_result_counts(result, address);
}

/* The rows of a family without addresses stand where these would be: IPv6 before the others, IPv4 behind. */
void probe_row_fill(const struct probe_result *result, size_t index, struct probe_row *row)
{
    size_t before = has_row(result, RACE_V6);

    *row = (struct probe_row){0};
    for (int phase = 0; phase < PROBE_PHASES; phase++)
        row->spans[phase] = (struct probe_span){-1, -1};
    if (index < before)
        fill_family(result, RACE_V6, row);
    else if (index - before < result->address_count)
        fill_address(result, index - before, row);
    else
        fill_family(result, RACE_V4, row);
    for (int phase = 0; phase < PROBE_PHASES; phase++) {
        struct probe_span *span = &row->spans[phase];
        if (span->begin_ns >= 0 && span->end_ns < span->begin_ns) /* still going on when the round ended */
            span->end_ns = result->total_ns > span->begin_ns ? result->total_ns : span->begin_ns;
        if (span->begin_ns >= 0 && span->end_ns > row->end_ns)
            row->end_ns = span->end_ns;
    }
}

int64_t probe_axis_ns(const struct probe_result *result)
{
    int64_t most_ns = 1;
    struct probe_row row;

    for (size_t i = 0; i < probe_row_count(result); i++) {
        probe_row_fill(result, i, &row);
        if (row.end_ns > most_ns)
            most_ns = row.end_ns;
    }
    return most_ns;
}

bool probe_has_phase(const struct probe_result *result, enum probe_phase phase)
{
    struct probe_row row;

    for (size_t i = 0; i < probe_row_count(result); i++) {
        probe_row_fill(result, i, &row);
        if (row.spans[phase].begin_ns >= 0)
            return true;
    }
    return false;
}

static int place(int64_t ns, int64_t axis_ns, int length)
{
    return (int)lround((double)ns / (double)axis_ns * length);
}

void probe_bars_lay(const struct probe_row *row, int64_t axis_ns, int length, int least,
                    struct probe_bars *bars)
{
    int at = 0;

    bars->count = 0;
    for (int phase = 0; phase < PROBE_PHASES; phase++) {
        const struct probe_span *span = &row->spans[phase];
        if (span->begin_ns < 0)
            continue;
        struct probe_bar *bar = &bars->bars[bars->count++];
        bar->phase = (enum probe_phase)phase;
        bar->failed = row->reason != ERR_OK && bar->phase == row->last;
        bar->begin = place(span->begin_ns, axis_ns, length);
        bar->end = place(span->end_ns, axis_ns, length);
        bar->begin = bar->begin > at ? bar->begin : at;
        bar->end = bar->end > bar->begin + least ? bar->end : bar->begin + least;
        at = bar->end;
    }
    at = length;
    for (size_t i = bars->count; i-- > 0;) {
        struct probe_bar *bar = &bars->bars[i];
        bar->end = bar->end < at ? bar->end : at;
        bar->begin = bar->begin < bar->end - least ? bar->begin : bar->end - least;
        at = bar->begin;
    }
}
