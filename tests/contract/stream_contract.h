/* What every stream promises, as one suite that knows nothing of what carries the bytes. */
#ifndef TCPGREET_TEST_STREAM_CONTRACT_H
#define TCPGREET_TEST_STREAM_CONTRACT_H

#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/stream.h"

struct stream_pair {
    struct stream *near, *far;
    void *context; /* the factory's */
};

/* Makes connected streams for one test at a time. */
struct stream_factory {
    const char *name;

    /* Connects two streams, neither of which has shaken hands. Aborts on failure. */
    void (*make)(struct stream_pair *pair, const void *config);
    const void *config;

    /* Lets what was written arrive; NULL where it arrives at once. */
    void (*pump)(struct stream_pair *pair);

    /* Frees context, after both streams; NULL. */
    void (*fini)(struct stream_pair *pair);

    size_t plenty; /* to move where a test moves much; 0: 70 kB */

    /* The error of a read once the peer was freed without a shutdown: ERR_OK where that is a clean end. */
    enum err_reason abandoned;
};

/* Runs the suite as one group of tests. Returns: how many failed. */
int stream_contract_run(const struct stream_factory *factory);

#endif
