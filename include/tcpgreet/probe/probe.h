/* The mode --probe: rounds as configured, a result in the format asked for, COMMAND once every check passes.
 */
#ifndef TCPGREET_PROBE_PROBE_H
#define TCPGREET_PROBE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/core/script.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/starttls.h"
#include "tcpgreet/core/target.h"
#include "tcpgreet/format/format.h"
#include "tcpgreet/probe/threshold.h"
#include "tcpgreet/tls/tls.h"

/* In the order of the phases; EXCHANGE: that of config->script instead of the dialogue. AUTO: the dialogue
 * where the peer sends the welcome, else connect or tls. */
enum probe_until {
    PROBE_UNTIL_RESOLVE,
    PROBE_UNTIL_CONNECT,
    PROBE_UNTIL_TLS,
    PROBE_UNTIL_DIALOGUE,
    PROBE_UNTIL_EXCHANGE,
    PROBE_UNTIL_AUTO
};

/* Shape: retry_ms excludes count and interval_ms, as do a command, FORMAT_PROMETHEUS and FORMAT_NAGIOS;
 * until PROBE_UNTIL_TLS and limits.expect_days need use_tls. */
struct probe_config {
    struct target target;
    bool ipv4_only;
    bool ipv6_only;
    const char *source; /* an address literal to connect from; NULL */
    struct proxy_config proxy;
    enum proxy_header_version send_proxy;
    int64_t attempt_delay_ms; /* of the race that is shown */
    int64_t connect_timeout_ms;
    int64_t answer_timeout_ms;
    int64_t timeout_ms; /* of the whole run; 0: none */
    enum session_framing framing;
    enum probe_until until;
    struct script script; /* with PROBE_UNTIL_EXCHANGE, and only then, it has steps */
    int expect_alert;     /* the TLS alert that must refuse the handshake; 0: none */
    bool require_any;     /* else every address must be OK */
    int64_t volume_bytes; /* 0: none */
    int count;            /* rounds; 0: not limited with an interval, else one */
    int64_t interval_ms;  /* 0: not given */
    int64_t retry_ms;     /* 0: none */
    struct thresholds limits;
    const char *const *command; /* ends at NULL; NULL: none */
    bool use_tls;
    enum starttls_protocol starttls; /* needs use_tls */
    struct tls_client_config tls;
    enum format format;
    enum format_color color;
    const char *plot; /* a file; NULL */
    bool explain;
    bool verbose;
    bool quiet;
};

/* Does not return if it executes COMMAND. Returns: the exit code if the result was reported (a report, a
 * plugin's line, or nothing with -q); else -1 with err. Errors: what was found, as probe_result_judge has it,
 * or threshold; usage, system-file, system-output, interrupted, internal. */
int probe(const struct probe_config *config, struct err *err);

#endif
