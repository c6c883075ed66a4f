#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/meeting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/clock.h"
#include "support/skip.h"
#include "support/sockets.h"
#include "tcpgreet/net/stream_tcp.h"

static void on_up(void *context)
{
    struct side *side = context;
    side->up++;
    if (side->abort_up.reason != ERR_OK)
        conn_abort(&side->conn, &side->abort_up);
}

static void on_noticed(void *context)
{
    struct side *side = context;
    side->noticed++;
    side->noticed_ms = clock_now_ms();
}

static void on_received(void *context, struct bytes bytes)
{
    struct side *side = context;
    if (buf_append(&side->received, bytes) < 0)
        abort();
}

static void on_advanced(void *context, const struct conn_advance *advance)
{
    struct side *side = context;
    assert_true(advance->consumed <= advance->in.length);
    side->consumed += advance->consumed;
}

static void on_busy(void *context)
{
    struct side *side = context;
    assert_false(side->is_busy);
    side->is_busy = true;
}

void meeting_give_turn(struct side *side)
{
    assert_true(side->is_busy);
    side->is_busy = false;
    conn_take_turn(&side->conn);
}

void meeting_send(struct side *side, struct bytes name)
{
    session_send(&side->session, name, conn_now_ms(&side->conn));
    conn_resume(&side->conn);
}

static void pipe_next(struct side *side)
{
    if (side->sent < side->name_count)
        pipe_send(&side->pipe, side->names[side->sent++]);
    else
        pipe_end(&side->pipe);
    conn_resume(&side->conn);
}

static void on_ready(void *context)
{
    struct side *side = context;
    side->ready++;
    if (side->conn.dialogue == &side->pipe.dialogue) {
        if (side->names != NULL)
            pipe_next(side);
    } else if (side->abort_ready.reason != ERR_OK)
        conn_abort(&side->conn, &side->abort_ready);
    else if (side->sent < side->name_count)
        meeting_send(side, side->names[side->sent++]);
    else if (side->names != NULL)
        meeting_send(side, BYTES_LITERAL("exit"));
}

static void on_done(void *context, const struct conn_result *result)
{
    struct side *side = context;
    if (side->starting)
        fail_msg("done is called from inside conn_start");
    side->done++;
    side->done_ms = clock_now_ms();
    side->err = result->err != NULL ? *result->err : (struct err){0};
    side->peer_sent = result->peer_sent;
    memset(&side->conn, 0xa5, sizeof side->conn); /* its owner may free it now */
}

struct meeting *meeting_new(void)
{
    struct meeting *meeting = calloc(1, sizeof *meeting);
    if (meeting == NULL || !clock_freeze()) {
        free(meeting);
        skip_because("the clock of this C library cannot be replaced");
    }
    if (uv_loop_init(&meeting->loop) != 0 || uv_timer_init(&meeting->loop, &meeting->limit) != 0)
        abort();
    uv_unref((uv_handle_t *)&meeting->limit);
    meeting->shared.loop = &meeting->loop;
    meeting->policy = (struct session_policy){
        .idle_ms = 300 * 1000, .name_ms = 30 * 1000, .pause_ms = 300, .answer_ms = MEETING_ANSWER_MS};
    meeting->server.meeting = meeting->client.meeting = meeting;
    meeting->peer = -1;
    return meeting;
}

static void check_side(struct side *side)
{
    bool started = side->conn.shared != NULL || side->done > 0;
    assert_int_equal(side->done, started);
    assert_true(side->up <= 1 && side->noticed <= 1);
    if (started)
        assert_int_equal(side->faults.frees, 1);
    buf_fini(&side->received);
}

void meeting_free(struct meeting *meeting)
{
    if (meeting->peer >= 0)
        close(meeting->peer);
    uv_close((uv_handle_t *)&meeting->limit, NULL);
    uv_run(&meeting->loop, UV_RUN_DEFAULT);
    check_side(&meeting->server);
    check_side(&meeting->client);
    assert_int_equal(uv_loop_close(&meeting->loop), 0);
    free(meeting);
    clock_thaw();
}

int meeting_set_up(void **state)
{
    *state = meeting_new();
    return 0;
}

int meeting_tear_down(void **state)
{
    meeting_free(*state);
    return 0;
}

