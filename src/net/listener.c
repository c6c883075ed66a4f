#include "tcpgreet/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpgreet/base/trace.h"
#include "tcpgreet/net/reach.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/net/stream_tcp.h"

enum {
    PORT_ATTEMPTS = 32
}; /* how often a port that the kernel chose for one family may be taken in the other */

/* How a port is shared here, whether the kernel balances among those who share it, and whether that takes the
 * option before bind on the first of them too. */
#if defined SO_REUSEPORT_LB
enum { REUSE_PORT = SO_REUSEPORT_LB, BALANCES = 1, BALANCES_FROM_BIND_ON = 1 };
#elif defined __linux__
enum { REUSE_PORT = SO_REUSEPORT, BALANCES = 1, BALANCES_FROM_BIND_ON = 0 };
#else
enum { REUSE_PORT = SO_REUSEPORT, BALANCES = 0, BALANCES_FROM_BIND_ON = 0 };
#endif

static const char *remedy(int native)
{
    switch (native) {
    case EADDRINUSE:
        return " (another program has this port: ss -ltnp shows which)";
    case EACCES:
        return " (ports below 1024 need CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL:
        return " (not an address of this machine: ip address lists them)";
    case EMFILE:
    case ENFILE:
        return " (raise ulimit -n)";
    default:
        return "";
    }
}

/* The machine lacks what the address needs: its family, or a loopback address. */
static int fail_missing(const struct endpoint *at, enum reach reach, int native, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES], why[REACH_TEXT_BYTES], what[REACH_TEXT_BYTES];
    int family = endpoint_family(at);
    return err_set(err, ERR_SYSTEM_ADDRESS_NOT_AVAILABLE, native, "cannot listen on %s: %s (%s)",
                   endpoint_format(at, text), reach_text(reach, family, why),
                   reach_remedy(reach, family, what));
}

static int fail(const struct endpoint *at, int native, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES];
    enum reach reach =
        native == EAFNOSUPPORT || native == EADDRNOTAVAIL ? reach_explain(at, native) : REACH_OPEN;

    if (reach_is_impossible(reach) && reach != REACH_LOCAL_ONLY)
        return fail_missing(at, reach, native, err);
    enum err_reason reason =
        native == EAFNOSUPPORT ? ERR_SYSTEM_ADDRESS_NOT_AVAILABLE : err_reason_of_system(native);
    return err_set(err, reason, native, "cannot listen on %s: %s%s", endpoint_format(at, text),
                   strerror(native), remedy(native));
}

static int set_option(int fd, int level, int option, enum trace_step step)
{
    const int one = 1;
    uint64_t begin = trace_begin();
    int result = setsockopt(fd, level, option, &one, sizeof one);
    trace(.step = step, .fd = fd, .begin_ns = begin, .result = result, .native = result < 0 ? errno : 0);
    return result;
}

/* Whether the port may be shared with sockets that are bound already. */
enum sharing {
    ALONE,
    WITH_LATER, /* allowed after bind: another program's listener is still an error, further workers are not
                 */
    WITH_ALL
};

static int configure(int fd, int family, enum sharing sharing)
{
    if (family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, TRACE_V6ONLY) < 0)
        return -1;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, TRACE_REUSEADDR) < 0)
        return -1;
    if (sharing == WITH_ALL && set_option(fd, SOL_SOCKET, REUSE_PORT, TRACE_REUSEPORT) < 0)
        return -1;
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, TRACE_NODELAY);
}

static int bind_and_listen(int fd, const struct endpoint *at, enum sharing sharing, int backlog)
{
    char text[ENDPOINT_TEXT_BYTES];
    uint64_t begin = trace_begin();
    int result = bind(fd, &at->address.any, endpoint_length(at));

    trace(.step = TRACE_BIND, .fd = fd, .begin_ns = begin, .arguments = endpoint_format(at, text),
          .result = result, .native = result < 0 ? errno : 0);
    if (result < 0)
        return -1;
    if (sharing == WITH_LATER && set_option(fd, SOL_SOCKET, REUSE_PORT, TRACE_REUSEPORT) < 0)
        return -1;
    begin = trace_begin();
    result = listen(fd, backlog);
    if (trace_sink != NULL) {
        int native = errno;
        snprintf(text, sizeof text, "%d", backlog);
        trace(.step = TRACE_LISTEN, .fd = fd, .begin_ns = begin, .arguments = text, .result = result,
              .native = result < 0 ? native : 0);
        errno = native;
    }
    return result;
}

