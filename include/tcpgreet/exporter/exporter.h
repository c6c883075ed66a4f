/* The mode --exporter: a resident prober for Prometheus, and a page with what it has found. */
#ifndef TCPGREET_EXPORTER_EXPORTER_H
#define TCPGREET_EXPORTER_EXPORTER_H

#include <stdbool.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/os/service_manager.h"
#include "tcpgreet/probe/probe.h"

enum { EXPORTER_LISTEN_MAX = 16 };

/* How a query's parameters become a probe, which the command line knows. */
struct exporter_parser {
    /* Sets what the option `name`, without its dashes, sets, from a word; NULL: of a flag. Borrows: word, for
     * as long as *probe is used. Errors: usage. Returns: 0, -1. */
    int (*set)(struct probe_config *probe, const char *name, const char *word, struct err *err);
    /* Completes what the options imply, and checks them together. Errors: usage. Returns: 0, -1. */
    int (*complete)(struct probe_config *probe, struct err *err);
};

/* Shape: at least one target to listen on; one without a host is loopback, of both families. */
struct exporter_config {
    struct target listen[EXPORTER_LISTEN_MAX]; /* up to the first without service */
    struct probe_config probe;                 /* of every probe, as far as its query sets nothing else */
    struct exporter_parser parser;
    const char *user; /* that it switches to once all is open; NULL: none */
    bool no_sandbox;
    bool verbose;
    bool quiet;
    enum log_format log_format;
    struct service_manager
        *manager; /* borrowed; its sockets are taken, and used instead of opening `listen` */
};

/* Listens, announces each address on standard output, serves, logs to standard error. Returns: 0 when a
 * signal asked it to stop; -1. Errors: usage: not available in this build, a file of the TLS options;
 * system-...; resolve-...; internal. Thread: the main one; it takes over SIGTERM, SIGINT and SIGHUP. */
int exporter(const struct exporter_config *config, struct err *err);

#endif
