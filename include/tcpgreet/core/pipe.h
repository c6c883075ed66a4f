/* A raw pipe: the owner's bytes to the peer and the peer's to the owner, without a protocol. */
#ifndef TCPGREET_CORE_PIPE_H
#define TCPGREET_CORE_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"

/* The peer's bytes are the owner's as they come (received, of link/conn); they are only counted here. */
struct pipe {
    struct dialogue dialogue;
    struct bytes unsent; /* of pipe_send */
    int64_t linger_ms;
    bool peer_ended;
    uint64_t sent_bytes; /* put into the output */
    uint64_t received_bytes;
};

/* DIALOGUE_READY for what the owner has, DIALOGUE_OVER when both sides have ended. Where the peer ends its
 * side first it may still read: then it is over once the owner has had nothing for linger_ms. It does not
 * fail. Shape: linger_ms >= 0. */
void pipe_init(struct pipe *pipe, int64_t linger_ms);

/* Shape: DIALOGUE_READY; bytes is not empty. Borrows: bytes, until DIALOGUE_READY again. */
void pipe_send(struct pipe *pipe, struct bytes bytes);

/* Nothing more will be sent; what the peer sends is still received. Shape: DIALOGUE_READY. */
void pipe_end(struct pipe *pipe);

#endif
