/* TLS contexts, one for equal settings: making one reads files. */
#ifndef TCPGREET_PROBE_CONTEXTS_H
#define TCPGREET_PROBE_CONTEXTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/tls/tls.h"

enum { PROBE_CONTEXTS_UNUSED_MAX = 16 }; /* kept for a later probe */

struct probe_context {
    struct probe_context *next;
    struct tls_client_config config; /* its texts are ours; without a servername */
    struct tls_client *client;
    size_t users;
    bool is_old; /* its files have been read again since */
};

/* Starts as {0}. Invariant: the list begins with the one that was wanted last. */
struct probe_contexts {
    struct probe_context *first;
};

/* A context for these settings, but for servername, which is a matter of each connection. Returns: the
 * context, for probe_contexts_put; NULL with err. Errors: as tls_client_new. */
struct probe_context *probe_contexts_get(struct probe_contexts *contexts,
                                         const struct tls_client_config *config, struct err *err);

/* Shape: context NULL is allowed. */
void probe_contexts_put(struct probe_contexts *contexts, struct probe_context *context);

/* Reads all files again, for those who come for a context from now on. Returns: 0; -1 with the first failure:
 * that context stays as it is. Errors: as tls_client_new. */
int probe_contexts_reload(struct probe_contexts *contexts, struct err *err);

/* Shape: none is in use. */
void probe_contexts_fini(struct probe_contexts *contexts);

#endif
