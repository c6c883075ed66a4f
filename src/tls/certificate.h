/* What stands in a certificate, in printable form. */
#ifndef TCPGREET_TLS_CERTIFICATE_H
#define TCPGREET_TLS_CERTIFICATE_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/tls/tls.h"

/* The names in a certificate, printable: DNS and IP SANs, else its subject. Returns: text. */
const char *tls_certificate_names(X509 *certificate, char *text, size_t room);

/* Appends the names of the kinds that count, DNS and IP. Returns: how many there are. */
int tls_certificate_alternative_names(X509 *certificate, char *text, size_t room);
const char *tls_name_text(const X509_NAME *name, char *text, size_t room);
/* The subject, or the names where it has none. Returns: text. */
const char *tls_certificate_title(X509 *certificate, char *text, size_t room);

/* Borrows: verified, a chain from its first certificate to an anchor. Returns: the one that expires first, of
 * several the lowest; NULL where there is none. */
X509 *tls_first_to_expire(const STACK_OF(X509) * verified);

/* The same of a chain that nobody has verified: the leaf and what leads up from it among what was sent. A
 * root does not count, as its receiver has its own. Returns: one of them. */
X509 *tls_first_to_expire_of_sent(X509 *leaf, const STACK_OF(X509) * sent);

int tls_certificate_pin(X509 *certificate, struct tls_pin *pin);
int64_t tls_seconds(const ASN1_TIME *time); /* 0 where it is not a time */

#endif
