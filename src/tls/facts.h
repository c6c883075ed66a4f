/* What is known of a connection and of its peer. */
#ifndef TCPGREET_TLS_FACTS_H
#define TCPGREET_TLS_FACTS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "tcpgreet/tls/stream_tls.h"
#include "verdict.h"

/* What was agreed, of a handshake that is done. Shape: facts are {0} before. */
void tls_facts_agreed(SSL *ssl, struct stream_tls_facts *facts);

/* What the peer has sent of itself. Returns: whether it sent a certificate. Shape: verdict: what is kept of a
 * handshake that is not done; without a certificate in it, OpenSSL is asked. */
bool tls_facts_peer(SSL *ssl, const struct tls_verdict *verdict, struct stream_tls_facts *facts);

#endif
