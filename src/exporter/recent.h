/* What was found lately, by target: bounded, the target that was probed longest ago goes first. */
#ifndef TCPGREET_EXPORTER_RECENT_H
#define TCPGREET_EXPORTER_RECENT_H

#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/probe/faces.h"

enum { RECENT_TARGETS = 100, RECENT_ROUNDS = 20 };

struct recent_round {
    int64_t started_s;
    int64_t total_ns;
    enum err_reason reason;
};

/* Invariant: 1 <= round_count <= RECENT_ROUNDS; rounds[0] is the last one, whose result is kept. */
struct recent_target {
    struct probe_result *result;
    struct recent_round rounds[RECENT_ROUNDS];
    size_t round_count;
};

/* Starts as {0}. The target that was probed last comes first. */
struct recent {
    struct recent_target targets[RECENT_TARGETS];
    size_t count;
};

/* Takes: result. */
void recent_add(struct recent *recent, struct probe_result *result);

void recent_fini(struct recent *recent);

#endif
