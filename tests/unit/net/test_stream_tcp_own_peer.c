#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/skip.h"
#include "tcpgreet/net/stream_tcp.h"

/* A port that nothing listens on. */
static struct endpoint free_port(int family)
{
    struct endpoint at = endpoint_loopback(family, 0);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = socket(family, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, &at.address.any, endpoint_length(&at)) < 0) {
        close(fd);
        skip_because("needs this family");
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(endpoint_from_sockaddr(&at, (struct sockaddr *)&address, length), 0);
    close(fd);
    return at;
}

/* The kernel may choose the port that is connected to as the one to connect from; bound here, it always does.
 */
static void a_socket_that_is_its_own_peer_is_refused(int family)
{
    struct endpoint at = free_port(family);
    struct err err = {0};

    int fd = stream_tcp_connect(&at, &at, NULL, &err);
    assert_true(fd >= 0);
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&poller, 1, -1), 1);
    assert_int_equal(stream_tcp_outcome(fd, &at, 0, &err), -1);
    assert_int_equal(err.reason, ERR_CONNECT_REFUSED);
    stream_tcp_close(fd);

    int again = socket(family, SOCK_STREAM, 0); /* the port is free at once, without SO_REUSEADDR */
    assert_int_equal(bind(again, &at.address.any, endpoint_length(&at)), 0);
    close(again);
}

static void an_ipv4_socket_that_is_its_own_peer_is_refused(void **state)
{
    (void)state;
    a_socket_that_is_its_own_peer_is_refused(AF_INET);
}

static void an_ipv6_socket_that_is_its_own_peer_is_refused(void **state)
{
    (void)state;
    a_socket_that_is_its_own_peer_is_refused(AF_INET6);
}

static void the_stream_that_connects_is_refused_too(void **state)
{
    struct endpoint at = free_port(AF_INET);
    struct err err = {0};
    (void)state;

    int fd = stream_tcp_connect(&at, &at, NULL, &err);
    struct stream *stream = stream_tcp_new_connecting(fd, &at, &err);
    assert_non_null(stream);
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    enum stream_result result = stream_handshake(stream, &err);
    assert_int_equal(result, STREAM_WANT_WRITE);
    assert_int_equal(poll(&poller, 1, -1), 1);
    assert_int_equal(stream_handshake(stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_CONNECT_REFUSED);
    stream_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_socket_that_is_its_own_peer_is_refused),
        cmocka_unit_test(an_ipv6_socket_that_is_its_own_peer_is_refused),
        cmocka_unit_test(the_stream_that_connects_is_refused_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
