#include "measures.h"

#include "tcpgreet/tls/stream_tls.h"

void measures_add_handshake(struct measures *measures, const struct stream *stream, uint64_t ns)
{
    size_t kind = 2 * (size_t)stream_tls_is_1_3(stream) + (size_t)stream_tls_resumed(stream);

    measures_add(measures, MEASURE_HANDSHAKES + kind, 1);
    measures_add_time(measures, MEASURE_HANDSHAKE, ns);
}

void measures_add_bytes(struct measures *measures, struct measured_bytes *measured, uint64_t in, uint64_t out)
{
    measures_add(measures, MEASURE_BYTES_IN, (uint32_t)in - measured->in);
    measures_add(measures, MEASURE_BYTES_OUT, (uint32_t)out - measured->out);
    *measured = (struct measured_bytes){(uint32_t)in, (uint32_t)out};
}
