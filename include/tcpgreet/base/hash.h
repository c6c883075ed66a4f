/* A hash of bytes for tables and comparisons: not against a peer that chooses them. */
#ifndef TCPGREET_BASE_HASH_H
#define TCPGREET_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Of no bytes. */
#define HASH_START UINT64_C(14695981039346656037)

/* Returns: the hash of what `hash` is of, followed by these bytes. Source: FNV-1a, 64 bits
 * (draft-eastlake-fnv). */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

#endif
