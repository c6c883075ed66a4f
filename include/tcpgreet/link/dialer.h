/* Makes one finished stream of a target: resolves, races the addresses, keeps the first that connects. With a
 * proxy, all of this is about the way to that. */
#ifndef TCPGREET_LINK_DIALER_H
#define TCPGREET_LINK_DIALER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/stream.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/link/connector.h"

enum { DIALER_OTHERS_MAX = 8 };

struct dialer_config {
    const struct target *target; /* borrowed until done; with a proxy in policy, that is dialed instead */
    bool want_v6;
    bool want_v4;
    const char *source; /* NULL, or an address literal to connect from: only its family is tried; borrowed
                           until done */
    const struct endpoint *skip; /* addresses that are not to be tried; borrowed until done */
    size_t skip_count;
    int64_t attempt_delay_ms;
    int64_t timeout_ms;             /* for all of it together */
    struct connector_policy policy; /* of the stream; what it borrows, until done */
};

/* What is known of a connection that was made. */
struct dialer_facts {
    struct endpoint peer;
    struct endpoint local;
    unsigned attempts;   /* started, the winner's included */
    uint64_t resolve_ns; /* from the start to the first address */
    uint64_t connect_ns; /* of the winner's attempt */
    uint64_t total_ns;
    struct endpoint others[DIALER_OTHERS_MAX]; /* of the target, which have not failed: the first of them */
    size_t other_count;
    bool is_partial; /* a family had not been answered yet: there may be more of them */
};

/* Takes: stream, which is NULL on failure; then err is why. Borrows: the rest. The dialer is gone when it
 * returns. */
typedef void dialer_done_fn(void *context, struct stream *stream, const struct dialer_facts *facts,
                            const struct err *err);

struct dialer;

/* Calls back: done once, from the loop, never from inside dialer_start; not after dialer_cancel.
 * Returns: the dialer, for dialer_cancel before done; NULL on failure.
 * Errors: usage (source), resolve-…, internal. Errors of done: resolve-…, connect-…, system-….
 * Source: RFC 8305. Thread: the loop's. */
struct dialer *dialer_start(uv_loop_t *loop, const struct dialer_config *config, dialer_done_fn *done,
                            void *context, struct err *err);

/* Returns: what a time limit that expires now interrupts: resolve-temporary or connect-timeout. */
enum err_reason dialer_phase(const struct dialer *dialer);

/* Gives up; closes what was begun. Shape: NULL is allowed. */
void dialer_cancel(struct dialer *dialer);

#endif
