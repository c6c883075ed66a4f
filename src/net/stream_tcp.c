#include "tcpgreet/net/stream_tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpgreet/base/trace.h"
#include "tcpgreet/net/reach.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where it is missing, SO_NOSIGPIPE or an ignored SIGPIPE stands in */
#endif
#ifndef MSG_MORE
#define MSG_MORE 0 /* where it is missing, a final message takes a segment of its own */
#endif

struct stream_tcp {
    struct stream base;
    int fd;
};

/* One that was not connected when it was made. The smaller struct is what thousands of idle connections cost.
 */
struct stream_connecting {
    struct stream_tcp tcp;
    bool waited;               /* for the outcome, once */
    const struct endpoint *to; /* until the outcome is known */
};

static struct stream_tcp *of(struct stream *stream)
{
    return (struct stream_tcp *)stream;
}

static enum stream_result tcp_handshake(struct stream *stream, bool expired, struct err *err)
{
    (void)stream;
    (void)expired;
    (void)err;
    return STREAM_OK;
}

/* Turns a failed call into one of the five results. */
static enum stream_result failure(enum stream_result want, const char *doing, struct err *err)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return want;
    if (err_is_of_reset(errno))
        err_set(err, ERR_DIALOGUE_RESET, errno, "the peer reset the connection");
    else
        err_set(err, ERR_DIALOGUE_RESET, errno, "%s failed: %s", doing, strerror(errno));
    return STREAM_FAILED;
}

static enum stream_result tcp_read(struct stream *stream, void *data, size_t room, size_t *count,
                                   struct err *err)
{
    int fd = of(stream)->fd;
    uint64_t begin = trace_begin();
    ssize_t n;

    do
        n = recv(fd, data, room, 0);
    while (n < 0 && errno == EINTR);

    stream->more = n > 0 && (size_t)n == room; /* to read on is cheaper than to be woken for the rest */
    if (n > 0) {
        *count = (size_t)n;
        trace(.step = TRACE_READ, .fd = fd, .begin_ns = begin, .result = n, .data = {data, (size_t)n});
        return STREAM_OK;
    }
    if (n == 0) {
        trace(.step = TRACE_END, .fd = fd, .begin_ns = begin);
        return STREAM_EOF;
    }
    enum stream_result result = failure(STREAM_WANT_READ, "reading", err);
    if (result == STREAM_FAILED)
        trace(.step = TRACE_READ, .fd = fd, .begin_ns = begin, .result = -1, .native = errno);
    return result;
}

static enum stream_result tcp_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                    struct err *err)
{
    int fd = of(stream)->fd;
    int flags = stream->corked ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
    uint64_t begin = trace_begin();
    ssize_t n;

    do
        n = send(fd, data, length, flags);
    while (n < 0 && errno == EINTR);

    trace(.step = TRACE_WRITE, .fd = fd, .begin_ns = begin, .result = n, .native = n < 0 ? errno : 0,
          .data = {data, n < 0 ? 0 : (size_t)n});
    if (n < 0)
        return failure(STREAM_WANT_WRITE, "writing", err);
    *count = (size_t)n;
    return STREAM_OK;
}

static enum stream_result tcp_shutdown(struct stream *stream, struct err *err)
{
    int fd = of(stream)->fd;
    uint64_t begin = trace_begin();
    int result = shutdown(fd, SHUT_WR);

    trace(.step = TRACE_SHUTDOWN, .fd = fd, .begin_ns = begin, .arguments = "SHUT_WR", .result = result,
          .native = result < 0 ? errno : 0);
    return result < 0 ? failure(STREAM_WANT_WRITE, "ending our side", err) : STREAM_OK;
}

static int tcp_fd(const struct stream *stream)
{
    return ((const struct stream_tcp *)stream)->fd;
}

static void tcp_free(struct stream *stream)
{
    stream_tcp_close(of(stream)->fd);
    free(stream);
}

static const struct stream_ops tcp_ops = {
    .handshake = tcp_handshake,
    .read = tcp_read,
    .write = tcp_write,
    .shutdown = tcp_shutdown,
    .fd = tcp_fd,
    .free = tcp_free,
};

static enum stream_result connecting_handshake(struct stream *stream, bool expired, struct err *err)
{
    struct stream_connecting *connecting = (struct stream_connecting *)stream;
    if (expired) {
        err_set(err, ERR_CONNECT_TIMEOUT, 0, "no answer in time");
        return STREAM_FAILED;
    }
    if (!connecting->waited) {
        connecting->waited = true;
        return STREAM_WANT_WRITE;
    }
    if (stream_tcp_outcome(connecting->tcp.fd, connecting->to, 0, err) < 0)
        return STREAM_FAILED;
    stream->ops = &tcp_ops;
    return STREAM_OK;
}

