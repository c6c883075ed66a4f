/* What this machine can reach at all: the address families that it has, and what its own routing is against.
 */
#ifndef TCPGREET_NET_REACH_H
#define TCPGREET_NET_REACH_H

#include <stdbool.h>

#include "tcpgreet/core/endpoint.h"

/* What stands in the way to an address on this machine itself. */
enum reach {
    REACH_OPEN, /* nothing that is known */

    /* No address like that can be reached, whatever the routes and the peer are like. */
    REACH_UNSUPPORTED,  /* the kernel has no such family */
    REACH_DENIED,       /* the kernel has it, and this process is not allowed to use it */
    REACH_SWITCHED_OFF, /* the kernel has it, and a setting is against it */
    REACH_NO_ADDRESS,   /* no interface that is up has an address of the family */
    REACH_NO_LOOPBACK,  /* a loopback address, and no interface has one */
    REACH_LOCAL_ONLY,   /* the family has only loopback and link-local addresses, and this is neither */

    /* The family is there; this address cannot be reached as things are. */
    REACH_NO_ROUTE,
    REACH_REJECTED,   /* a route of type unreachable */
    REACH_PROHIBITED, /* a route of type prohibit, or a filter */
    REACH_DISCARDED,  /* a route of type blackhole */
    REACH_NO_SOURCE,  /* a route, and no address to send from */
    REACH_NO_PORT,    /* both, and no local port that is free */

    /* It cannot be reached, whatever the routes are. */
    REACH_NO_HOST,     /* a multicast address, or the limited broadcast address */
    REACH_NO_INTERFACE /* its zone is no interface */
};

enum { REACH_TEXT_BYTES = 128 };

/* Returns: what stands against a family as a whole: REACH_OPEN, or REACH_UNSUPPORTED to REACH_NO_ADDRESS.
 * Where the interfaces cannot be listed, REACH_OPEN. Source: getifaddrs(3); Linux ip-sysctl, disable_ipv6. */
enum reach reach_family(int family);

/* Returns: why socket(2), bind(2) or connect(2) has failed at once with native for this address; REACH_OPEN
 * where that is no question of reach. */
enum reach reach_explain(const struct endpoint *to, int native);

/* Returns: REACH_NO_LOOPBACK or REACH_LOCAL_ONLY where the kernel has chosen a source address of another
 * scope, for want of a better one: no answer will find it; else REACH_OPEN. Shape: from as getsockname(2) has
 * it. */
enum reach reach_of_source(const struct endpoint *to, const struct endpoint *from);

/* Looks for a route and a source address, and sends nothing. Returns: as reach_explain. */
enum reach reach_try(const struct endpoint *to);

/* Returns: whether it is REACH_UNSUPPORTED to REACH_LOCAL_ONLY. */
bool reach_is_impossible(enum reach reach);

/* Writes a clause that " to ADDRESS" may follow where it is not impossible: "IPv6 is switched off on this
 * machine", "this machine has no route". Shape: not REACH_OPEN. Returns: text. */
const char *reach_text(enum reach reach, int family, char text[REACH_TEXT_BYTES]);

/* Writes what to do, to follow a colon: "switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0".
 * Shape: not REACH_OPEN. Returns: text. */
const char *reach_remedy(enum reach reach, int family, char text[REACH_TEXT_BYTES]);

#endif
