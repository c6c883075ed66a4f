/*
 * A conn whose stream behaves as the input has it. Input: after how many reads its owner aborts it (0:
 * never), the number of operations that the stream does by the input, a byte for each, then what the peer
 * sends. In a byte, the lowest three bits are what comes of it (0: wants to read, 1: wants to write, 2: fails
 * where the rest is 0, 3: of a read: the peer's end where the rest is 0, else done), the rest how many bytes
 * are moved. All later operations are done.
 */
#include "fuzz/fuzz.h"

#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "support/script.h"
#include "tcpgreet/link/conn.h"

enum { HEAD = 2, INPUT_MAX = 64 * 1024, KEPT = 64, WHOLE_DAY_MS = 86400 * 1000 };

static const struct session_policy policy = {.idle_ms = WHOLE_DAY_MS, .name_ms = WHOLE_DAY_MS};

/* Invariants: nothing is done after a failure; what was wanted to be written is written first. */
struct scripted {
    struct stream stream;
    int fd; /* always readable and writable: what waits is woken at once */
    const uint8_t *operations;
    size_t operation_count;
    struct bytes unread; /* by the conn */
    struct bytes wanted; /* begins what is written next */
    char kept[KEPT];
    bool is_up, has_ended, has_failed, is_shut;
    unsigned frees;
};

struct talk {
    struct scripted scripted;
    struct conn conn;
    struct session session;
    struct buf received, written;
    unsigned reads, abort_at, done;
    bool has_failure, is_aborted, peer_sent;
};

static struct talk *talk_of(struct stream *stream)
{
    return (struct talk *)stream;
}

enum { WANT_READ, WANT_WRITE, FAIL, END, MOVE };

/* Returns: what comes of the next operation; *amount: of the bytes it moves. */
static int next_operation(struct scripted *scripted, size_t *amount)
{
    CHECK(!scripted->has_failed && scripted->frees == 0);
    *amount = SIZE_MAX;
    if (scripted->operation_count == 0)
        return MOVE;
    uint8_t byte = *scripted->operations++;
    scripted->operation_count--;
    *amount = (size_t)1 + (byte >> 3);
    int kind = byte & 7;
    return kind == WANT_READ || kind == WANT_WRITE || ((kind == FAIL || kind == END) && byte >> 3 == 0)
               ? kind
               : MOVE;
}

static enum stream_result refuse(struct scripted *scripted, int kind, struct err *err)
{
    if (kind == WANT_READ)
        return STREAM_WANT_READ;
    if (kind == WANT_WRITE)
        return STREAM_WANT_WRITE;
    scripted->has_failed = true;
    err_set(err, ERR_DIALOGUE_RESET, 0, "the script resets it");
    return STREAM_FAILED;
}

static enum stream_result shake(struct stream *stream, bool expired, struct err *err)
{
    size_t amount;
    struct scripted *scripted = &talk_of(stream)->scripted;
    int kind = next_operation(scripted, &amount);
    CHECK(!expired);
    scripted->is_up = scripted->is_up || kind >= END;
    return kind < END ? refuse(scripted, kind, err) : STREAM_OK;
}

static enum stream_result receive(struct stream *stream, void *data, size_t room, size_t *count,
                                  struct err *err)
{
    size_t amount;
    struct scripted *scripted = &talk_of(stream)->scripted;
    int kind = next_operation(scripted, &amount);
    CHECK(scripted->is_up && !scripted->has_ended && room > 0);
    if (kind < END)
        return refuse(scripted, kind, err);
    if (kind == END || scripted->unread.length == 0) {
        scripted->has_ended = true;
        stream->more = false;
        return STREAM_EOF;
    }
    amount = amount < room ? amount : room;
    *count = amount < scripted->unread.length ? amount : scripted->unread.length;
    memcpy(data, scripted->unread.data, *count);
    scripted->unread = bytes_skip(scripted->unread, *count);
    stream->more = *count % 2 == 1;
    return STREAM_OK;
}

