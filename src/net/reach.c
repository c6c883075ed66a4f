#include "tcpgreet/net/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOCK_CLOEXEC
#define SOCK_CLOEXEC 0 /* macOS */
#endif

#define IPV6_SWITCH "/proc/sys/net/ipv6/conf/lo/disable_ipv6"

enum scope { SCOPE_LOOPBACK, SCOPE_LINK, SCOPE_WIDE };

/* The addresses of a family that interfaces have which are up. */
struct held {
    bool known;
    bool any;
    bool loopback;
    bool wide;
};

/* Source: RFC 1122 section 3.2.1.3, RFC 3927, RFC 4291. */
static enum scope scope_of(const struct endpoint *endpoint)
{
    enum { LOOPBACK_NET = 127, LINK_NET = 0xa9fe };
    if (endpoint_family(endpoint) == AF_INET6) {
        const struct in6_addr *v6 = &endpoint->address.v6.sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(v6)    ? SCOPE_LOOPBACK
               : IN6_IS_ADDR_LINKLOCAL(v6) ? SCOPE_LINK
                                           : SCOPE_WIDE;
    }
    uint32_t v4 = ntohl(endpoint->address.v4.sin_addr.s_addr);
    return v4 >> 24 == LOOPBACK_NET ? SCOPE_LOOPBACK : v4 >> 16 == LINK_NET ? SCOPE_LINK : SCOPE_WIDE;
}

/* An IPv4-mapped address goes the way of IPv4. Source: RFC 4291 section 2.5.5.2. */
static struct endpoint unmapped(const struct endpoint *endpoint)
{
    const struct in6_addr *v6 = &endpoint->address.v6.sin6_addr;
    if (endpoint_family(endpoint) != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(v6))
        return *endpoint;
    struct endpoint v4 = endpoint_wildcard(AF_INET, endpoint_port(endpoint));
    memcpy(&v4.address.v4.sin_addr, v6->s6_addr + 12, sizeof v4.address.v4.sin_addr);
    return v4;
}

static struct held held_of(int family)
{
    struct held held = {0};
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) != 0)
        return held;
    held.known = true;
    for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
        struct endpoint at;
        if (one->ifa_addr == NULL || one->ifa_addr->sa_family != family || (one->ifa_flags & IFF_UP) == 0 ||
            endpoint_from_sockaddr(&at, one->ifa_addr, sizeof at.address) < 0)
            continue;
        held.any = true;
        held.loopback = held.loopback || scope_of(&at) == SCOPE_LOOPBACK;
        held.wide = held.wide || scope_of(&at) == SCOPE_WIDE;
    }
    freeifaddrs(all);
    return held;
}

/* Returns: the value of Linux's disable_ipv6 of the loopback interface, '0' or '1'; 0 where there is none:
 * another family, another system, or a kernel without IPv6. */
