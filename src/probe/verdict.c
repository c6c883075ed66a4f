#include "result.h"

#include <string.h>

/* What a verdict is made of. */
struct tally {
    size_t ok;
    size_t counted;                     /* addresses */
    const struct probe_address *worst;  /* of those that fail, the one that got furthest, of these one that
                                           was tried; NULL */
    const struct probe_answer *unasked; /* of the families whose name service fails, the first; NULL */
    const struct probe_answer *empty;   /* of those without an address, the most significant; NULL */
};

/* A failure on this side is no statement about the peer. */
static bool is_untried(const struct probe_address *address)
{
    int code = err_exit_code(address->err.reason);
    return code == err_exit_code(ERR_SYSTEM_OTHER) || code == err_exit_code(ERR_INTERNAL);
}

static bool is_worse(const struct probe_address *address, const struct probe_address *worst)
{
    if (worst == NULL || address->last != worst->last)
        return worst == NULL || address->last > worst->last;
    return is_untried(worst) && !is_untried(address);
}

static struct tally count(const struct probe_result *result)
{
    struct tally tally = {.counted = probe_result_counted(result)};

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        if (!probe_result_counts(result, address))
            continue;
        if (address->err.reason == ERR_OK)
            tally.ok++;
        else if (is_worse(address, tally.worst))
            tally.worst = address;
    }
    for (size_t family = 0; family < RACE_FAMILIES; family++) {
        const struct probe_answer *answer = &result->answers[family];
        if (!answer->asked || answer->count > 0)
            continue;
        bool fails = answer->err.reason != ERR_RESOLVE_NOT_FOUND;
        if (fails && tally.unasked == NULL)
            tally.unasked = answer;
        if (tally.empty == NULL || (fails && tally.empty->err.reason == ERR_RESOLVE_NOT_FOUND))
            tally.empty = answer; /* a temporary failure is more significant than a permanent one */
    }
    return tally;
}

static char family_digit(const struct probe_result *result, const struct probe_answer *answer)
{
    return answer == &result->answers[RACE_V6] ? '6' : '4';
}

static void judge_unresolved(struct probe_result *result, const struct tally *tally)
{
    const struct probe_answer *empty = tally->empty;
    bool one = result->answers[RACE_V6].asked != result->answers[RACE_V4].asked;

    if (empty == NULL || empty->err.reason == ERR_OK)
        err_set(&result->verdict, ERR_RESOLVE_NOT_FOUND, 0, "there is no address for %s",
                probe_result_resolved(result));
    else if (one && !result->literal)
        err_set_from(&result->verdict, &empty->err, "%s (only IPv%c was requested)", empty->err.text,
                     family_digit(result, empty));
    else
        result->verdict = empty->err;
}

static void judge_failed(struct probe_result *result, const struct tally *tally)
{
    const struct probe_address *worst = tally->worst;
    char peer[ENDPOINT_TEXT_BYTES];
    endpoint_format(&worst->peer, peer);
    result->verdict_names_target = result->address_count == 1 && strcmp(peer, result->target) == 0;
    if (tally->counted == 1)
        err_set_from(&result->verdict, &worst->err, "%s: %s", peer, worst->err.text);
    else
        err_set_from(&result->verdict, &worst->err,
                     "none of %zu addresses is OK; the one that got furthest is %s: %s", tally->counted, peer,
                     worst->err.text);
}

static void judge_mixed(struct probe_result *result, const struct tally *tally)
{
    char peer[ENDPOINT_TEXT_BYTES];
    const struct probe_address *worst = tally->worst;
    size_t failed = tally->counted - tally->ok;

    if (worst == NULL)
        err_set(&result->verdict, ERR_DEGRADED, 0, "the name service fails for IPv%c: %s",
                family_digit(result, tally->unasked), tally->unasked->err.text);
    else if (is_untried(worst))
        err_set_from(&result->verdict, &worst->err, "%zu of %zu addresses could not be tried: %s: %s", failed,
                     tally->counted, endpoint_format(&worst->peer, peer), worst->err.text);
    else
        err_set(&result->verdict, ERR_DEGRADED, 0, "%zu of %zu addresses failed: %s: %s", failed,
                tally->counted, endpoint_format(&worst->peer, peer), worst->err.text);
}

void probe_result_judge(struct probe_result *result)
{
    struct tally tally = count(result);

    err_clear(&result->verdict);
    result->verdict_names_target = false;
    if (result->address_count == 0)
        judge_unresolved(result, &tally);
    else if (tally.ok == 0 && tally.worst != NULL)
        judge_failed(result, &tally);
    else if ((tally.worst != NULL || tally.unasked != NULL) && !result->require_any)
        judge_mixed(result, &tally);
}
