#include "tcpgreet/link/connector.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/proxy_header_dialogue.h"
#include "tcpgreet/link/stream_preamble.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/net/stream_tcp.h"

int connector_route(struct proxy_route *route, const struct proxy_config *proxy, const struct target *target,
                    struct err *err)
{
    char host[TARGET_HOST_BYTES], shown[TARGET_HOST_BYTES];

    *route = (struct proxy_route){.proxy = proxy, .kind = target->kind};
    if (resolver_remote(target, host, &route->port, err) < 0)
        return -1;
    escape_text((struct bytes){target->host, strlen(target->host)}, shown, sizeof shown);
    if (target->kind == TARGET_IPV6 && strchr(host, '%') != NULL)
        return err_set(err, ERR_USAGE, 0,
                       "%s has a zone, which is an interface of this machine: a proxy cannot connect to it",
                       shown);
    if (strlen(host) > PROXY_HOST_MAX)
        return err_set(err, ERR_USAGE, 0, "%s is too long for a proxy: it has more than %d bytes", shown,
                       PROXY_HOST_MAX);
    memcpy(route->host, host, strlen(host) + 1);
    return 0;
}

/* Takes: stream. */
static struct stream *add_proxy(const struct proxy_route *route, struct stream *stream, struct err *err)
{
    struct proxy proxy;
    const struct stream_preamble_config config = {.layer = STREAM_LAYER_PROXY,
                                                  .dialogue = &proxy.dialogue,
                                                  .size = sizeof proxy,
                                                  .is_secret = route->proxy->has_user};

    proxy_init(&proxy, route);
    return stream_preamble_new(stream, &config, err);
}

/* Returns: what a proxy was asked for; AF_UNSPEC where it is a name, whose address only the proxy knows. */
static struct endpoint target_of(const struct proxy_route *route)
{
    struct endpoint target = {0};

    if (route->kind == TARGET_IPV4) {
        target = endpoint_wildcard(AF_INET, route->port);
        inet_pton(AF_INET, route->host, &target.address.v4.sin_addr);
    } else if (route->kind == TARGET_IPV6) {
        target = endpoint_wildcard(AF_INET6, route->port);
        inet_pton(AF_INET6, route->host, &target.address.v6.sin6_addr);
    }
    return target;
}

/* Takes: stream. Shape: to NULL: the socket is connected. */
static struct stream *add_proxy_header(const struct connector_policy *policy, const struct endpoint *to,
                                       struct stream *stream, struct err *err)
{
    int fd = stream_fd(stream);
    struct proxy_header_sender sender;
    struct endpoint source = stream_tcp_local(fd);
    struct endpoint destination = policy->proxy != NULL ? target_of(policy->proxy)
                                  : to != NULL          ? *to
                                                        : stream_tcp_peer(fd);
    const struct stream_preamble_config config = {
        .layer = STREAM_LAYER_PROXY_HEADER, .dialogue = &sender.dialogue, .size = sizeof sender};

    proxy_header_send(&sender, policy->send_proxy, &source, &destination);
    return stream_preamble_new(stream, &config, err);
}

/* Takes: stream. */
static struct stream *add_starttls(const struct connector_policy *policy, struct stream *stream,
                                   struct err *err)
{
    struct endpoint local = stream_tcp_local(stream_fd(stream));
    struct starttls starttls;

    starttls_init(&starttls, policy->starttls, policy->host, &local);
    return stream_preamble_new(
        stream,
        &(struct stream_preamble_config){STREAM_LAYER_STARTTLS, &starttls.dialogue, sizeof starttls, false},
        err);
}

/* Takes: stream; NULL is allowed. Shape: to as add_proxy_header. */
static struct stream *add_layers(const struct connector_policy *policy, const struct endpoint *to,
                                 struct stream *stream, struct err *err)
{
    if (stream != NULL && policy->proxy != NULL)
        stream = add_proxy(policy->proxy, stream, err);
    if (stream != NULL && policy->send_proxy != PROXY_HEADER_NONE)
        stream = add_proxy_header(policy, to, stream, err);
    if (stream != NULL && policy->starttls != NULL && policy->starttls->protocol != STARTTLS_NONE)
        stream = add_starttls(policy, stream, err);
    if (stream != NULL && policy->session != NULL)
        stream = tls_session_stream(policy->session, stream, policy->host, err);
    else if (stream != NULL && policy->tls != NULL)
        stream = tls_client_stream(policy->tls, stream, policy->host, err);
    return stream;
}

struct stream *connector_stream(const struct connector_policy *policy, int fd, struct err *err)
{
    return add_layers(policy, NULL, stream_tcp_new(fd, err), err);
}

struct stream *connector_connect(const struct connector_policy *policy, const struct endpoint *to,
                                 const struct endpoint *from, struct err *err)
{
    int fd = stream_tcp_connect(to, from, NULL, err);
    return fd >= 0 ? add_layers(policy, to, stream_tcp_new_connecting(fd, to, err), err) : NULL;
}
