#include "group.h"
#include "output.h"

/* What an address that was cut off was waiting for. */
static enum err_reason lateness(enum probe_phase phase, enum err_reason awaited)
{
    if (awaited != ERR_OK)
        return awaited;
    if (phase <= PROBE_PROXY)
        return ERR_CONNECT_TIMEOUT;
    return phase <= PROBE_TLS ? ERR_TLS_TIMEOUT : ERR_DIALOGUE_TIMEOUT;
}

/* What the peer has sent by then is reported. */
static void expire_address(struct probe_address *address, double seconds)
{
    struct err was = address->err;
    struct err_facts facts = {.detail = was.detail, .received = err_received(&was)};
    char quoted[4 * ERR_RECEIVED_MAX + 4];
    bool came = facts.received.length > 0;

    probe_quote_peer(address, quoted, sizeof quoted);
    err_clear(&address->err);
    err_set_facts(&address->err, lateness(address->last, was.awaited), &facts,
                  "--timeout (%g s) expired%s%s%s", seconds, came ? ": received \"" : "", came ? quoted : "",
                  came ? "\"" : "");
}

void probe_late(struct probe_result *result, int64_t limit_ms)
{
    double seconds = (double)limit_ms / 1000;

    for (size_t i = 0; i < RACE_FAMILIES; i++) {
        struct err *err = &result->answers[i].err;
        if (err->reason != ERR_INTERRUPTED)
            continue;
        err_clear(err);
        if (result->literal) /* no name service was asked */
            err_set(err, ERR_CONNECT_TIMEOUT, 0, "--timeout (%g s) expired before %s was tried", seconds,
                    probe_result_resolved(result));
        else
            err_set(err, ERR_RESOLVE_TEMPORARY, 0,
                    "no name server answered for the IPv%c addresses of %s before --timeout (%g s) expired",
                    i == RACE_V6 ? '6' : '4', probe_result_resolved(result), seconds);
    }
    for (size_t i = 0; i < result->address_count; i++) {
        struct probe_address *address = &result->addresses[i];
        if (address->err.reason != ERR_INTERRUPTED)
            continue;
        expire_address(address, seconds);
    }
    probe_result_judge(result);
}
