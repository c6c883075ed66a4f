/* Two connected streams over two bounded pipes in memory, without descriptors. */
#ifndef TCPGREET_TEST_STREAM_MEMORY_H
#define TCPGREET_TEST_STREAM_MEMORY_H

#include "tcpgreet/core/stream.h"

/* Makes both ends; each is freed on its own. What one end does, the other sees at once. An end that is freed
 * ends its side cleanly; to write to it is a reset. Aborts where memory is exhausted.
 * Shape: capacity of each pipe > 0. Thread: one for both. */
void stream_memory_pair(struct stream *ends[2], size_t capacity);

#endif
