/* Builds the finished stack of streams of a server's connection: the only place that does. */
#ifndef TCPGREET_LINK_ACCEPTOR_H
#define TCPGREET_LINK_ACCEPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/prefix.h"
#include "tcpgreet/core/proxy_header_dialogue.h"
#include "tcpgreet/core/stream.h"
#include "tcpgreet/net/stream_misbehave.h"
#include "tcpgreet/tls/tls.h"

/* A connection that was accepted and has no stream yet. Shape: fd is non-blocking. */
struct accepted_socket {
    int fd;
    struct endpoint peer;
    bool is_plain; /* without TLS, whatever the policy */
};

/* The layers above TCP, from the lowest to the highest. */
struct acceptor_policy {
    bool proxy_header;                    /* every connection begins with a PROXY header */
    const struct prefix_list *proxy_from; /* who may send one; none: any; borrowed as long as the policy */
    struct tls_server *tls;               /* borrowed during each call; NULL: plain */
    struct stream_misbehaviour misbehaviour;
};

/* What a stream is made of. Shape: proxied NULL only where the policy has no PROXY header. */
struct acceptor_request {
    uv_loop_t *loop; /* borrowed until its next turn after stream_free */
    const struct accepted_socket *accepted;
    proxy_header_fn *proxied; /* from the stream's handshake, once */
    void *context;
};

/* Returns: whether a connection from there is expected: it may send the PROXY header that it must begin with.
 */
bool acceptor_admits(const struct acceptor_policy *policy, const struct endpoint *peer);

/* Returns: whether the connection gets TLS. */
bool acceptor_uses_tls(const struct acceptor_policy *policy, const struct accepted_socket *accepted);

/* Takes: the descriptor of accepted, also on failure. Errors of the handshake: those of proxy_header_receive,
 * then tls-…. Returns: the stream; NULL with err. Errors: internal, system-descriptors. Thread: the loop's.
 */
struct stream *acceptor_stream(const struct acceptor_policy *policy, const struct acceptor_request *request,
                               struct err *err);

/* Returns: the address that the peer of such a stream connected to; {0} where it is not known. */
struct endpoint acceptor_local(const struct stream *stream);

/* Closes the connection without a stack of streams and without waiting for the peer. The message is sent
 * first, as far as the socket takes it at once, unless that needed a handshake. Takes: the descriptor. */
void acceptor_reject(const struct acceptor_policy *policy, const struct accepted_socket *accepted,
                     struct bytes message);

/* Returns: how many descriptors one connection needs, its socket included. */
size_t acceptor_descriptors(const struct acceptor_policy *policy);

#endif