static const struct stream_ops connecting_ops = {
    .handshake = connecting_handshake,
    .read = tcp_read,
    .write = tcp_write,
    .shutdown = tcp_shutdown,
    .fd = tcp_fd,
    .free = tcp_free,
};

/* Takes: fd. Shape: size of a struct that begins with a struct stream_tcp. */
static struct stream_tcp *new_of_size(size_t size, int fd, const struct stream_ops *ops, struct err *err)
{
    struct stream_tcp *tcp = calloc(1, size);
    if (tcp == NULL) {
        stream_tcp_close(fd);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a connection");
        return NULL;
    }
    tcp->base.ops = ops;
    tcp->fd = fd;
    return tcp;
}

struct stream *stream_tcp_new(int fd, struct err *err)
{
    return (struct stream *)new_of_size(sizeof(struct stream_tcp), fd, &tcp_ops, err);
}

struct stream *stream_tcp_new_connecting(int fd, const struct endpoint *to, struct err *err)
{
    struct stream_connecting *connecting =
        (struct stream_connecting *)new_of_size(sizeof *connecting, fd, &connecting_ops, err);
    if (connecting != NULL)
        connecting->to = to;
    return (struct stream *)connecting;
}

void stream_tcp_close(int fd)
{
    uint64_t begin = trace_begin();
    int result = close(fd);
    trace(.step = TRACE_CLOSE, .fd = fd, .begin_ns = begin, .result = result,
          .native = result < 0 ? errno : 0);
}

/* Returns: the descriptor, or -1 with errno. */
static int make_socket(int family)
{
    const char *name = family == AF_INET6 ? "AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC"
                                          : "AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC";
    uint64_t begin = trace_begin();
#ifdef SOCK_NONBLOCK
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0 && (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        fd = -1;
    }
#endif
    trace(.step = TRACE_SOCKET, .fd = -1, .begin_ns = begin, .arguments = name, .result = fd,
          .native = fd < 0 ? errno : 0);
    if (fd < 0 && errno == EPROTONOSUPPORT) /* FreeBSD, in a jail without the family */
        errno = EAFNOSUPPORT;
    return fd;
}

static int fail_socket(int family, int native, enum reach *reach, struct err *err)
{
    char why[REACH_TEXT_BYTES];
    enum err_reason reason = err_reason_of_system(native);

    *reach = native == EAFNOSUPPORT ? reach_family(family) : REACH_OPEN;
    if (native == EAFNOSUPPORT)
        return err_set(err, ERR_CONNECT_UNREACHABLE, native, "%s",
                       *reach != REACH_OPEN ? reach_text(*reach, family, why) : strerror(native));
    return err_set(err, reason, native, "cannot create a socket: %s%s", strerror(native),
                   reason == ERR_SYSTEM_DESCRIPTORS ? " (raise ulimit -n)" : "");
}

int stream_tcp_socket(int family, struct err *err)
{
    enum reach ignored = REACH_OPEN;
    int fd = make_socket(family);
    return fd >= 0 ? fd : fail_socket(family, errno, &ignored, err);
}

/* Where it is not known, or fails, all destinations share the source's ports. Source: ip(7). */
static void choose_port_late(int fd)
{
#ifdef IP_BIND_ADDRESS_NO_PORT
    const int one = 1;
    uint64_t begin = trace_begin();
    int result = setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one); /* of IPv6 too */
    trace(.step = TRACE_BIND_NO_PORT, .fd = fd, .begin_ns = begin, .result = result,
          .native = result < 0 ? errno : 0);
#else
    (void)fd;
#endif
}

static int bind_source(int fd, const struct endpoint *from, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES], why[REACH_TEXT_BYTES];
    if (endpoint_port(from) == 0)
        choose_port_late(fd);
    uint64_t begin = trace_begin();
    int result = bind(fd, &from->address.any, endpoint_length(from));

    trace(.step = TRACE_BIND, .fd = fd, .begin_ns = begin, .arguments = endpoint_format(from, text),
          .result = result, .native = result < 0 ? errno : 0);
    if (result == 0)
        return 0;
    int native = errno;
    enum reach reach = native == EADDRNOTAVAIL ? reach_family(endpoint_family(from)) : REACH_OPEN;
    if (reach != REACH_OPEN)
        return err_set(err, err_reason_of_system(native), native, "cannot use source %s: %s",
                       endpoint_format(from, text), reach_text(reach, endpoint_family(from), why));
    return err_set(err, err_reason_of_system(native), native, "cannot use source %s: %s%s",
                   endpoint_format(from, text), strerror(native),
                   native == EADDRNOTAVAIL ? " (--source takes an address of this machine)" : "");
}

