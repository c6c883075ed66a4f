/* Every line that a server logs. Thread: any. */
#ifndef TCPGREET_SERVER_LOG_H
#define TCPGREET_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "limits.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/net/stream_misbehave.h"
#include "tcpgreet/tls/stream_tls.h"

/* One step of --explain. */
void server_log_step(void *context, const struct log_event *event, const char *line);

/* For --explain: one read may bring several names, or a part of one; a name may end with a pause alone. */
void server_log_names(int fd, const struct conn_advance *advance, int names);

/* Every address was asked for, and this machine lacks a family. Shape: missing: AF_INET, AF_INET6. */
void server_log_one_family(int missing, const char *why);

/* What the process has given up, as sandbox_enter describes it. */
void server_log_sandbox(const char *text, bool is_root);

void server_log_misbehaviour(const struct stream_misbehaviour *how);

/* --max-connections asks for more descriptors than the limit. */
void server_log_descriptors(size_t max_connections, size_t limit, size_t needed);

/* --max-connections may need more memory than there is for it. Shape: bytes. */
void server_log_memory(size_t max_connections, uint64_t needed, uint64_t memory);

/* How many connections there may be, and for how many bytes. */
void server_log_bound(size_t max_connections, uint64_t bytes);

/* Before the certificate expires, or after: days < 0. */
void server_log_expiry(const char *names, double days);

/* The same of a CA certificate that is sent along and expires before the server's own. */
void server_log_ca_expiry(const char *ca, const char *names, double days);

/* For a certificate that was made for this run: how to connect. */
void server_log_pin(const struct endpoint *at, const char *pin);

/* The service manager asks for notifications that cannot be sent. */
void server_log_unsupervised(const struct err *err);

/* --watch: the kernel does not report changes of a directory, which is looked at every interval_s instead. */
void server_log_unwatched(const char *directory, const char *why, int interval_s);

/* The same where this process may not even look at the files. */
void server_log_unwatchable(const char *directory, const char *why);

/* The files were not looked at; that is tried again. */
void server_log_not_looked(const char *why, int interval_s);

/* The result of a reload. */
void server_log_reloaded(void);
void server_log_reload_failed(const struct err *err);
void server_log_reload_nothing(bool use_tls);

/* Whose connection it is. */
struct server_log_peer {
    const struct endpoint *address;    /* the PROXY header's, or the socket's peer */
    const struct endpoint *proxy_peer; /* that sent the header; NULL: there was none */
    struct bytes unique_id;            /* of the header; empty: none */
};

/* Shape: local is {0} where it is not known. */
void server_log_accepted(const struct server_log_peer *peer, const struct endpoint *local);

struct server_log_closed {
    struct server_log_peer peer;
    const struct endpoint *local; /* {0}: not known */
    const struct err *err;        /* why the connection failed; NULL: `end` is how the dialogue ended */
    enum session_end end;
    uint32_t names;
    uint64_t bytes_in; /* of the dialogue, without TLS */
    uint64_t bytes_out;
    int64_t duration_ms;
    const struct stream_tls_facts *tls; /* {0}: not known, or plain */
    bool is_failure;                    /* limited apart from dialogues, which stay in the log of a flood */
    bool is_minor;                      /* rejected, or closed without sending data: for -v only */
};
void server_log_closed(const struct server_log_closed *closed);

/* Returns: the word of an end, the reason in JSON; NULL for one of a client. */
const char *server_log_end_word(enum session_end end);

/* A connection that could not be served. */
void server_log_dropped(const struct endpoint *peer, const struct err *err);

/* A TLS handshake waits, and none that is in progress made room for it. Shape: suppressed: others that waited
 * since the last of these lines. */
void server_log_waiting(const struct endpoint *peer, size_t max_handshakes, uint64_t suppressed);

/* Returns: the option of a limit, without its dashes: the reason in JSON. */
const char *server_log_limit_word(enum limits_result result);

/* A connection is rejected. Shape: result: LIMITS_ACCEPTED excluded; suppressed: rejections by the same limit
 * since the last of these lines. */
void server_log_limit(const struct limits_config *limits, enum limits_result result,
                      const struct endpoint *peer, uint64_t suppressed);

/* Shape: suppressed: failures since the last of these lines, without this one. */
void server_log_accept_paused(const struct err *err, uint64_t suppressed);
void server_log_accept_resumed(uint64_t failures);

void server_log_counters(const struct counters_sum *sum);

/* Every address may send a PROXY header: a warning, unless the server listens on loopback addresses alone. */
void server_log_proxy_from_any(const struct listener *listeners, size_t count);

/* A connection is rejected, because its peer may not send a PROXY header. */
void server_log_proxy_from(const struct endpoint *peer);

/* The listener of --metrics cannot accept. Shape: for_good: it is not tried again. */
void server_log_metrics_failed(const struct err *err, bool for_good);

/* Shape: err NULL: a signal asked for it. */
void server_log_shutdown(const struct err *err, int64_t drain_ms);

#endif
