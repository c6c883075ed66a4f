#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/caller.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

bool caller_has_ipv6(void)
{
    struct endpoint at = endpoint_wildcard(AF_INET6, 0);
    at.address.v6.sin6_addr = in6addr_loopback;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, &at.address.any, endpoint_length(&at)) == 0;
    if (fd >= 0)
        close(fd);
    return bound;
}

int caller_connect(const struct endpoint *to)
{
    const struct timeval patience = {.tv_sec = CALLER_PATIENCE_S};
    int fd = socket(endpoint_family(to), SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    if (connect(fd, &to->address.any, endpoint_length(to)) < 0)
        fail_msg("cannot connect: %s", strerror(errno));
    return fd;
}

void caller_say(int fd, const char *words)
{
    size_t length = strlen(words);
    assert_int_equal(send(fd, words, length, MSG_NOSIGNAL), length);
}

void caller_expect(int fd, const char *words)
{
    char data[4096];
    size_t length = strlen(words);
    assert_true(length <= sizeof data);
    ssize_t n = recv(fd, data, length, MSG_WAITALL);
    if (n < 0)
        fail_msg("cannot read \"%s\": %s", words, strerror(errno));
    if ((size_t)n != length || memcmp(data, words, length) != 0)
        fail_msg("heard \"%.*s\", not \"%s\"", (int)n, data, words);
}

void caller_expect_end(int fd)
{
    char data[1];
    ssize_t n = recv(fd, data, sizeof data, 0);
    if (n != 0)
        fail_msg("no end: %s", n > 0 ? "more bytes come" : strerror(errno));
}

void caller_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(fd);
}
