#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "log_limit.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/base/trace.h"

enum {
    EXPIRY_WARNING_DAYS = 14,
    MISBEHAVIOUR_BYTES = 96,
    COUNTERS_BYTES = 512,
    MORE_BYTES = 80,
    UNIQUE_ID_BYTES = 4 * 128 + 4, /* escaped */
    NS_PER_MS = 1000 * 1000
};

/* The facts of a failure. */
#define FACTS_OF(err) log_text("reason", err_word((err)->reason)), log_text("error", (err)->text)

void server_log_step(void *context, const struct log_event *event, const char *line)
{
    (void)context;
    log_event(event, "%s", line);
}

void server_log_one_family(int missing, const char *why)
{
    log_event(&(struct log_event){LOG_INFO, "one-family", LOG_FACTS(log_text("error", why))},
              "Listening on IPv%c only: %s", missing == AF_INET6 ? '4' : '6', why);
}

void server_log_sandbox(const char *text, bool is_root)
{
    if (is_root)
        log_event(&(struct log_event){LOG_WARNING, "root", NULL},
                  "This server runs as root: use --user NAME to switch to another user after start");
    log_event(&(struct log_event){LOG_INFO, "sandbox", NULL}, "Sandbox: %s", text);
}

void server_log_misbehaviour(const struct stream_misbehaviour *how)
{
    char text[MISBEHAVIOUR_BYTES];
    if (how->kind != STREAM_MISBEHAVE_NOT)
        log_event(&(struct log_event){LOG_WARNING, "misbehaves", NULL},
                  "THIS SERVER MISBEHAVES ON PURPOSE (--misbehave): %s",
                  stream_misbehave_text(how, text, sizeof text));
}

void server_log_descriptors(size_t max_connections, size_t limit, size_t needed)
{
    log_event(
        &(struct log_event){LOG_WARNING, "descriptors",
                            LOG_FACTS(log_count("limit", limit), log_count("needed", needed))},
        "--max-connections %zu needs more than the %zu file descriptors allowed: raise ulimit -Hn to %zu",
        max_connections, limit, needed);
}

enum { BYTES_A_MIB = 1024 * 1024 };

void server_log_memory(size_t max_connections, uint64_t needed, uint64_t memory)
{
    log_event(&(struct log_event){LOG_WARNING, "memory",
                                  LOG_FACTS(log_count("limit", memory), log_count("needed", needed))},
              "--max-connections %zu may need %" PRIu64 " MiB, more than half of the %" PRIu64
              " MiB of memory: allow more memory, or lower it",
              max_connections, needed / BYTES_A_MIB, memory / BYTES_A_MIB);
}

void server_log_bound(size_t max_connections, uint64_t bytes)
{
    log_event(
        &(struct log_event){LOG_INFO, "bound",
                            LOG_FACTS(log_count("connections", max_connections), log_count("bytes", bytes))},
        "Serving at most %zu connections, about %" PRIu64 " MiB", max_connections, bytes / BYTES_A_MIB);
}

void server_log_expiry(const char *names, double days)
{
    const struct log_event event = {LOG_WARNING, "certificate-expiry",
                                    LOG_FACTS(log_text("subject", names), log_number("days", days))};
    if (days < 0)
        log_event(&event, "The certificate for %s has expired, clients reject it: renew it", names);
    else if (days < (double)EXPIRY_WARNING_DAYS)
        log_event(&event, "The certificate for %s expires in %.1f days: renew it", names, days);
}

void server_log_ca_expiry(const char *ca, const char *names, double days)
{
    const struct log_event event = {
        LOG_WARNING, "certificate-expiry",
        LOG_FACTS(log_text("ca", ca), log_text("subject", names), log_number("days", days))};
    if (days < 0)
        log_event(
            &event,
            "The CA certificate \"%s\" above that for %s has expired, clients reject it: replace it in the file of --cert",
            ca, names);
    else if (days < (double)EXPIRY_WARNING_DAYS)
        log_event(
            &event,
            "The CA certificate \"%s\" above that for %s expires in %.1f days: replace it in the file of --cert",
            ca, names, days);
}

