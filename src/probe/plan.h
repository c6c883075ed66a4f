/* What a round of a probe is asked to do, and what its attempts share. */
#ifndef TCPGREET_PROBE_PLAN_H
#define TCPGREET_PROBE_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/probe/probe.h"
#include "tcpgreet/tls/tls.h"

/* How long --until auto waits for a peer that sends nothing, and --expect-alert for the alert. */
enum { PROBE_LISTEN_MS = 1000 };

struct probe_plan {
    const struct target *target; /* borrowed until done, as the rest */
    bool want_v6;
    bool want_v4;
    const char *source;               /* as the dialer's; NULL */
    const struct proxy_config *proxy; /* NULL: none; else target is what it is asked for */
    enum proxy_header_version send_proxy;
    struct tls_client *tls; /* NULL: plain */
    struct starttls_config starttls;
    const char *servername;            /* for TLS; NULL: the target's host */
    struct conn_shared *shared;        /* with the loop */
    struct tcp_interfaces *interfaces; /* that other plans share; NULL */
    enum probe_until until;
    const struct script *script; /* of PROBE_UNTIL_EXCHANGE */
    int expect_alert;            /* 0: none */
    bool require_any;
    enum session_framing framing;
    int64_t attempt_delay_ms;   /* of the race that is shown */
    int64_t connect_timeout_ms; /* resolve, connect and handshake of every address together */
    int64_t answer_timeout_ms;
    uint64_t volume_bytes; /* 0: none */
};

/* What the attempts of one round share. */
struct probe_scope {
    struct probe_plan plan;
    uint64_t begin_ns;        /* of the round, uv_hrtime */
    struct endpoint source;   /* AF_UNSPEC: the kernel's choice */
    struct proxy_route route; /* through the plan's proxy */
    struct session_policy policy;
};

/* Returns: the plan of a configuration, which is borrowed as long as the plan. Shape: tls NULL: plain. */
struct probe_plan probe_plan_of(const struct probe_config *config, struct tls_client *tls,
                                struct conn_shared *shared);

/* Returns: the loop of a round. */
uv_loop_t *probe_scope_loop(const struct probe_scope *scope);

/* Returns: ns since the round began. */
int64_t probe_scope_now_ns(const struct probe_scope *scope);

/* Returns: ms until the deadline of resolve, connect and handshake; 0 where it has passed. */
int64_t probe_scope_left_ms(const struct probe_scope *scope);

/* Returns: what to connect from; NULL: the kernel's choice. */
const struct endpoint *probe_scope_source(const struct probe_scope *scope);

/* Returns: the route through the proxy; NULL: there is none. */
const struct proxy_route *probe_scope_proxy(const struct probe_scope *scope);

/* Returns: whether the plan goes as far as TLS. */
bool probe_scope_uses_tls(const struct probe_scope *scope);

/* Returns: the plain dialogue before TLS; NULL: none. */
const struct starttls_config *probe_scope_starttls(const struct probe_scope *scope);

/* Takes: fd, connected. Borrows: *session, until the stream is freed. Writes: *session, a new one; unchanged
 * where no TLS is used. Returns: the stream that the dialogue is held on; NULL with err. */
struct stream *probe_scope_stream(const struct probe_scope *scope, int fd, struct tls_session **session,
                                  struct err *err);

/* A further connection to an address that has been connected to. Borrows: peer, until the handshake is done;
 * session (NULL: plain), until the stream is freed. Returns: the stream, still connecting; NULL with err. */
struct stream *probe_scope_connect(const struct probe_scope *scope, const struct endpoint *peer,
                                   struct tls_session *session, struct err *err);

#endif
