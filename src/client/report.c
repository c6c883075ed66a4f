#include "report.h"

#include "tcpgreet/core/target.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/link/stream_preamble.h"

void client_report_connected(const struct dialer_facts *facts, bool to_proxy)
{
    char peer[ENDPOINT_TEXT_BYTES], local[ENDPOINT_TEXT_BYTES];

    endpoint_format(&facts->peer, peer);
    endpoint_format(&facts->local, local);
    message_event(
        &(struct log_event){LOG_NOTICE, "connected",
                            LOG_FACTS(log_text(to_proxy ? "proxy_peer" : "peer", peer),
                                      log_text("local", local),
                                      log_number("resolve_seconds", (double)facts->resolve_ns / 1e9),
                                      log_number("connect_seconds", (double)facts->connect_ns / 1e9),
                                      log_number("duration_seconds", (double)facts->total_ns / 1e9),
                                      log_count("attempts", facts->attempts))},
        "Connected to %s%s from %s in %.3f ms: name resolution took %.3f ms, attempt %u connected in %.3f ms",
        to_proxy ? "the proxy " : "", peer, local, (double)facts->total_ns / 1e6,
        (double)facts->resolve_ns / 1e6, facts->attempts, (double)facts->connect_ns / 1e6);
}

void client_report_tunnel(const struct proxy_route *route, const struct stream *stream)
{
    struct stream_preamble_facts facts;
    bool brackets = route->kind == TARGET_IPV6;

    if (!stream_preamble_facts(stream, STREAM_LAYER_PROXY, &facts))
        return;
    double seconds = (double)(facts.end_ns - facts.begin_ns) / 1e9;
    message_event(&(struct log_event){LOG_NOTICE, "tunnel",
                                      LOG_FACTS(log_text("host", route->host), log_count("port", route->port),
                                                log_number("duration_seconds", seconds))},
                  "The proxy connected to %s%s%s:%u in %.3f ms", brackets ? "[" : "", route->host,
                  brackets ? "]" : "", (unsigned)route->port, seconds * 1e3);
}

void client_report_tls(const struct stream_tls_facts *facts)
{
    const struct log_event event = {
        LOG_NOTICE, "tls",
        LOG_FACTS(log_text("tls_version", facts->version), log_text("cipher", facts->cipher),
                  log_text("group", facts->group), log_text("alpn", facts->alpn), log_text("sni", facts->sni),
                  log_flag("resumed", facts->resumed), log_text("server_subject", facts->subject),
                  log_text("issuer", facts->issuer), log_text("pin", facts->pin))};
    message_event(&event, "Using %s, %s%s%s%s%s with %s (issued by %s, pin sha256:%s)", facts->version,
                  facts->cipher, facts->group[0] != '\0' ? ", " : "", facts->group,
                  facts->alpn[0] != '\0' ? ", ALPN " : "", facts->alpn, facts->subject, facts->issuer,
                  facts->pin);
}

int client_fail_dialing(const struct client_config *config, enum err_reason reason, struct err *err)
{
    char target[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 4];

    bool has_proxy = config->proxy.kind != PROXY_NONE;
    return err_set(
        err, reason, 0, "--timeout (%g s) expired while %s %s%s", (double)config->timeout_ms / 1000,
        reason == ERR_RESOLVE_TEMPORARY ? "resolving" : "connecting to", has_proxy ? "the proxy " : "",
        target_format(has_proxy ? &config->proxy.at : &config->target, target, sizeof target));
}
