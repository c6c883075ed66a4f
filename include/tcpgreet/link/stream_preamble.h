/* A stream that first holds a dialogue with its peer, STARTTLS, a proxy's or that of a PROXY header, and then
 * passes everything. */
#ifndef TCPGREET_LINK_STREAM_PREAMBLE_H
#define TCPGREET_LINK_STREAM_PREAMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/stream.h"

struct stream_preamble_config {
    enum stream_layer layer; /* by which stream_find finds it */

    /* Copied: it holds no pointer to itself, and what it borrows it borrows until the stream is up. It is not
     * duplex and has no deadline: the handshake's is its own. eof and expire make it DIALOGUE_FAILED. */
    const struct dialogue *dialogue;
    size_t size;    /* of all that dialogue is the first member of */
    bool is_secret; /* the trace does not show what it sends */
};

/* When it was held, uv_hrtime; 0: not yet. */
struct stream_preamble_facts {
    uint64_t begin_ns; /* the stream below was up */
    uint64_t end_ns;   /* it was over; stays 0 where it failed */
};

/* The handshake brings lower up, then holds the dialogue over it. Its time is always 0; where the time for
 * the handshake is over, expire is called with DIALOGUE_NEVER. A reset is reported to it as eof. What
 * DIALOGUE_OVER leaves unconsumed is what the first reads return.
 * Takes: lower, also on failure. Returns: the stream; NULL with err. Errors of the handshake: those of lower,
 * then those of the dialogue. */
struct stream *stream_preamble_new(struct stream *lower, const struct stream_preamble_config *config,
                                   struct err *err);

/* Returns: whether a preamble of that layer is in the stack, from this stream downwards. */
bool stream_preamble_facts(const struct stream *stream, enum stream_layer layer,
                           struct stream_preamble_facts *facts);

#endif
