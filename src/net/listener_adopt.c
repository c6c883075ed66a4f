#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpgreet/net/listener.h"
#include "tcpgreet/net/stream_tcp.h"

#define UNIT_REMEDY " (set ListenStream= to a port or an address in the socket unit)"

static int get_option(int fd, int option)
{
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

/* Returns: why it cannot be listened on; NULL: it can. */
static const char *find_fault(int fd, int family)
{
    int type = get_option(fd, SO_TYPE);

    if (type < 0)
        return errno == ENOTSOCK ? "it is no socket" UNIT_REMEDY : strerror(errno);
    if (family != AF_INET && family != AF_INET6)
        return "it is a socket of neither IPv4 nor IPv6" UNIT_REMEDY;
    if (type == SOCK_DGRAM)
        return "it is a UDP socket" UNIT_REMEDY;
    if (type != SOCK_STREAM)
        return "it is no TCP socket" UNIT_REMEDY;
    if (get_option(fd, SO_ACCEPTCONN) != 1)
        return "it is not listening (set Accept=no in the socket unit)";
    return NULL;
}

static int fail_descriptor(const struct listener *listener, const char *name, const char *why,
                           struct err *err)
{
    return err_set(err, ERR_USAGE, 0, "cannot use descriptor %d%s%s%s of the service manager: %s",
                   listener->fd, name[0] != '\0' ? " (" : "", name, name[0] != '\0' ? ")" : "", why);
}

static int prepare(int fd)
{
    const int one = 1;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int listener_adopt(int fd, const char *name, struct listener *listener, struct err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    *listener = (struct listener){.fd = fd, .is_shared = true};
    (void)getsockname(fd, (struct sockaddr *)&address, &length);
    const char *fault = find_fault(fd, address.ss_family);
    if (fault == NULL && endpoint_from_sockaddr(&listener->at, (struct sockaddr *)&address, length) < 0)
        fault = "its address is not known";
    if (fault == NULL && prepare(fd) < 0)
        fault = strerror(errno);
    if (fault == NULL)
        return 0;
    fail_descriptor(listener, name, fault, err);
    listener_close(listener);
    return -1;
}

int listener_adopt_again(const struct listener *first, struct listener *listener, struct err *err)
{
    *listener = *first;
    listener->fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
    if (listener->fd >= 0)
        return 0;
    return err_set(err, err_reason_of_system(errno), errno, "cannot share a listener among workers: %s",
                   strerror(errno));
}
