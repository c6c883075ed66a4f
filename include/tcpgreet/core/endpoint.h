/* A resolved address and port. */
#ifndef TCPGREET_CORE_ENDPOINT_H
#define TCPGREET_CORE_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ENDPOINT_TEXT_BYTES = 80 };

/* Invariant: address.sa_family is AF_INET, AF_INET6, or AF_UNSPEC for "none" (all zero). */
struct endpoint {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
};

/* Returns: 0, or -1 where family is neither AF_INET nor AF_INET6 or length is too short. */
int endpoint_from_sockaddr(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length);

/* Makes an IPv4-mapped IPv6 address, as of a peer at a socket for both families, the IPv4 address that it is.
 * Source: RFC 4291 section 2.5.5.2. */
void endpoint_unmap(struct endpoint *endpoint);

/* Returns: "every address" of a family, with a port in host order. */
struct endpoint endpoint_wildcard(int family, uint16_t port);

/* Returns: whether it is "every address". */
bool endpoint_is_wildcard(const struct endpoint *endpoint);

/* Returns: ::1 or 127.0.0.1, with a port in host order. */
struct endpoint endpoint_loopback(int family, uint16_t port);

/* Returns: whether it is an address of this machine that no other one reaches. */
bool endpoint_is_loopback(const struct endpoint *endpoint);

int endpoint_family(const struct endpoint *endpoint);
socklen_t endpoint_length(const struct endpoint *endpoint);

/* Shape: host order. */
uint16_t endpoint_port(const struct endpoint *endpoint);
void endpoint_set_port(struct endpoint *endpoint, uint16_t port);

/* Returns: whether family, address, port and zone are the same. */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* Keeps the names that the interfaces have now for endpoint_format, for a process whose sandbox forbids
 * looking them up later. Thread: before any other starts. Source: if_nameindex(3). */
void endpoint_keep_zones(void);

/* Writes "[::1]:6000", "[fe80::1%eth0]:6000" or "127.0.0.1:6000".
 * Returns: text. Source: RFC 5952, RFC 4007 section 11. */
const char *endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES]);

#endif
