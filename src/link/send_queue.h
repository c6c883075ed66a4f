/* What a stream has not taken yet waits in a buffer, and leaves before what comes after it. */
#ifndef TCPGREET_LINK_SEND_QUEUE_H
#define TCPGREET_LINK_SEND_QUEUE_H

#include <stddef.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/stream.h"

/* Writes what is queued, then bytes, and queues what the stream does not take now. Shape: bytes may be empty.
 * *written: of both. Returns: STREAM_OK: all has left; STREAM_WANT_…: what
 * the rest waits for; STREAM_FAILED with err. Errors: as stream_write; internal. */
enum stream_result send_queue_put(struct buf *queue, struct stream *stream, struct bytes bytes,
                                  size_t *written, struct err *err);

#endif
