/* Identifies a service by the first bytes that it sends. */
#ifndef TCPGREET_CORE_SERVICE_H
#define TCPGREET_CORE_SERVICE_H

#include "tcpgreet/base/buf.h"

enum { SERVICE_FIRST_BYTES = 128 /* of what a peer sends first are looked at and kept */ };

/* Shape: first is what a peer sent before it received anything, at most SERVICE_FIRST_BYTES of it.
 * Returns: the protocol's word: "ssh", "smtp", ...; NULL where none is certain. Source: the protocols' RFCs,
 * named in the table; docs/probe.md lists the words. */
const char *service_identify(struct bytes first);

#endif