void server_log_pin(const struct endpoint *at, const char *pin)
{
    char text[ENDPOINT_TEXT_BYTES];
    endpoint_format(at, text);
    log_event(
        &(struct log_event){LOG_NOTICE, "self-signed",
                            LOG_FACTS(log_text("local", text), log_text("pin", pin))},
        "The certificate is self-signed and made for this run; connect with: tcpgreet --connect %s --tls --pin %s",
        text, pin);
}

void server_log_unsupervised(const struct err *err)
{
    log_event(&(struct log_event){LOG_WARNING, "unsupervised", LOG_FACTS(FACTS_OF(err))}, "%s", err->text);
}

void server_log_unwatched(const char *directory, const char *why, int interval_s)
{
    char text[256];
    escape_text((struct bytes){directory, strlen(directory)}, text, sizeof text);
    log_event(&(struct log_event){LOG_WARNING, "unwatched",
                                  LOG_FACTS(log_text("path", text), log_text("error", why))},
              "Changes in %s are not reported (%s): its files are checked every %d s", text, why, interval_s);
}

void server_log_unwatchable(const char *directory, const char *why)
{
    char text[256];
    escape_text((struct bytes){directory, strlen(directory)}, text, sizeof text);
    log_event(&(struct log_event){LOG_WARNING, "unwatched",
                                  LOG_FACTS(log_text("path", text), log_text("error", why))},
              "Changes in %s cannot be noticed (%s): send SIGHUP after each change, or restart", text, why);
}

void server_log_not_looked(const char *why, int interval_s)
{
    log_event(
        &(struct log_event){LOG_WARNING, "unwatched", LOG_FACTS(log_text("error", why))},
        "Files cannot be checked for changes, for no thread can be started (%s): tried again every %d s", why,
        interval_s);
}

void server_log_reloaded(void)
{
    log_event(&(struct log_event){LOG_NOTICE, "reloaded", NULL}, "Certificates reloaded");
}

void server_log_reload_failed(const struct err *err)
{
    log_event(&(struct log_event){LOG_ERROR, "reload-failed", LOG_FACTS(FACTS_OF(err))},
              "Cannot reload the certificates, keeping the current ones: %s", err->text);
}

void server_log_reload_nothing(bool use_tls)
{
    log_event(&(struct log_event){LOG_NOTICE, "reload-nothing", NULL}, "Nothing to reload: %s",
              use_tls ? "the certificate was made for this run" : "this server has no certificates");
}

/* Whether a line that any peer can cause is logged; with -v all are. */
static bool is_admitted(struct log_limit *limit, uint64_t *suppressed)
{
    *suppressed = 0;
    return log_enabled(LOG_DEBUG) || log_limit_admits(limit, (int64_t)(uv_hrtime() / NS_PER_MS), suppressed);
}

/* What is appended to the line. */
static const char *more_of(uint64_t suppressed, char *more, size_t room)
{
    more[0] = '\0';
    if (suppressed > 0)
        snprintf(more, room, " (before it, not logged: %" PRIu64 " such lines)", suppressed);
    return more;
}

/* The field is left out where there are none. */
static struct log_field suppressed_field(uint64_t suppressed)
{
    return suppressed > 0 ? log_count("suppressed", suppressed) : log_text("suppressed", NULL);
}

static const char *format_known(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES])
{
    return endpoint_family(endpoint) == AF_UNSPEC ? "" : endpoint_format(endpoint, text);
}

struct peer_text {
    char address[ENDPOINT_TEXT_BYTES];
    char proxy_peer[ENDPOINT_TEXT_BYTES]; /* "": none */
    char unique_id[UNIQUE_ID_BYTES];      /* likewise */
};

static void format_peer(const struct server_log_peer *peer, struct peer_text *text)
{
    endpoint_format(peer->address, text->address);
    text->proxy_peer[0] = '\0';
    if (peer->proxy_peer != NULL)
        endpoint_format(peer->proxy_peer, text->proxy_peer);
    escape_text(peer->unique_id, text->unique_id, sizeof text->unique_id);
}

