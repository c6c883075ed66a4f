/* Whether OpenSSL has lacked memory. Its own reports do not settle that: some parts of it drop the error,
 * others report what came of it, such as a signature that does not match. */
#ifndef TCPGREET_TLS_MEMORY_H
#define TCPGREET_TLS_MEMORY_H

#include <stdbool.h>

/* Called before an operation whose failure is explained. */
void tls_memory_begin(void);

/* Returns: whether an allocation of OpenSSL's has failed in this thread since tls_memory_begin; false where
 * tls_watch_memory was not called. */
bool tls_memory_is_short(void);

#endif
