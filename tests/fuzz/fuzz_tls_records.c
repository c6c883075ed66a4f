/* Input: the role (odd: a client), the length of the pieces (0: all in one), then what the peer sends before
 * it ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "support/stream_memory.h"
#include "tcpgreet/tls/tls.h"

enum { PIPE_BYTES = 1 << 20 };

/* Handshake and reads as far as what has come lets them. Returns: whether the stream has not failed. */
static bool go_on(struct stream *stream, bool *is_up)
{
    char room[1000];
    size_t count;
    struct err err = {0};
    enum stream_result result = STREAM_OK;

    if (!*is_up)
        result = stream_handshake(stream, &err);
    *is_up = *is_up || result == STREAM_OK;
    while (*is_up && result == STREAM_OK)
        result = stream_read(stream, room, sizeof room, &count, &err);
    CHECK((result == STREAM_FAILED) == (err.reason != ERR_OK));
    CHECK(result != STREAM_FAILED || err.text[0] != '\0');
    return result != STREAM_FAILED && result != STREAM_EOF;
}

static struct stream *new_stream(bool is_client, struct stream *lower)
{
    static struct tls_client *client;
    static struct tls_server *server;
    struct err err = {0};

    if (client == NULL) {
        client = tls_client_new(&(struct tls_client_config){.policy.insecure = true}, &err);
        server = tls_server_new(&(struct tls_server_config){0}, &err);
    }
    CHECK(client != NULL && server != NULL);
    struct stream *stream = is_client ? tls_client_stream(client, lower, "localhost", &err)
                                      : tls_server_stream(server, lower, &err);
    CHECK(stream != NULL);
    return stream;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream *ends[2];
    bool is_up = false, is_open = true;
    struct err err = {0};
    size_t count = 0;

    if (size < 3)
        return 0;
    stream_memory_pair(ends, PIPE_BYTES);
    struct stream *stream = new_stream(data[0] % 2 == 1, ends[0]);
    for (size_t at = 2; is_open && at < size; at += count) {
        size_t piece = data[1] == 0 || data[1] > size - at ? size - at : data[1];
        if (stream_write(ends[1], data + at, piece, &count, &err) != STREAM_OK)
            break;
        is_open = go_on(stream, &is_up);
    }
    stream_free(ends[1]);
    if (is_open)
        (void)go_on(stream, &is_up);
    stream_free(stream);
    return 0;
}
