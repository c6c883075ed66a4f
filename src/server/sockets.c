#include "sockets.h"

#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "tcpgreet/net/reach.h"
#include "tcpgreet/os/process.h"

static struct listener_options options_of(const struct server_config *config, bool is_shared)
{
    return (struct listener_options){.backlog = config->backlog > 0 ? config->backlog : SOMAXCONN,
                                     .reuse_port = is_shared && listener_balances(),
                                     .want_v6 = !config->ipv4_only,
                                     .want_v4 = !config->ipv6_only};
}

/* Every address was asked for, and this machine has those of one family only. */
static void log_missing_family(const struct target *target, const struct listener_options *how,
                               const struct listener *opened, size_t count)
{
    char why[REACH_TEXT_BYTES];
    if (target->kind != TARGET_EVERY_ADDRESS || !how->want_v6 || !how->want_v4 || count != 1)
        return;
    int missing = endpoint_family(&opened->at) == AF_INET6 ? AF_INET : AF_INET6;
    enum reach reach = reach_family(missing);
    if (reach != REACH_OPEN)
        server_log_one_family(missing, reach_text(reach, missing, why));
}

/* The name of a socket that is passed may decide about TLS. */
static int choose_tls(const struct service_manager_socket *from, bool use_tls, struct listener *listener,
                      struct err *err)
{
    listener->is_plain = from->tls == SERVICE_MANAGER_TLS_NONE;
    if (from->tls != SERVICE_MANAGER_TLS_DEMANDED || use_tls)
        return 0;
    return err_set(
        err, ERR_USAGE, 0,
        "cannot use descriptor %d (%s) of the service manager: its name demands TLS, which this server does not use (add --tls with --cert and --key, or change FileDescriptorName= in the socket unit)",
        listener->fd, from->name);
}

static int adopt(struct sockets *sockets, const struct server_config *config, struct err *err)
{
    struct service_manager *manager = config->manager;

    for (size_t i = 0; i < manager->socket_count; i++) {
        struct service_manager_socket *from = &manager->sockets[i];
        struct listener *listener = &sockets->list[sockets->count];
        int fd = from->fd;
        from->fd = -1;
        if (listener_adopt(fd, from->name, listener, err) < 0)
            return -1;
        sockets->count++;
        if (choose_tls(from, config->use_tls, listener, err) < 0)
            return -1;
        bool is_v6 = endpoint_family(&listener->at) == AF_INET6;
        if (is_v6 ? config->ipv4_only : config->ipv6_only)
            return err_set(err, ERR_USAGE, 0, "--ipv%c contradicts the socket unit, which listens on IPv%c",
                           is_v6 ? '4' : '6', is_v6 ? '6' : '4');
    }
    return 0;
}

int sockets_open(struct sockets *sockets, const struct server_config *config, bool is_shared, struct err *err)
{
    struct listener_options how = options_of(config, is_shared);

    if (config->manager != NULL && config->manager->socket_count > 0)
        return adopt(sockets, config, err);
    for (size_t i = 0; i < SERVER_LISTEN_MAX && config->listen[i].service[0] != '\0'; i++) {
        how.others = sockets->list;
        how.other_count = sockets->count;
        struct listener *first = sockets->list + sockets->count;
        size_t opened = listener_open(&config->listen[i], &how, first, LISTENER_MAX - sockets->count, err);
        log_missing_family(&config->listen[i], &how, first, opened);
        if (opened == 0)
            return err_set(err, ERR_USAGE, 0, "more than %d addresses to listen on", LISTENER_MAX);
        sockets->count += opened;
    }
    return 0;
}

static int open_again(const struct listener *first, const struct server_config *config,
                      struct listener *listener, struct err *err)
{
    const struct listener_options how = options_of(config, true);
    return first->is_shared ? listener_adopt_again(first, listener, err)
                            : listener_open_again(first, &how, listener, err);
}

int sockets_take(struct sockets *sockets, const struct server_config *config, struct listener *listeners,
                 struct err *err)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (!sockets->is_taken) {
            listeners[i] = sockets->list[i];
        } else if (open_again(&sockets->list[i], config, &listeners[i], err) < 0) {
            while (i > 0)
                listener_close(&listeners[--i]);
            return -1;
        }
    }
    sockets->is_taken = true;
    return 0;
}

const struct listener *sockets_find_tls(const struct sockets *sockets, const struct server_config *config)
{
    for (size_t i = 0; config->use_tls && i < sockets->count; i++)
        if (!sockets->list[i].is_plain)
            return &sockets->list[i];
    return NULL;
}

int sockets_announce(const struct sockets *sockets, const struct server_config *config, struct err *err)
{
    for (size_t i = 0; i < sockets->count; i++) {
        char at[ENDPOINT_TEXT_BYTES], line[ENDPOINT_TEXT_BYTES + 32];
        const struct listener *listener = &sockets->list[i];
        int length = snprintf(line, sizeof line, "Waiting for connection on %s%s\n",
                              endpoint_format(&listener->at, at),
                              config->use_tls && !listener->is_plain ? " with TLS" : "");
        if (process_write(STDOUT_FILENO, (struct bytes){line, (size_t)length}, err) < 0)
            return err_context(err, "cannot announce the server");
    }
    return 0;
}

void sockets_close(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count && !sockets->is_taken; i++)
        listener_close(&sockets->list[i]);
    sockets->count = 0;
}
