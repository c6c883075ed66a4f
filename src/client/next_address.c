#include "next_address.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

int64_t next_address_left_ms(const struct next_address *next)
{
    return next->timeout_ms - (int64_t)((uv_hrtime() - next->start_ns) / 1000000);
}

void next_address_connected(struct next_address *next, const struct dialer_facts *facts)
{
    next->peer = facts->peer;
    next->other_count = facts->other_count;
    next->is_partial = facts->is_partial;
    memcpy(next->others, facts->others, sizeof next->others);
}

/* The share of an address, at least. */
static int64_t least_ms(const struct next_address *next)
{
    return next->timeout_ms / NEXT_ADDRESS_TURNS;
}

int64_t next_address_handshake_ms(const struct next_address *next)
{
    int64_t left_ms = next_address_left_ms(next);
    int64_t share_ms = left_ms / (int64_t)(next->other_count + next->is_partial + 1);

    share_ms = share_ms > least_ms(next) ? share_ms : least_ms(next);
    return share_ms < left_ms ? share_ms : left_ms;
}

static bool is_no_answer(const struct err *why)
{
    return why->reason == ERR_TLS_SILENT_PEER || why->reason == ERR_TLS_TIMEOUT ||
           why->reason == ERR_DIALOGUE_RESET || why->detail == ERR_DETAIL_PROXY_CLOSED ||
           why->detail == ERR_DETAIL_PROXY_SILENT ||
           (why->reason == ERR_TLS_PROTOCOL &&
            (why->detail == ERR_DETAIL_TLS_CUT || why->detail == ERR_DETAIL_TLS_UNANSWERED));
}

bool next_address_is_due(struct next_address *next, const struct err *why)
{
    struct err joined = {0};
    char at[ENDPOINT_TEXT_BYTES];
    bool is_first = next->failed_count == 0;
    bool has_others = next->other_count > 0 || next->is_partial;
    /* Timers are not exact: what they leave over is no address's share. */
    bool has_time = next_address_left_ms(next) > least_ms(next) / 2;

    if (!is_no_answer(why) || !has_others || next->failed_count == NEXT_ADDRESS_TURNS || !has_time)
        return false;
    err_set_from(&joined, why, "%s%s%s: %s", next->failure.text, is_first ? "" : "; ",
                 endpoint_format(&next->peer, at), why->text);
    next->failure = joined;
    next->failed[next->failed_count++] = next->peer;
    return true;
}

/* Writes those that were not tried, or nothing. Returns: text. */
static const char *put_others(const struct next_address *next, char text[ERR_TEXT_BYTES])
{
    char at[ENDPOINT_TEXT_BYTES];

    text[0] = '\0';
    for (size_t i = 0; i < next->other_count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, ERR_TEXT_BYTES - length, "%s%s", i == 0 ? "; not tried: " : ", ",
                 endpoint_format(&next->others[i], at));
    }
    return text;
}

void next_address_fail(const struct next_address *next, bool is_dialing, const struct err *why,
                       struct err *err)
{
    char at[ENDPOINT_TEXT_BYTES], others[ERR_TEXT_BYTES];
    bool had_none = why->reason == ERR_OK || why->reason == ERR_RESOLVE_NOT_FOUND;

    if (is_dialing && next->failed_count > 0 && had_none)
        err_set_from(err, &next->failure, "%s", next->failure.text);
    else if (is_dialing && next->failed_count > 0)
        err_set_from(err, &next->failure, "%s; %s", next->failure.text, why->text);
    else if (is_dialing || (!is_no_answer(why) && next->failed_count == 0))
        err_set_from(err, why, "%s", why->text);
    else
        err_set_from(err, why, "%s%s%s: %s%s", next->failure.text, next->failed_count > 0 ? "; " : "",
                     endpoint_format(&next->peer, at), why->text,
                     is_no_answer(why) ? put_others(next, others) : "");
}
