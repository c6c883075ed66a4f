#include "accept_log.h"

#include "log.h"

static struct accept_log_cause *find_cause(struct accept_log *log, int native)
{
    size_t i = 0;
    while (i + 1 < ACCEPT_LOG_CAUSES && log->causes[i].native != native && log->causes[i].native != 0)
        i++;
    log->causes[i].native = native;
    return &log->causes[i];
}

void accept_log_failure(struct accept_log *log, const struct err *err, bool is_first, int64_t now_ms)
{
    pthread_mutex_lock(&log->lock);
    struct accept_log_cause *cause = find_cause(log, err->native);
    log->failing += is_first;
    log->failures++;
    if (now_ms < cause->next_ms) {
        cause->suppressed++;
    } else {
        server_log_accept_paused(err, cause->suppressed);
        cause->next_ms = now_ms + ACCEPT_LOG_INTERVAL_MS;
        cause->suppressed = 0;
        log->reported = true;
    }
    pthread_mutex_unlock(&log->lock);
}

void accept_log_recovery(struct accept_log *log)
{
    pthread_mutex_lock(&log->lock);
    log->failing--;
    if (log->failing == 0) {
        if (log->reported)
            server_log_accept_resumed(log->failures);
        log->reported = false;
        log->failures = 0;
    }
    pthread_mutex_unlock(&log->lock);
}
