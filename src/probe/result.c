#include "result.h"

#include <stdlib.h>

void probe_result_fini(struct probe_result *result)
{
    free(result->addresses);
    result->addresses = NULL;
    result->address_count = 0;
}

const char *probe_phase_name(enum probe_phase phase)
{
    static const char *const names[PROBE_PHASES] = {
        [PROBE_RESOLVE] = "resolve", [PROBE_CONNECT] = "connect", [PROBE_TLS] = "tls",
        [PROBE_WELCOME] = "welcome", [PROBE_NAME] = "name",       [PROBE_CLOSE] = "close",
        [PROBE_VOLUME] = "volume"};
    return (unsigned)phase < PROBE_PHASES ? names[phase] : "?";
}

int64_t probe_span_ns(const struct probe_span *span)
{
    return span->end_ns < 0 ? -1 : span->end_ns - span->begin_ns;
}

enum reach probe_address_reach(const struct probe_address *address)
{
    enum err_reason reason = address->err.reason;
    bool never_came = address->last == PROBE_CONNECT &&
                      (reason == ERR_CONNECT_UNREACHABLE || reason == ERR_CONNECT_TIMEOUT);
    return never_came ? address->reach : REACH_OPEN;
}

static bool is_within_reach(const struct probe_address *address)
{
    return !reach_is_impossible(probe_address_reach(address));
}

bool probe_result_counts(const struct probe_result *result, const struct probe_address *address)
{
    bool any = false;
    for (size_t i = 0; i < result->address_count && !any; i++)
        any = is_within_reach(&result->addresses[i]);
    return !any || is_within_reach(address);
}

size_t probe_result_counted(const struct probe_result *result)
{
    size_t count = 0;
    for (size_t i = 0; i < result->address_count; i++)
        count += probe_result_counts(result, &result->addresses[i]);
    return count;
}
