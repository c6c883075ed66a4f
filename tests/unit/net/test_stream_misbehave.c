#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/clock.h"
#include "support/launcher.h"
#include "support/meeting.h"
#include "support/skip.h"
#include "support/sockets.h"
#include "support/stream_memory.h"
#include "tcpgreet/net/stream_misbehave.h"
#include "tcpgreet/net/stream_tcp.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { DELAY_MS = 500, BYTE_MS = 10 };

static const struct stream_misbehaviour delay = {STREAM_MISBEHAVE_DELAY, DELAY_MS};
static const struct stream_misbehaviour drip = {STREAM_MISBEHAVE_DRIP, BYTE_MS};
static const struct stream_misbehaviour reset = {STREAM_MISBEHAVE_RESET, 0};
static const struct stream_misbehaviour half_close = {STREAM_MISBEHAVE_HALF_CLOSE, 0};
static const struct stream_misbehaviour no_close_notify = {STREAM_MISBEHAVE_NO_CLOSE_NOTIFY, 0};
static const struct stream_misbehaviour mute = {STREAM_MISBEHAVE_MUTE, 0};

static const struct stream_misbehaviour *const all[] = {&delay,           &drip, &reset, &half_close,
                                                        &no_close_notify, &mute};

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;
    int listener = sockets_open(AF_INET, SOCK_STREAM);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &length), 0);
    fds[1] = sockets_open(AF_INET, SOCK_STREAM);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&at, sizeof at), 0);
    fds[0] = sockets_accept(listener);
    sockets_set_nonblocking(fds[0]);
    close(listener);
}

/* A server whose stream misbehaves; lower: what goes wrong below it. */
static void serve(struct meeting *meeting, const struct stream_misbehaviour *how, const int fds[2],
                  struct stream_faults *lower)
{
    struct err err = {0};
    meeting->peer = fds[1];
    struct stream *stream = stream_tcp_new(fds[0], &err);
    assert_non_null(stream);
    if (lower != NULL)
        stream = stream_fault_new(stream, lower);
    stream = stream_misbehave_new(how, &meeting->loop, stream, &err);
    if (stream == NULL || meeting_start_on(meeting, &meeting->server, SIDE_SERVER, stream, &err) < 0)
        fail_msg("%s", err.text);
}

static void serve_plainly(struct meeting *meeting, const struct stream_misbehaviour *how)
{
    int fds[2];
    sockets_open_pair(fds);
    serve(meeting, how, fds, NULL);
}

/* What was sent to the peer since its last receive. */
static size_t receive(struct meeting *meeting, char *text, size_t room, bool *ended)
{
    struct buf received = {0};
    *ended = meeting_peer_receive(meeting, &received, SIZE_MAX);
    size_t length = buf_bytes(&received).length;
    assert_true(length < room);
    if (length > 0)
        memcpy(text, buf_bytes(&received).data, length);
    text[length] = '\0';
    buf_fini(&received);
    return length;
}

/* After ms the peer has received exactly this, and whether the server has ended. */
static void expect_after(struct meeting *meeting, int64_t ms, const char *words, bool end)
{
    char received[8192];
    bool ended;
    meeting_run(meeting, ms);
    receive(meeting, received, sizeof received, &ended);
    assert_string_equal(received, words);
    assert_int_equal(ended, end);
}

static void send_text(struct meeting *meeting, const char *words)
{
    assert_int_equal(meeting_peer_send(meeting, (struct bytes){words, strlen(words)}), strlen(words));
}

static void leave(struct meeting *meeting)
{
    meeting_peer_close(meeting);
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(meeting->server.done, 1);
}

static void a_delay_keeps_each_answer_back_for_its_time(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &delay);
    expect_after(meeting, DELAY_MS - 1, "", false);
    expect_after(meeting, 2, MEETING_WELCOME, false);
    send_text(meeting, "Michael\n");
    expect_after(meeting, DELAY_MS - 1, "", false);
    expect_after(meeting, 2, MEETING_HELLO("Michael"), false);
    send_text(meeting, "exit\n");
    expect_after(meeting, DELAY_MS - 1, "", false);
    expect_after(meeting, 2, MEETING_BYE, true);
    leave(meeting);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
}

static void an_answer_that_leaves_in_pieces_is_delayed_once(void **state)
{
    struct meeting *meeting = *state;
    struct stream_faults pieces = {.piece = 5, .want_every = 3};
    int fds[2];

    sockets_open_pair(fds);
    serve(meeting, &delay, fds, &pieces);
    expect_after(meeting, DELAY_MS + 1, MEETING_WELCOME, false);
    send_text(meeting, "Michael\n");
    expect_after(meeting, DELAY_MS + 1, MEETING_HELLO("Michael"), false);
    leave(meeting);
}

