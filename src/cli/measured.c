#include "measured.h"

#include <string.h>

/* The exchange and the dialogue stand for each other; with auto it may be the dialogue. */
static bool is_demanded(enum probe_until until, enum probe_until phase)
{
    if (phase >= PROBE_UNTIL_DIALOGUE)
        return until == phase || (until == PROBE_UNTIL_AUTO && phase == PROBE_UNTIL_DIALOGUE);
    return until >= phase;
}

const char *option_unmeasured(const struct probe_config *probe, const struct threshold_list *limits)
{
    static const struct {
        const char *name;
        enum probe_until until; /* the least that measures it */
    } times[] = {{"connect", PROBE_UNTIL_CONNECT}, {"proxy", PROBE_UNTIL_CONNECT},
                 {"starttls", PROBE_UNTIL_TLS},    {"tls", PROBE_UNTIL_TLS},
                 {"days", PROBE_UNTIL_TLS},        {"welcome", PROBE_UNTIL_DIALOGUE},
                 {"name", PROBE_UNTIL_DIALOGUE},   {"close", PROBE_UNTIL_DIALOGUE},
                 {"volume", PROBE_UNTIL_DIALOGUE}, {"exchange", PROBE_UNTIL_EXCHANGE}};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const char *name = times[i].name;
        if (threshold_find(limits, name) != NULL &&
            (!is_demanded(probe->until, times[i].until) ||
             (strcmp(name, "proxy") == 0 && probe->proxy.kind == PROXY_NONE) ||
             (times[i].until == PROBE_UNTIL_TLS && !probe->use_tls) ||
             (strcmp(name, "starttls") == 0 && probe->starttls == STARTTLS_NONE) ||
             (strcmp(name, "volume") == 0 && probe->volume_bytes == 0)))
            return name;
    }
    return NULL;
}
