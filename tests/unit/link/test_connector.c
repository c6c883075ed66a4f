#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/skip.h"
#include "support/sockets.h"
#include "tcpgreet/link/connector.h"

enum { PATIENCE_MS = 20 * 1000 };

static const struct connector_policy plain = {0};

static void expect_bytes(int peer, struct bytes expected)
{
    char data[64];
    assert_true(sockets_wait(peer, POLLIN, PATIENCE_MS));
    assert_int_equal(recv(peer, data, sizeof data, 0), (ssize_t)expected.length);
    assert_memory_equal(data, expected.data, expected.length);
}

static void peer_sends(int peer, struct bytes bytes)
{
    assert_int_equal(send(peer, bytes.data, bytes.length, 0), (ssize_t)bytes.length);
}

static void write_all(struct stream *stream, struct bytes bytes)
{
    struct err err = {0};
    size_t written = 0;
    assert_int_equal(stream_write(stream, bytes.data, bytes.length, &written, &err), STREAM_OK);
    assert_int_equal(written, bytes.length);
}

static void a_plain_policy_makes_a_plain_stream(void **state)
{
    struct err err = {0};
    int fds[2];
    (void)state;

    sockets_open_pair(fds);
    struct stream *stream = connector_stream(&plain, fds[0], &err);
    assert_non_null(stream);
    assert_int_equal(stream_fd(stream), fds[0]);
    assert_null(stream_lower(stream));
    assert_int_equal(stream_handshake(stream, &err), STREAM_OK);
    write_all(stream, BYTES_LITERAL("Hello"));
    expect_bytes(fds[1], BYTES_LITERAL("Hello"));
    stream_free(stream);
    close(fds[1]);
}

/* A handshake record comes first (RFC 8446 section 5.1). */
static void expect_client_hello(const struct connector_policy *policy)
{
    struct err err = {0};
    unsigned char type = 0;
    int fds[2];

    sockets_open_pair(fds);
    struct stream *stream = connector_stream(policy, fds[0], &err);
    assert_non_null(stream);
    assert_ptr_equal(stream_find(stream, STREAM_LAYER_TLS), stream);
    assert_int_equal(stream_handshake(stream, &err), STREAM_WANT_READ);
    assert_int_equal(recv(fds[1], &type, 1, 0), 1);
    assert_int_equal(type, 0x16);
    stream_free(stream);
    close(fds[1]);
}

static void a_policy_with_a_tls_client_or_session_makes_a_tls_stream(void **state)
{
    const struct tls_client_config config = {.policy.insecure = true};
    struct err err = {0};
    (void)state;

    if (tls_available(&err) < 0)
        skip_because("needs TLS");
    struct tls_client *client = tls_client_new(&config, &err);
    assert_non_null(client);
    struct tls_session *session = tls_session_new(client, &err);
    assert_non_null(session);
    expect_client_hello(&(struct connector_policy){.tls = client, .host = "localhost"});
    expect_client_hello(&(struct connector_policy){.session = session, .host = "localhost"});
    tls_session_free(session);
    tls_client_free(client);
}

static void want(struct stream *stream, enum stream_result result)
{
    struct err err = {0};
    assert_int_equal(stream_handshake(stream, &err), result);
    assert_int_equal(err.reason, ERR_OK);
}

static void starttls_comes_before_what_is_above_it(void **state)
{
    static const struct starttls_config starttls = {.protocol = STARTTLS_POP3};
    const struct connector_policy policy = {.starttls = &starttls, .host = "localhost"};
    struct err err = {0};
    int fds[2];
    (void)state;

    sockets_open_pair(fds);
    struct stream *stream = connector_stream(&policy, fds[0], &err);
    assert_non_null(stream);
    assert_non_null(stream_find(stream, STREAM_LAYER_STARTTLS));
    want(stream, STREAM_WANT_READ);
    peer_sends(fds[1], BYTES_LITERAL("+OK ready\r\n"));
    want(stream, STREAM_WANT_READ);
    expect_bytes(fds[1], BYTES_LITERAL("STLS\r\n"));
    peer_sends(fds[1], BYTES_LITERAL("+OK begin\r\n"));
    want(stream, STREAM_OK);
    write_all(stream, BYTES_LITERAL("Hello"));
    expect_bytes(fds[1], BYTES_LITERAL("Hello"));
    stream_free(stream);
    close(fds[1]);
}

