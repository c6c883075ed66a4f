/* The sockets that the exporter listens on. */
#ifndef TCPGREET_EXPORTER_LISTENERS_H
#define TCPGREET_EXPORTER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/exporter/exporter.h"
#include "tcpgreet/net/listener.h"

/* Starts as {0}. */
struct listeners {
    struct listener list[LISTENER_MAX];
    size_t count;
    bool is_local; /* all of them are on loopback addresses */
};

/* Takes: the sockets of the service manager. Returns: 0; -1 with err, and what is open already stays so.
 * Errors: as listener_adopt. */
int listeners_adopt(struct listeners *listeners, struct service_manager *manager, struct err *err);

/* Shape: asked ends at the first without service; one without a host is loopback, of both families. Returns:
 * 0; -1 with err, and what is open already stays so. Errors: as listener_open. */
int listeners_open(struct listeners *listeners, const struct target asked[EXPORTER_LISTEN_MAX],
                   struct err *err);

void listeners_close(struct listeners *listeners);

#endif
