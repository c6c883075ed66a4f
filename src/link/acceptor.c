#include "tcpgreet/link/acceptor.h"

#include "tcpgreet/link/stream_preamble.h"
#include "tcpgreet/net/stream_tcp.h"

bool acceptor_admits(const struct acceptor_policy *policy, const struct endpoint *peer)
{
    return !policy->proxy_header || policy->proxy_from == NULL || policy->proxy_from->count == 0 ||
           prefix_list_contains(policy->proxy_from, peer);
}

bool acceptor_uses_tls(const struct acceptor_policy *policy, const struct accepted_socket *accepted)
{
    return policy->tls != NULL && !accepted->is_plain;
}

/* Takes: stream. */
static struct stream *add_proxy_header(const struct acceptor_request *request, struct stream *stream,
                                       struct err *err)
{
    struct proxy_header_receiver receiver;
    const struct stream_preamble_config config = {
        .layer = STREAM_LAYER_PROXY_HEADER, .dialogue = &receiver.dialogue, .size = sizeof receiver};

    proxy_header_receive(&receiver, request->proxied, request->context);
    return stream_preamble_new(stream, &config, err);
}

struct stream *acceptor_stream(const struct acceptor_policy *policy, const struct acceptor_request *request,
                               struct err *err)
{
    struct stream *stream = stream_tcp_new(request->accepted->fd, err);
    if (stream != NULL && policy->proxy_header)
        stream = add_proxy_header(request, stream, err);
    if (stream != NULL && acceptor_uses_tls(policy, request->accepted))
        stream = tls_server_stream(policy->tls, stream, err);
    if (stream != NULL && policy->misbehaviour.kind != STREAM_MISBEHAVE_NOT)
        stream = stream_misbehave_new(&policy->misbehaviour, request->loop, stream, err);
    return stream;
}

struct endpoint acceptor_local(const struct stream *stream)
{
    while (stream_lower(stream) != NULL)
        stream = stream_lower(stream);
    struct endpoint local = stream_tcp_local(stream_fd(stream));
    endpoint_unmap(&local);
    return local;
}

void acceptor_reject(const struct acceptor_policy *policy, const struct accepted_socket *accepted,
                     struct bytes message)
{
    struct err err = {0};
    size_t written;

    if (acceptor_uses_tls(policy, accepted)) {
        stream_tcp_close(accepted->fd);
        return;
    }
    struct stream *stream = stream_tcp_new(accepted->fd, NULL);
    if (stream != NULL && stream_write(stream, message.data, message.length, &written, &err) == STREAM_OK)
        stream_shutdown(stream, &err);
    stream_free(stream);
}

size_t acceptor_descriptors(const struct acceptor_policy *policy)
{
    return 1 + stream_misbehave_descriptors(policy->misbehaviour.kind);
}
