#include "support/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <uv.h>

int sockets_open(int family, int type)
{
    int fd = socket(family, type, 0);
    if (fd < 0)
        abort();
    return fd;
}

int sockets_accept(int listener)
{
    int fd;
    do
        fd = accept(listener, NULL, NULL);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        abort();
    return fd;
}

void sockets_open_pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        abort();
    for (size_t i = 0; i < 2; i++)
        sockets_set_nonblocking(ends[i]);
}

void sockets_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        abort();
}

bool sockets_wait(int fd, short events, int timeout_ms)
{
    enum { NS_PER_MS = 1000000 };
    struct pollfd polled = {.fd = fd, .events = events};
    const uint64_t end = uv_hrtime() + (uint64_t)timeout_ms * NS_PER_MS;
    int ready;
    do {
        uint64_t now = uv_hrtime();
        ready = poll(&polled, 1, now < end ? (int)((end - now) / NS_PER_MS) : 0);
        if (ready < 0 && errno != EINTR)
            abort();
    } while (ready < 0);
    return ready > 0;
}
