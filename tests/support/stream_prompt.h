/* Two connected streams in memory: one with a descriptor for a loop, one whose side acts at once. */
#ifndef TCPGREET_TEST_STREAM_PROMPT_H
#define TCPGREET_TEST_STREAM_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "tcpgreet/core/stream.h"

/*
 * How the bytes of the far side come to the near one. What the far side writes in one act comes in one piece,
 * up to hold_at, counted from its first byte; what follows that comes in a later turn of the loop, after
 * which nothing is held any more. The descriptor is readable exactly while bytes have come, or the end.
 */
struct stream_prompt {
    uv_loop_t *loop;
    void (*act)(void *context); /* the far side: reads and writes as long as it can */
    void *context;
    size_t hold_at;
    bool late; /* the far side acts in a later turn too; else inside the near side's write or shutdown */
};

/* Makes both ends, near first; each is freed on its own, the far one last. Borrows: prompt, until both are
 * freed. Aborts where memory or descriptors are exhausted. */
void stream_prompt_pair(struct stream *ends[2], const struct stream_prompt *prompt);

#endif