static bool lacks_zone(const struct endpoint *to)
{
    return endpoint_family(to) == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&to->address.v6.sin6_addr) &&
           to->address.v6.sin6_scope_id == 0;
}

/* connect(2) has failed at once. The system's sentence is used only where it names the cause. */
static int fail_at_once(const struct endpoint *to, int native, enum reach *reach, struct err *err)
{
    char why[REACH_TEXT_BYTES];

    if (lacks_zone(to))
        return err_set(err, err_reason_of_connect(native), native,
                       "%s (a link-local address needs its zone, as fe80::1%%eth0)", strerror(native));
    *reach = reach_explain(to, native);
    if (*reach == REACH_OPEN)
        return err_set(err, err_reason_of_connect(native), native, "%s", strerror(native));
    bool is_clear = *reach == REACH_NO_ROUTE || *reach == REACH_REJECTED || *reach == REACH_PROHIBITED ||
                    *reach == REACH_NO_HOST;
    return err_set(err, ERR_CONNECT_UNREACHABLE, native, "%s",
                   is_clear ? strerror(native) : reach_text(*reach, endpoint_family(to), why));
}

/* Returns: 0 once the SYN is on its way, or there already; -1. */
static int begin_connect(int fd, const struct endpoint *to, enum reach *reach, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES];
    uint64_t begin = trace_begin();
    int result;

    do
        result = connect(fd, &to->address.any, endpoint_length(to));
    while (result < 0 && errno == EINTR);
    int native = result == 0 ? 0 : errno;
    bool begun = native == 0 || native == EINPROGRESS || native == EALREADY || native == EISCONN;
    trace(.step = TRACE_CONNECT, .fd = fd, .begin_ns = begin, .arguments = endpoint_format(to, text),
          .result = begun ? 0 : -1, .native = begun ? 0 : native);
    return begun ? 0 : fail_at_once(to, native, reach, err);
}

int stream_tcp_connect(const struct endpoint *to, const struct endpoint *from, enum reach *reach,
                       struct err *err)
{
    const int one = 1;
    enum reach ignored = REACH_OPEN;
    int fd = make_socket(endpoint_family(to));

    reach = reach != NULL ? reach : &ignored;
    *reach = REACH_OPEN;
    if (fd < 0)
        return fail_socket(endpoint_family(to), errno, reach, err);
    uint64_t begin = trace_begin();
    int result = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    trace(.step = TRACE_NODELAY, .fd = fd, .begin_ns = begin, .result = result,
          .native = result < 0 ? errno : 0);
    if ((from == NULL || bind_source(fd, from, err) == 0) && begin_connect(fd, to, reach, err) == 0)
        return fd;
    stream_tcp_close(fd);
    return -1;
}

static struct endpoint end_of(int fd, bool is_peer)
{
    struct sockaddr_storage address;
    struct endpoint end = {0};
    socklen_t length = sizeof address;

    int result = is_peer ? getpeername(fd, (struct sockaddr *)&address, &length)
                         : getsockname(fd, (struct sockaddr *)&address, &length);
    if (result == 0)
        (void)endpoint_from_sockaddr(&end, (struct sockaddr *)&address, length);
    return end;
}

struct endpoint stream_tcp_local(int fd)
{
    return end_of(fd, false);
}

struct endpoint stream_tcp_peer(int fd)
{
    return end_of(fd, true);
}

/* Where nothing listens on a local port of the ephemeral range, the kernel may choose that port to connect
 * from: the socket is then its own peer. The reset keeps it from occupying the port in TIME_WAIT. */
static bool is_own_peer(int fd, const struct endpoint *to)
{
    const struct linger reset = {.l_onoff = 1};
    const struct endpoint local = stream_tcp_local(fd);

    if (endpoint_family(&local) == AF_UNSPEC || endpoint_port(&local) != endpoint_port(to))
        return false;
    const struct endpoint peer = stream_tcp_peer(fd);
    if (!endpoint_equal(&local, &peer))
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return true;
}

int stream_tcp_outcome(int fd, const struct endpoint *to, uint64_t begin_ns, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES];
    int native = 0;
    socklen_t length = sizeof native;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &native, &length) < 0)
        native = errno;
    trace(.step = TRACE_CONNECTED, .fd = fd, .begin_ns = begin_ns, .arguments = endpoint_format(to, text),
          .result = native == 0 ? 0 : -1, .native = native);
    if (native == 0 && is_own_peer(fd, to))
        return err_set(
            err, ERR_CONNECT_REFUSED, ECONNREFUSED,
            "Connection refused: nothing listens on this port (the kernel connected the socket to itself)");
    if (native == 0)
        return 0;
    return err_set(err, err_reason_of_connect(native), native, "%s", strerror(native));
}
