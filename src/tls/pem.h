/* The files of options as OpenSSL reads them. */
#ifndef TCPGREET_TLS_PEM_H
#define TCPGREET_TLS_PEM_H

#include <openssl/bio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/file.h"

/* Refuses a file that others than its owner can read, or its group write. Errors: system-permission. */
int tls_check_mode(const char *what, const char *path, const struct file *file, struct err *err);

/* Returns: a BIO that reads what was read of a file; NULL with err. Borrows: file. */
BIO *tls_file_bio(const struct file *file, struct err *err);

#endif
