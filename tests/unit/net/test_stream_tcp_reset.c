#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/sockets.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/net/stream_tcp.h"

/* Returns: the near end of a connection; *far is the other. */
static struct stream *connect_pair(int *far)
{
    const struct listener_options options = {.backlog = 1, .want_v4 = true};
    struct listener listener;
    struct target target;
    struct err err = {0};

    assert_int_equal(target_parse(&target, "127.0.0.1", "0", &err), 0);
    assert_int_equal(listener_open(&target, &options, &listener, 1, &err), 1);
    struct stream *stream = stream_tcp_new(caller_connect(&listener.at), &err);
    assert_non_null(stream);
    assert_true(sockets_wait(listener.fd, POLLIN, CALLER_PATIENCE_S * 1000));
    *far = sockets_accept(listener.fd);
    close(listener.fd);
    return stream;
}

/* After the read, the system reports a socket that is not connected. */
static void each_operation_reports_a_reset_as_one(void **state)
{
    struct err err = {0};
    char data[8];
    size_t count;
    int far;
    (void)state;

    struct stream *stream = connect_pair(&far);
    caller_reset(far);
    assert_true(sockets_wait(stream_fd(stream), POLLIN, CALLER_PATIENCE_S * 1000));
    assert_int_equal(stream_read(stream, data, sizeof(data), &count, &err), STREAM_FAILED);
    assert_string_equal(err.text, "the peer reset the connection");
    err_clear(&err);
    assert_int_equal(stream_write(stream, "a", 1, &count, &err), STREAM_FAILED);
    assert_string_equal(err.text, "the peer reset the connection");
    err_clear(&err);
    assert_int_equal(stream_shutdown(stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_DIALOGUE_RESET);
    assert_string_equal(err.text, "the peer reset the connection");
    stream_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_operation_reports_a_reset_as_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
