/* The counters of a worker: written by its thread only, read by any. */
#ifndef TCPGREET_SERVER_COUNTERS_H
#define TCPGREET_SERVER_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* The table of counters: field, and its text in the log. */
#define COUNTERS(X)                                                                                          \
    X(connections, "connections")                                                                            \
    X(open, "open now")                                                                                      \
    X(handshakes, "TLS handshakes")                                                                          \
    X(resumed, "of them resumed")                                                                            \
    X(names, "names greeted")                                                                                \
    X(silent, "closed without data")                                                                         \
    X(rejected, "rejected")                                                                                  \
    X(failed, "failed")                                                                                      \
    X(timed_out, "timed out")                                                                                \
    X(unknown_protocol, "unknown protocol")                                                                  \
    X(proxy_header, "rejected for their PROXY header")                                                       \
    X(pauses, "pauses of accepting")

struct counters {
#define COUNTERS_ATOMIC(name, text) atomic_uint_fast64_t name;
    COUNTERS(COUNTERS_ATOMIC)
#undef COUNTERS_ATOMIC
};

struct counters_sum {
#define COUNTERS_FIELD(name, text) uint64_t name;
    COUNTERS(COUNTERS_FIELD)
#undef COUNTERS_FIELD
};

/* Only one thread writes, so a load and a store replace a locked addition. Thread: the worker's. */
static inline void counters_add(atomic_uint_fast64_t *counter, int64_t change)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (uint64_t)change, memory_order_relaxed);
}

/* Adds what was counted so far. Thread: any. */
static inline void counters_sum(const struct counters *counters, struct counters_sum *sum)
{
#define COUNTERS_ADD(name, text) sum->name += atomic_load_explicit(&counters->name, memory_order_relaxed);
    COUNTERS(COUNTERS_ADD)
#undef COUNTERS_ADD
}

#endif
