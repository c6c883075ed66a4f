/* Trust stores. */
#ifndef TCPGREET_TLS_STORE_H
#define TCPGREET_TLS_STORE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "tcpgreet/base/err.h"

/* The trust anchors: a CA file or directory, NULL for the system's trust store. Borrows: ca, as long as
 * context is valid. Errors: system-file, system-permission. */
int tls_store_load(SSL_CTX *context, const char *ca, struct err *err);

/* Trusts the certificates of a file or of a directory of hashed links, each as an anchor, also those of an
 * intermediate CA or of a host, and adds the subjects of a file's to names. Shape: what names the option;
 * names NULL: not wanted. Errors: system-file, system-permission. */
int tls_store_add(SSL_CTX *context, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                  struct err *err);

/* Has certificates checked against the revocation lists of a file, as tls_pem_add_crls. Errors: likewise. */
int tls_store_add_crls(SSL_CTX *context, const char *what, const char *path, struct err *err);

/* tls_store_add for a server, but of a directory everything is read now: a change of it changes nothing any
 * more, and links that lead nowhere are skipped, as OpenSSL does. crl: the option --crl has revocation lists
 * in it checked, too; NULL. Errors: as tls_store_add. */
int tls_store_read(SSL_CTX *context, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                   const char *crl, struct err *err);

/* Trusts and checks what another context does that has read everything, without reading a file again and
 * sharing nothing with it. Errors: internal. */
int tls_store_copy(SSL_CTX *context, SSL_CTX *from, struct err *err);

/* What keeps the system's trust store from being one. */
enum tls_store_fault {
    TLS_STORE_USABLE,
    TLS_STORE_EMPTY,     /* it has no certificate, where OpenSSL and the environment look for them */
    TLS_STORE_UNHASHED,  /* its directory has files, but no hashed links to find them by */
    TLS_STORE_UNREADABLE /* its directory cannot be read */
};

/* Whether the system's trust store can be one at all, after a lookup in it has failed. Borrows: store.
 * Shape: directory: set where it is the fault, until the environment changes; native: errno of
 * TLS_STORE_UNREADABLE. */
enum tls_store_fault tls_store_fault(X509_STORE *store, const char **directory, int *native);

#endif
