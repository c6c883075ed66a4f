/* The sockets that a server listens on: opened here, or passed by the service manager. */
#ifndef TCPGREET_SERVER_SOCKETS_H
#define TCPGREET_SERVER_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/net/listener.h"
#include "tcpgreet/server/serve.h"

/* Starts as {0}. Invariant: the first `count` are open here, unless sockets_take has given them away. */
struct sockets {
    struct listener list[LISTENER_MAX];
    size_t count;
    bool is_taken; /* by a first worker */
};

/* Opens what config asks for, or takes the sockets of its service manager. Shape: is_shared: more than one
 * worker listens. Returns: 0; -1 with err, and what is open already stays so. Errors: as listener_open,
 * listener_adopt; usage: too many, of a family that is not wanted, or named "tls" where there is none. */
int sockets_open(struct sockets *sockets, const struct server_config *config, bool is_shared,
                 struct err *err);

/* Writes listeners for one more worker, sockets->count of them. The first worker takes those that are open;
 * each other one gets sockets of its own at the same places, or shares those of the service manager: call it
 * before the first worker's thread starts. Returns: 0; -1 with err and none. */
int sockets_take(struct sockets *sockets, const struct server_config *config, struct listener *listeners,
                 struct err *err);

/* Returns: the first whose connections get TLS; NULL: there is none. */
const struct listener *sockets_find_tls(const struct sockets *sockets, const struct server_config *config);

/* Announces each address on standard output: scripts wait for it. Returns: 0; -1 with err. */
int sockets_announce(const struct sockets *sockets, const struct server_config *config, struct err *err);

/* Closes what no worker has taken. */
void sockets_close(struct sockets *sockets);

#endif