void server_log_accepted(const struct server_log_peer *peer, const struct endpoint *local)
{
    static struct log_limit limit = LOG_LIMIT_INIT;
    char at[ENDPOINT_TEXT_BYTES], more[MORE_BYTES];
    struct peer_text text;
    uint64_t suppressed;

    if (!log_enabled(LOG_INFO) || !is_admitted(&limit, &suppressed))
        return;
    format_peer(peer, &text);
    log_event(&(struct log_event){LOG_INFO, "accepted",
                                  LOG_FACTS(log_text("peer", text.address),
                                            log_shown(log_text("proxy_peer", text.proxy_peer)),
                                            log_shown(log_text("unique_id", text.unique_id)),
                                            log_text("local", format_known(local, at)),
                                            suppressed_field(suppressed))},
              "Accept new connection from %s%s", text.address, more_of(suppressed, more, sizeof more));
}

static const char *format_duration(int64_t ms, char *text, size_t room)
{
    if (ms < 1000)
        snprintf(text, room, "%d ms", (int)ms);
    else
        snprintf(text, room, "%.1f s", (double)ms / 1000);
    return text;
}

/* The word of an end; SESSION_END_NONE: the connection was closed before the dialogue had an end. */
static const char *const end_words[SESSION_ENDS] = {
    [SESSION_END_NONE] = "shutdown",
    [SESSION_END_EXIT] = "exit",
    [SESSION_END_PEER] = "peer-ended",
    [SESSION_END_IDLE] = "idle-timeout",
    [SESSION_END_NAME_TIMEOUT] = "name-timeout",
    [SESSION_END_STOPPED] = "shutdown",
    [SESSION_END_TLS_CLIENT] = "tls-client",
    [SESSION_END_HTTP_CLIENT] = "http-client",
    [SESSION_END_TOO_MANY] = "too-many",
};

const char *server_log_end_word(enum session_end end)
{
    return end_words[end];
}

static void log_closed(enum log_level level, const struct server_log_closed *closed, uint64_t suppressed)
{
    const struct stream_tls_facts *tls = closed->tls;
    char at[ENDPOINT_TEXT_BYTES], duration[32], more[MORE_BYTES];
    struct peer_text peer;
    const char *error = closed->err != NULL ? closed->err->text : NULL;
    const char *reason = closed->err != NULL ? err_word(closed->err->reason) : end_words[closed->end];
    format_peer(&closed->peer, &peer);
    const struct log_event event = {
        level, "closed",
        LOG_FACTS(log_text("peer", peer.address), log_shown(log_text("proxy_peer", peer.proxy_peer)),
                  log_shown(log_text("unique_id", peer.unique_id)),
                  log_text("local", format_known(closed->local, at)), log_text("reason", reason),
                  log_text("error", error), log_count("names", closed->names),
                  log_shown(log_count("bytes_in", closed->bytes_in)),
                  log_shown(log_count("bytes_out", closed->bytes_out)),
                  log_number("duration_seconds", (double)closed->duration_ms / 1000),
                  log_shown(log_text("tls_version", tls->version)),
                  log_shown(log_text("cipher", tls->cipher)), log_shown(log_text("group", tls->group)),
                  log_shown(log_text("sni", tls->sni)), log_shown(log_text("alpn", tls->alpn)),
                  tls->version[0] != '\0' ? log_shown(log_flag("resumed", tls->resumed))
                                          : log_text("resumed", NULL),
                  log_shown(log_text("client_subject", tls->subject)), suppressed_field(suppressed))};

    log_event(&event, "Connection from %s is closed: %s, %" PRIu32 " name%s, %s%s", peer.address,
              error != NULL ? error : session_end_text(closed->end), closed->names,
              closed->names == 1 ? "" : "s", format_duration(closed->duration_ms, duration, sizeof duration),
              more_of(suppressed, more, sizeof more));
}

