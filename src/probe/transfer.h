/* The transfer of --volume, on a connection of its own. */
#ifndef TCPGREET_PROBE_TRANSFER_H
#define TCPGREET_PROBE_TRANSFER_H

#include "plan.h"
#include "result.h"

struct probe_transfer_config {
    struct probe_scope *scope; /* borrowed until closed, as the rest */
    const struct endpoint *peer;
    struct tls_session *session; /* NULL: plain */
    /* How it ended; err: NULL: complete. Not after probe_transfer_cancel. */
    void (*done)(void *context, const struct probe_volume *volume, const struct err *err);
    void (*closed)(void *context); /* last */
    void *context;
};

struct probe_transfer;

/* Calls back: done at most once, from the loop, never from inside; closed once, from the loop.
 * Returns: the transfer, which frees itself before it calls closed; NULL with err, and then nothing calls
 * back. */
struct probe_transfer *probe_transfer_start(const struct probe_transfer_config *config, struct err *err);

/* Closes the connection at once. Returns: how far it came. */
struct probe_volume probe_transfer_cancel(struct probe_transfer *transfer);

#endif
