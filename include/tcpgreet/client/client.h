/* The mode --connect: a dialogue with names from arguments, from a pipe or file, or from a terminal; or the
 * bytes of standard input to the peer, and the peer's to standard output. */
#ifndef TCPGREET_CLIENT_CLIENT_H
#define TCPGREET_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/starttls.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/tls/tls.h"

struct client_config {
    struct target target;
    bool ipv4_only;
    bool ipv6_only;
    const char *source; /* an address literal to connect from; NULL */
    struct proxy_config proxy;
    enum proxy_header_version send_proxy;
    int64_t attempt_delay_ms;
    int64_t connect_timeout_ms;
    int64_t answer_timeout_ms;
    int64_t timeout_ms; /* of the whole run; 0: none */
    enum session_framing framing;
    const char *const *names; /* each fits the framing (session_name_fits) */
    size_t name_count;        /* 0: names are read from standard input */
    bool raw;                 /* no dialogue, no names: the bytes */
    bool use_tls;
    enum starttls_protocol starttls; /* needs use_tls */
    struct tls_client_config tls;
    bool explain;
    bool verbose;
};

/* Connects, sends each name and exit, or with raw all of standard input, and copies what the server sends to
 * standard output. A reader of it that
 * does not read delays neither --timeout nor SIGINT.
 * Returns: 0 after a whole dialogue, or with raw when the peer has ended its side, -1. Errors: resolve-…,
 * connect-…, tls-…, cert-…, dialogue-…, system-…, interrupted, usage (a name on standard input is too long;
 * the others were sent). Thread: the main one; handles SIGINT. */
int client_run(const struct client_config *config, struct err *err);

#endif
