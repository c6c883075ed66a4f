/* Session tickets of a server. */
#ifndef TCPGREET_TLS_TICKETS_H
#define TCPGREET_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/tls/tls.h"

/* Session tickets: installs the callback, and the keys into the context's keeping. Shape: config NULL: not
 * from a file. */
int tls_tickets_install(SSL_CTX *context, const struct tls_server_config *config, struct err *err);
void tls_tickets_copy(SSL_CTX *context, SSL_CTX *from);
void tls_tickets_inherit(SSL_CTX *context, SSL_CTX *previous);

#endif