/* It arrived too late to be in one piece with the go-ahead. */
static void plaintext_behind_the_go_ahead_is_not_a_port_without_tls(void **state)
{
    static const struct starttls_config starttls = {.protocol = STARTTLS_POSTGRES};
    const struct tls_client_config config = {.policy.insecure = true};
    struct err err = {0};
    int fds[2];
    (void)state;

    if (tls_available(&err) < 0)
        skip_because("needs TLS");
    struct tls_client *client = tls_client_new(&config, &err);
    assert_non_null(client);
    const struct connector_policy policy = {.starttls = &starttls, .tls = client, .host = "localhost"};
    sockets_open_pair(fds);
    struct stream *stream = connector_stream(&policy, fds[0], &err);
    assert_non_null(stream);
    peer_sends(fds[1], BYTES_LITERAL("S"));
    want(stream, STREAM_WANT_READ);
    peer_sends(fds[1], BYTES_LITERAL("injected"));
    assert_int_equal(stream_handshake(stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_TLS_STARTTLS);
    assert_true(bytes_equal(err_received(&err), BYTES_LITERAL("injected")));
    stream_free(stream);
    close(fds[1]);
    tls_client_free(client);
}

/* Returns: a socket bound to a port of its own, which *at is. */
static int bind_somewhere(struct endpoint *at)
{
    int fd = sockets_open(AF_INET, SOCK_STREAM);
    *at = endpoint_loopback(AF_INET, 0);
    socklen_t length = endpoint_length(at);
    assert_int_equal(bind(fd, &at->address.any, length), 0);
    assert_int_equal(getsockname(fd, &at->address.any, &length), 0);
    return fd;
}

static enum stream_result connect_with(const struct connector_policy *policy, const struct endpoint *to,
                                       struct stream **stream, struct err *err)
{
    enum stream_result result;
    *stream = connector_connect(policy, to, NULL, err);
    assert_non_null(*stream);
    while ((result = stream_handshake(*stream, err)) == STREAM_WANT_WRITE)
        assert_true(sockets_wait(stream_fd(*stream), POLLOUT, PATIENCE_MS));
    return result;
}

static enum stream_result connect_to(const struct endpoint *to, struct stream **stream, struct err *err)
{
    return connect_with(&plain, to, stream, err);
}

static void starttls_names_the_address_that_the_kernel_chose(void **state)
{
    static const struct starttls_config starttls = {.protocol = STARTTLS_SMTP};
    const struct connector_policy policy = {.starttls = &starttls, .host = "localhost"};
    struct endpoint at;
    struct stream *stream;
    struct err err = {0};
    int listener = bind_somewhere(&at);
    (void)state;

    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect_with(&policy, &at, &stream, &err), STREAM_WANT_READ);
    int peer = sockets_accept(listener);
    peer_sends(peer, BYTES_LITERAL("220 ready\r\n"));
    assert_true(sockets_wait(stream_fd(stream), POLLIN, PATIENCE_MS));
    want(stream, STREAM_WANT_READ);
    expect_bytes(peer, BYTES_LITERAL("EHLO [127.0.0.1]\r\n"));
    stream_free(stream);
    close(peer);
    close(listener);
}

static void a_proxy_header_comes_before_starttls_and_names_both_ends(void **state)
{
    static const struct starttls_config starttls = {.protocol = STARTTLS_POP3};
    const struct connector_policy policy = {
        .send_proxy = PROXY_HEADER_V1, .starttls = &starttls, .host = "localhost"};
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    char expected[PROXY_HEADER_V1_MAX + 1];
    struct endpoint at;
    struct stream *stream;
    struct err err = {0};
    int listener = bind_somewhere(&at);
    (void)state;

    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect_with(&policy, &at, &stream, &err), STREAM_WANT_READ);
    assert_int_equal(getsockname(stream_fd(stream), (struct sockaddr *)&from, &length), 0);
    snprintf(expected, sizeof expected, "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\n", ntohs(from.sin_port),
             endpoint_port(&at));
    int peer = sockets_accept(listener);
    expect_bytes(peer, (struct bytes){expected, strlen(expected)});
    peer_sends(peer, BYTES_LITERAL("+OK ready\r\n"));
    assert_true(sockets_wait(stream_fd(stream), POLLIN, PATIENCE_MS));
    want(stream, STREAM_WANT_READ);
    expect_bytes(peer, BYTES_LITERAL("STLS\r\n"));
    stream_free(stream);
    close(peer);
    close(listener);
}

