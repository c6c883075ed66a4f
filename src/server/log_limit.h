/* Which of the lines that any peer can cause are logged: so many of each kind in a time. */
#ifndef TCPGREET_SERVER_LOG_LIMIT_H
#define TCPGREET_SERVER_LOG_LIMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { LOG_LIMIT_LINES = 1000, LOG_LIMIT_WINDOW_MS = 10 * 1000 };

/* The lines of one kind. Starts as LOG_LIMIT_INIT. */
struct log_limit {
    pthread_mutex_t lock; /* of all that follows */
    int64_t window_end_ms;
    unsigned lines; /* in this window */
    uint64_t suppressed;
};

#define LOG_LIMIT_INIT                                                                                       \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                                    \
    }

/* Shape: now_ms: of a monotonic clock. Returns: whether the line is to be logged; then *suppressed is how
 * many were not, since the last one that was. Thread: any. */
bool log_limit_admits(struct log_limit *limit, int64_t now_ms, uint64_t *suppressed);

/* Returns: how many lines of all kinds were not logged since the start; what came behind the last line of a
 * kind is counted here alone. Thread: any. */
uint64_t log_limit_suppressed(void);

#endif
