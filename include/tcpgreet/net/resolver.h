/* Names to addresses: getaddrinfo on libuv's pool, AAAA and A side by side. */
#ifndef TCPGREET_NET_RESOLVER_H
#define TCPGREET_NET_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/target.h"

struct resolver_query {
    const struct target *target; /* borrowed during the call */
    bool want_v6;
    bool want_v4;
};

/* Leaves in query only the families that a literal target and an address to connect from can have.
 * Shape: source NULL: any. Writes source, with port 0; AF_UNSPEC where there is none. Returns: 0, -1. Errors:
 * usage: source is no address, or no family is left; resolve-not-found: no such zone. */
int resolver_narrow(struct resolver_query *query, const char *source, struct endpoint *from, struct err *err);

/* One family's answer. count == 0: err says why (resolve-not-found, also for no such service;
 * resolve-temporary). Borrows everything.
 */
typedef void resolver_answer_fn(void *context, int family, const struct endpoint *endpoints, size_t count,
                                const struct err *err);

struct resolver;

/* Asks for each wanted family; a literal is answered without asking anybody.
 * Calls back: from the loop, once a wanted family, never from inside resolver_start; not after
 * resolver_cancel. Returns: the resolver, to resolver_cancel once it is not needed; NULL on failure. Errors:
 * resolve-not-found: the name cannot be a domain name, or no such zone or service; internal. Source:
 * getaddrinfo(3), RFC 5891 (IDN), RFC 4007 (zones). */
struct resolver *resolver_start(uv_loop_t *loop, const struct resolver_query *query,
                                resolver_answer_fn *answer, void *context, struct err *err);

/* Ends interest, also after all answers. A question that is already with the C library cannot be called back:
 * it is forgotten, and freed when its answer comes. Shape: NULL is allowed. */
void resolver_cancel(struct resolver *resolver);

/* Asks for both wanted families and waits for the answers; for start-up only.
 * Returns: how many endpoints were written, IPv6 first; 0 with err on failure. */
size_t resolver_lookup(const struct resolver_query *query, struct endpoint *endpoints, size_t room,
                       struct err *err);

/* Returns: how many questions are still with the C library; while there are any, exit(3) would wait for them.
 */
unsigned resolver_pending(void);

#endif
