/* Builds the finished stack of streams of a client's connection: the only place that does. */
#ifndef TCPGREET_LINK_CONNECTOR_H
#define TCPGREET_LINK_CONNECTOR_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/core/starttls.h"
#include "tcpgreet/core/stream.h"
#include "tcpgreet/tls/tls.h"

/* The layers above TCP, from the lowest to the highest. */
struct connector_policy {
    const struct proxy_route *proxy;        /* borrowed until the stream is up; NULL: connected directly */
    enum proxy_header_version send_proxy;   /* after the proxy's dialogue; PROXY_HEADER_NONE: none */
    const struct starttls_config *starttls; /* borrowed until the stream is up, as host then; NULL or
    STARTTLS_NONE: none */
    struct tls_client *tls;                 /* borrowed until the stream is freed; NULL: plain */
    struct tls_session *session; /* likewise: TLS with the ticket of this session; NULL: that of tls */
    const char *host;            /* as the user gave it, for STARTTLS and TLS; borrowed during each call */
};

/* Writes what a proxy is to be asked for; both stay where they are as long as the route is used. May read a
 * file: for start-up only. Errors: usage: a zone, which means nothing to another machine; the name is too
 * long; resolve-not-found: it cannot be a domain name, or there is no such service. */
int connector_route(struct proxy_route *route, const struct proxy_config *proxy, const struct target *target,
                    struct err *err);

/* The stack above a socket that is connected. A PROXY header names the socket's own addresses; through a
 * proxy, the target's as its destination, if that is an address literal of the same family, else none. Takes:
 * fd, also on failure. Shape: fd is non-blocking. With a proxy, the socket is connected to that. Returns: the
 * stream; NULL with err. Errors: internal. */
struct stream *connector_stream(const struct connector_policy *policy, int fd, struct err *err);

/* The same, and begins to connect to an endpoint: the handshake waits for the outcome first.
 * Borrows: to, until the handshake is done. Shape: from NULL or an address of the same family to connect
 * from. Returns: the stream; NULL with err. Errors: connect-…, system-…, internal. */
struct stream *connector_connect(const struct connector_policy *policy, const struct endpoint *to,
                                 const struct endpoint *from, struct err *err);

#endif
