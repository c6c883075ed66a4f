/* Which addresses a bench connects to, and from. */
#ifndef TCPGREET_BENCH_ADDRESSES_H
#define TCPGREET_BENCH_ADDRESSES_H

#include <stddef.h>
#include <uv.h>

#include "tcpgreet/bench/bench.h"
#include "tcpgreet/core/endpoint.h"

enum { BENCH_ENDPOINTS_MAX = 64, BENCH_SOURCES_MAX = 256 };

/* Invariant: endpoints are distinct, and of the family of the sources, if there are any. */
struct bench_addresses {
    struct endpoint endpoints[BENCH_ENDPOINTS_MAX];
    size_t endpoint_count;
    struct endpoint sources[BENCH_SOURCES_MAX]; /* none: the kernel's choice */
    size_t source_count;
    uv_timer_t limit; /* of the name resolution; the caller closes it with the loop's other handles */
};

/* Resolves the target, for at most --connect-timeout, and the sources. Runs the loop, until it is stopped: by
 * the caller's signal handler, too, which leaves endpoint_count 0 and err as it is. Shape: addresses are {0}
 * and stay where they are until the loop is closed.
 * Errors: resolve-…, connect-unreachable, usage, system-…. Returns: 0, -1. */
int bench_addresses_find(struct bench_addresses *addresses, const struct bench_config *config,
                         uv_loop_t *loop, struct err *err);

#endif
