/* Trust stores. */
#ifndef TCPGREET_TLS_STORE_H
#define TCPGREET_TLS_STORE_H

#include <openssl/ssl.h>

#include "tcpgreet/base/err.h"

/* Whom to believe: a CA file or folder, NULL for the system's trust store. Errors: system-file. */
int tls_store_load(SSL_CTX *context, const char *ca, struct err *err);

/* Trusts the certificates of a file or of a directory of hashed links, and adds the subjects of a file's to
 * names. Shape: what names the option; names NULL: not wanted. Errors: system-file, system-permission. */
int tls_store_add(SSL_CTX *context, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                  struct err *err);

/* Trusts what is in a PEM file, which is read when first a CA is wanted that the store, and the folders it
 * has by now, do not know. Borrows: file, as long as store lives. Returns: 0, -1 without memory. Shape: it
 * need not exist. */
int tls_store_add_late(X509_STORE *store, const char *file);

#endif
