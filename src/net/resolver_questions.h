/* What the C library is asked about one name, on threads of their own. libuv's pool is not used: it aborts
 * the process where it cannot start a thread. */
#ifndef TCPGREET_NET_RESOLVER_QUESTIONS_H
#define TCPGREET_NET_RESOLVER_QUESTIONS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/core/target.h"
#include "tcpgreet/net/resolver.h"

#define RESOLVER_HOSTS_FILE "/etc/hosts"

enum { RESOLVER_FAMILIES = 2 };

/* IPv6 first. */
extern const int resolver_families[RESOLVER_FAMILIES];

/* Returns: what getaddrinfo(3) takes for a target. Shape: family AF_UNSPEC: both. */
struct addrinfo resolver_hints(int family, const struct target *target);

enum resolver_progress { RESOLVER_NOT_ASKED, RESOLVER_ASKED, RESOLVER_ANSWERED };

/* One call of getaddrinfo. */
struct resolver_question {
    enum resolver_progress progress;
    int family; /* AF_UNSPEC: both at once */
    uint64_t begin_ns;
    int code;              /* what it returned */
    int native;            /* and errno */
    struct addrinfo *list; /* NULL, or for freeaddrinfo */
};

struct resolver_questions;

/* Reads the hosts file, and asks for each wanted family, side by side; once for both where the file has the
 * name. At most 128 questions of the process are with the C library at a time, fewer under ulimit -v; the
 * others wait, also where no more threads can be started than there are. Wakes: changed, when a question is
 * asked and when it is answered. Shape: wanted has one true at least. Borrows: changed, until
 * resolver_questions_forget. Returns: the questions; NULL with *failure, an errno: no memory, or not one
 * thread can be started. */
struct resolver_questions *resolver_questions_start(const struct target *target,
                                                    const bool wanted[RESOLVER_FAMILIES], uv_async_t *changed,
                                                    int *failure);

/* Returns: a question as it is now, at the index of its family; one for both is the first. The list of an
 * answer is the caller's from then on, and not returned again. */
struct resolver_question resolver_questions_look(struct resolver_questions *questions, size_t index);

/* Returns: what the hosts file has, as far as it has been read. */
struct resolver_hosts resolver_questions_hosts(struct resolver_questions *questions);

/* What has not been asked yet is not asked. What is with the C library cannot be called back: its thread
 * frees it. Shape: NULL is allowed. */
void resolver_questions_forget(struct resolver_questions *questions);

#endif
