#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "log_limit.h"
#include "tcpgreet/base/log.h"

enum {
    EXPIRY_WARNING_DAYS = 14,
    MISBEHAVIOUR_BYTES = 96,
    COUNTERS_BYTES = 512,
    MORE_BYTES = 80,
    NS_PER_MS = 1000 * 1000
};

void server_log_step(void *context, const char *line)
{
    (void)context;
    log_write(LOG_NOTICE, "%s", line);
}

void server_log_one_family(int missing, const char *why)
{
    log_write(LOG_INFO, "Listening on IPv%c only: %s", missing == AF_INET6 ? '4' : '6', why);
}

void server_log_misbehaviour(const struct stream_misbehaviour *how)
{
    char text[MISBEHAVIOUR_BYTES];
    if (how->kind != STREAM_MISBEHAVE_NOT)
        log_write(LOG_WARNING, "THIS SERVER MISBEHAVES ON PURPOSE (--misbehave): %s",
                  stream_misbehave_text(how, text, sizeof text));
}

void server_log_descriptors(size_t max_connections, size_t limit, size_t needed)
{
    log_write(
        LOG_WARNING,
        "--max-connections %zu needs more than the %zu file descriptors allowed: raise ulimit -Hn to %zu",
        max_connections, limit, needed);
}

void server_log_expiry(const char *names, double days)
{
    if (days < 0)
        log_write(LOG_WARNING, "The certificate for %s has expired, clients reject it: renew it", names);
    else if (days < (double)EXPIRY_WARNING_DAYS)
        log_write(LOG_WARNING, "The certificate for %s expires in %.1f days: renew it", names, days);
}

void server_log_ca_expiry(const char *ca, const char *names, double days)
{
    if (days < 0)
        log_write(
            LOG_WARNING,
            "The CA certificate \"%s\" above that for %s has expired, clients reject it: replace it in the file of --cert",
            ca, names);
    else if (days < (double)EXPIRY_WARNING_DAYS)
        log_write(
            LOG_WARNING,
            "The CA certificate \"%s\" above that for %s expires in %.1f days: replace it in the file of --cert",
            ca, names, days);
}

void server_log_pin(const struct endpoint *at, const char *pin)
{
    char text[ENDPOINT_TEXT_BYTES];
    log_write(
        LOG_NOTICE,
        "The certificate is self-signed and made for this run; connect with: tcpgreet --connect %s --tls --pin %s",
        endpoint_format(at, text), pin);
}

void server_log_reloaded(void)
{
    log_write(LOG_NOTICE, "Certificates reloaded");
}

void server_log_reload_failed(const struct err *err)
{
    log_write(LOG_ERROR, "Cannot reload the certificates, keeping the current ones: %s", err->text);
}

void server_log_reload_nothing(bool use_tls)
{
    log_write(LOG_NOTICE, "Nothing to reload: %s",
              use_tls ? "the certificate was made for this run" : "this server has no certificates");
}

/* Whether a line that any peer can cause is logged; with -v all are. more: what is appended to it. */
static bool is_admitted(struct log_limit *limit, char *more, size_t room)
{
    uint64_t suppressed = 0;
    more[0] = '\0';
    if (log_enabled(LOG_DEBUG))
        return true;
    if (!log_limit_admits(limit, (int64_t)(uv_hrtime() / NS_PER_MS), &suppressed))
        return false;
    if (suppressed > 0)
        snprintf(more, room, " (before it, not logged: %" PRIu64 " such lines)", suppressed);
    return true;
}

void server_log_accepted(const struct endpoint *peer)
{
    static struct log_limit limit = LOG_LIMIT_INIT;
    char text[ENDPOINT_TEXT_BYTES], more[MORE_BYTES];
    if (log_enabled(LOG_INFO) && is_admitted(&limit, more, sizeof more))
        log_write(LOG_INFO, "Accept new connection from %s%s", endpoint_format(peer, text), more);
}

