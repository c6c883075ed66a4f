#include "tcpgreet/http/listeners.h"

#include <assert.h>
#include <stdio.h>

enum { BACKLOG = 256 };

/* Opens one more. Returns: how many sockets were opened, 0 with err. */
static size_t open_at(struct http_listeners *listeners, const struct target *target, struct err *err)
{
    struct listener_options how = {.backlog = BACKLOG,
                                   .want_v6 = true,
                                   .want_v4 = true,
                                   .others = listeners->list,
                                   .other_count = listeners->count};
    if (listeners->other_count > 0) { /* which has one target */
        how.others = listeners->others;
        how.other_count = listeners->other_count;
    }
    size_t opened =
        listener_open(target, &how, listeners->list + listeners->count, LISTENER_MAX - listeners->count, err);

    if (opened == 0)
        err_set(err, ERR_USAGE, 0, "more than %d addresses to listen on", LISTENER_MAX);
    listeners->count += opened;
    return opened;
}

/* Loopback of both families, or of the one that this machine has; port 0 becomes the same for both. */
static int open_loopback(struct http_listeners *listeners, const char *service, struct err *err)
{
    static const char *const hosts[] = {"::1", "127.0.0.1"};
    char port[TARGET_SERVICE_BYTES];
    struct target target;
    size_t opened = 0;

    (void)snprintf(port, sizeof(port), "%s", service);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct err why = {0};
        if (target_parse(&target, hosts[i], port, err) < 0)
            return -1;
        if (open_at(listeners, &target, &why) > 0) {
            opened++;
            (void)snprintf(port, sizeof(port), "%u",
                           endpoint_port(&listeners->list[listeners->count - 1].at));
        } else if (why.reason != ERR_SYSTEM_ADDRESS_NOT_AVAILABLE || (opened == 0 && i > 0)) {
            *err = why;
            return -1;
        }
    }
    return 0;
}

static void find_out_whether_local(struct http_listeners *listeners)
{
    listeners->is_local = true;
    for (size_t i = 0; i < listeners->count; i++)
        listeners->is_local = listeners->is_local && endpoint_is_loopback(&listeners->list[i].at);
}

static_assert((int)SERVICE_MANAGER_SOCKETS_MAX <= (int)LISTENER_MAX, "every socket that is passed has room");

int http_listeners_adopt(struct http_listeners *listeners, struct service_manager *manager, struct err *err)
{
    for (size_t i = 0; i < manager->socket_count; i++) {
        struct service_manager_socket *from = &manager->sockets[i];
        int fd = from->fd;
        from->fd = -1;
        if (listener_adopt(fd, from->name, &listeners->list[listeners->count], err) < 0)
            return -1;
        listeners->count++;
        if (from->tls == SERVICE_MANAGER_TLS_DEMANDED)
            return err_set(
                err, ERR_USAGE, 0,
                "cannot use descriptor %d (%s) of the service manager: its name demands TLS, and an exporter is reached without (change FileDescriptorName= in the socket unit)",
                fd, from->name);
    }
    find_out_whether_local(listeners);
    return 0;
}

int http_listeners_open(struct http_listeners *listeners, const struct target *targets, size_t count,
                        struct err *err)
{
    for (size_t i = 0; i < count && targets[i].service[0] != '\0'; i++)
        if (targets[i].kind == TARGET_EVERY_ADDRESS ? open_loopback(listeners, targets[i].service, err) < 0
                                                    : open_at(listeners, &targets[i], err) == 0)
            return -1;
    find_out_whether_local(listeners);
    return 0;
}

void http_listeners_close(struct http_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        listener_close(&listeners->list[i]);
    listeners->count = 0;
}