static int read_back(struct listener *listener)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;

    if (getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0)
        return -1;
    return endpoint_from_sockaddr(&listener->at, (struct sockaddr *)&address, length);
}

static int open_one(const struct endpoint *at, enum sharing sharing, int backlog, struct listener *listener,
                    struct err *err)
{
    struct err why = {0};
    int fd = stream_tcp_socket(endpoint_family(at), &why);
    if (fd < 0)
        return fail(at, why.native, err);

    *listener = (struct listener){.fd = fd, .at = *at};
    if (configure(fd, endpoint_family(at), sharing) == 0 && bind_and_listen(fd, at, sharing, backlog) == 0 &&
        read_back(listener) == 0)
        return 0;
    int native = errno;
    stream_tcp_close(fd);
    listener->fd = -1;
    return fail(at, native, err);
}

/* Opens the first socket of a port. */
static int open_first(const struct endpoint *at, const struct listener_options *options,
                      struct listener *listener, struct err *err)
{
    if (!options->reuse_port)
        return open_one(at, ALONE, options->backlog, listener, err);
    if (!BALANCES_FROM_BIND_ON)
        return open_one(at, WITH_LATER, options->backlog, listener, err);
    if (open_one(at, ALONE, options->backlog, listener, err) < 0) /* another program has it */
        return -1;
    struct endpoint place = listener->at;
    listener_close(listener);
    return open_one(&place, WITH_ALL, options->backlog, listener, err);
}

/* Linux binds :: also where IPv6 is switched off, and no connection would ever come. */
static bool is_switched_off(const struct endpoint *at, struct err *err)
{
    if (!endpoint_is_wildcard(at) || reach_family(endpoint_family(at)) != REACH_SWITCHED_OFF)
        return false;
    fail_missing(at, REACH_SWITCHED_OFF, EADDRNOTAVAIL, err);
    return true;
}

/* A name such as localhost may have a loopback address of a family that the loopback interface does not have.
 */
static bool is_missing_loopback(const struct endpoint *at, const struct err *err)
{
    return err->native == EADDRNOTAVAIL && reach_explain(at, EADDRNOTAVAIL) == REACH_NO_LOOPBACK;
}

/* Source: ip(7), bind: a listener on every address of a family conflicts with each on one of them. */
static bool overlap(const struct endpoint *a, const struct endpoint *b)
{
    return endpoint_equal(a, b) ||
           (endpoint_family(a) == endpoint_family(b) && endpoint_port(a) == endpoint_port(b) &&
            (endpoint_is_wildcard(a) || endpoint_is_wildcard(b)));
}

/* Where another listener of this process has the port, err names both. */
static void name_conflict(const struct endpoint *at, const struct listener_options *options, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES], other[ENDPOINT_TEXT_BYTES];

    for (size_t i = 0; i < options->other_count && err->native == EADDRINUSE; i++) {
        if (!overlap(at, &options->others[i].at))
            continue;
        err_clear(err);
        err_set(
            err, ERR_SYSTEM_ADDRESS_IN_USE, EADDRINUSE,
            "cannot listen on %s: it conflicts with the listener of this server on %s (use one of the two, or "
            "another port)",
            endpoint_format(at, text), endpoint_format(&options->others[i].at, other));
        return;
    }
}

static void close_all(struct listener *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++)
        listener_close(&listeners[i]);
}

/* One try at all endpoints, with one port. Returns: how many are open; 0 with err. */
static size_t open_all(const struct endpoint *endpoints, size_t count, const struct listener_options *options,
                       struct listener *listeners, struct err *err)
{
    uint16_t port = endpoint_port(&endpoints[0]);
    size_t opened = 0;

    for (size_t i = 0; i < count; i++) {
        struct endpoint at = endpoints[i];
        struct err why = {0};
        endpoint_set_port(&at, port);
        if (!is_switched_off(&at, &why) && open_first(&at, options, &listeners[opened], &why) == 0) {
            port = endpoint_port(&listeners[opened].at);
            opened++;
        } else if (!is_missing_loopback(&at, &why) || (opened == 0 && i + 1 == count)) {
            close_all(listeners, opened);
            name_conflict(&at, options, &why);
            *err = why;
            return 0;
        }
    }
    return opened;
}