static enum stream_result send_some(struct stream *stream, const void *data, size_t length, size_t *count,
                                    struct err *err)
{
    size_t amount;
    struct talk *talk = talk_of(stream);
    struct scripted *scripted = &talk->scripted;
    int kind = next_operation(scripted, &amount);
    CHECK(scripted->is_up && !scripted->is_shut && length > 0 && length >= scripted->wanted.length);
    CHECK(memcmp(data, scripted->kept, scripted->wanted.length) == 0);
    scripted->wanted.length = 0;
    if (kind < END) {
        scripted->wanted = (struct bytes){scripted->kept, length < KEPT ? length : KEPT};
        memcpy(scripted->kept, data, scripted->wanted.length);
        return refuse(scripted, kind, err);
    }
    *count = amount < length ? amount : length;
    CHECK(buf_append(&talk->written, (struct bytes){data, *count}) == 0);
    return STREAM_OK;
}

static enum stream_result shut(struct stream *stream, struct err *err)
{
    size_t amount;
    struct scripted *scripted = &talk_of(stream)->scripted;
    int kind = next_operation(scripted, &amount);
    CHECK(scripted->is_up && scripted->wanted.length == 0);
    scripted->is_shut = scripted->is_shut || kind >= END;
    return kind < END ? refuse(scripted, kind, err) : STREAM_OK;
}

static int fd_of(const struct stream *stream)
{
    return ((const struct scripted *)stream)->fd;
}

static void free_stream(struct stream *stream)
{
    talk_of(stream)->scripted.frees++;
}

static const struct stream_ops operations = {.handshake = shake,
                                             .read = receive,
                                             .write = send_some,
                                             .shutdown = shut,
                                             .fd = fd_of,
                                             .free = free_stream};

static void on_received(void *context, struct bytes bytes)
{
    struct talk *talk = context;
    CHECK(buf_append(&talk->received, bytes) == 0);
    if (++talk->reads != talk->abort_at)
        return;
    talk->is_aborted = true;
    conn_abort(&talk->conn, NULL);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct talk *talk = context;
    talk->done++;
    talk->has_failure = result->err != NULL;
    talk->peer_sent = result->peer_sent;
}

static const struct conn_events events = {.received = on_received, .done = on_done};

/* What was received is received again, by a dialogue without a stream: it sends the same, as far as the
 * stream and the owner let it. */
static void check_written(struct talk *talk)
{
    struct script script = {.policy = policy};
    script_serve(&script);
    script_feed(&script, buf_bytes(&talk->received));
    if (talk->scripted.has_ended)
        script_eof(&script);
    struct bytes due = script_output(&script), written = buf_bytes(&talk->written);
    CHECK(written.length <= due.length);
    CHECK(written.length == 0 || memcmp(written.data, due.data, written.length) == 0);
    if (!talk->scripted.has_failed && !talk->is_aborted) {
        CHECK(written.length == due.length && talk->scripted.is_shut && talk->scripted.has_ended);
        CHECK(!talk->has_failure && talk->session.end == script.session.end);
    }
    script_fini(&script);
}

static void hold(struct talk *talk)
{
    static struct conn_shared shared;
    uv_loop_t loop;
    struct err err = {0};
    const struct conn_config config = {.shared = &shared,
                                       .dialogue = &talk->session.dialogue,
                                       .events = &events,
                                       .context = talk,
                                       .handshake_ms = WHOLE_DAY_MS};

    CHECK(uv_loop_init(&loop) == 0);
    shared.loop = &loop;
    session_init_server(&talk->session, &policy);
    CHECK(conn_start(&talk->conn, &config, &talk->scripted.stream, &err) == 0 && talk->done == 0);
    CHECK(uv_run(&loop, UV_RUN_DEFAULT) == 0);
    CHECK(talk->done == 1 && talk->scripted.frees == 1);
    CHECK(talk->peer_sent == (buf_length(&talk->received) > 0));
    CHECK(uv_loop_close(&loop) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD || size > INPUT_MAX || size - HEAD < data[1])
        return 0;
    size_t head = (size_t)HEAD + data[1];
    int fds[2];
    CHECK(uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE) == 0);
    CHECK(write(fds[1], "", 1) == 1);
    struct talk talk = {.abort_at = data[0],
                        .scripted = {.stream.ops = &operations,
                                     .fd = fds[0],
                                     .operations = data + HEAD,
                                     .operation_count = data[1],
                                     .unread = {(const char *)data + head, size - head}}};
    hold(&talk);
    check_written(&talk);
    buf_fini(&talk.received);
    buf_fini(&talk.written);
    close(fds[0]);
    close(fds[1]);
    return 0;
}
