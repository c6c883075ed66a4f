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
int tls_certificate_pin(X509 *certificate, struct tls_pin *pin);
int64_t tls_seconds(const ASN1_TIME *time); /* 0 where it is not a time */

#endif
