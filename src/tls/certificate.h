/* The contents of a certificate, in printable form. */
#ifndef TCPGREET_TLS_CERTIFICATE_H
#define TCPGREET_TLS_CERTIFICATE_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/tls/tls.h"

/* The names in a certificate, printable: DNS and IP SANs, else its subject. Returns: text. */
const char *tls_certificate_names(X509 *certificate, char *text, size_t room);

/* Appends the names, those that are neither of DNS nor IP with their kind: "URI:…", "email:…", and a DNS name
 * that is an address as "DNS:…". Returns: how many DNS and IP names there are, which alone count. */
int tls_certificate_alternative_names(X509 *certificate, char *text, size_t room);
const char *tls_name_text(const X509_NAME *name, char *text, size_t room);
/* Returns: whether it is for a host name, by RFC 9525. Beyond that an underscore in the host, which DNS
 * allows and host names do not, matches a wildcard, as in curl and GnuTLS. */
bool tls_certificate_is_for(X509 *certificate, const char *host);

/* Returns: whether an address, "127.0.0.1", is in it as a DNS name, which no client accepts. */
bool tls_certificate_has_address_as_name(X509 *certificate, const char *address);

/* The subject, or the names where it has none. Returns: text. */
const char *tls_certificate_title(X509 *certificate, char *text, size_t room);

/* Borrows: verified, a chain from its first certificate to an anchor. Returns: the one that expires first, of
 * several the lowest; NULL where there is none. */
X509 *tls_first_to_expire(const STACK_OF(X509) * verified);

/* The same of a chain that was not verified: the leaf and what leads up from it among what was sent. A
 * root does not count, as its receiver has its own. Returns: one of them. */
X509 *tls_first_to_expire_of_sent(X509 *leaf, const STACK_OF(X509) * sent);

int tls_certificate_pin(X509 *certificate, struct tls_pin *pin);
int64_t tls_seconds(const ASN1_TIME *time); /* 0 where it is not a time */

#endif
