/* Many names of many sizes, one behind the other, and what a server must answer to them: byte for byte. */
#ifndef TCPGREET_CORE_VOLUME_H
#define TCPGREET_CORE_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"

enum { VOLUME_BURST_MAX = 16 * 1024 }; /* handed out at a time */

/* A place in the sequence. It follows from the start alone: number and start name the same name everywhere.
 * Shape: size 0: behind the last name. */
struct volume_place {
    uint64_t number;
    uint64_t start; /* how many bytes all names before it have, with their newlines */
    size_t size;    /* of this name, without its newline */
    size_t at;      /* bytes of this name, or of the answer to it, that are behind us */
};

/* Invariant: heard <= said, as places; nothing is expected behind the good bye. */
struct volume {
    uint64_t total_bytes; /* of all names with their newlines */
    struct volume_place said;
    struct volume_place heard;
    size_t welcome; /* bytes of the welcome heard */
    uint64_t bursts;
    uint64_t sent_bytes;
    uint64_t received_bytes;
};

/* Shape: bytes > 0; 1 counts as 2, a name and its newline. */
void volume_init(struct volume *volume, uint64_t bytes);

/* Writes what is to be sent next: names of 1 to GREETING_NAME_MAX printable bytes, none of them "exit", with
 * their newlines; the last of it is "exit". The sizes of names and bursts lie on and beside those where
 * segments, records and buffers end. Returns: how many bytes; 0: all is said. */
size_t volume_next(struct volume *volume, char data[VOLUME_BURST_MAX]);

/* Compares what has come. Returns: 0, or -1. Errors: dialogue-wrong-answer: the first wrong byte, its place,
 * its name's number and size. */
int volume_receive(struct volume *volume, struct bytes bytes, struct err *err);

/* Returns: whether the good bye has come, and all before it. */
bool volume_is_complete(const struct volume *volume);

/* Writes how far the answers came: "after 4321 of 100000 bytes, in a name of 512 bytes". Returns: text. */
const char *volume_where(const struct volume *volume, char *text, size_t room);

#endif
