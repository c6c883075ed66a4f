#include "tcpgreet/link/connector.h"

#include <sys/socket.h>

#include "tcpgreet/link/stream_preamble.h"
#include "tcpgreet/net/stream_tcp.h"

/* Takes: stream. */
static struct stream *add_starttls(const struct connector_policy *policy, struct stream *stream,
                                   struct err *err)
{
    struct sockaddr_storage address;
    struct endpoint local = {0};
    struct starttls starttls;
    socklen_t length = sizeof address;

    if (getsockname(stream_fd(stream), (struct sockaddr *)&address, &length) == 0)
        endpoint_from_sockaddr(&local, (struct sockaddr *)&address, length);
    starttls_init(&starttls, policy->starttls, policy->host, &local);
    return stream_preamble_new(
        stream, &(struct stream_preamble_config){STREAM_LAYER_STARTTLS, &starttls.dialogue, sizeof starttls},
        err);
}

/* Takes: stream; NULL is allowed. */
static struct stream *add_layers(const struct connector_policy *policy, struct stream *stream,
                                 struct err *err)
{
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
    return add_layers(policy, stream_tcp_new(fd, err), err);
}

struct stream *connector_connect(const struct connector_policy *policy, const struct endpoint *to,
                                 const struct endpoint *from, struct err *err)
{
    int fd = stream_tcp_connect(to, from, NULL, err);
    return fd >= 0 ? add_layers(policy, stream_tcp_new_connecting(fd, to, err), err) : NULL;
}
