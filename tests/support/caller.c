#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/caller.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "support/sockets.h"

enum { PATIENCE_MS = CALLER_PATIENCE_S * 1000 };

bool caller_has_ipv6(void)
{
    struct endpoint at = endpoint_wildcard(AF_INET6, 0);
    at.address.v6.sin6_addr = in6addr_loopback;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool bound = fd >= 0 && bind(fd, &at.address.any, endpoint_length(&at)) == 0;
    if (fd >= 0)
        close(fd);
    return bound;
}

/* Returns: 0, or what a connect that does not block failed with in the end. */
static int finish_connecting(int fd)
{
    int why = 0;
    socklen_t length = sizeof why;
    if (!sockets_wait(fd, POLLOUT, PATIENCE_MS))
        return ETIMEDOUT;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &length), 0);
    return why;
}

int caller_try(const struct endpoint *to, int *fd)
{
    *fd = sockets_open(endpoint_family(to), SOCK_STREAM);
    sockets_set_nonblocking(*fd);
    int why = connect(*fd, &to->address.any, endpoint_length(to)) == 0 ? 0 : errno;
    if (why == EINPROGRESS || why == EINTR)
        why = finish_connecting(*fd);
    if (why != 0) {
        close(*fd);
        *fd = -1;
    }
    return why;
}

int caller_connect(const struct endpoint *to)
{
    int fd, why = caller_try(to, &fd);
    if (why != 0)
        fail_msg("cannot connect: %s", strerror(why));
    return fd;
}

void caller_send(int fd, const char *words)
{
    size_t length = strlen(words), sent = 0;
    while (sent < length) {
        ssize_t n =
            sockets_wait(fd, POLLOUT, PATIENCE_MS) ? send(fd, words + sent, length - sent, MSG_NOSIGNAL) : -1;
        if (n < 0)
            fail_msg("cannot send \"%s\": %s", words, strerror(errno));
        sent += (size_t)n;
    }
}

/* Returns: how many bytes came; 0: the peer's end; -1 sets errno. */
static ssize_t receive(int fd, char *data, size_t room)
{
    if (sockets_wait(fd, POLLIN, PATIENCE_MS))
        return recv(fd, data, room, 0);
    errno = ETIMEDOUT;
    return -1;
}

void caller_expect(int fd, const char *words)
{
    char data[4096];
    size_t length = strlen(words), received = 0;
    ssize_t n = 1;
    assert_true(length <= sizeof data);
    for (; received < length && n > 0; received += (size_t)n) {
        n = receive(fd, data + received, length - received);
        if (n < 0)
            fail_msg("cannot read \"%s\": %s", words, strerror(errno));
    }
    if (received != length || memcmp(data, words, length) != 0)
        fail_msg("received \"%.*s\", not \"%s\"", (int)received, data, words);
}

void caller_expect_end(int fd)
{
    char data[1];
    ssize_t n = receive(fd, data, sizeof data);
    if (n != 0)
        fail_msg("no end: %s", n > 0 ? "more bytes come" : strerror(errno));
}

void caller_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(fd);
}
