#include "tcpgreet/core/endpoint.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int endpoint_from_sockaddr(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length)
{
    *endpoint = (struct endpoint){0};
    if (length < offsetof(struct sockaddr, sa_family) + sizeof(address->sa_family))
        return -1;
    if (address->sa_family == AF_INET && length >= sizeof(endpoint->address.v4))
        memcpy(&endpoint->address.v4, address, sizeof(endpoint->address.v4));
    else if (address->sa_family == AF_INET6 && length >= sizeof(endpoint->address.v6))
        memcpy(&endpoint->address.v6, address, sizeof(endpoint->address.v6));
    else
        return -1;
    return 0;
}

void endpoint_unmap(struct endpoint *endpoint)
{
    const struct sockaddr_in6 v6 = endpoint->address.v6;

    if (endpoint_family(endpoint) != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
        return;
    *endpoint = endpoint_wildcard(AF_INET, endpoint_port(endpoint));
    memcpy(&endpoint->address.v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof endpoint->address.v4.sin_addr);
}

struct endpoint endpoint_wildcard(int family, uint16_t port)
{
    struct endpoint endpoint = {0};
    endpoint.address.any.sa_family = (sa_family_t)family;
    endpoint_set_port(&endpoint, port);
    return endpoint;
}

bool endpoint_is_wildcard(const struct endpoint *endpoint)
{
    if (endpoint_family(endpoint) == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&endpoint->address.v6.sin6_addr);
    return endpoint_family(endpoint) == AF_INET && endpoint->address.v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

struct endpoint endpoint_loopback(int family, uint16_t port)
{
    struct endpoint endpoint = endpoint_wildcard(family, port);
    if (family == AF_INET6)
        endpoint.address.v6.sin6_addr = in6addr_loopback;
    else
        endpoint.address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return endpoint;
}

bool endpoint_is_loopback(const struct endpoint *endpoint)
{
    if (endpoint_family(endpoint) == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&endpoint->address.v6.sin6_addr);
    return endpoint_family(endpoint) == AF_INET &&
           ntohl(endpoint->address.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

int endpoint_family(const struct endpoint *endpoint)
{
    return endpoint->address.any.sa_family;
}

socklen_t endpoint_length(const struct endpoint *endpoint)
{
    switch (endpoint_family(endpoint)) {
    case AF_INET:
        return sizeof(endpoint->address.v4);
    case AF_INET6:
        return sizeof(endpoint->address.v6);
    default:
        return 0;
    }
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    switch (endpoint_family(endpoint)) {
    case AF_INET:
        return ntohs(endpoint->address.v4.sin_port);
    case AF_INET6:
        return ntohs(endpoint->address.v6.sin6_port);
    default:
        return 0;
    }
}

void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
    if (endpoint_family(endpoint) == AF_INET)
        endpoint->address.v4.sin_port = htons(port);
    else if (endpoint_family(endpoint) == AF_INET6)
        endpoint->address.v6.sin6_port = htons(port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (endpoint_family(a) != endpoint_family(b) || endpoint_port(a) != endpoint_port(b))
        return false;
    switch (endpoint_family(a)) {
    case AF_INET:
        return a->address.v4.sin_addr.s_addr == b->address.v4.sin_addr.s_addr;
    case AF_INET6:
        return memcmp(&a->address.v6.sin6_addr, &b->address.v6.sin6_addr, sizeof(struct in6_addr)) == 0 &&
               a->address.v6.sin6_scope_id == b->address.v6.sin6_scope_id;
    default:
        return true;
    }
}

static const struct if_nameindex *kept; /* NULL: none; for ever */

void endpoint_keep_zones(void)
{
    if (kept == NULL)
        kept = if_nameindex();
}

/* Returns: the interface's name, in room or kept; NULL where no interface has that index. */
static const char *zone_name(uint32_t zone, char room[IF_NAMESIZE])
{
    if (if_indextoname(zone, room) != NULL)
        return room;
    for (const struct if_nameindex *one = kept; one != NULL && one->if_name != NULL; one++)
        if (one->if_index == zone)
            return one->if_name;
    return NULL;
}

/* Writes "%eth0", or "%7" where no interface has that index, or nothing for zone 0. */
static void format_zone(uint32_t zone, char text[1 + IF_NAMESIZE])
{
    char room[IF_NAMESIZE];
    const char *name = zone != 0 ? zone_name(zone, room) : NULL;
    if (zone == 0)
        text[0] = '\0';
    else if (name != NULL)
        (void)snprintf(text, 1 + IF_NAMESIZE, "%%%s", name);
    else
        (void)snprintf(text, 1 + IF_NAMESIZE, "%%%u", (unsigned)zone);
}

const char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES])
{
    char address[INET6_ADDRSTRLEN] = "";
    char zone[1 + IF_NAMESIZE];
    unsigned port = endpoint_port(endpoint);
    switch (endpoint_family(endpoint)) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &endpoint->address.v4.sin_addr, address, sizeof(address));
        (void)snprintf(text, ENDPOINT_TEXT_BYTES, "%s:%u", address, port);
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &endpoint->address.v6.sin6_addr, address, sizeof(address));
        format_zone(endpoint->address.v6.sin6_scope_id, zone);
        (void)snprintf(text, ENDPOINT_TEXT_BYTES, "[%s%s]:%u", address, zone, port);
        break;
    default:
        (void)snprintf(text, ENDPOINT_TEXT_BYTES, "none");
    }
    return text;
}