static void what_comes_during_a_delay_is_answered_after_the_next(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &delay);
    send_text(meeting, "Michael\nAnna\n");
    expect_after(meeting, DELAY_MS + 1, MEETING_WELCOME, false);
    send_text(meeting, "exit\n");
    expect_after(meeting, DELAY_MS, MEETING_HELLO("Michael") MEETING_HELLO("Anna"), false);
    expect_after(meeting, DELAY_MS, MEETING_BYE, true);
    leave(meeting);
}

static void waiting_for_the_time_to_come_costs_no_turns_of_the_loop(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &delay);
    send_text(meeting, "Michael\n"); /* is there to be read, and is not */
    unsigned before = clock_wakes();
    meeting_run(meeting, DELAY_MS - 1);
    assert_in_range(clock_wakes() - before, 0, 10);
    leave(meeting);
}

static void a_drip_sends_one_byte_at_a_time(void **state)
{
    struct meeting *meeting = *state;
    static const char words[] = MEETING_WELCOME;
    char byte[2] = "";

    serve_plainly(meeting, &drip);
    for (size_t i = 0; i + 1 < sizeof words; i++) {
        byte[0] = words[i];
        expect_after(meeting, i == 0 ? 1 : BYTE_MS, byte, false);
    }
    send_text(meeting, "exit\n");
    char received[64] = "";
    bool ended = false;
    for (size_t length = 0; !ended; meeting_run(meeting, 1)) {
        size_t count = receive(meeting, received + length, sizeof received - length, &ended);
        assert_true(count <= 1);
        length += count;
    }
    assert_string_equal(received, MEETING_BYE);
    leave(meeting);
}

static void a_final_message_is_delayed_as_any_answer(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &delay);
    expect_after(meeting, 100, "", false);
    conn_stop(&meeting->server.conn);
    expect_after(meeting, DELAY_MS - 101, "", false);
    expect_after(meeting, 2, MEETING_WELCOME MEETING_BYE, true);
    leave(meeting);
    assert_int_equal(meeting->server.session.end, SESSION_END_STOPPED);
}

/* The lower stream takes no more, and nothing wakes it but the peer that reads. */
static void what_a_full_socket_does_not_take_leaves_when_it_can(void **state)
{
    struct meeting *meeting = *state;
    const struct stream_misbehaviour brief = {STREAM_MISBEHAVE_DELAY, 1};
    enum { NAMES = 60 * 1000 };
    struct buf received = {0};
    size_t sent = 0;
    char names[2 * NAMES];

    for (size_t i = 0; i < sizeof names; i++)
        names[i] = i % 2 == 0 ? 'M' : '\n';
    serve_plainly(meeting, &brief);
    while (sent < sizeof names ||
           buf_bytes(&received).length < strlen(MEETING_WELCOME) + NAMES * strlen(MEETING_HELLO("M"))) {
        sent += meeting_peer_send(meeting, (struct bytes){names + sent, sizeof names - sent});
        meeting_run(meeting, 100);
        assert_int_equal(meeting->server.done, 0);
        assert_false(meeting_peer_receive(meeting, &received, SIZE_MAX));
    }
    for (size_t i = 0; i < NAMES; i++)
        assert_memory_equal(buf_bytes(&received).data + strlen(MEETING_WELCOME) +
                                i * strlen(MEETING_HELLO("M")),
                            MEETING_HELLO("M"), strlen(MEETING_HELLO("M")));
    assert_int_equal(buf_bytes(&received).length,
                     strlen(MEETING_WELCOME) + NAMES * strlen(MEETING_HELLO("M")));
    buf_fini(&received);
    leave(meeting);
}

static void the_first_answer_to_a_name_is_a_reset(void **state)
{
    struct meeting *meeting = *state;
    char byte;
    int fds[2];

    tcp_pair(fds);
    serve(meeting, &reset, fds, NULL);
    meeting_run(meeting, 1);
    char welcome[sizeof MEETING_WELCOME] = "";
    assert_int_equal(recv(fds[1], welcome, sizeof welcome - 1, MSG_WAITALL), sizeof welcome - 1);
    assert_string_equal(welcome, MEETING_WELCOME);
    send_text(meeting, "Michael\n");
    meeting_run(meeting, MEETING_LONG_MS);
    assert_int_equal(recv(fds[1], &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(meeting->server.done, 1);
    assert_int_equal(meeting->server.err.reason, ERR_DIALOGUE_RESET);
    assert_string_equal(meeting->server.err.text, "reset on purpose (--misbehave)");
}

static void a_final_message_to_a_silent_peer_is_no_reset(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &reset);
    expect_after(meeting, 1, MEETING_WELCOME, false);
    conn_stop(&meeting->server.conn);
    expect_after(meeting, 1, MEETING_BYE, true);
    leave(meeting);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
}

static void a_half_closed_server_goes_on_reading(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &half_close);
    expect_after(meeting, 1, MEETING_WELCOME, true);
    send_text(meeting, "Michael\nAnna\n");
    expect_after(meeting, 1, "", true);
    assert_int_equal(meeting->server.done, 0);
    assert_true(bytes_equal(buf_bytes(&meeting->server.received), BYTES_LITERAL("Michael\nAnna\n")));
    send_text(meeting, "exit\n");
    meeting_run(meeting, 1);
    assert_int_equal(meeting->server.done, 0);
    meeting_peer_end(meeting);
    meeting_run(meeting, 1);
    assert_int_equal(meeting->server.done, 1);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
    assert_int_equal(meeting->server.session.names, 2);
}

