/* The TLS contexts of a server's workers: made at the start, and again on a reload. */
#ifndef TCPGREET_SERVER_CERTIFICATES_H
#define TCPGREET_SERVER_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/tls/tls.h"

enum { CERTIFICATES_FILES_MAX = 2 * TLS_FILES_MAX + 5 };

/* Lists what a reload reads, up to a NULL. Shape: config NULL: the server is plain. */
void certificates_list_files(const struct tls_server_config *config,
                             const char *files[CERTIFICATES_FILES_MAX]);

/* Makes one context for each worker, with the same identities and ticket keys, and logs certificates that
 * expire soon. Returns: 0 with all of them, -1 with none. Errors: as tls_server_new. Thread: any. */
int certificates_open(const struct tls_server_config *config, struct tls_server **tls, size_t count,
                      struct err *err);

/* For a certificate that was made for this run: logs the command that trusts it. */
void certificates_log_pin(const struct tls_server_config *config, const struct tls_server *tls,
                          const struct endpoint *address);

/* Returns: whether a reload has files to read. Shape: config NULL: the server is plain. */
bool certificates_have_files(const struct tls_server_config *config);

#endif
