#include "tcpgreet/net/tcp_facts.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#if defined(__linux__)

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

bool tcp_facts_read(int fd, bool connecting, struct tcp_facts *facts)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
        return facts->known;
    facts->known = true;
    /* Before and after a connection the kernel fills in what it would begin with. */
    if (info.tcpi_state != TCP_SYN_SENT && info.tcpi_state != TCP_CLOSE) {
        facts->mss_bytes = info.tcpi_snd_mss;
        facts->rtt_us = info.tcpi_rtt;
    }
    facts->retransmits = larger(info.tcpi_total_retrans, info.tcpi_retransmits);
    if (connecting)
        facts->syn_retransmits = facts->retransmits;
    return true;
}

#elif defined(__APPLE__) && defined(TCP_CONNECTION_INFO)

bool tcp_facts_read(int fd, bool connecting, struct tcp_facts *facts)
{
    struct tcp_connection_info info = {0};
    socklen_t length = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_CONNECTION_INFO, &info, &length) < 0)
        return facts->known;
    facts->known = true;
    facts->mss_bytes = info.tcpi_maxseg;
    facts->rtt_us = info.tcpi_srtt * 1000;
    facts->retransmits = (uint32_t)info.tcpi_txretransmitpackets;
    if (connecting)
        facts->syn_retransmits = facts->retransmits;
    return true;
}

#else

bool tcp_facts_read(int fd, bool connecting, struct tcp_facts *facts)
{
    (void)fd;
    (void)connecting;
    return facts->known;
}

#endif

/* How closely an interface's address matches. */
enum fit {
    NOT,
    NET, /* of the loopback interface's net, all of which is this machine's */
    SAME
};

/* A BSD's ends after its last byte that is not 0. Source: RFC 3493 section 3.3, SIN6_LEN. */
static struct sockaddr_in copy_netmask(const struct sockaddr *from)
{
    struct sockaddr_in mask = {0};
    size_t length = sizeof mask;
#ifdef SIN6_LEN
    if (from->sa_len < length)
        length = from->sa_len;
#endif
    memcpy(&mask, from, length);
    return mask;
}

static enum fit fit_v4(const struct sockaddr_in *wanted, const struct ifaddrs *entry)
{
    struct sockaddr_in has;

    memcpy(&has, entry->ifa_addr, sizeof has);
    if (has.sin_addr.s_addr == wanted->sin_addr.s_addr)
        return SAME;
    if ((entry->ifa_flags & IFF_LOOPBACK) == 0 || entry->ifa_netmask == NULL)
        return NOT;
    struct sockaddr_in mask = copy_netmask(entry->ifa_netmask);
    return ((has.sin_addr.s_addr ^ wanted->sin_addr.s_addr) & mask.sin_addr.s_addr) == 0 ? NET : NOT;
}

/* A link-local address is one interface's only together with its zone. */
static enum fit fit_v6(const struct sockaddr_in6 *wanted, const struct ifaddrs *entry)
{
    struct sockaddr_in6 has;

    memcpy(&has, entry->ifa_addr, sizeof has);
    if (memcmp(&has.sin6_addr, &wanted->sin6_addr, sizeof has.sin6_addr) != 0)
        return NOT;
    if (IN6_IS_ADDR_LINKLOCAL(&wanted->sin6_addr) && wanted->sin6_scope_id != 0 &&
        if_nametoindex(entry->ifa_name) != wanted->sin6_scope_id)
        return NOT;
    return SAME;
}

static enum fit fit(const struct endpoint *local, const struct ifaddrs *entry)
{
    if (entry->ifa_addr == NULL || entry->ifa_addr->sa_family != endpoint_family(local))
        return NOT;
    return endpoint_family(local) == AF_INET6 ? fit_v6(&local->address.v6, entry)
                                              : fit_v4(&local->address.v4, entry);
}

static const char *find(const struct ifaddrs *list, const struct endpoint *local, char *name, size_t room)
{
    enum fit best = NOT;

    name[0] = '\0';
    for (const struct ifaddrs *entry = list; entry != NULL && best != SAME; entry = entry->ifa_next) {
        enum fit found = fit(local, entry);
        if (found > best) {
            best = found;
            snprintf(name, room, "%s", entry->ifa_name);
        }
    }
    return name;
}

const char *tcp_facts_interface(const struct endpoint *local, char *name, size_t room)
{
    struct tcp_interfaces interfaces = {0};

    tcp_interfaces_name(&interfaces, local, name, room);
    tcp_interfaces_fini(&interfaces);
    return name;
}

const char *tcp_interfaces_name(struct tcp_interfaces *interfaces, const struct endpoint *local, char *name,
                                size_t room)
{
    enum { NS_PER_MS = 1000 * 1000 };
    uint64_t now_ns = uv_hrtime();

    name[0] = '\0';
    if (interfaces == NULL)
        return tcp_facts_interface(local, name, room);
    if (endpoint_family(local) == AF_UNSPEC)
        return name;
    if (interfaces->list != NULL && now_ns - interfaces->listed_ns > (uint64_t)TCP_INTERFACES_MS * NS_PER_MS)
        tcp_interfaces_fini(interfaces);
    if (interfaces->list == NULL && getifaddrs(&interfaces->list) < 0) {
        interfaces->list = NULL;
        return name;
    }
    if (interfaces->listed_ns == 0)
        interfaces->listed_ns = now_ns;
    return find(interfaces->list, local, name, room);
}

void tcp_interfaces_fini(struct tcp_interfaces *interfaces)
{
    if (interfaces->list != NULL)
        freeifaddrs(interfaces->list);
    *interfaces = (struct tcp_interfaces){0};
}