static struct dialogue *make_dialogue(struct side *side, enum side_role role)
{
    const struct session_policy *policy = &side->meeting->policy;
    if (role == SIDE_SERVER)
        session_init_server(&side->session, policy);
    else if (role == SIDE_CLIENT)
        session_init_client(&side->session, policy);
    else if (role == SIDE_REFUSAL)
        session_init_refusal(&side->session);
    else if (role == SIDE_PIPE)
        pipe_init(&side->pipe, MEETING_LINGER_MS);
    else
        volume_init(&side->volume, MEETING_VOLUME_BYTES, MEETING_ANSWER_MS);
    if (role == SIDE_PIPE)
        return &side->pipe.dialogue;
    return role == SIDE_VOLUME ? &side->volume.dialogue : &side->session.dialogue;
}

int meeting_start_on(struct meeting *meeting, struct side *side, enum side_role role, struct stream *stream,
                     struct err *err)
{
    static const struct conn_events all = {.up = on_up,
                                           .noticed = on_noticed,
                                           .received = on_received,
                                           .advanced = on_advanced,
                                           .ready = on_ready,
                                           .done = on_done};
    static const struct conn_events without_notice = {
        .received = on_received, .ready = on_ready, .done = on_done};
    static const struct conn_events regulated = {
        .received = on_received, .busy = on_busy, .ready = on_ready, .done = on_done};
    struct conn_config config = {.shared = &meeting->shared,
                                 .dialogue = make_dialogue(side, role),
                                 .events = side->deaf        ? &without_notice
                                           : side->regulated ? &regulated
                                                             : &all,
                                 .context = side,
                                 .handshake_ms = 10 * 1000,
                                 .least_rate = role == SIDE_SERVER ? MEETING_LEAST_RATE : 0};

    uv_update_time(&meeting->loop);
    side->starting = true;
    int result = conn_start(&side->conn, &config, stream_fault_new(stream, &side->faults), err);
    side->starting = false;
    if (result < 0)
        side->conn = (struct conn){0};
    return result;
}

static void start(struct meeting *meeting, struct side *side, enum side_role role, int fd)
{
    struct err err = {0};
    struct stream *stream = stream_tcp_new(fd, &err);
    if (stream == NULL || meeting_start_on(meeting, side, role, stream, &err) < 0)
        fail_msg("%s", err.text);
}

void meeting_start(struct meeting *meeting)
{
    int fds[2];
    sockets_open_pair(fds);
    start(meeting, &meeting->server, SIDE_SERVER, fds[0]);
    start(meeting, &meeting->client, SIDE_CLIENT, fds[1]);
}

void meeting_start_volume(struct meeting *meeting)
{
    int fds[2];
    sockets_open_pair(fds);
    start(meeting, &meeting->server, SIDE_SERVER, fds[0]);
    start(meeting, &meeting->client, SIDE_VOLUME, fds[1]);
}

void meeting_start_alone(struct meeting *meeting, struct side *side, enum side_role role)
{
    int fds[2];
    sockets_open_pair(fds);
    meeting->peer = fds[1];
    start(meeting, side, role, fds[0]);
}

static void on_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

void meeting_run(struct meeting *meeting, int64_t ms)
{
    uv_update_time(&meeting->loop);
    uv_timer_start(&meeting->limit, on_limit, (uint64_t)ms, 0);
    uv_run(&meeting->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&meeting->limit);
}

void meeting_settle(struct meeting *meeting)
{
    meeting_run(meeting, 1);
}

size_t meeting_peer_send(struct meeting *meeting, struct bytes bytes)
{
    size_t sent = 0;
    while (sent < bytes.length) {
        ssize_t n = send(meeting->peer, bytes.data + sent, bytes.length - sent, MSG_NOSIGNAL);
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    return sent;
}

bool meeting_peer_receive(struct meeting *meeting, struct buf *received, size_t limit)
{
    char data[4096];
    while (limit > 0) {
        size_t room = limit < sizeof data ? limit : sizeof data;
        ssize_t n = recv(meeting->peer, data, room, 0);
        if (n <= 0)
            return n == 0 || errno != EAGAIN;
        if (buf_append(received, (struct bytes){data, (size_t)n}) < 0)
            abort();
        limit -= (size_t)n;
    }
    return false;
}

void meeting_peer_expect(struct meeting *meeting, struct bytes words)
{
    struct buf received = {0};
    meeting_settle(meeting);
    meeting_peer_receive(meeting, &received, SIZE_MAX);
    if (!bytes_equal(buf_bytes(&received), words))
        fail_msg("received \"%.*s\", not \"%.*s\"", (int)buf_length(&received), buf_bytes(&received).data,
                 (int)words.length, words.data);
    buf_fini(&received);
}

void meeting_peer_end(struct meeting *meeting)
{
    assert_int_equal(shutdown(meeting->peer, SHUT_WR), 0);
}

void meeting_peer_close(struct meeting *meeting)
{
    close(meeting->peer);
    meeting->peer = -1;
}
