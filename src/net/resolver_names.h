/* Names as the DNS has them. */
#ifndef TCPGREET_NET_RESOLVER_NAMES_H
#define TCPGREET_NET_RESOLVER_NAMES_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/target.h"

/* Writes the host in A-labels. Errors: resolve-not-found: it cannot be a domain name; usage: it becomes a
 * number, or what is no host name; or this build has no libidn2 to convert it; internal: it cannot be
 * converted, for want of memory for example. */
int resolver_a_labels(const char *host, char out[TARGET_HOST_BYTES], struct err *err);

#endif
