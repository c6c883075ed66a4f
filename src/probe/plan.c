#include "plan.h"

#include <sys/socket.h>

#include "tcpgreet/link/connector.h"
#include "tcpgreet/net/stream_tcp.h"

enum { NS_PER_MS = 1000 * 1000 };

struct probe_plan probe_plan_of(const struct probe_config *config, struct tls_client *tls,
                                struct conn_shared *shared)
{
    return (struct probe_plan){.target = &config->target,
                               .want_v6 = !config->ipv4_only,
                               .want_v4 = !config->ipv6_only,
                               .source = config->source,
                               .proxy = config->proxy.kind != PROXY_NONE ? &config->proxy : NULL,
                               .send_proxy = config->send_proxy,
                               .tls = tls,
                               .starttls = {.protocol = config->starttls},
                               .servername = config->tls.servername,
                               .shared = shared,
                               .until = config->until,
                               .script = &config->script,
                               .expect_alert = config->expect_alert,
                               .require_any = config->require_any,
                               .framing = config->framing,
                               .attempt_delay_ms = config->attempt_delay_ms,
                               .connect_timeout_ms = config->connect_timeout_ms,
                               .answer_timeout_ms = config->answer_timeout_ms,
                               .volume_bytes = (uint64_t)config->volume_bytes};
}

uv_loop_t *probe_scope_loop(const struct probe_scope *scope)
{
    return scope->plan.shared->loop;
}

int64_t probe_scope_now_ns(const struct probe_scope *scope)
{
    return (int64_t)(uv_hrtime() - scope->begin_ns);
}

int64_t probe_scope_left_ms(const struct probe_scope *scope)
{
    int64_t left_ms = scope->plan.connect_timeout_ms - probe_scope_now_ns(scope) / NS_PER_MS;
    return left_ms > 0 ? left_ms : 0;
}

const struct endpoint *probe_scope_source(const struct probe_scope *scope)
{
    return endpoint_family(&scope->source) != AF_UNSPEC ? &scope->source : NULL;
}

const struct proxy_route *probe_scope_proxy(const struct probe_scope *scope)
{
    return scope->plan.proxy != NULL ? &scope->route : NULL;
}

/* The name that TLS is for. */
static const char *tls_host(const struct probe_scope *scope)
{
    return scope->plan.servername != NULL ? scope->plan.servername : scope->plan.target->host;
}

struct stream *probe_scope_connect(const struct probe_scope *scope, const struct endpoint *peer,
                                   struct tls_session *session, struct err *err)
{
    const struct connector_policy policy = {.proxy = probe_scope_proxy(scope),
                                            .send_proxy = scope->plan.send_proxy,
                                            .starttls = probe_scope_starttls(scope),
                                            .session = session,
                                            .host = tls_host(scope)};
    return connector_connect(&policy, peer, probe_scope_source(scope), err);
}

const struct starttls_config *probe_scope_starttls(const struct probe_scope *scope)
{
    const struct starttls_config *starttls = &scope->plan.starttls;
    return probe_scope_uses_tls(scope) && starttls->protocol != STARTTLS_NONE ? starttls : NULL;
}

bool probe_scope_uses_tls(const struct probe_scope *scope)
{
    return scope->plan.tls != NULL && scope->plan.until != PROBE_UNTIL_CONNECT;
}

struct stream *probe_scope_stream(const struct probe_scope *scope, int fd, struct tls_session **session,
                                  struct err *err)
{
    if (probe_scope_uses_tls(scope)) {
        *session = tls_session_new(scope->plan.tls, err); /* empty: the certificate is verified anew */
        if (*session == NULL) {
            stream_tcp_close(fd);
            return NULL;
        }
    }
    const struct connector_policy policy = {.proxy = probe_scope_proxy(scope),
                                            .send_proxy = scope->plan.send_proxy,
                                            .starttls = probe_scope_starttls(scope),
                                            .session = *session,
                                            .host = tls_host(scope)};
    return connector_stream(&policy, fd, err);
}
