/* A connected byte stream, plain or TLS, that answers every operation with one of five words. */
#ifndef TCPGREET_CORE_STREAM_H
#define TCPGREET_CORE_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"

enum stream_result {
    STREAM_OK,         /* done; with read and write, *count says how much */
    STREAM_EOF,        /* the peer ended its side cleanly; from read only */
    STREAM_WANT_READ,  /* nothing done: call again when the descriptor is readable */
    STREAM_WANT_WRITE, /* nothing done: call again when it is writable */
    STREAM_FAILED      /* over; err says why */
};

struct stream;

/* Every implementation's operations. None blocks, none raises SIGPIPE. */
struct stream_ops {
    enum stream_result (*handshake)(struct stream *stream, struct err *err);
    enum stream_result (*read)(struct stream *stream, void *data, size_t room, size_t *count,
                               struct err *err);
    enum stream_result (*write)(struct stream *stream, const void *data, size_t length, size_t *count,
                                struct err *err);
    void (*cork)(struct stream *stream, bool corked); /* NULL: what is written leaves at once */
    enum stream_result (*shutdown)(struct stream *stream, struct err *err);
    bool (*drained)(struct stream *stream); /* NULL: never known */
    void (*waiting)(const struct stream *stream, struct err *err);
    int (*fd)(const struct stream *stream);
    void (*free)(struct stream *stream);
};

/* First member of each implementation. Thread: one at a time. */
struct stream {
    const struct stream_ops *ops;
};

/* Brings the stream up; STREAM_OK at once where there is nothing to do. Repeat until STREAM_OK.
 * Errors: tls-…, cert-…, dialogue-reset. */
enum stream_result stream_handshake(struct stream *stream, struct err *err);

/* Like recv(2), but do not trust errno. Read until STREAM_WANT_READ or stream_drained: bytes that wait in
 * user space wake no poll. That last call is cheap: it asks the kernel only where the call before filled the
 * room. Shape: room > 0; 0 < *count <= room with STREAM_OK. Errors: dialogue-reset; dialogue-truncated: the
 * peer's end is not a clean one. */
enum stream_result stream_read(struct stream *stream, void *data, size_t room, size_t *count,
                               struct err *err);

/* Returns: whether no byte waits in user space, so that whatever comes next makes the descriptor readable.
 * Ask before waiting for that, whatever was called before: a handshake, too, takes more bytes from the kernel
 * than it needs. Where it is false, read; only STREAM_WANT_READ from a read allows waiting then. */
bool stream_drained(struct stream *stream);

/* Like send(2). Shape: length > 0; 0 < *count <= length with STREAM_OK. After STREAM_WANT_… call again with
 * bytes that begin with the same ones. Errors: dialogue-reset. */
enum stream_result stream_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                struct err *err);

/* What is written from now on may wait for what follows it at once: a write, or the end. So a farewell and
 * the FIN share a segment. It leaves no later than 200 ms after. Source: send(2), MSG_MORE. */
void stream_cork(struct stream *stream, bool corked);

/* Ends this side: close_notify where TLS is on, then FIN. The other side can still be read.
 * Repeat until STREAM_OK. Errors: dialogue-reset. */
enum stream_result stream_shutdown(struct stream *stream, struct err *err);

/* The time for the handshake is over. Errors: what it was waiting for: tls-silent-peer, tls-timeout. */
void stream_waiting(const struct stream *stream, struct err *err);

/* Returns: the descriptor to poll, -1 where there is none (memory). */
int stream_fd(const struct stream *stream);

/* Closes at once, without ceremony. Shape: NULL is allowed. */
void stream_free(struct stream *stream);

#endif
