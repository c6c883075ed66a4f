#include "totals.h"

#include <string.h>

void probe_totals_add(struct probe_totals *totals, const struct probe_result *result, size_t number)
{
    const struct err *verdict = &result->verdict;

    totals->done++;
    totals->reasons[verdict->reason]++;
    if (verdict->reason == ERR_OK) {
        histogram_record(&totals->total, result->total_ns);
        if (result->total_ns >= totals->slowest_ns) {
            totals->slowest_ns = result->total_ns;
            memcpy(totals->slowest, result->target, sizeof(totals->slowest));
        }
    } else if (totals->first_failed == 0 || number < totals->first_failed) {
        totals->first_failed = number;
        totals->first = *verdict;
        if (!result->verdict_names_target)
            err_context(&totals->first, "%s", result->target);
    }
}

size_t probe_totals_failed(const struct probe_totals *totals)
{
    return totals->done - totals->reasons[ERR_OK];
}

/* Returns: the most frequent reason of failures that is not more frequent than the last, and behind it in the
 * table where it is as frequent; ERR_OK: there is none. */
static enum err_reason next_reason(const struct probe_totals *totals, enum err_reason last)
{
    enum err_reason best = ERR_OK;

    for (int i = ERR_OK + 1; i < ERR_REASON_COUNT; i++) {
        size_t count = totals->reasons[i];
        bool is_behind = last == ERR_OK || count < totals->reasons[last] ||
                         (count == totals->reasons[last] && i > (int)last);
        if (count > 0 && is_behind && (best == ERR_OK || count > totals->reasons[best]))
            best = (enum err_reason)i;
    }
    return best;
}

void probe_totals_sentence(const struct probe_totals *totals, struct text_line *line)
{
    size_t failed = probe_totals_failed(totals);
    const char *between = ": ";
    enum err_reason reason = ERR_OK;

    if (failed == 0)
        text_append(line, "%zu/%zu targets OK", totals->done, totals->targets);
    else
        text_append(line, "%zu/%zu targets failed", failed, totals->targets);
    while ((reason = next_reason(totals, reason)) != ERR_OK) {
        text_append(line, "%s%s %zu", between, err_word(reason), totals->reasons[reason]);
        between = ", ";
    }
    if (totals->done < totals->targets)
        text_append(line, "; %zu not finished", totals->targets - totals->done);
}
