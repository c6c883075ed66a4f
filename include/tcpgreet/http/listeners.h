/* The sockets that metrics and exporter listen on: loopback, unless a host is given. */
#ifndef TCPGREET_HTTP_LISTENERS_H
#define TCPGREET_HTTP_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/os/service_manager.h"

/* Starts as {0}. */
struct http_listeners {
    struct listener list[LISTENER_MAX];
    size_t count;
    bool is_local; /* all of them are on loopback addresses */
    /* Borrowed while others are opened: what this process listens on beside those in list; 0: nothing. */
    const struct listener *others;
    size_t other_count;
};

/* Takes: the sockets of the service manager. Returns: 0; -1 with err, and what is open already stays so.
 * Errors: as listener_adopt. */
int http_listeners_adopt(struct http_listeners *listeners, struct service_manager *manager, struct err *err);

/* Shape: targets, count of them at most, ends at the first without service; one without a host is loopback,
 * of both families. Returns: 0; -1 with err, and what is open already stays so. Errors: as listener_open. */
int http_listeners_open(struct http_listeners *listeners, const struct target *targets, size_t count,
                        struct err *err);

void http_listeners_close(struct http_listeners *listeners);

#endif