void server_log_closed(const struct server_log_closed *closed)
{
    static struct log_limit failures = LOG_LIMIT_INIT, dialogues = LOG_LIMIT_INIT;
    enum log_level level = closed->is_minor ? LOG_DEBUG : LOG_INFO;
    uint64_t suppressed;

    if (log_enabled(level) && is_admitted(closed->is_failure ? &failures : &dialogues, &suppressed))
        log_closed(level, closed, suppressed);
}

void server_log_dropped(const struct endpoint *peer, const struct err *err)
{
    static struct log_limit limit = LOG_LIMIT_INIT;
    char text[ENDPOINT_TEXT_BYTES], more[MORE_BYTES];
    uint64_t suppressed;

    if (!is_admitted(&limit, &suppressed))
        return;
    endpoint_format(peer, text);
    log_event(
        &(struct log_event){LOG_ERROR, "dropped",
                            LOG_FACTS(log_text("peer", text), FACTS_OF(err), suppressed_field(suppressed))},
        "Connection from %s is dropped: %s%s", text, err->text, more_of(suppressed, more, sizeof more));
}

const char *server_log_limit_word(enum limits_result result)
{
    static const char *const words[LIMITS_RESULTS] = {[LIMITS_FULL] = "max-connections",
                                                      [LIMITS_ADDRESS_FULL] = "max-per-address",
                                                      [LIMITS_ADDRESS_RATE] = "max-rate-per-address",
                                                      [LIMITS_HANDSHAKES] = "max-handshakes"};
    return words[result];
}

void server_log_limit(const struct limits_config *limits, enum limits_result result,
                      const struct endpoint *peer, uint64_t suppressed)
{
    char text[ENDPOINT_TEXT_BYTES], more[64] = "";
    const struct log_event event = {LOG_WARNING, "rejected",
                                    LOG_FACTS(log_text("peer", endpoint_format(peer, text)),
                                              log_text("reason", server_log_limit_word(result)),
                                              suppressed_field(suppressed))};
    if (suppressed > 0)
        snprintf(more, sizeof more, "; rejected since the last such line: %" PRIu64, suppressed);
    switch (result) {
    case LIMITS_FULL:
        log_event(&event, "Connection from %s rejected: all %zu are in use (see --max-connections)%s", text,
                  limits->max_connections, more);
        break;
    case LIMITS_ADDRESS_FULL:
        if (limits->is_proxied)
            log_event(&event,
                      "Connection from %s rejected: its address has %zu open (see --max-per-address)%s", text,
                      limits->max_per_address, more);
        else
            log_event(
                &event,
                "Connection from %s rejected: its address has %zu open; if it is a load balancer, use --proxy-protocol or raise --max-per-address%s",
                text, limits->max_per_address, more);
        break;
    case LIMITS_ADDRESS_RATE:
        log_event(
            &event,
            "Connection from %s rejected: more than %zu a second from its address (see --max-rate-per-address)%s",
            text, limits->max_rate_per_address, more);
        break;
    case LIMITS_HANDSHAKES: /* server_log_waiting */
    case LIMITS_ACCEPTED:
    case LIMITS_RESULTS:
        break;
    }
}

void server_log_waiting(const struct endpoint *peer, size_t max_handshakes, uint64_t suppressed)
{
    char text[ENDPOINT_TEXT_BYTES], more[MORE_BYTES] = "";
    const struct log_event event = {
        LOG_WARNING, "waiting",
        LOG_FACTS(log_text("peer", endpoint_format(peer, text)), suppressed_field(suppressed))};
    if (suppressed > 0)
        snprintf(more, sizeof more, "; others that waited since the last such line: %" PRIu64, suppressed);
    log_event(&event, "TLS handshakes in progress: %zu, the limit (--max-handshakes); %s waits%s",
              max_handshakes, text, more);
}

