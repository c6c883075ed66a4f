/* A server's stream that misbehaves on purpose, above a plain or a TLS one: for checks to be tested against.
 */
#ifndef TCPGREET_NET_STREAM_MISBEHAVE_H
#define TCPGREET_NET_STREAM_MISBEHAVE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/core/stream.h"

/* Answers are what is written; the first of them is the welcome. The handshake is always a good one. */
enum stream_misbehave_kind {
    STREAM_MISBEHAVE_NOT,
    STREAM_MISBEHAVE_DELAY,           /* each answer leaves ms after it was due; nothing is read meanwhile */
    STREAM_MISBEHAVE_DRIP,            /* a byte, and ms before the next one */
    STREAM_MISBEHAVE_RESET,           /* the first answer after something was received is an RST */
    STREAM_MISBEHAVE_HALF_CLOSE,      /* our side ends after the welcome; what is received is not answered */
    STREAM_MISBEHAVE_NO_CLOSE_NOTIFY, /* our side ends with a bare FIN */
    STREAM_MISBEHAVE_MUTE,            /* nothing is sent; each read gives an empty name */
    STREAM_MISBEHAVE_KINDS
};

struct stream_misbehaviour {
    enum stream_misbehave_kind kind;
    int64_t ms; /* of delay and drip; > 0, and less than what a peer may take nothing for (CONN_STALL_MS) */
};

/* Takes: lower, also on failure. Borrows: loop, until its next turn after stream_free.
 * Shape: kind is not STREAM_MISBEHAVE_NOT; lower has a descriptor that nothing else on loop polls.
 * Returns: the stream; NULL with err. Errors: internal, system-descriptors. Thread: the loop's. */
struct stream *stream_misbehave_new(const struct stream_misbehaviour *how, uv_loop_t *loop,
                                    struct stream *lower, struct err *err);

/* Returns: how many descriptors such a stream needs beside its socket's. */
unsigned stream_misbehave_descriptors(enum stream_misbehave_kind kind);

/* Returns: what it does, as a sentence without a capital: "each answer leaves late, by 10 ms". Shape: room >
 * 0. */
const char *stream_misbehave_text(const struct stream_misbehaviour *how, char *text, size_t room);

#endif
