/* Names to addresses: getaddrinfo on threads of its own, AAAA and A side by side. */
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

/* One family's answer. Invariant: err == NULL if and only if count > 0. */
struct resolver_answer {
    int family;
    const struct endpoint *endpoints;
    size_t count;
    const struct err *err; /* resolve-not-found, also for no such service; resolve-temporary */
    bool only_in_hosts;    /* the hosts file has the name, for the other family only; count == 0 */
};

/* Borrows everything. */
typedef void resolver_answer_fn(void *context, const struct resolver_answer *answer);

/* The families that a hosts file gives a name addresses of. */
struct resolver_hosts {
    bool v6;
    bool v4;
};

/* Reads a hosts file, which may take its time. Shape: name in A-labels, without a dot at its end. Returns:
 * neither where the file cannot be read. Source: hosts(5). */
struct resolver_hosts resolver_read_hosts(const char *path, const char *name);

struct resolver;

/* Asks for each wanted family, side by side; a literal is answered without asking. A name of the hosts file
 * is asked for once, for both families together, as other programs do: the C library then does not ask name
 * servers for the family that the file leaves out. Calls back: from the loop, once a wanted family, never
 * from inside resolver_start; not after resolver_cancel. Returns: the resolver, to resolver_cancel once it is
 * not needed; NULL on failure. Errors: resolve-not-found: the name cannot be a domain name, or no such zone
 * or service; system-other: not one thread can be started, which a literal does not need; usage: this build
 * cannot convert the name; internal. Source: getaddrinfo(3), RFC 5891 (IDN), RFC 4007 (zones). */
struct resolver *resolver_start(uv_loop_t *loop, const struct resolver_query *query,
                                resolver_answer_fn *answer, void *context, struct err *err);

/* Returns: whether the hosts file has the name, for the other family only; as far as it has been read. */
bool resolver_is_only_in_hosts(const struct resolver *resolver, int family);

/* Ends interest, also after all answers. A question that is already with the C library cannot be called back:
 * it is forgotten, and freed when its answer comes. The loop has to run once more, and waits for no question
 * that is forgotten. Shape: NULL is allowed. */
void resolver_cancel(struct resolver *resolver);

/* Asks for both wanted families and waits for the answers; for start-up only.
 * Returns: how many endpoints were written, IPv6 first; 0 with err on failure. */
size_t resolver_lookup(const struct resolver_query *query, struct endpoint *endpoints, size_t room,
                       struct err *err);

/* Writes a target as another machine is asked for it, which resolves the name: its host in A-labels, its port
 * as a number. May read a file; for start-up only. Errors: resolve-not-found: the host cannot be a domain
 * name, or there is no such service; usage: this build cannot convert the name. */
int resolver_remote(const struct target *target, char host[TARGET_HOST_BYTES], uint16_t *port,
                    struct err *err);

/* Returns: how many questions of this process wait or are with the C library, also forgotten ones. */
unsigned resolver_pending(void);

/* The last call. Returns: whether a question is still with the C library, so that the process must end with
 * _exit: exit(3) could wait for a lock that it holds. */
bool resolver_leave(void);

#endif