static char read_switch(int family)
{
    char digit = 0;
    int fd = family == AF_INET6 ? open(IPV6_SWITCH, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    if (read(fd, &digit, 1) != 1)
        digit = 0;
    close(fd);
    return digit;
}

/* What stands against the whole family, where sockets of it can be had. */
static enum reach judge_held(int family, const struct held *held)
{
    if (!held->known || held->any)
        return REACH_OPEN;
    return read_switch(family) == '1' ? REACH_SWITCHED_OFF : REACH_NO_ADDRESS;
}

/* What it means that they cannot. */
static enum reach judge_refused(int family, const struct held *held)
{
    if (held->any || read_switch(family) != 0)
        return REACH_DENIED;
    return held->known ? REACH_UNSUPPORTED : REACH_OPEN;
}

/* FreeBSD has the second, in a jail without the family. */
static bool is_refused_family(int native)
{
    return native == EAFNOSUPPORT || native == EPROTONOSUPPORT;
}

enum reach reach_family(int family)
{
    struct held held = held_of(family);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return is_refused_family(errno) ? judge_refused(family, &held) : REACH_OPEN;
    close(fd);
    return judge_held(family, &held);
}

/* Returns: 0, or the errno of what fails. A datagram socket that is connected has its route and source, and
 * has sent nothing. */
static int find_source(const struct endpoint *to)
{
    int fd = socket(endpoint_family(to), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int native = connect(fd, &to->address.any, endpoint_length(to)) == 0 ? 0 : errno;
    close(fd);
    return native;
}

static enum reach judge_route(const struct endpoint *to, int native)
{
    switch (native) {
    case ENETUNREACH:
        return REACH_NO_ROUTE;
    case EHOSTUNREACH:
        return REACH_REJECTED;
    case EACCES:
    case EPERM:
        return REACH_PROHIBITED;
    case EINVAL:
        return REACH_DISCARDED;
    case EADDRNOTAVAIL:
        return find_source(to) == 0 ? REACH_NO_PORT : REACH_NO_SOURCE;
    default:
        return REACH_OPEN;
    }
}

/* What an address needs of its family's addresses on this machine. */
static enum reach judge_scope(const struct endpoint *to, const struct held *held)
{
    enum scope scope = scope_of(to);
    if (held->known && scope == SCOPE_LOOPBACK && !held->loopback)
        return REACH_NO_LOOPBACK;
    return held->known && scope == SCOPE_WIDE && !held->wide ? REACH_LOCAL_ONLY : REACH_OPEN;
}

/* Source: RFC 1122 sections 3.2.1.3 and 4.2.3.10, RFC 4291 section 2.7. */
static bool is_no_host(const struct endpoint *to)
{
    if (endpoint_family(to) == AF_INET6)
        return IN6_IS_ADDR_MULTICAST(&to->address.v6.sin6_addr);
    uint32_t v4 = ntohl(to->address.v4.sin_addr.s_addr);
    return IN_MULTICAST(v4) || v4 == INADDR_BROADCAST;
}

static bool lacks_interface(const struct endpoint *to)
{
    char name[IF_NAMESIZE];
    uint32_t zone = endpoint_family(to) == AF_INET6 ? to->address.v6.sin6_scope_id : 0;
    return zone != 0 && if_indextoname(zone, name) == NULL;
}

enum reach reach_explain(const struct endpoint *to, int native)
{
    struct endpoint real = unmapped(to);
    int family = endpoint_family(&real);
    struct held held = held_of(family);
    const enum reach causes[] = {judge_held(family, &held), judge_scope(&real, &held)};

    if (is_refused_family(native))
        return judge_refused(family, &held);
    enum reach route = judge_route(&real, native);
    if (route != REACH_OPEN && is_no_host(&real))
        return REACH_NO_HOST;
    if (route != REACH_OPEN && lacks_interface(&real))
        return REACH_NO_INTERFACE;
    for (size_t i = 0; route != REACH_OPEN && i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i] != REACH_OPEN)
            return causes[i];
    return route;
}

enum reach reach_of_source(const struct endpoint *to, const struct endpoint *from)
{
    struct endpoint real = unmapped(to), source = unmapped(from);
    int family = endpoint_family(&real);

    if (family != endpoint_family(&source) || scope_of(&source) == scope_of(&real))
        return REACH_OPEN; /* as it mostly is, and the interfaces need not be listed */
    struct held held = held_of(family);
    return judge_scope(&real, &held);
}

enum reach reach_try(const struct endpoint *to)
{
    int native = find_source(to);
    return native == 0 ? REACH_OPEN : reach_explain(to, native);
}

bool reach_is_impossible(enum reach reach)
{
    return reach >= REACH_UNSUPPORTED && reach <= REACH_LOCAL_ONLY;
}

/* The digit of the family stands between the two parts. */
static const struct clause {
    const char *before;
    const char *after; /* NULL: no family is named */
} texts[] = {
    [REACH_UNSUPPORTED] = {"the kernel of this machine has no IPv", ""},
    [REACH_DENIED] = {"this process is not allowed to use IPv", ""},
    [REACH_SWITCHED_OFF] = {"IPv", " is switched off on this machine"},
    [REACH_NO_ADDRESS] = {"no interface of this machine has an IPv", " address"},
    [REACH_NO_LOOPBACK] = {"the loopback interface of this machine has no IPv", " address"},
    [REACH_LOCAL_ONLY] = {"this machine has only loopback and link-local IPv", " addresses"},
    [REACH_NO_ROUTE] = {"this machine has no route", NULL},
    [REACH_REJECTED] = {"this machine has a route of type unreachable", NULL},
    [REACH_PROHIBITED] = {"a rule of this machine forbids connections", NULL},
    [REACH_DISCARDED] = {"this machine has a blackhole route", NULL},
    [REACH_NO_SOURCE] = {"this machine has no source address for a connection", NULL},
    [REACH_NO_PORT] = {"this machine has no free local port for a connection", NULL},
    [REACH_NO_HOST] = {"TCP cannot connect", NULL},
    [REACH_NO_INTERFACE] = {"this machine has no such interface for a connection", NULL},
};

static const struct clause remedies[] = {
    [REACH_UNSUPPORTED] = {"boot a kernel with IPv", ""},
    [REACH_DENIED] = {"check its sandbox: seccomp, or RestrictAddressFamilies= of its service", NULL},
    [REACH_SWITCHED_OFF] = {"switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0", NULL},
    [REACH_NO_ADDRESS] = {"add one, see ip address", NULL},
    [REACH_NO_LOOPBACK] = {"add one, see ip address", NULL},
    [REACH_LOCAL_ONLY] = {"add an address of its network, see ip address", NULL},
    [REACH_NO_ROUTE] = {"add one, see ip -", " route"},
    [REACH_REJECTED] = {"change it, see ip -", " route"},
    [REACH_PROHIBITED] = {"check the firewall here, and ip -", " route for a route of type prohibit"},
    [REACH_DISCARDED] = {"change it, see ip -", " route"},
    [REACH_NO_SOURCE] = {"add an address, or wait while it is tentative, see ip address", NULL},
    [REACH_NO_PORT] = {"close connections, or widen net.ipv4.ip_local_port_range", NULL},
    [REACH_NO_HOST] = {"it is a multicast or broadcast address, give that of one host", NULL},
    [REACH_NO_INTERFACE] = {"ip link lists its interfaces", NULL},
};

static const char *put_clause(const struct clause *clause, int family, char text[REACH_TEXT_BYTES])
{
    if (clause->after == NULL)
        (void)snprintf(text, REACH_TEXT_BYTES, "%s", clause->before);
    else
        (void)snprintf(text, REACH_TEXT_BYTES, "%s%c%s", clause->before, family == AF_INET6 ? '6' : '4',
                       clause->after);
    return text;
}

const char *reach_text(enum reach reach, int family, char text[REACH_TEXT_BYTES])
{
    return put_clause(&texts[reach], family, text);
}

const char *reach_remedy(enum reach reach, int family, char text[REACH_TEXT_BYTES])
{
    return put_clause(&remedies[reach], family, text);
}
