/* Many names of many sizes, one behind the other, and what a server must answer to them, byte for byte: a
 * client's dialogue. */
#ifndef TCPGREET_CORE_VOLUME_H
#define TCPGREET_CORE_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"

/* A place in the sequence. It follows from the start alone: number and start name the same name everywhere.
 * Shape: size 0: behind the last name. */
struct volume_place {
    uint64_t number;
    uint64_t start; /* how many bytes all names before it have, with their newlines */
    size_t size;    /* of this name, without its newline */
    size_t at;      /* bytes of this name, or of the answer to it, that are behind us */
};

enum volume_end {
    VOLUME_END_NONE,
    VOLUME_END_COMPLETE, /* the server ended after its good bye */
    VOLUME_END_WRONG,    /* a wrong byte */
    VOLUME_END_EARLY,    /* the server ended before it */
    VOLUME_END_SILENT,   /* nothing came for answer_ms */
    VOLUME_END_SLOW      /* no answer was complete within twice that */
};

/* Invariant: received <= sent, as places; nothing is expected behind the good bye. */
struct volume {
    struct dialogue dialogue;
    uint64_t total_bytes; /* of all names with their newlines */
    int64_t answer_ms;
    int64_t received_ms; /* when a byte came last */
    int64_t answered_ms; /* when an answer was complete */
    struct volume_place sent;
    struct volume_place received;
    size_t welcome; /* bytes of the welcome received */
    uint64_t bursts;
    uint64_t sent_bytes;
    uint64_t received_bytes;
    enum volume_end end;
};

/* Sends names of 1 to GREETING_NAME_MAX printable bytes, none of them "exit", with their newlines; the last
 * of it is "exit". Each call puts one burst; the sizes of names and bursts lie on and beside those where
 * segments, records and buffers end. Completes where every byte received is the expected one, and the server
 * ends then. Shape: bytes > 0; 1 counts as 2, a name and its newline. Errors of failure:
 * dialogue-wrong-answer, dialogue-early-end, dialogue-timeout, with the place. */
void volume_init(struct volume *volume, uint64_t bytes, int64_t answer_ms);

/* Writes how far the answers came: "after 4321 of 100000 bytes, in a name of 512 bytes". Returns: text. */
const char *volume_where(const struct volume *volume, char *text, size_t room);

#endif
