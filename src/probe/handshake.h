/* The phases between connect and the dialogue, in the order of the stream's layers. */
#ifndef TCPGREET_PROBE_HANDSHAKE_H
#define TCPGREET_PROBE_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "plan.h"
#include "result.h"
#include "tcpgreet/core/stream.h"

/* The connection is established: the first of them begins. Returns: false where the plan has none. */
bool probe_handshake_begin(const struct probe_scope *scope, struct probe_address *record, int64_t at_ns);

/* Brings the record up to date with the stream: what is done has ended, and the next one has begun. The last
 * one ends with the handshake, which the caller knows. */
void probe_handshake_follow(const struct probe_scope *scope, struct probe_address *record,
                            const struct stream *stream);

/* The peer reset the connection before the first of them could begin. Writes: err, as its layer would report
 * it. Shape: the plan has one. */
void probe_handshake_reset(const struct probe_scope *scope, struct err *err);

#endif
