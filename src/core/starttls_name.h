/* How a STARTTLS dialogue names its two sides. */
#ifndef TCPGREET_CORE_STARTTLS_NAME_H
#define TCPGREET_CORE_STARTTLS_NAME_H

#include <stdbool.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/core/endpoint.h"

/* This side, for EHLO: "[192.0.2.1]", "[IPv6:2001:db8::1]". An address needs no name that the peer can look
 * up. Shape: AF_UNSPEC: the loopback address. Returns: false where it does not fit. Source: RFC 5321
 * section 4.1.3. */
bool starttls_put_address(const struct endpoint *local, struct sink *out);

/* The peer, for the attribute "to": a domain without its final dot, or an address, of IPv6 in brackets and
 * without a zone; escaped for XML. Returns: false where it does not fit. Source: RFC 7622 section 3.2. */
bool starttls_put_domain(const char *name, struct sink *out);

#endif
