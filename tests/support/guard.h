/* Bytes that end exactly before an inaccessible page, so that an overread faults. */
#ifndef TCPGREET_TEST_GUARD_H
#define TCPGREET_TEST_GUARD_H

#include <stddef.h>

#include "tcpgreet/base/buf.h"

/* Copies size bytes of data. Returns: the copy, read-only, for guard_free; never NULL: aborts without memory.
 * Shape: data may be NULL where size is 0. */
const char *guard_bytes(const void *data, size_t size);

/* Shape: bytes and size as guard_bytes returned and took them; NULL is accepted. */
void guard_free(const char *bytes, size_t size);

/* The same in one mapping for all calls: valid until the next one. Shape: at most GUARD_EDGE_BYTES. */
enum { GUARD_EDGE_BYTES = 1 << 21 };
struct bytes guard_edge(struct bytes bytes);

#endif
