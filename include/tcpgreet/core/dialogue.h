/* What a conn drives: bytes and time in, bytes out. No socket, no clock, no heap, no buffer of its own. */
#ifndef TCPGREET_CORE_DIALOGUE_H
#define TCPGREET_CORE_DIALOGUE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"

#define DIALOGUE_NEVER INT64_MAX

enum {
    DIALOGUE_OUT_BYTES = 16 * 1024, /* room in out with which every dialogue can go on */
    DIALOGUE_KEEP_BYTES = 64 * 1024 /* left in the caller's buffer at most, where more is needed to go on */
};

enum dialogue_state {
    DIALOGUE_RUNNING, /* waits for the peer; what receive has left needs more bytes behind it */
    DIALOGUE_READY,   /* waits for the peer, or for what its owner wants to send */
    DIALOGUE_SENDING, /* has more to send or to answer: call receive again once out has room */
    DIALOGUE_OVER,    /* ended as intended; what is in out is still to be sent */
    DIALOGUE_FAILED   /* ended otherwise; failure returns why */
};

struct dialogue;

/* Every implementation's operations, as described with the functions below. The same bytes, however they are
 * cut, give the same dialogue. */
struct dialogue_ops {
    void (*begin)(struct dialogue *dialogue, struct sink *out, int64_t now_ms);
    size_t (*receive)(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms);
    size_t (*eof)(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms);
    size_t (*expire)(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms);
    void (*shut_down)(struct dialogue *dialogue, struct sink *out);                       /* NULL */
    void (*failure)(const struct dialogue *dialogue, struct bytes rest, struct err *err); /* NULL */

    /* It receives, and its deadline counts, while what it has sent is still queued. Else it answers: what the
     * peer has to read first holds up everything, and the caller limits how long. */
    bool duplex;
};

/* First member of each implementation. */
struct dialogue {
    const struct dialogue_ops *ops;
    int64_t deadline_ms;       /* when expire is due, absolute; DIALOGUE_NEVER. May change with every call, */
    enum dialogue_state state; /* and so may this */
    bool half_closed;          /* it sends nothing more: this side ends once all has left, and it goes on
                                  receiving until the peer ends, too */
    bool is_reset;             /* set by its caller before eof: the peer has reset the connection */
};

/* The stream is up. Once, before all others but shut_down. Shape: out has room for DIALOGUE_OUT_BYTES, as
 * with eof and expire unless duplex. */
static inline void dialogue_begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    dialogue->ops->begin(dialogue, out, now_ms);
}

/* Consumes from the front of in, appends to out.
 * Shape: in starts with the bytes that the last call did not consume, then what has come since; with
 * DIALOGUE_SENDING it may be the same again. out may have any room, or none: what does not fit waits in
 * DIALOGUE_SENDING.
 * Returns: how many bytes it consumed. What it leaves in DIALOGUE_RUNNING is at most DIALOGUE_KEEP_BYTES; in
 * any other state nothing new is to be read for it. */
static inline size_t dialogue_receive(struct dialogue *dialogue, struct bytes in, struct sink *out,
                                      int64_t now_ms)
{
    size_t consumed = dialogue->ops->receive(dialogue, in, out, now_ms);
    assert(consumed <= in.length);
    return consumed;
}

/* The peer ended its side, cleanly unless is_reset; in is what was not consumed. Unless duplex, not in
 * DIALOGUE_SENDING. Returns: how many bytes of it it consumed. */
static inline size_t dialogue_eof(struct dialogue *dialogue, struct bytes in, struct sink *out,
                                  int64_t now_ms)
{
    return dialogue->ops->eof(dialogue, in, out, now_ms);
}

/* Returns: what the peer did to the connection, for "the peer closed the connection". */
static inline const char *dialogue_ended(const struct dialogue *dialogue)
{
    return dialogue->is_reset ? "reset" : "closed";
}

/* The deadline has come; before it nothing happens. in is what was not consumed.
 * Returns: how many bytes of it it consumed: all, where their meaning waited for the time alone, or none. */
static inline size_t dialogue_expire(struct dialogue *dialogue, struct bytes in, struct sink *out,
                                     int64_t now_ms)
{
    return dialogue->ops->expire(dialogue, in, out, now_ms);
}

/* This side is to end now, before begin also: a final message, as far as out has room for it, then
 * DIALOGUE_OVER. A dialogue without a final message stays as it is. */
static inline void dialogue_shut_down(struct dialogue *dialogue, struct sink *out)
{
    if (dialogue->ops->shut_down != NULL)
        dialogue->ops->shut_down(dialogue, out);
}

/* After DIALOGUE_FAILED: why. Shape: rest is what was not consumed. Errors: dialogue-…. */
static inline void dialogue_failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    dialogue->ops->failure(dialogue, rest, err);
}

#endif
