/* The modes --bench, which runs many dialogues, verifies every byte and measures, and --bench-merge, which
 * adds up results. */
#ifndef TCPGREET_BENCH_BENCH_H
#define TCPGREET_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/format/format.h"
#include "tcpgreet/tls/tls.h"

enum { BENCH_WORKERS_MAX = 256 };

/* Shape: connections >= 1; format is not FORMAT_NAGIOS. */
struct bench_config {
    struct target target;
    bool ipv4_only;
    bool ipv6_only;
    const char *source; /* an address literal or a range FIRST-LAST to connect from; NULL */
    struct proxy_config proxy;
    enum proxy_header_version send_proxy;
    int64_t connect_timeout_ms;
    int64_t answer_timeout_ms;
    enum session_framing framing;
    int workers; /* at most BENCH_WORKERS_MAX; 0: one */
    int connections;
    int64_t duration_ms;
    int names; /* per connection; 0: no limit */
    int rate;  /* names per second; 0: as fast as answers come */
    bool resume;
    bool use_tls;
    struct tls_client_config tls;
    enum format format;
    const char *plot; /* a file; NULL */
    bool quiet;
};

/* Writes the result to standard output in the requested format.
 * Returns: 0 if every dialogue was complete, -1: the most frequent failure is err's reason.
 * Errors: usage, resolve-…, connect-…, tls-…, cert-…, dialogue-…, system-…, interrupted.
 * Thread: the main one; starts one thread per worker, handles SIGINT. */
int bench(const struct bench_config *config, struct err *err);

/* Shape: file_count >= 1; format is not FORMAT_NAGIOS. */
struct bench_merge_config {
    const char *const *files;
    size_t file_count;
    enum format format;
    const char *plot; /* a file; NULL */
};

/* Reads results written with --format json, and writes their sum. Errors: system-file: a file is not such a
 * result; usage: as bench_merge_available. */
int bench_merge(const struct bench_merge_config *config, struct err *err);

/* Returns: 0, or -1 where this build cannot read JSON. Errors: usage. */
int bench_merge_available(struct err *err);

#endif
