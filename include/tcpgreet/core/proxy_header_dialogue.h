/* The PROXY protocol's two sides as dialogues: one sends its header, one receives it, then the connection is
 * that of the layer above. */
#ifndef TCPGREET_CORE_PROXY_HEADER_DIALOGUE_H
#define TCPGREET_CORE_PROXY_HEADER_DIALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/proxy_header.h"

/* Sends a header, and is over. */
struct proxy_header_sender {
    struct dialogue dialogue;
    char bytes[PROXY_HEADER_V1_MAX];
    uint8_t length;
};

/* Shape: as proxy_header_write. */
void proxy_header_send(struct proxy_header_sender *sender, enum proxy_header_version version,
                       const struct endpoint *source, const struct endpoint *destination);

/* Calls back with a whole header, once: raw is what it was parsed from. Returns: ERR_OK;
 * ERR_DIALOGUE_EARLY_END: the connection is rejected; ERR_INTERNAL: memory is exhausted. */
typedef enum err_reason proxy_header_fn(void *context, const struct proxy_header *header, struct bytes raw);

/* Receives a header, and is over; what follows it is left. */
struct proxy_header_receiver {
    struct dialogue dialogue;
    proxy_header_fn *received;
    void *context;
    enum err_reason refusal; /* of received */
    enum proxy_header_result result;
    bool is_expired;
};

/* It has no deadline of its own: expire at any time is the end of the caller's time. Errors of failure:
 * connect-proxy: no valid header; dialogue-timeout: it did not come in time; dialogue-early-end: the peer
 * ended before the first byte; what received returns. */
void proxy_header_receive(struct proxy_header_receiver *receiver, proxy_header_fn *received, void *context);

#endif
