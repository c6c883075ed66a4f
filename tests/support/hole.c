#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/hole.h"
#include "support/skip.h"
#include "support/sockets.h"
#include "support/watched.h"

static bool holes_drop; /* as this system does it */

struct listener hole_listen_at(const char *host, unsigned port, int backlog)
{
    const struct listener_options options = {.backlog = backlog, .want_v6 = true, .want_v4 = true};
    struct listener listener = {.fd = -1};
    struct target target;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (target_parse(&target, host, service, NULL) < 0)
        abort();
    listener_open(&target, &options, &listener, 1, NULL);
    return listener;
}

struct hole hole_open(const char *host, unsigned port)
{
    struct hole hole = {.listener = hole_listen_at(host, port, 0)};
    const struct endpoint *at = &hole.listener.at;

    assert_true(hole.listener.fd >= 0);
    assert_int_equal(listen(hole.listener.fd, 0), 0); /* a backlog of 0 may have stood for the most */
    while (!hole.drops && hole.count < HOLE_CALLERS_MAX) {
        int fd = sockets_open(endpoint_family(at), SOCK_STREAM);
        sockets_set_nonblocking(fd);
        hole.callers[hole.count++] = fd;
        hole.drops = connect(fd, &at->address.any, endpoint_length(at)) < 0 && !sockets_wait(fd, POLLOUT, 50);
    }
    return hole;
}

void hole_close(struct hole *hole)
{
    for (size_t i = 0; i < hole->count; i++)
        close(hole->callers[i]);
    listener_close(&hole->listener);
}

void hole_need(void)
{
    if (!holes_drop)
        skip_because("a full backlog does not drop connections");
}

int hole_prepare(void **state)
{
    struct watched watched;
    struct hole hole = hole_open("127.0.0.1", 0);
    (void)state;
    holes_drop = hole.drops;
    hole_close(&hole);
    watched_open(&watched);
    watched_close(&watched);
    return 0;
}
