/* --connect with --raw: standard input to the peer, and the peer to standard output. */
#ifndef TCPGREET_CLIENT_RAW_H
#define TCPGREET_CLIENT_RAW_H

#include "run.h"

/* Sends standard input to its end, ends this side then, and ends with the peer. Errors of its done: as
 * client_run. */
extern const struct run_use raw_use;

#endif
