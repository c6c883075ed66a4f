#include "recent.h"

#include <string.h>

/* Returns: the index of a target, or count. */
static size_t find(const struct recent *recent, const char *target)
{
    size_t i = 0;
    while (i < recent->count && strcmp(probe_result_brief(recent->targets[i].result).target, target) != 0)
        i++;
    return i;
}

static void add_round(struct recent_target *target, const struct probe_brief *brief)
{
    size_t kept = target->round_count < RECENT_ROUNDS ? target->round_count : RECENT_ROUNDS - 1;

    memmove(target->rounds + 1, target->rounds, kept * sizeof(target->rounds[0]));
    target->rounds[0] = (struct recent_round){brief->started_s, brief->total_ns, brief->reason};
    target->round_count = kept + 1;
}

void recent_add(struct recent *recent, struct probe_result *result)
{
    struct probe_brief brief = probe_result_brief(result);
    struct recent_target target = {0};
    size_t at = find(recent, brief.target);

    if (at < recent->count)
        target = recent->targets[at];
    else if (recent->count < RECENT_TARGETS)
        recent->count++;
    else
        probe_result_free(recent->targets[--at].result);
    probe_result_free(target.result);
    memmove(recent->targets + 1, recent->targets, at * sizeof(recent->targets[0]));
    target.result = result;
    add_round(&target, &brief);
    recent->targets[0] = target;
}

void recent_fini(struct recent *recent)
{
    while (recent->count > 0)
        probe_result_free(recent->targets[--recent->count].result);
}
