/* The files of options as OpenSSL reads them. */
#ifndef TCPGREET_TLS_PEM_H
#define TCPGREET_TLS_PEM_H

#include <openssl/bio.h>
#include <openssl/x509.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/file.h"

/* Refuses a file that others than its owner can read, or its group write. Errors: system-permission. */
int tls_check_mode(const char *what, const char *path, const struct file *file, struct err *err);

/* Refuses PEM whose blocks OpenSSL would pass over in silence: one that is cut off, or does not begin and end
 * lines of its own. What stands between the blocks is free. Shape: what names the option. Returns: 0, -1.
 * Errors: system-file. Source: RFC 7468. */
int tls_pem_check(const char *what, const char *path, const struct file *file, struct err *err);

/* Returns: a BIO that reads what was read of a file; NULL with err. Borrows: file. */
BIO *tls_file_bio(const struct file *file, struct err *err);

/* Adds every certificate of a file to a store, and its subject to names. Shape: what names the option; names
 * NULL: not wanted. Returns: 0, -1. Errors: system-file, also where there is none or one is damaged;
 * system-permission. */
int tls_pem_add_cas(X509_STORE *store, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                    struct err *err);

/* Adds every revocation list of a file, PEM or DER, to a store. Shape: likewise. Errors: likewise;
 * system-file also for a delta CRL. Source: RFC 5280 section 5.2.4. */
int tls_pem_add_crls(X509_STORE *store, const char *what, const char *path, struct err *err);

#endif
