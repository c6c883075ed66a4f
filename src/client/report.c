#include "report.h"

#include "tcpgreet/core/target.h"
#include "tcpgreet/format/message.h"

void client_report_connected(const struct dialer_facts *facts)
{
    char peer[ENDPOINT_TEXT_BYTES], local[ENDPOINT_TEXT_BYTES];

    message_print(
        "Connected to %s from %s in %.3f ms: name resolution took %.3f ms, attempt %u connected in %.3f ms",
        endpoint_format(&facts->peer, peer), endpoint_format(&facts->local, local),
        (double)facts->total_ns / 1e6, (double)facts->resolve_ns / 1e6, facts->attempts,
        (double)facts->connect_ns / 1e6);
}

void client_report_tls(const struct stream_tls_facts *facts)
{
    message_print("Using %s, %s%s%s%s%s with %s (issued by %s, pin sha256:%s)", facts->version, facts->cipher,
                  facts->group[0] != '\0' ? ", " : "", facts->group, facts->alpn[0] != '\0' ? ", ALPN " : "",
                  facts->alpn, facts->subject, facts->issuer, facts->pin);
}

int client_fail_dialing(const struct client_config *config, enum err_reason reason, struct err *err)
{
    char target[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 4];

    return err_set(err, reason, 0, "--timeout (%g s) expired while %s %s", (double)config->timeout_ms / 1000,
                   reason == ERR_RESOLVE_TEMPORARY ? "resolving" : "connecting to",
                   target_format(&config->target, target, sizeof target));
}
