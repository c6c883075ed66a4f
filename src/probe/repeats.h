/* Which texts a list has more than once. */
#ifndef TCPGREET_PROBE_REPEATS_H
#define TCPGREET_PROBE_REPEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"

/* One text. Shape: hash 0: none. */
struct repeat {
    uint64_t hash;
    bool is_repeated;
};

/* Starts as {0}: nothing is known to be repeated. */
struct repeats {
    struct repeat *slots;
    size_t mask; /* slots are one more, a power of two */
};

/* Makes room for so many texts. Errors: internal: no memory. Returns: 0, -1. */
int repeats_open(struct repeats *repeats, size_t count, struct err *err);
void repeats_close(struct repeats *repeats);

void repeats_add(struct repeats *repeats, const char *text);

/* Returns: whether text was added more than once. */
bool repeats_has(const struct repeats *repeats, const char *text);

#endif
