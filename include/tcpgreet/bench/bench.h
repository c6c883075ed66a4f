/* The mode --bench: drives many dialogues, checks every byte, measures. And --bench-merge: adds up its
 * results. */
#ifndef TCPGREET_BENCH_BENCH_H
#define TCPGREET_BENCH_BENCH_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"

/* Writes the result to standard output in the format asked for.
 * Returns: 0 where every dialogue was whole, -1: the most frequent failure is err's reason.
 * Errors: usage, resolve-…, connect-…, tls-…, cert-…, dialogue-…, system-…, interrupted.
 * Thread: the main one; starts a thread a worker, takes over SIGINT. */
int bench(const struct options *options, struct err *err);

/* Reads results as --format json writes them, and writes their sum. Errors: system-file: a file is not one of
 * those. */
int bench_merge(const struct options *options, struct err *err);

#endif