static void a_half_closed_server_ends_cleanly_when_its_peer_ends(void **state)
{
    struct meeting *meeting = *state;
    int fds[2];

    tcp_pair(fds);
    serve(meeting, &half_close, fds, NULL);
    meeting_run(meeting, 1);
    send_text(meeting, "Michael\nAnna"); /* answered, into the void, when both sides have ended */
    meeting_peer_end(meeting);
    meeting_run(meeting, 1);
    assert_int_equal(meeting->server.done, 1);
    assert_string_equal(meeting->server.err.text, "");
    assert_int_equal(meeting->server.session.end, SESSION_END_PEER);
    assert_int_equal(meeting->server.session.names, 2);
}

static void a_bare_end_does_not_ask_the_stream_below(void **state)
{
    struct meeting *meeting = *state;
    struct stream_faults stuck = {.stuck = true}; /* its own end would never come */
    int fds[2];

    sockets_open_pair(fds);
    serve(meeting, &no_close_notify, fds, &stuck);
    expect_after(meeting, 1, MEETING_WELCOME, false);
    send_text(meeting, "Michael\nexit\n");
    expect_after(meeting, 1, MEETING_HELLO("Michael") MEETING_BYE, true);
    assert_int_equal(meeting->server.done, 0); /* lingers: the end was a good one */
    leave(meeting);
    assert_int_equal(meeting->server.session.end, SESSION_END_EXIT);
    assert_int_equal(meeting->server.err.reason, ERR_OK);
    assert_int_equal(stuck.frees, 1);
}

static void a_mute_server_sends_nothing_for_any_input(void **state)
{
    struct meeting *meeting = *state;

    serve_plainly(meeting, &mute);
    expect_after(meeting, 10, "", false);
    send_text(meeting, "Michael\n");
    expect_after(meeting, 10, "", false);
    send_text(meeting, "exit\n");
    expect_after(meeting, CONN_LINGER_MS + 10, "", false);
    send_text(meeting, "GET / HTTP/1.1\r\n");
    expect_after(meeting, CONN_LINGER_MS + 10, "", false);
    assert_int_equal(meeting->server.done, 0);
    meeting_peer_end(meeting);
    expect_after(meeting, 10, "", true);
    leave(meeting);
    assert_int_equal(meeting->server.session.names, 0);
}

/* What waits below is waited for, in every operation, also against the grain of its kind. */
static void a_lower_stream_that_wants_to_wait_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        for (unsigned variant = 0; variant < 6; variant++) {
            struct meeting *meeting = meeting_new();
            struct stream_faults faults = {.want_every = 1 + variant / 2, .contrary = variant % 2 == 1};
            bool answers = all[i]->kind != STREAM_MISBEHAVE_MUTE;
            bool ended;
            char received[256];
            int fds[2];
            sockets_open_pair(fds);
            serve(meeting, all[i], fds, &faults);
            meeting_run(meeting, 2 * DELAY_MS);
            receive(meeting, received, sizeof received, &ended);
            assert_string_equal(received, answers ? MEETING_WELCOME : "");
            assert_int_equal(ended, all[i]->kind == STREAM_MISBEHAVE_HALF_CLOSE);
            leave(meeting);
            assert_int_equal(faults.frees, 1);
            meeting_free(meeting);
        }
    }
}

static void a_lower_stream_that_fails_ends_it_at_any_operation(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        for (unsigned fail_at = 1; fail_at < 20; fail_at++) {
            struct meeting *meeting = meeting_new();
            struct stream_faults faults = {.fail_at = fail_at};
            int fds[2];
            sockets_open_pair(fds);
            serve(meeting, all[i], fds, &faults);
            meeting_peer_send(meeting, BYTES_LITERAL("Michael\nexit\n")); /* it may be over already */
            meeting_run(meeting, 3 * DELAY_MS);
            leave(meeting);
            assert_int_equal(faults.frees, 1);
            meeting_free(meeting);
        }
    }
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void it_can_be_freed_in_every_state(void **state)
{
    (void)state;
    const struct err stop = {.reason = ERR_DIALOGUE_EARLY_END};
    for (size_t i = 0; i < COUNT(all); i++) {
        for (int64_t ms = 0; ms < 3 * DELAY_MS; ms += 1 + ms / 4) {
            unsigned before = open_descriptors();
            struct meeting *meeting = meeting_new();
            serve_plainly(meeting, all[i]);
            send_text(meeting, "Michael\nexit\n");
            meeting_run(meeting, ms);
            if (meeting->server.done == 0)
                conn_abort(&meeting->server.conn, &stop);
            meeting_run(meeting, MEETING_LONG_MS);
            assert_int_equal(meeting->server.done, 1);
            meeting_free(meeting);
            assert_int_equal(open_descriptors(), before);
        }
    }
}