/* Of several, those of a family that this machine lacks are left out. Returns: how many remain; where none
 * would, all of them, and opening reports why they fail. */
static size_t leave_out_missing(struct endpoint *endpoints, size_t count)
{
    bool has_v6 = reach_family(AF_INET6) == REACH_OPEN;
    bool has_v4 = reach_family(AF_INET) == REACH_OPEN;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (endpoint_family(&endpoints[i]) == AF_INET6 ? has_v6 : has_v4)
            endpoints[kept++] = endpoints[i];
    return kept > 0 ? kept : count;
}

static size_t find_endpoints(const struct target *target, const struct listener_options *options,
                             struct endpoint *endpoints, size_t room, struct err *err)
{
    struct resolver_query query = {target, options->want_v6, options->want_v4};
    size_t found = resolver_lookup(&query, endpoints, room, err);
    size_t kept = 0;

    for (size_t i = 0; i < found; i++) {
        bool seen = false;
        for (size_t j = 0; j < kept; j++)
            seen = seen || endpoint_equal(&endpoints[i], &endpoints[j]);
        if (!seen)
            endpoints[kept++] = endpoints[i];
    }
    return leave_out_missing(endpoints, kept);
}

size_t listener_open(const struct target *target, const struct listener_options *options,
                     struct listener *listeners, size_t room, struct err *err)
{
    struct endpoint endpoints[LISTENER_MAX];
    size_t count = find_endpoints(target, options, endpoints, room < LISTENER_MAX ? room : LISTENER_MAX, err);
    if (count == 0)
        return 0;

    bool chosen_by_kernel = endpoint_port(&endpoints[0]) == 0;
    for (int attempt = 1;; attempt++) {
        struct err why = {0};
        size_t opened = open_all(endpoints, count, options, listeners, &why);
        bool again = chosen_by_kernel && why.reason == ERR_SYSTEM_ADDRESS_IN_USE && attempt < PORT_ATTEMPTS;
        if (opened > 0)
            return opened;
        if (!again) {
            err_set_from(err, &why, "%s", why.text);
            return 0;
        }
    }
}

bool listener_balances(void)
{
    return BALANCES;
}

int listener_open_again(const struct listener *first, const struct listener_options *options,
                        struct listener *listener, struct err *err)
{
    return open_one(&first->at, options->reuse_port ? WITH_ALL : ALONE, options->backlog, listener, err);
}

