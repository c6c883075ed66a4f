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
