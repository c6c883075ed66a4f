/* Which failures to accept are logged, for all listeners of a server together. */
#ifndef TCPGREET_SERVER_ACCEPT_LOG_H
#define TCPGREET_SERVER_ACCEPT_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"

enum {
    ACCEPT_LOG_INTERVAL_MS = 60 * 1000, /* between two lines about the same errno */
    ACCEPT_LOG_CAUSES = 8 /* errnos that are limited separately; further ones share the last place */
};

/* Starts as ACCEPT_LOG_INIT. Invariant: reported implies that the last line was about a failure. */
struct accept_log {
    pthread_mutex_t lock; /* of all that follows */
    size_t failing;       /* listeners */
    bool reported;
    uint64_t failures; /* since all listeners worked */
    struct accept_log_cause {
        int native; /* 0: unused */
        int64_t next_ms;
        uint64_t suppressed; /* failures since its last line */
    } causes[ACCEPT_LOG_CAUSES];
};

#define ACCEPT_LOG_INIT                                                                                      \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                                    \
    }

/* Logs a failed accept at once if its errno is new, else at most once in ACCEPT_LOG_INTERVAL_MS, with the
 * number of failures in between. Shape: is_first: the listener worked until now; now_ms: of a monotonic
 * clock. Thread: any. */
void accept_log_failure(struct accept_log *log, const struct err *err, bool is_first, int64_t now_ms);

/* Takes back one is_first. Logs that accepting works again where it was the last listener that failed, and
 * the log has a line about it. Thread: any. */
void accept_log_recovery(struct accept_log *log);

#endif
