/* The plain stream: a connected, non-blocking stream socket. */
#ifndef TCPGREET_NET_STREAM_TCP_H
#define TCPGREET_NET_STREAM_TCP_H

#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/stream.h"
#include "tcpgreet/net/reach.h"

/* Takes: fd, also on failure. Shape: connected and non-blocking; TCP, or a socketpair in tests.
 * Returns: the stream, or NULL where memory is exhausted.
 * Source: recv(2), send(2) with MSG_NOSIGNAL, shutdown(2). */
struct stream *stream_tcp_new(int fd, struct err *err);

/* The same for a descriptor that stream_tcp_connect has begun to connect to `to`: the handshake awaits the
 * outcome. Takes: fd. Borrows: to, until the handshake is done. Errors of the handshake: connect-…. */
struct stream *stream_tcp_new_connecting(int fd, const struct endpoint *to, struct err *err);

/* Opens a non-blocking, close-on-exec TCP socket. Shape: family AF_INET or AF_INET6.
 * Returns: the descriptor, or -1. Errors: system-…. */
int stream_tcp_socket(int family, struct err *err);

/* Returns: one end of a socket, its own or its peer's; {0}, of no family, where it is not known. Source:
 * getsockname(2), getpeername(2). */
struct endpoint stream_tcp_local(int fd);
struct endpoint stream_tcp_peer(int fd);

/* Closes a descriptor that no stream has taken. */
void stream_tcp_close(int fd);

/* Begins to connect, with TCP_NODELAY: what is sent in one write must not wait for an ACK.
 * Shape: from NULL or an address of the same family to connect from. Writes: reach, what this machine has
 * against the address; NULL is allowed. Returns: a descriptor that becomes writable when the outcome is
 * known, or -1. Errors: connect-…, system-…: the text begins with the endpoint. */
int stream_tcp_connect(const struct endpoint *to, const struct endpoint *from, enum reach *reach,
                       struct err *err);

/* Asks for that outcome. begin_ns is for the trace.
 * Returns: 0 connected, -1. Errors: connect-…; connect-refused also where the socket is its own peer. */
int stream_tcp_outcome(int fd, const struct endpoint *to, uint64_t begin_ns, struct err *err);

#endif