static void the_stream_below_can_be_found(void **state)
{
    struct meeting *meeting = *state;
    for (size_t i = 0; i < COUNT(all); i++) {
        struct err err = {0};
        int fds[2];
        sockets_open_pair(fds);
        struct stream *lower = stream_tcp_new(fds[0], &err);
        struct stream *stream = stream_misbehave_new(all[i], &meeting->loop, lower, &err);
        assert_non_null(stream);
        assert_ptr_equal(stream_lower(stream), lower);
        assert_null(stream_lower(lower));
        assert_null(stream_find(stream, STREAM_LAYER_TLS));
        stream_free(stream); /* before anything was asked of it */
        assert_int_equal(recv(fds[1], &err, 1, 0), 0);
        close(fds[1]);
    }
}

static void what_cannot_be_watched_leaves_nothing_behind(void **state)
{
    struct meeting *meeting = *state;
    struct stream_faults faults = {0};
    struct stream *ends[2];
    struct err err = {0};

    stream_memory_pair(ends, 16); /* without a descriptor */
    assert_null(stream_misbehave_new(&delay, &meeting->loop, stream_fault_new(ends[0], &faults), &err));
    assert_int_equal(err.reason, ERR_INTERNAL);
    assert_int_equal(faults.frees, 1);
    stream_free(ends[1]);
}

static void without_descriptors_nothing_is_left_behind(void **state)
{
    struct meeting *meeting = *state;
    struct stream_faults faults = {0};
    struct err err = {0};
    struct rlimit before, none;
    int fds[2];

    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    sockets_open_pair(fds);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    struct stream *lower = stream_fault_new(stream_tcp_new(fds[0], &err), &faults);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct stream *stream = stream_misbehave_new(&drip, &meeting->loop, lower, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(stream);
    assert_int_equal(err.reason, ERR_SYSTEM_DESCRIPTORS);
    assert_int_equal(faults.frees, 1);
    close(fds[1]);
}

static void each_kind_has_a_text(void **state)
{
    (void)state;
    char text[96];
    for (size_t i = 0; i < COUNT(all); i++)
        for (size_t j = 0; j < i; j++) {
            char other[96];
            assert_string_not_equal(stream_misbehave_text(all[i], text, sizeof text),
                                    stream_misbehave_text(all[j], other, sizeof other));
        }
    assert_string_equal(stream_misbehave_text(&drip, text, sizeof text),
                        "answers are sent one byte at a time, every 10 ms");
}

#define MEETING_TEST(test) cmocka_unit_test_setup_teardown(test, meeting_set_up, meeting_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEETING_TEST(a_delay_keeps_each_answer_back_for_its_time),
        MEETING_TEST(an_answer_that_leaves_in_pieces_is_delayed_once),
        MEETING_TEST(what_comes_during_a_delay_is_answered_after_the_next),
        MEETING_TEST(waiting_for_the_time_to_come_costs_no_turns_of_the_loop),
        MEETING_TEST(a_drip_sends_one_byte_at_a_time),
        MEETING_TEST(a_final_message_is_delayed_as_any_answer),
        MEETING_TEST(what_a_full_socket_does_not_take_leaves_when_it_can),
        MEETING_TEST(the_first_answer_to_a_name_is_a_reset),
        MEETING_TEST(a_final_message_to_a_silent_peer_is_no_reset),
        MEETING_TEST(a_half_closed_server_goes_on_reading),
        MEETING_TEST(a_half_closed_server_ends_cleanly_when_its_peer_ends),
        MEETING_TEST(a_bare_end_does_not_ask_the_stream_below),
        MEETING_TEST(a_mute_server_sends_nothing_for_any_input),
        cmocka_unit_test(a_lower_stream_that_wants_to_wait_changes_nothing),
        cmocka_unit_test(a_lower_stream_that_fails_ends_it_at_any_operation),
        cmocka_unit_test(it_can_be_freed_in_every_state),
        MEETING_TEST(the_stream_below_can_be_found),
        MEETING_TEST(what_cannot_be_watched_leaves_nothing_behind),
        MEETING_TEST(without_descriptors_nothing_is_left_behind),
        cmocka_unit_test(each_kind_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
