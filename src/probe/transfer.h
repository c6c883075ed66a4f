/* The transfer of --volume, on a connection of its own. */
#ifndef TCPGREET_PROBE_TRANSFER_H
#define TCPGREET_PROBE_TRANSFER_H

#include "plan.h"
#include "result.h"
#include "tcpgreet/core/volume.h"

/* In the owner's storage, which stays where it is until done. */
struct probe_transfer {
    struct conn conn;
    struct volume volume;
    bool is_up;                  /* the stream's handshake is done */
    struct probe_volume outcome; /* how far it came; set before done, and by probe_transfer_cancel */
    void (*done)(void *context, const struct err *err);
    void *context;
};

/* Borrows: scope, peer and session, until done. Shape: done and context are set; session NULL: plain.
 * Calls back: done once, from the loop, never from inside, also after probe_transfer_cancel; err: NULL:
 * complete. Returns: 0, or -1 with err, and then nothing calls back. */
int probe_transfer_start(struct probe_transfer *transfer, struct probe_scope *scope,
                         const struct endpoint *peer, struct tls_session *session, struct err *err);

/* Closes the connection at once. */
void probe_transfer_cancel(struct probe_transfer *transfer);

#endif