static int accept_call(int fd, struct sockaddr_storage *address, socklen_t *length)
{
#ifdef SOCK_NONBLOCK
    return accept4(fd, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int accepted = accept(fd, (struct sockaddr *)address, length);
    const int one = 1;
    if (accepted >= 0 &&
        (fcntl(accepted, F_SETFL, O_NONBLOCK) < 0 || fcntl(accepted, F_SETFD, FD_CLOEXEC) < 0 ||
         setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)) {
        close(accepted);
        errno = ECONNABORTED;
        return -1;
    }
    return accepted;
#endif
}

/* What an errno of accept means for the listener, and what to do about it. */
struct accept_cause {
    int native;
    enum listener_result result;
    const char *remedy;
};

#ifdef __linux__
#define SYSTEM_LIMIT "fs.file-max"
#else
#define SYSTEM_LIMIT "kern.maxfiles"
#endif
#define LOST_REMEDY                                                                                          \
    " (connections fail before they are accepted: check the network and the firewall of this machine)"
#define MEMORY_REMEDY                                                                                        \
    " (the kernel has no memory for another socket: free memory, or raise the memory limit of the "          \
    "container)"
#define FORBIDDEN_REMEDY                                                                                     \
    " (a security module, a seccomp filter or a firewall rule forbids it: read the audit log or dmesg, and " \
    "allow accept4 for this program)"
#define UNSUPPORTED_REMEDY                                                                                   \
    " (the kernel or a sandbox does not support accept4 as it is called here: allow it in the seccomp "      \
    "filter, then restart the server)"
#define UNUSABLE_REMEDY " (a sandbox may cause this error; otherwise please report it as a defect)"

/* Linux passes the pending error of the new socket on; EOPNOTSUPP and EINVAL are looked at before this table.
 * Source: accept4(2), "Error handling" and "Errors". */
static const struct accept_cause causes[] = {
    {EINTR, LISTENER_LOST, ""},
    {ECONNABORTED, LISTENER_LOST, LOST_REMEDY},
    {ECONNRESET, LISTENER_LOST, LOST_REMEDY},
    {ETIMEDOUT, LISTENER_LOST, LOST_REMEDY},
    {EPROTO, LISTENER_LOST, LOST_REMEDY},
    {ENOPROTOOPT, LISTENER_LOST, LOST_REMEDY},
    {EOPNOTSUPP, LISTENER_LOST, LOST_REMEDY},
    {ENETDOWN, LISTENER_LOST, LOST_REMEDY},
    {ENETUNREACH, LISTENER_LOST, LOST_REMEDY},
    {EHOSTDOWN, LISTENER_LOST, LOST_REMEDY},
    {EHOSTUNREACH, LISTENER_LOST, LOST_REMEDY},
#ifdef ENONET
    {ENONET, LISTENER_LOST, LOST_REMEDY},
#endif
    {EMFILE, LISTENER_EXHAUSTED, " (raise ulimit -n, or lower --max-connections)"},
    {ENFILE, LISTENER_EXHAUSTED, " (raise " SYSTEM_LIMIT ", the limit of the whole system)"},
    {ENOBUFS, LISTENER_EXHAUSTED, MEMORY_REMEDY},
    {ENOMEM, LISTENER_EXHAUSTED, MEMORY_REMEDY},
    {EPERM, LISTENER_REFUSED, FORBIDDEN_REMEDY},
    {EACCES, LISTENER_REFUSED, FORBIDDEN_REMEDY},
    {EINVAL, LISTENER_FAILED, UNSUPPORTED_REMEDY},
    {ENOSYS, LISTENER_FAILED, UNSUPPORTED_REMEDY},
    {EBADF, LISTENER_FAILED, UNUSABLE_REMEDY},
    {ENOTSOCK, LISTENER_FAILED, UNUSABLE_REMEDY},
    {EFAULT, LISTENER_FAILED, UNUSABLE_REMEDY},
};

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t length = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

static const struct accept_cause *find_cause(const struct listener *listener, int native)
{
    static const struct accept_cause unknown = {0, LISTENER_REFUSED, ""};
    static const struct accept_cause not_listening = {
        0, LISTENER_FAILED,
        " (the socket no longer listens: another process shut it down, ss -K for example; restart the server)"};

    if ((native == EINVAL || native == EOPNOTSUPP) && !is_listening(listener->fd))
        return &not_listening;
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].native == native)
            return &causes[i];
    return &unknown;
}

static enum listener_result accept_failure(const struct listener *listener, int native, uint64_t begin,
                                           struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES];

    if (native == EAGAIN || native == EWOULDBLOCK)
        return LISTENER_EMPTY;
    trace(.step = TRACE_ACCEPT, .fd = listener->fd, .begin_ns = begin, .result = -1, .native = native);
    const struct accept_cause *cause = find_cause(listener, native);
    err_set(err, err_reason_of_system(native), native, "cannot accept connections on %s: %s%s",
            endpoint_format(&listener->at, text), strerror(native), cause->remedy);
    return cause->result;
}

enum listener_result listener_accept(const struct listener *listener, int *fd, struct endpoint *peer,
                                     struct err *err)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char text[ENDPOINT_TEXT_BYTES];
    uint64_t begin = trace_begin();

    *fd = accept_call(listener->fd, &address, &length);
    if (*fd < 0)
        return accept_failure(listener, errno, begin, err);
    if (endpoint_from_sockaddr(peer, (struct sockaddr *)&address, length) < 0)
        *peer = (struct endpoint){0};
    endpoint_unmap(peer);
    trace(.step = TRACE_ACCEPT, .fd = listener->fd, .begin_ns = begin, .result = *fd,
          .arguments = endpoint_format(peer, text));
    return LISTENER_ACCEPTED;
}

void listener_close(struct listener *listener)
{
    if (listener->fd >= 0)
        stream_tcp_close(listener->fd);
    listener->fd = -1;
}
