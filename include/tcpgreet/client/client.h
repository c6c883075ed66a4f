/* The mode --connect: holds a dialogue with names from arguments, from a pipe or from a person. */
#ifndef TCPGREET_CLIENT_CLIENT_H
#define TCPGREET_CLIENT_CLIENT_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"

/* Connects, says each name and exit, copies the server's words to standard output.
 * Returns: 0 after a whole dialogue, -1. Errors: resolve-…, connect-…, dialogue-…, system-…, interrupted,
 * usage (a name on standard input that cannot be said; the dialogue is held without it). Thread: the main
 * one; takes over SIGINT. */
int converse(const struct options *options, struct err *err);

#endif
