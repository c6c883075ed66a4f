/* The TLS handshakes of one worker: which goes on next, so that a burst of them holds up neither dialogues
 * nor the handshakes of other addresses. */
#ifndef TCPGREET_SERVER_HANDSHAKES_H
#define TCPGREET_SERVER_HANDSHAKES_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "limits.h"
#include "tcpgreet/core/endpoint.h"

enum {
    HANDSHAKES_PER_TURN = 2,      /* of the loop; then dialogues get theirs */
    HANDSHAKES_PER_CALL = 16,     /* that one worker ends for another at a time */
    HANDSHAKES_STALLED_MS = 1000, /* without a byte of its peer: others may have its place */
    HANDSHAKES_RANKS = 33         /* 1 + log2 of the most handshakes that an address can have */
};

enum handshake_state {
    HANDSHAKE_NEW,     /* its peer has sent nothing */
    HANDSHAKE_WAITING, /* its peer has sent something, and it has no place among those in progress */
    HANDSHAKE_READY,   /* in progress, and its peer has sent something */
    HANDSHAKE_STEPPING,
    HANDSHAKE_STALLED, /* in progress, its peer's turn */
    HANDSHAKE_OVER
};

/* In its connection. Starts as {.peer}; rank: 1 + log2 of how many more its address had when it was counted,
 * 0: none. Invariant: it is in the list of its state and rank, where there is one. */
struct handshake {
    struct handshake *next, *previous;
    const struct endpoint *peer; /* borrowed */
    int64_t active_ms;           /* of its last step */
    uint8_t rank;
    uint8_t state;       /* enum handshake_state */
    bool was_called_for; /* others were to make room */
    bool is_reported;    /* none has */
};

/* Ranks first, then the order of time: an address with few handshakes comes before one with many. The last of
 * a turn is from the highest rank, so that none waits for ever. Where all places are taken, the longest
 * stalled of a higher rank, or one that has stalled for HANDSHAKES_STALLED_MS, makes room. */
struct handshakes {
    uv_idle_t turn;   /* runs while any may go on */
    uv_timer_t stall; /* until one has stalled long enough; while any waits without a place */
    uv_loop_t *loop;
    struct limits *limits;
    struct limits_waiter waiter;
    void (*proceed)(struct handshake *handshake);  /* takes one step, after which it may be over */
    void (*displace)(struct handshake *handshake); /* ends it */
    struct handshake waiting[HANDSHAKES_RANKS];    /* the heads of lists */
    struct handshake ready[HANDSHAKES_RANKS];
    struct handshake stalled[HANDSHAKES_RANKS];
};

/* Borrows: limits. Shape: proceed and displace are set; wake and its context also: from any thread, with a
 * lock held, it has handshakes_wake called from the loop. The handles are closed by the loop's owner, after
 * handshakes_end for each. */
int handshakes_init(struct handshakes *handshakes, uv_loop_t *loop, struct limits *limits,
                    const struct limits_waiter *waiter);

/* Its peer has sent something: proceed is called once it is its turn. */
void handshakes_request(struct handshakes *handshakes, struct handshake *handshake);

/* It is done or given up; nothing calls back for it any more. May be called again. */
void handshakes_end(struct handshakes *handshakes, struct handshake *handshake);

/* Returns: since when its peer's turn has lasted, since_ms where it has sent nothing yet; INT64_MAX: it is
 * not its peer's turn. */
int64_t handshakes_silent_since(const struct handshake *handshake, int64_t since_ms);

/* When there are none any more: wake is not called from now on. */
void handshakes_fini(struct handshakes *handshakes);

/* Another worker's handshake is over. */
void handshakes_wake(struct handshakes *handshakes);

#endif
