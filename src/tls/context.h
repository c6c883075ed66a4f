/* OpenSSL as this program uses it: contexts, connections, and its errors as messages. */
#ifndef TCPGREET_TLS_CONTEXT_H
#define TCPGREET_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/tls/tls.h"

/* Reports OpenSSL's error queue, and empties it. Errors: reason; internal where memory was short. Returns:
 * -1. */
int tls_fail(struct err *err, enum err_reason reason, const char *doing);

/* What was made while memory was short does not count, even where it seems to have succeeded: a key or a
 * group may be missing, for as long as it is used. Returns: result, of all since tls_memory_begin; -1.
 * Errors: internal. */
int tls_context_check(int result, struct err *err);

/* What this process makes once and keeps. Where that fails, for want of memory, the next caller tries again.
 */
struct tls_once {
    pthread_mutex_t lock;
    bool made;
};

#define TLS_ONCE_INIT                                                                                        \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                                    \
    }

/* Returns: whether make has returned true, now or before. Thread: any. */
bool tls_once(struct tls_once *once, bool (*make)(void));

enum { TLS_CERTIFICATES_BYTES = 64 * 1024 }; /* at most, of a peer */

/* Shape: set_role is SSL_set_accept_state or SSL_set_connect_state. Errors: internal: no memory. */
SSL *tls_connection_new(SSL_CTX *context, void (*set_role)(SSL *), struct err *err);

/* The limits and orders that both roles share. */
SSL_CTX *tls_context_new(const SSL_METHOD *method, const struct tls_policy *policy, struct err *err);

/* Returns: the environment's value; NULL where there is none, or where the program runs with the rights of
 * another user than its caller. Source: secure_getenv(3). */
const char *tls_getenv(const char *name);

/* "h2,http/1.1" in the wire's form. Returns: length, 0 on failure. */
size_t tls_alpn_wire(const char *list, unsigned char *wire, size_t room, struct err *err);

#endif
