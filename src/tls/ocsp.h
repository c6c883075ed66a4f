/* The OCSP response that a server sends with its certificate (stapling). */
#ifndef TCPGREET_TLS_OCSP_H
#define TCPGREET_TLS_OCSP_H

#include <openssl/ssl.h>
#include <stdint.h>

enum tls_ocsp {
    TLS_OCSP_NONE, /* none was sent */
    TLS_OCSP_GOOD,
    TLS_OCSP_REVOKED,
    TLS_OCSP_UNUSABLE /* it cannot be verified, is out of date or is not about this certificate */
};

/* Has responses requested, and a certificate rejected that one reports as revoked; requests none where
 * OpenSSL was built without OCSP. Returns: 0, -1. */
int tls_ocsp_request(SSL_CTX *context);

/* What the response is, of a connection whose certificates were verified. Shape: revoked_at: seconds since
 * 1970, set with TLS_OCSP_REVOKED. Source: RFC 6960, RFC 6066 section 8. */
enum tls_ocsp tls_ocsp_status(SSL *ssl, int64_t *revoked_at);

#endif
