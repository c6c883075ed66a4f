/* A connected byte stream, plain or TLS, whose operations return one of five results. */
#ifndef TCPGREET_CORE_STREAM_H
#define TCPGREET_CORE_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"

enum stream_result {
    STREAM_OK,         /* done; with read and write, *count is how much */
    STREAM_EOF,        /* the peer ended its side cleanly; from read only */
    STREAM_WANT_READ,  /* nothing done: call again when the descriptor is readable */
    STREAM_WANT_WRITE, /* nothing done: call again when it is writable */
    STREAM_FAILED      /* over; err is why */
};

/* The layers that stream_find finds. */
enum stream_layer {
    STREAM_LAYER_OTHER,
    STREAM_LAYER_PROXY,
    STREAM_LAYER_PROXY_HEADER,
    STREAM_LAYER_STARTTLS,
    STREAM_LAYER_TLS
};

struct stream;

/* Every implementation's operations, as described with the functions below. None blocks, none raises SIGPIPE.
 */
struct stream_ops {
    enum stream_layer layer;
    enum stream_result (*handshake)(struct stream *stream, bool expired, struct err *err);
    enum stream_result (*read)(struct stream *stream, void *data, size_t room, size_t *count,
                               struct err *err);
    enum stream_result (*write)(struct stream *stream, const void *data, size_t length, size_t *count,
                                struct err *err);
    enum stream_result (*shutdown)(struct stream *stream, struct err *err);
    int (*fd)(const struct stream *stream);
    void (*free)(struct stream *stream);
    struct stream *(*lower)(const struct stream *stream); /* NULL: no stream is below */
};

/* First member of each implementation. Thread: one at a time. */
struct stream {
    const struct stream_ops *ops;

    /* Set by each operation: a read may find bytes at once. Bytes in user space wake no poll, so read before
     * waiting for the descriptor; only STREAM_WANT_READ from a read allows waiting then. Where it is false,
     * the last read left nothing, and what comes next makes the descriptor readable. */
    bool more;

    /* Set by the caller: what is written from now on may wait for what follows it at once, a write or the end
     * of this side, so that a final message and the FIN share a segment. It leaves no later than 200 ms
     * after. Source: send(2), MSG_MORE. */
    bool corked;

    /* Set by the caller: shutdown ends this side, but where TLS is on, with close_notify alone. A FIN behind
     * it makes some peers give up what they would still send. */
    bool half_close;

    /* Set by a handshake that returns STREAM_WANT_READ: it has failed, and awaits only the rest of what the
     * peer sends, to quote it. The caller waits for a short time and calls stream_handshake_expire. */
    bool is_quoting;
};

/* Brings the stream up; STREAM_OK at once where there is nothing to do. Repeat until STREAM_OK.
 * Errors: tls-…, cert-…, dialogue-reset. */
enum stream_result stream_handshake(struct stream *stream, struct err *err);

/* The time for the handshake is over. Returns: STREAM_OK where it was done; else STREAM_FAILED, and only free
 * may follow. Errors: what it was waiting for: connect-timeout, tls-silent-peer, tls-timeout, ... */
enum stream_result stream_handshake_expire(struct stream *stream, struct err *err);

/* Like recv(2), but do not trust errno. Shape: room > 0; 0 < *count <= room with STREAM_OK.
 * Errors: dialogue-reset; dialogue-truncated: the peer's end is not a clean one. */
enum stream_result stream_read(struct stream *stream, void *data, size_t room, size_t *count,
                               struct err *err);

/* Like send(2). Shape: length > 0; 0 < *count <= length with STREAM_OK. After STREAM_WANT_… call again with
 * bytes that begin with the same ones. Errors: dialogue-reset. */
enum stream_result stream_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                struct err *err);

/* Ends this side: close_notify where TLS is on, then FIN. The other side can still be read.
 * Repeat until STREAM_OK. Errors: dialogue-reset. */
enum stream_result stream_shutdown(struct stream *stream, struct err *err);

/* Returns: the descriptor to poll, -1 where there is none (memory). */
int stream_fd(const struct stream *stream);

/* Closes at once, without an orderly shutdown. Shape: NULL is allowed. */
void stream_free(struct stream *stream);

/* Returns: the stream that this one is built upon; NULL where there is none. */
struct stream *stream_lower(const struct stream *stream);

/* Returns: the first stream of that layer, from this one downwards; NULL where there is none. */
const struct stream *stream_find(const struct stream *stream, enum stream_layer layer);

#endif
