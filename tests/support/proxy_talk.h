/* A proxy's dialogue and what its peer sends, without a stream. */
#ifndef TCPGREET_TEST_PROXY_TALK_H
#define TCPGREET_TEST_PROXY_TALK_H

#include "tcpgreet/core/proxy.h"

/* Writes a route to host and port through a proxy at localhost:3128. Shape: user and password may be NULL. */
void proxy_talk_route(struct proxy_route *route, struct proxy_config *config, enum proxy_kind kind,
                      const char *user, const char *password);

enum proxy_talk_end { PROXY_TALK_GOES_ON, PROXY_TALK_EOF, PROXY_TALK_EXPIRE };

/* How it went. */
struct proxy_talk {
    struct proxy proxy;
    size_t consumed;
    size_t sent_length;
    char sent[PROXY_REQUEST_BYTES];
    struct err err; /* where it failed */
};

/* Begins, gives it received in pieces of step bytes (0: all at once), then ends it. */
void proxy_talk_hold(struct proxy_talk *talk, const struct proxy_route *route, struct bytes received,
                     size_t step, enum proxy_talk_end end);

#endif
