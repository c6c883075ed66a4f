#include "tcpgreet/link/acceptor.h"

#include "tcpgreet/net/stream_tcp.h"

struct stream *acceptor_stream(const struct acceptor_policy *policy, uv_loop_t *loop,
                               const struct accepted_socket *accepted, struct err *err)
{
    struct stream *stream = stream_tcp_new(accepted->fd, err);
    if (stream != NULL && policy->tls != NULL)
        stream = tls_server_stream(policy->tls, stream, err);
    if (stream != NULL && policy->misbehaviour.kind != STREAM_MISBEHAVE_NOT)
        stream = stream_misbehave_new(&policy->misbehaviour, loop, stream, err);
    return stream;
}

void acceptor_reject(const struct acceptor_policy *policy, const struct accepted_socket *accepted,
                     struct bytes message)
{
    struct err err = {0};
    size_t written;

    if (policy->tls != NULL) {
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
