/* What the kinds of misbehaviour share. */
#ifndef TCPGREET_NET_STREAM_MISBEHAVE_PRIVATE_H
#define TCPGREET_NET_STREAM_MISBEHAVE_PRIVATE_H

#include "tcpgreet/net/stream_misbehave.h"

/* First member of each kind. */
struct misbehaving {
    struct stream base;
    struct stream *lower;
};

/* Delay and drip. Takes: lower, also on failure. Returns: the stream; NULL with err. */
struct stream *stream_misbehave_timed_new(const struct stream_misbehaviour *how, uv_loop_t *loop,
                                          struct stream *lower, struct err *err);

/* Every kind has this one: it is how they are known. */
void stream_misbehave_waiting(const struct stream *stream, struct err *err);

#endif