static const char *format_duration(int64_t ms, char *text, size_t room)
{
    if (ms < 1000)
        snprintf(text, room, "%d ms", (int)ms);
    else
        snprintf(text, room, "%.1f s", (double)ms / 1000);
    return text;
}

void server_log_closed(const struct server_log_closed *closed)
{
    static struct log_limit limit = LOG_LIMIT_INIT;
    char peer[ENDPOINT_TEXT_BYTES], duration[32], more[MORE_BYTES] = "";
    enum log_level level = closed->is_minor ? LOG_DEBUG : LOG_INFO;

    if (log_enabled(level) && (!closed->is_failure || is_admitted(&limit, more, sizeof more)))
        log_write(level, "Connection from %s is closed: %s, %" PRIu32 " name%s, %s%s",
                  endpoint_format(closed->peer, peer), closed->reason, closed->names,
                  closed->names == 1 ? "" : "s",
                  format_duration(closed->duration_ms, duration, sizeof duration), more);
}

void server_log_dropped(const struct endpoint *peer, const struct err *err)
{
    static struct log_limit limit = LOG_LIMIT_INIT;
    char text[ENDPOINT_TEXT_BYTES], more[MORE_BYTES];
    if (is_admitted(&limit, more, sizeof more))
        log_write(LOG_ERROR, "Connection from %s is dropped: %s%s", endpoint_format(peer, text), err->text,
                  more);
}

void server_log_limit(const struct limits_config *limits, enum limits_result result,
                      const struct endpoint *peer, uint64_t suppressed)
{
    char text[ENDPOINT_TEXT_BYTES], more[64] = "";
    endpoint_format(peer, text);
    if (suppressed > 0)
        snprintf(more, sizeof more, "; rejected since the last such line: %" PRIu64, suppressed);
    switch (result) {
    case LIMITS_FULL:
        log_write(LOG_WARNING, "Connection from %s rejected: all %zu are in use (see --max-connections)%s",
                  text, limits->max_connections, more);
        break;
    case LIMITS_ADDRESS_FULL:
        log_write(
            LOG_WARNING,
            "Connection from %s rejected: its address has %zu open; if it is a load balancer, raise --max-per-address%s",
            text, limits->max_per_address, more);
        break;
    case LIMITS_ADDRESS_RATE:
        log_write(
            LOG_WARNING,
            "Connection from %s rejected: more than %zu a second from its address (see --max-rate-per-address)%s",
            text, limits->max_rate_per_address, more);
        break;
    case LIMITS_ACCEPTED:
    case LIMITS_RESULTS:
        break;
    }
}

void server_log_accept_paused(const struct err *err, uint64_t suppressed)
{
    if (suppressed > 0)
        log_write(LOG_WARNING, "Accepting is paused: %s; failures since the last message: %" PRIu64,
                  err->text, suppressed + 1);
    else
        log_write(LOG_WARNING, "Accepting is paused: %s", err->text);
}

void server_log_accept_resumed(uint64_t failures)
{
    log_write(LOG_NOTICE, "Accepting connections again, failed attempts: %" PRIu64, failures);
}

void server_log_counters(const struct counters_sum *sum)
{
    char line[COUNTERS_BYTES] = "";
#define PUT_FIELD(name, text)                                                                                \
    snprintf(line + strlen(line), sizeof line - strlen(line), " %" PRIu64 " %s,", sum->name, text);
    COUNTERS(PUT_FIELD)
#undef PUT_FIELD
    log_write(LOG_NOTICE, "Counters:%s %" PRIu64 " log lines dropped", line, log_dropped());
}

void server_log_shutdown(const struct err *err, int64_t drain_ms)
{
    double drain_s = (double)drain_ms / 1000;
    if (err != NULL)
        log_write(LOG_ERROR, "Shutting down: %s; draining for up to %.3g s", err->text, drain_s);
    else
        log_write(LOG_INFO, "Shutting down: draining for up to %.3g s; send the signal again to stop now",
                  drain_s);
}
