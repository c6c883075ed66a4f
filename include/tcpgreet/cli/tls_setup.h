/* The command line's TLS options as contexts, for the modes. */
#ifndef TCPGREET_CLI_TLS_SETUP_H
#define TCPGREET_CLI_TLS_SETUP_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"
#include "tcpgreet/tls/tls.h"

/* Returns: the context; NULL with err. Errors: usage: built without TLS, or a file that an option names is
 * not there; those of tls_client_new and tls_server_new. Borrows: options, as long as the context lives. */
struct tls_client *tls_setup_client(const struct options *options, struct err *err);

/* What tls_client_new takes, with storage for what it points to: stays where it is while it is used. */
struct tls_setup_client_config {
    struct tls_client_config config;
};

/* Errors: usage. */
int tls_setup_client_config(const struct options *options, struct tls_setup_client_config *setup,
                            struct err *err);

/* One context for each of n workers, with the same identities and ticket keys. may_ask: for pass phrases, on
 * the terminal. Returns: 0 with all of them, -1 with none. Shape: n <= OPTIONS_WORKERS_MAX. */
int tls_setup_servers(const struct options *options, bool may_ask, struct tls_server **servers, size_t n,
                      struct err *err);

#endif
