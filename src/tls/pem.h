/* The files of options as OpenSSL reads them. */
#ifndef TCPGREET_TLS_PEM_H
#define TCPGREET_TLS_PEM_H

#include <openssl/bio.h>

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

#endif
