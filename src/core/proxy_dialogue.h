/* The two protocols of a proxy's dialogue, and what they share. */
#ifndef TCPGREET_CORE_PROXY_DIALOGUE_H
#define TCPGREET_CORE_PROXY_DIALOGUE_H

#include "tcpgreet/core/proxy.h"

enum { PROXY_NAME_BYTES = 160 };

extern const struct dialogue_ops proxy_http_ops;
extern const struct dialogue_ops proxy_socks_ops;

/* Ends the dialogue. Returns: 0. */
size_t proxy_finish(struct proxy *proxy, enum proxy_end end);

/* The proxy is being asked for the target: nothing more is needed from this side. */
void proxy_note_request(struct proxy *proxy);

/* Writes the proxy's host and port, and the target's. Returns: text. */
const char *proxy_name(const struct proxy *proxy, char text[PROXY_NAME_BYTES]);
const char *proxy_target_name(const struct proxy *proxy, char text[PROXY_NAME_BYTES]);

/* Reports how it ended, where that is not the protocol's own matter: STRANGE, MALFORMED, TOO_LONG, CLOSED,
 * SILENT. Shape: rest is what was not consumed. */
void proxy_fail(const struct proxy *proxy, struct bytes rest, struct err *err);

#endif
