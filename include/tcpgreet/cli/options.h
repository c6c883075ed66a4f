/* The command line as a struct: parsed and validated whole, nothing opened, nothing printed. */
#ifndef TCPGREET_CLI_OPTIONS_H
#define TCPGREET_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/probe/threshold.h"

enum options_mode {
    MODE_NONE,
    MODE_LISTEN,
    MODE_CONNECT,
    MODE_PROBE,
    MODE_BENCH,
    MODE_BENCH_MERGE,
    MODE_HELP,
    MODE_VERSION
};

enum options_framing { FRAMING_AUTO, FRAMING_LINE, FRAMING_BARE };
enum options_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_PROMETHEUS, FORMAT_NAGIOS };
enum options_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum options_until { UNTIL_RESOLVE, UNTIL_CONNECT, UNTIL_TLS, UNTIL_DIALOGUE };
enum options_require { REQUIRE_ALL, REQUIRE_ANY };

enum { OPTIONS_LISTEN_MAX = 64, OPTIONS_LIST_MAX = 16, OPTIONS_WORKERS_MAX = 256 };

enum options_client_auth { CLIENT_AUTH_REQUIRE, CLIENT_AUTH_REQUEST };
enum options_tls_min { TLS_MIN_1_2, TLS_MIN_1_3 };
enum options_misbehave {
    MISBEHAVE_NOT,
    MISBEHAVE_DELAY,
    MISBEHAVE_DRIP,
    MISBEHAVE_RESET,
    MISBEHAVE_HALF_CLOSE,
    MISBEHAVE_NO_CLOSE_NOTIFY,
    MISBEHAVE_MUTE
};

/* The values of an option that may be repeated. Borrowed from argv. */
struct options_list {
    const char *values[OPTIONS_LIST_MAX];
    size_t count;
};

/* Starts as what options_parse makes of it. Durations in ms; -1 where an option was not given and has no
 * default. */
struct options {
    enum options_mode mode;

    struct target listen[OPTIONS_LISTEN_MAX]; /* MODE_LISTEN */
    size_t listen_count;
    struct target target; /* MODE_CONNECT and the other modes with HOST PORT */

    const char **operands; /* NAMEs, FILEs, or COMMAND; borrowed from argv, the array is ours; ends at NULL */
    size_t operand_count;

    bool ipv4_only;
    bool ipv6_only;
    const char *source; /* --source, an address literal, or of a bench FIRST-LAST; NULL */
    int64_t attempt_delay_ms;

    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* -1: none */
    int64_t answer_timeout_ms;
    int64_t handshake_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t name_timeout_ms;
    int64_t drain_timeout_ms;
    int64_t pause_ms;     /* 0: off */
    int64_t misbehave_ms; /* of delay and drip */

    int workers;         /* 0: as many as processors it may run on */
    int max_connections; /* 0: from the descriptor limit */
    int backlog;         /* 0: SOMAXCONN */
    enum options_misbehave misbehave;

    bool tls;
    bool insecure;
    const char *ca; /* this and the other texts: borrowed from argv; NULL where not given */
    const char *servername;
    struct options_list pins;
    struct options_list certs;
    struct options_list keys; /* as many as certs, or none: the keys stand with the certificates */
    const char *passphrase_file;
    const char *client_ca;
    enum options_client_auth client_auth; /* where client_ca is given */
    enum options_tls_min tls_min;
    const char *alpn;
    const char *ticket_keys;

    enum options_until until; /* probe */
    enum options_require require;
    int count;            /* rounds; 0: not given */
    int expect_days;      /* 0: not given */
    int64_t interval_ms;  /* -1: not given */
    int64_t retry_ms;     /* -1: not given */
    int64_t volume_bytes; /* 0: none */
    struct threshold_list warn;
    struct threshold_list crit;

    int64_t duration_ms; /* bench */
    int connections;
    int names; /* a connection; 0: it is kept */
    int rate;  /* names a second; 0: as fast as answers come */
    bool resume;
    const char *plot; /* a file; NULL */
    enum options_format format;

    enum options_framing framing;

    bool explain;
    bool verbose;
    bool quiet;
    enum log_format log_format;
    enum options_color color;
};

/* Parses argv[1..argc-1]. After a failure, format still is what was asked for, if that could be told: whoever
 * reads plugin output must be told in that form.
 * Borrows: argv, which must outlive options. options_fini frees the rest, also after a failure.
 * Errors: usage: a sentence that names the option and what would be right. */
int options_parse(struct options *options, int argc, const char *const *argv, struct err *err);

void options_fini(struct options *options);

/* The text of --help: grouped as the command line's contract is, at most 80 columns wide. */
void options_help(FILE *out);

#endif
