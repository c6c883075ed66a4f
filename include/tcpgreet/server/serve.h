/* The mode --listen: serves the greeting dialogue until a signal stops it. */
#ifndef TCPGREET_SERVER_SERVE_H
#define TCPGREET_SERVER_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/core/prefix.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/net/stream_misbehave.h"
#include "tcpgreet/os/service_manager.h"
#include "tcpgreet/tls/tls.h"

enum { SERVER_LISTEN_MAX = 64, SERVER_WORKERS_MAX = 256 };

/* Shape: at least one target to listen on. */
struct server_config {
    struct target listen[SERVER_LISTEN_MAX]; /* up to the first without service */
    bool ipv4_only;
    bool ipv6_only;
    int workers;                   /* at most SERVER_WORKERS_MAX; 0: as many as processors it may run on */
    int max_connections;           /* 0: what descriptors and memory allow */
    int max_per_address;           /* IPv6: of 64 bits; 0: half of max_connections */
    int max_rate_per_address;      /* new ones a second; 0: any */
    int max_handshakes;            /* TLS, in progress at a time; 0: a quarter of max_connections */
    int backlog;                   /* 0: SOMAXCONN */
    struct target metrics;         /* where metrics are read; without a service: nowhere */
    bool whoami;                   /* that name is answered with the connection as the server sees it */
    bool proxy_protocol;           /* every connection begins with a PROXY header */
    struct prefix_list proxy_from; /* who may send one; none: any */
    int64_t handshake_timeout_ms;  /* of PROXY header and TLS together */
    int64_t idle_timeout_ms;
    int64_t name_timeout_ms;
    int64_t drain_timeout_ms;
    int64_t pause_ms; /* 0: off */
    bool use_tls;
    struct tls_server_config tls;
    bool watch;       /* its files: a change reloads them */
    const char *user; /* that it switches to once all is open; NULL: none */
    bool no_sandbox;
    struct stream_misbehaviour misbehaviour;
    bool explain;
    bool verbose;
    bool quiet;
    enum log_format log_format;
    struct service_manager
        *manager; /* borrowed; its sockets are taken, and used instead of opening `listen` */
};

/* Listens, announces each address on standard output once it can be reached, serves, logs to standard error.
 * Returns: 0 when a signal asked it to stop and it did, -1. Errors: system-…, resolve-…, internal.
 * Thread: the main one; it takes over SIGTERM, SIGINT, SIGHUP and SIGUSR1. */
int serve(const struct server_config *config, struct err *err);

#endif
