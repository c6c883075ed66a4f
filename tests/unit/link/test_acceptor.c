#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "support/sockets.h"
#include "tcpgreet/link/acceptor.h"

enum { DESCRIPTORS = 256, PATIENCE_MS = 20 * 1000 };

static uv_loop_t loop;

static int set_up(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

static size_t count_descriptors(void)
{
    size_t open = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

/* Returns: the peer's socket. */
static int open_accepted(struct accepted_socket *accepted)
{
    int fds[2];
    sockets_open_pair(fds);
    *accepted = (struct accepted_socket){.fd = fds[0]};
    return fds[1];
}

/* Closes the peer's socket. */
static void expect_message_and_end(int peer, const char *message)
{
    char data[64];
    size_t length = 0;
    ssize_t n = 1;
    for (; n > 0; length += (size_t)n) {
        assert_true(sockets_wait(peer, POLLIN, PATIENCE_MS));
        n = recv(peer, data + length, sizeof data - length, 0);
    }
    assert_int_equal(n, 0);
    assert_int_equal(length, strlen(message));
    assert_memory_equal(data, message, length);
    close(peer);
}

static void a_plain_policy_makes_a_plain_stream(void **state)
{
    const struct acceptor_policy policy = {0};
    struct accepted_socket accepted;
    struct err err = {0};
    size_t written = 0;
    (void)state;

    int peer = open_accepted(&accepted);
    struct stream *stream =
        acceptor_stream(&policy, &(struct acceptor_request){.loop = &loop, .accepted = &accepted}, &err);
    assert_non_null(stream);
    assert_int_equal(stream_fd(stream), accepted.fd);
    assert_int_equal(stream_handshake(stream, &err), STREAM_OK);
    assert_int_equal(stream_write(stream, "Hello", 5, &written, &err), STREAM_OK);
    stream_free(stream);
    expect_message_and_end(peer, "Hello");
}

static void each_policy_needs_as_many_descriptors_as_it_counts(void **state)
{
    (void)state;
    for (int kind = STREAM_MISBEHAVE_NOT; kind < STREAM_MISBEHAVE_KINDS; kind++) {
        const struct acceptor_policy policy = {.misbehaviour = {(enum stream_misbehave_kind)kind, 1}};
        struct accepted_socket accepted;
        struct err err = {0};
        int peer = open_accepted(&accepted);
        size_t before = count_descriptors() - 1; /* without the accepted socket */
        struct stream *stream =
            acceptor_stream(&policy, &(struct acceptor_request){.loop = &loop, .accepted = &accepted}, &err);
        assert_non_null(stream);
        assert_int_equal(count_descriptors() - before, acceptor_descriptors(&policy));
        stream_free(stream);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(count_descriptors(), before);
        close(peer);
    }
}

/* A rejected connection costs no layer: a delay could not send the message at once. */
static void a_rejected_connection_receives_the_message_whatever_the_policy(void **state)
{
    (void)state;
    for (int kind = STREAM_MISBEHAVE_NOT; kind < STREAM_MISBEHAVE_KINDS; kind++) {
        const struct acceptor_policy policy = {.misbehaviour = {(enum stream_misbehave_kind)kind, 1}};
        struct accepted_socket accepted;
        int peer = open_accepted(&accepted);
        acceptor_reject(&policy, &accepted, BYTES_LITERAL("too many"));
        expect_message_and_end(peer, "too many");
    }
}

int main(void)
{
#define ACCEPTOR_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ACCEPTOR_TEST(a_plain_policy_makes_a_plain_stream),
        ACCEPTOR_TEST(each_policy_needs_as_many_descriptors_as_it_counts),
        ACCEPTOR_TEST(a_rejected_connection_receives_the_message_whatever_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
