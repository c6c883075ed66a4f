/* What the kernel knows of a TCP connection. */
#ifndef TCPGREET_NET_TCP_FACTS_H
#define TCPGREET_NET_TCP_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/endpoint.h"

/* Starts as {0}. */
struct tcp_facts {
    bool known;               /* this system provides them */
    uint32_t mss_bytes;       /* of what we send */
    uint32_t rtt_us;          /* smoothed; 0: no sample yet */
    uint32_t retransmits;     /* segments sent again in all, SYN included */
    uint32_t syn_retransmits; /* of them before the connection was up */
};

/* Asks for what fd's connection has come to; also while it is still connecting. Returns: facts->known.
 * Shape: call it once when connect has an outcome (it then sets syn_retransmits) and once before close.
 * Source: tcp(7), TCP_INFO; macOS: TCP_CONNECTION_INFO. */
bool tcp_facts_read(int fd, bool connecting, struct tcp_facts *facts);

/* Writes the name of the interface that has this address. Returns: name, "" where none has. Shape: room >= 1.
 * Source: getifaddrs(3). */
const char *tcp_facts_interface(const struct endpoint *local, char *name, size_t room);

/* This machine's interfaces as they were at most TCP_INTERFACES_MS ago, for one who asks often: the kernel
 * takes longer to list them than to connect. Starts as {0}. */
struct tcp_interfaces {
    struct ifaddrs *list;
    uint64_t listed_ns;
};

enum { TCP_INTERFACES_MS = 1000 };

/* As tcp_facts_interface. Shape: interfaces NULL: they are listed anew. */
const char *tcp_interfaces_name(struct tcp_interfaces *interfaces, const struct endpoint *local, char *name,
                                size_t room);
void tcp_interfaces_fini(struct tcp_interfaces *interfaces);

#endif