/* What the proxy is asked for is the header's destination, as far as its address is known here. */
static void expect_header_behind_a_proxy(enum target_kind kind, const char *host, const char *header)
{
    static const struct proxy_config proxy = {.kind = PROXY_SOCKS5};
    struct proxy_route route = {.proxy = &proxy, .kind = kind, .port = 443};
    const struct connector_policy policy = {.proxy = &route, .send_proxy = PROXY_HEADER_V1};
    char data[PROXY_HEADER_V1_MAX];
    struct endpoint at;
    struct stream *stream;
    struct err err = {0};
    int listener = bind_somewhere(&at);

    snprintf(route.host, sizeof route.host, "%s", host);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect_with(&policy, &at, &stream, &err), STREAM_WANT_READ);
    int peer = sockets_accept(listener);
    expect_bytes(peer, BYTES_LITERAL("\x05\x01\x00"));
    peer_sends(peer, BYTES_LITERAL("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x17\x70"));
    assert_true(sockets_wait(stream_fd(stream), POLLIN, PATIENCE_MS));
    want(stream, STREAM_OK);
    assert_true(sockets_wait(peer, POLLIN, PATIENCE_MS));
    ssize_t length = recv(peer, data, sizeof data, 0);
    assert_true(length > 0);
    assert_non_null(memmem(data, (size_t)length, header, strlen(header)));
    stream_free(stream);
    close(peer);
    close(listener);
}

static void a_proxy_header_goes_through_the_proxy_to_its_target(void **state)
{
    (void)state;
    expect_header_behind_a_proxy(TARGET_NAME, "example.org", "PROXY UNKNOWN\r\n");
    expect_header_behind_a_proxy(TARGET_IPV6, "::1", "PROXY UNKNOWN\r\n");
    expect_header_behind_a_proxy(TARGET_IPV4, "192.0.2.7", "PROXY TCP4 127.0.0.1 192.0.2.7 ");
}

static void the_handshake_of_a_connecting_stream_waits_for_the_outcome(void **state)
{
    struct endpoint at;
    struct stream *stream;
    struct err err = {0};
    int listener = bind_somewhere(&at);
    (void)state;

    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(connect_to(&at, &stream, &err), STREAM_OK);
    int peer = sockets_accept(listener);
    write_all(stream, BYTES_LITERAL("Hello"));
    expect_bytes(peer, BYTES_LITERAL("Hello"));
    stream_free(stream);
    close(peer);
    close(listener);
}

static void a_refused_connection_fails_in_the_handshake(void **state)
{
    struct endpoint at;
    struct stream *stream;
    struct err err = {0};
    int bound = bind_somewhere(&at); /* and not listening */
    (void)state;

    assert_int_equal(connect_to(&at, &stream, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_CONNECT_REFUSED);
    stream_free(stream);
    close(bound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_policy_makes_a_plain_stream),
        cmocka_unit_test(a_policy_with_a_tls_client_or_session_makes_a_tls_stream),
        cmocka_unit_test(starttls_comes_before_what_is_above_it),
        cmocka_unit_test(plaintext_behind_the_go_ahead_is_not_a_port_without_tls),
        cmocka_unit_test(starttls_names_the_address_that_the_kernel_chose),
        cmocka_unit_test(a_proxy_header_comes_before_starttls_and_names_both_ends),
        cmocka_unit_test(a_proxy_header_goes_through_the_proxy_to_its_target),
        cmocka_unit_test(the_handshake_of_a_connecting_stream_waits_for_the_outcome),
        cmocka_unit_test(a_refused_connection_fails_in_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
