/* What a server with --whoami answers to that name: the connection as it sees it, a line a fact. */
#ifndef TCPGREET_CORE_WHOAMI_H
#define TCPGREET_CORE_WHOAMI_H

#include <stdbool.h>

#include "tcpgreet/base/buf.h"

#define WHOAMI_NAME "whoami"

/* The keys in the order of their lines. The first is in every answer. */
#define WHOAMI_KEYS(X)                                                                                       \
    X(PEER, "peer")                                                                                          \
    X(LOCAL, "local")                                                                                        \
    X(PROXY, "proxy")                                                                                        \
    X(AUTHORITY, "authority")                                                                                \
    X(TLS, "tls")                                                                                            \
    X(SNI, "sni")                                                                                            \
    X(ALPN, "alpn")                                                                                          \
    X(CERTIFICATE, "client-certificate")                                                                     \
    X(INSTANCE, "instance")                                                                                  \
    X(CONNECTION, "connection")

enum whoami_key {
#define WHOAMI_ENUMERATOR(name, text) WHOAMI_##name,
    WHOAMI_KEYS(WHOAMI_ENUMERATOR)
#undef WHOAMI_ENUMERATOR
        WHOAMI_KEY_COUNT
};

enum { WHOAMI_VALUE_MAX = 1024, WHOAMI_BYTES = 12 * 1024 /* all lines together */ };

/* Returns: what stands before a value: "Server: peer: ". */
struct bytes whoami_head(enum whoami_key key);

/* Appends the lines of the values that are not "". Shape: values are printable, WHOAMI_KEY_COUNT of them,
 * each at most WHOAMI_VALUE_MAX bytes. Returns: false, with nothing appended, where they do not fit. */
bool whoami_put(const char *const values[WHOAMI_KEY_COUNT], struct sink *out);

#endif
