/* The mode --listen: serves the greeting dialogue until it is told to stop. */
#ifndef TCPGREET_SERVER_SERVE_H
#define TCPGREET_SERVER_SERVE_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"

/* Listens, announces each address on standard output once it can be reached, serves, logs to standard error.
 * Returns: 0 when a signal asked it to stop and it did, -1. Errors: system-…, resolve-…, internal.
 * Thread: the main one; it takes over SIGTERM, SIGINT, SIGHUP and SIGUSR1. */
int serve(const struct options *options, struct err *err);

#endif
