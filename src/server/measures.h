/* What a worker measures for --metrics: written by its thread only, read by any. */
#ifndef TCPGREET_SERVER_MEASURES_H
#define TCPGREET_SERVER_MEASURES_H

#include <stdatomic.h>
#include <stdint.h>

#include "limits.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/stream.h"
#include "tcpgreet/format/exposition.h"

/* Where each count stands. Behind a first one stand those of its kind: of each limit, reason, end, bucket. */
enum measure {
    MEASURE_BYTES_IN,
    MEASURE_BYTES_OUT,
    MEASURE_HANDSHAKES,                             /* TLS 1.2 full, resumed, TLS 1.3 full, resumed */
    MEASURE_REJECTED = (int)MEASURE_HANDSHAKES + 4, /* by enum limits_result */
    MEASURE_PROXY_FROM = (int)MEASURE_REJECTED + (int)LIMITS_RESULTS, /* rejected, too */
    MEASURE_LATE_REJECTED, /* of those, such as had a place before */
    MEASURE_SILENT,
    MEASURE_ENDS,                                                      /* by enum session_end */
    MEASURE_FAILURES = (int)MEASURE_ENDS + (int)SESSION_ENDS,          /* by enum err_reason */
    MEASURE_HANDSHAKE = (int)MEASURE_FAILURES + (int)ERR_REASON_COUNT, /* buckets, then their sum in ns */
    MEASURE_DIALOGUE = (int)MEASURE_HANDSHAKE + (int)EXPOSITION_BUCKETS + 1, /* likewise */
    MEASURES = (int)MEASURE_DIALOGUE + (int)EXPOSITION_BUCKETS + 1
};

struct measures {
    atomic_uint_fast64_t counts[MEASURES];
};

struct measures_sum {
    uint64_t counts[MEASURES];
};

/* Thread: the worker's. */
static inline void measures_add(struct measures *measures, size_t at, uint64_t change)
{
    atomic_uint_fast64_t *count = &measures->counts[at];
    uint64_t value = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, value + change, memory_order_relaxed);
}

/* Counts a time in a histogram. Shape: at is MEASURE_HANDSHAKE or MEASURE_DIALOGUE. Thread: the worker's. */
static inline void measures_add_time(struct measures *measures, enum measure at, uint64_t ns)
{
    measures_add(measures, at + exposition_bucket((double)ns / 1e9), 1);
    measures_add(measures, (size_t)at + EXPOSITION_BUCKETS, ns);
}

/* Counts a handshake and how long it took. Shape: stream is up, and TLS. Thread: the worker's. */
void measures_add_handshake(struct measures *measures, const struct stream *stream, uint64_t ns);

/* What of a connection's bytes is measured, modulo 2^32. Starts as {0}. */
struct measured_bytes {
    uint32_t in, out;
};

/* Counts the bytes that were received and sent since the last call for this connection. Thread: the worker's.
 */
void measures_add_bytes(struct measures *measures, struct measured_bytes *measured, uint64_t in,
                        uint64_t out);

/* Adds what was measured so far. Thread: any. */
static inline void measures_sum(const struct measures *measures, struct measures_sum *sum)
{
    for (size_t i = 0; i < MEASURES; i++)
        sum->counts[i] += atomic_load_explicit(&measures->counts[i], memory_order_relaxed);
}

#endif
