/* Where bytes meet meaning: one stream, one session and their deadlines on a loop. */
#ifndef TCPGREET_LINK_CONN_H
#define TCPGREET_LINK_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/stream.h"

enum {
    CONN_READ_BYTES = 16 * 1024,  /* taken from the stream at a time */
    CONN_QUEUE_BYTES = 64 * 1024, /* queued for a peer at most: reading stops while anything is queued */
    CONN_STALL_MS = 30 * 1000,    /* a peer that takes nothing of what is queued */
    CONN_LINGER_MS =
        2 * 1000 /* waiting for the peer's end after ours, so that no RST overtakes the farewell */
};

/* What the conns of one loop share. in and out hold nothing between two steps. */
struct conn_shared {
    uv_loop_t *loop;
    atomic_uint_fast64_t names; /* greeted on all of them; written by the loop's thread, read by any */
    int64_t handshake_ms;
    char in[CONN_READ_BYTES];
    char out[CONN_QUEUE_BYTES];
};

enum conn_role { CONN_SERVER, CONN_CLIENT, CONN_REFUSE /* says that there are too many guests, and ends */ };

/* How it ended. err: NULL, or what cut the dialogue short. Without one, end tells: SESSION_END_NONE where
 * conn_abort came first. */
struct conn_result {
    enum session_end end;
    const struct err *err;
    uint32_t names;
    bool heard; /* the peer has sent at least one byte */
};

/* NULL where nobody cares. None may free the conn but done. */
struct conn_events {
    void (*up)(void *context);      /* the stream's handshake is done; once */
    void (*noticed)(void *context); /* the peer sent its first byte, or stayed CONN_NOTICE_MS; once */
    void (*received)(void *context, struct bytes bytes); /* every byte the peer sent, as it came */
    void (*ready)(void *context);                        /* client: our turn; call conn_say, now or later */
    void (*closing)(void *context); /* a last look at conn->stream, which is freed next; once */
    void (*done)(void *context, const struct conn_result *result);
};

enum { CONN_NOTICE_MS = 1000 };

struct conn_config {
    struct conn_shared *shared;          /* borrowed */
    const struct session_policy *policy; /* borrowed */
    const struct conn_events *events;    /* borrowed */
    void *context;
    enum conn_role role;
};

/*
 * In the owner's storage, which stays where it is until done. Invariants: in holds at most one read beyond
 * what the session left; out.length <= CONN_QUEUE_BYTES, and while out is not empty nothing is read; interest
 * is what poll listens for; armed_ms <= deadline whenever the loop waits.
 */
struct conn {
    uv_poll_t poll;
    uv_timer_t timer;
    struct session session;
    struct buf in;
    struct buf out;
    struct stream *stream;
    struct conn_shared *shared;
    const struct conn_events *events;
    void *context;
    struct err *failure; /* heap, only where something failed */
    int64_t armed_ms;    /* when the timer fires; SESSION_NEVER */
    int64_t phase_deadline_ms;
    int64_t stall_deadline_ms;
    int64_t notice_ms; /* SESSION_NEVER once noticed */
    int64_t paused_ms; /* when conn_pause began; SESSION_NEVER: it is not paused */
    uint32_t counted;  /* names that shared->names knows of */
    uint8_t role;      /* enum conn_role */
    uint8_t phase;     /* enum conn_phase in conn_private.h */
    uint8_t interest;  /* UV_READABLE | UV_WRITABLE */
    uint8_t open_handles;
    bool peer_ended;
    bool heard;
    bool in_step;
    bool exhausted; /* there was no memory for failure */
};

/* Starts the dialogue.
 * Takes: stream, also on failure. Calls back: done once, from the loop, and it may free the conn; the others
 * perhaps from inside conn_start. Returns: 0, or -1 with err, and then nothing calls back. Thread: the
 * loop's. */
int conn_start(struct conn *conn, const struct conn_config *config, struct stream *stream, struct err *err);

/* Client, when ready: says one name. Borrows: name, until ready or done. May be called from inside ready. */
void conn_say(struct conn *conn, struct bytes name);

/* Client: reads nothing more until it is called with false; meanwhile the deadline of the dialogue stands
 * still. May be called from inside received. */
void conn_pause(struct conn *conn, bool paused);

/* Server: says good bye and ends; a stream that is still in its handshake is closed. */
void conn_farewell(struct conn *conn);

/* Ends at once, without ceremony. Shape: err: what done will tell; NULL: only that the dialogue has no end of
 * its own. */
void conn_abort(struct conn *conn, const struct err *err);

#endif