void server_log_proxy_from_any(const struct listener *listeners, size_t count)
{
    size_t local = 0;
    while (local < count && endpoint_is_loopback(&listeners[local].at))
        local++;
    if (local == count)
        return;
    log_event(
        &(struct log_event){LOG_WARNING, "proxy-from-any", NULL},
        "Any address can claim another one with a PROXY header: restrict who may send one with --proxy-from");
}

void server_log_proxy_from(const struct endpoint *peer)
{
    static struct log_limit limit = LOG_LIMIT_INIT;
    char text[ENDPOINT_TEXT_BYTES], more[MORE_BYTES];
    uint64_t suppressed;

    if (!log_enabled(LOG_INFO) || !is_admitted(&limit, &suppressed))
        return;
    endpoint_format(peer, text);
    log_event(&(struct log_event){LOG_INFO, "rejected",
                                  LOG_FACTS(log_text("peer", text), log_text("reason", "proxy-from"),
                                            suppressed_field(suppressed))},
              "Connection from %s rejected: it may not send a PROXY header (see --proxy-from)%s", text,
              more_of(suppressed, more, sizeof more));
}

void server_log_metrics_failed(const struct err *err, bool for_good)
{
    log_event(&(struct log_event){LOG_ERROR, "metrics-failed", LOG_FACTS(FACTS_OF(err))}, "Metrics: %s%s",
              err->text, for_good ? "; metrics are no longer available" : "");
}

void server_log_accept_paused(const struct err *err, uint64_t suppressed)
{
    const struct log_event event = {LOG_WARNING, "accept-paused",
                                    LOG_FACTS(FACTS_OF(err), log_count("failures", suppressed + 1))};
    if (suppressed > 0)
        log_event(&event, "Accepting is paused: %s; failures since the last message: %" PRIu64, err->text,
                  suppressed + 1);
    else
        log_event(&event, "Accepting is paused: %s", err->text);
}

void server_log_accept_resumed(uint64_t failures)
{
    log_event(&(struct log_event){LOG_NOTICE, "accept-resumed", LOG_FACTS(log_count("failures", failures))},
              "Accepting connections again, failed attempts: %" PRIu64, failures);
}

void server_log_counters(const struct counters_sum *sum)
{
    char line[COUNTERS_BYTES] = "";
#define PUT_TEXT(name, text)                                                                                 \
    snprintf(line + strlen(line), sizeof line - strlen(line), " %" PRIu64 " %s,", sum->name, text);
    COUNTERS(PUT_TEXT)
#undef PUT_TEXT
#define PUT_FIELD(name, text) log_count(#name, sum->name),
    const uint64_t suppressed = log_limit_suppressed();
    const struct log_event event = {LOG_NOTICE, "counters",
                                    LOG_FACTS(COUNTERS(PUT_FIELD)
                                                  log_count("log_lines_suppressed", suppressed),
                                              log_count("log_lines_dropped", log_dropped()))};
#undef PUT_FIELD
    log_event(&event, "Counters:%s %" PRIu64 " log lines suppressed, %" PRIu64 " log lines dropped", line,
              suppressed, log_dropped());
}

void server_log_shutdown(const struct err *err, int64_t drain_ms)
{
    double drain_s = (double)drain_ms / 1000;
    if (err != NULL)
        log_event(&(struct log_event){LOG_ERROR, "shutdown", LOG_FACTS(FACTS_OF(err))},
                  "Shutting down: %s; draining for up to %.3g s", err->text, drain_s);
    else
        log_event(&(struct log_event){LOG_INFO, "shutdown", NULL},
                  "Shutting down: draining for up to %.3g s; send the signal again to stop now", drain_s);
}

void server_log_names(int fd, const struct conn_advance *advance, int names)
{
    struct bytes rest = bytes_skip(advance->in, advance->consumed);

    if (advance->cause == CONN_BYTES && (names > 1 || rest.length > 0))
        trace(.step = TRACE_NAME_SPLIT, .fd = fd, .result = names, .data = rest);
    else if (advance->cause == CONN_DEADLINE && advance->consumed > 0)
        trace(.step = TRACE_NAME_PAUSE, .fd = fd, .data = advance->in);
}
