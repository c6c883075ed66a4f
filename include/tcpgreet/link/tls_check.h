/* Whether a silent peer uses TLS: a ClientHello on a second connection, and what replies to it. */
#ifndef TCPGREET_LINK_TLS_CHECK_H
#define TCPGREET_LINK_TLS_CHECK_H

#include <stdint.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/proxy_header.h"

enum tls_check_result {
    TLS_CHECK_UNKNOWN, /* no connection, or a build without TLS */
    TLS_CHECK_NOT_TLS, /* no reply, or one that is not TLS */
    TLS_CHECK_TLS      /* a ServerHello or an alert */
};

struct tls_check_config {
    const struct endpoint *peer; /* borrowed during the call */
    const char *host;            /* for SNI; borrowed until done */
    const char *source;          /* an address literal to connect from, or NULL; borrowed until done */
    enum proxy_header_version send_proxy;
    const struct proxy_route *proxy; /* at peer; NULL: peer is the server itself; borrowed until done */
    int64_t timeout_ms;
};

struct tls_check;

/* The check is gone when it returns. */
typedef void tls_check_done_fn(void *context, enum tls_check_result result);

/* Calls back: done once, from the loop, never from inside tls_check_start; not after tls_check_cancel.
 * Returns: NULL where it cannot begin. Thread: the loop's. */
struct tls_check *tls_check_start(uv_loop_t *loop, const struct tls_check_config *config,
                                  tls_check_done_fn *done, void *context);

/* Records why the dialogue of a server that sent nothing has failed. Shape: failure: of the dialogue; it has
 * none yet where result is TLS_CHECK_TLS. Errors: dialogue-tls-peer; else the failure's reason, and
 * dialogue-early-end where TLS was assumed and is not proved. */
void tls_check_judge(enum tls_check_result result, const struct err *failure, struct err *err);

/* Shape: NULL is allowed. The loop has to run once more. */
void tls_check_cancel(struct tls_check *check);

#endif
