/* Where bytes meet meaning: one stream, one dialogue and their deadlines on a loop. */
#ifndef TCPGREET_LINK_CONN_H
#define TCPGREET_LINK_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/stream.h"

enum {
    CONN_READ_BYTES = 16 * 1024, /* taken from the stream at a time */
    CONN_QUEUE_BYTES =
        64 * 1024,             /* room for what a dialogue sends at a time, and so the most that is queued */
    CONN_STALL_MS = 30 * 1000, /* a peer that takes nothing of what is queued, or less than the least rate,
                                  unless the dialogue is duplex */
    CONN_LINGER_MS = 2 * 1000, /* waiting for the peer's end after ours: no RST may overtake the last bytes */
    CONN_NOTICE_MS = 1000
};

/* What the conns of one loop share. in and out hold nothing between two steps. */
struct conn_shared {
    uv_loop_t *loop;
    char *large; /* to read into instead of in: its owner moves much; NULL */
    size_t large_bytes;
    char in[CONN_READ_BYTES];
    char out[CONN_QUEUE_BYTES];
};

/* Borrows: loop. Returns: one of its own allocation, for free(); NULL: not enough memory. */
struct conn_shared *conn_shared_new(uv_loop_t *loop);

/* How it ended. */
struct conn_result {
    const struct err *err; /* NULL: the dialogue knows, where conn_abort did not come first */
    bool peer_sent;        /* at least one byte */
};

/* Why a dialogue was called: bytes have come or there is room in the output, the peer has ended its side, the
 * deadline has come. */
enum conn_cause { CONN_BYTES, CONN_END, CONN_DEADLINE };

struct conn_advance {
    enum conn_cause cause;
    struct bytes in; /* what it was given; valid until the call returns */
    size_t consumed; /* of the front of it */
};

/* NULL where it is not needed. All may call conn_resume, conn_pause and conn_abort, unless noted otherwise;
 * none may free the conn but done. */
struct conn_events {
    /* The stream's handshake can go on. It does so when conn_take_turn is called, not from inside this; until
     * then nothing is read. Where it is NULL, the handshake goes on at once. */
    void (*handshake_ready)(void *context);
    /* The same once it is done: a part was sent and there is more to do, or the peer takes more of what is
     * queued. Where it is NULL, the conn goes on when the loop comes to it. */
    void (*busy)(void *context);
    void (*up)(void *context);      /* the stream's handshake is done; once */
    void (*noticed)(void *context); /* the peer sent its first byte, or stayed CONN_NOTICE_MS; once */
    void (*received)(void *context, struct bytes bytes); /* every byte the peer sent, as it came */
    void (*advanced)(void *context, const struct conn_advance *advance); /* the conn must not be called */
    void (*ready)(void *context);   /* the dialogue has become DIALOGUE_READY; conn_resume, now or later */
    void (*closing)(void *context); /* conn->stream and conn->out for the last time; once */
    void (*done)(void *context, const struct conn_result *result);
};

struct conn_config {
    struct conn_shared *shared;       /* borrowed */
    struct dialogue *dialogue;        /* borrowed until done */
    const struct conn_events *events; /* borrowed */
    void *context;
    int64_t handshake_ms; /* the time for the stream's handshake */
    uint16_t
        least_rate; /* bytes a second that the peer takes of what is queued, on average over CONN_STALL_MS */
};

/*
 * In the owner's storage, which stays where it is until done. Invariants: in holds at most one read beyond
 * DIALOGUE_KEEP_BYTES; out.length <= CONN_QUEUE_BYTES and a final message; while out is not empty the
 * dialogue is given no room; interest is what poll listens for; armed_ms <= the next deadline whenever the
 * loop waits.
 */
struct conn {
    uv_poll_t poll;
    uv_timer_t timer;
    struct buf in;  /* received, and not consumed */
    struct buf out; /* to be sent */
    struct stream *stream;
    struct dialogue *dialogue;
    struct conn_shared *shared;
    const struct conn_events *events;
    void *context;
    struct err *failure; /* what done gets; while it talks: of a write, and what has come is read */
    int64_t armed_ms;    /* when the timer fires; DIALOGUE_NEVER */
    int64_t limit_ms;    /* of the phase; while out is not empty, of the peer that takes nothing of it */
    int64_t notice_ms;   /* DIALOGUE_NEVER once noticed */
    int64_t paused_ms;   /* when conn_pause began; DIALOGUE_NEVER: it is not paused */
    uint64_t bytes_in;   /* received from the stream */
    uint64_t bytes_out;  /* written to it */
    uint32_t taken;      /* by the peer, since it last took enough for the least rate */
    uint16_t least_rate;
    uint16_t held_ms; /* in that time, how long something was queued; without what limit_ms counts now */
    uint8_t phase;    /* enum conn_phase */
    uint8_t interest; /* UV_READABLE | UV_WRITABLE */
    uint8_t wants;    /* the same, as this step has found it out so far */
    uint8_t open_handles;
    bool side_ended : 1; /* before the dialogue */
    bool peer_ended : 1;
    bool in_step : 1;
    bool trickles : 1;       /* it took something of what was queued, and not enough */
    bool is_held : 1;        /* before and between conn_take_turn */
    bool is_prefaced : 1;    /* a PROXY header is awaited, without a turn */
    bool limit_stops : 1;    /* conn_limit_handshake */
    bool turn_requested : 1; /* conn_take_turn has not been called since */
};

/* Starts: the handshake, then the dialogue.
 * Takes: stream, also on failure. Calls back: done once, from the loop, and it may free the conn; the others
 * perhaps from inside conn_start. Returns: 0, or -1 with err, and then nothing calls back. Thread: the
 * loop's. */
int conn_start(struct conn *conn, const struct conn_config *config, struct stream *stream, struct err *err);

/* Goes on, after `handshake_ready` or `busy`. */
void conn_take_turn(struct conn *conn);

/* Ends the handshake at another time than handshake_ms after its start. stops: as conn_stop does, not as a
 * failure. Does nothing where it is done. */
void conn_limit_handshake(struct conn *conn, int64_t at_ms, bool stops);

/* The owner has given the dialogue something to send. May be called from inside an event. */
void conn_resume(struct conn *conn);

/* Reads nothing more until it is called with false; meanwhile the dialogue's deadline stands still. May be
 * called from inside an event. */
void conn_pause(struct conn *conn, bool paused);

/* Ends with the dialogue's final message; a stream that is still in its handshake, or a dialogue without one,
 * is closed. */
void conn_stop(struct conn *conn);

/* Closes at once. Shape: err: what done gets; NULL: this is no failure. */
void conn_abort(struct conn *conn, const struct err *err);

/* Returns: the time that the dialogue's deadlines are compared with. */
static inline int64_t conn_now_ms(const struct conn *conn)
{
    return (int64_t)uv_now(conn->shared->loop);
}

#endif
