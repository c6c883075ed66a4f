#include "log_limit.h"

#include <stdatomic.h>

static atomic_uint_fast64_t all_suppressed;

bool log_limit_admits(struct log_limit *limit, int64_t now_ms, uint64_t *suppressed)
{
    pthread_mutex_lock(&limit->lock);
    if (now_ms >= limit->window_end_ms) {
        limit->window_end_ms = now_ms + LOG_LIMIT_WINDOW_MS;
        limit->lines = 0;
    }
    bool is_admitted = limit->lines < LOG_LIMIT_LINES;
    if (is_admitted) {
        limit->lines++;
        *suppressed = limit->suppressed;
        limit->suppressed = 0;
    } else {
        limit->suppressed++;
        atomic_fetch_add_explicit(&all_suppressed, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&limit->lock);
    return is_admitted;
}

uint64_t log_limit_suppressed(void)
{
    return atomic_load_explicit(&all_suppressed, memory_order_relaxed);
}
