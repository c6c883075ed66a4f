#include "plan.h"

#include <sys/socket.h>

#include "tcpgreet/net/stream_tcp.h"

enum { NS_PER_MS = 1000 * 1000 };

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

struct stream *probe_scope_connect(const struct probe_scope *scope, const struct endpoint *peer,
                                   struct tls_session *session, struct err *err)
{
    int fd = stream_tcp_connect(peer, probe_scope_source(scope), NULL, err);
    struct stream *stream = fd >= 0 ? stream_tcp_new_connecting(fd, peer, err) : NULL;

    if (stream != NULL && session != NULL)
        stream = tls_session_stream(session, stream, scope->plan.target->host, err);
    return stream;
}
