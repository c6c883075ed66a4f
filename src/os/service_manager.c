#include "tcpgreet/os/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/os/loop.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored */
#endif

enum {
    FIRST_FD = 3,
    BEAT_MS = 5000, /* a status is at most that old */
    US_PER_MS = 1000,
    BEATS_IN_TIME = 2 /* for the watchdog, as sd_watchdog_enabled(3) recommends */
};

/* Shape: a decimal number without a sign. Returns: false where it is none, or above max. */
static bool read_number(const char *text, uint64_t max, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    *number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    return end != NULL && *end == '\0' && errno == 0 && *number <= max;
}

/* Returns: whether a variable that names a process names this one. */
static bool is_own(const char *pid)
{
    uint64_t number = 0;
    return pid != NULL && read_number(pid, INT32_MAX, &number) && number == (uint64_t)getpid();
}

static int fail_number(const char *name, const char *value, struct err *err)
{
    char shown[64];
    return err_set(err, ERR_USAGE, 0, "%s is not a number in range: \"%s\"", name,
                   escape_quoted((struct bytes){value, strlen(value)}, shown, sizeof shown));
}

static enum service_manager_tls tls_of(const char *name)
{
    if (strcmp(name, "tls") == 0)
        return SERVICE_MANAGER_TLS_DEMANDED;
    return strcmp(name, "plain") == 0 ? SERVICE_MANAGER_TLS_NONE : SERVICE_MANAGER_TLS_ANY;
}

/* One name, up to a colon. Returns: what follows it. */
static const char *take_name(struct service_manager_socket *socket, const char *names)
{
    size_t length = strcspn(names, ":");
    escape_text((struct bytes){names, length}, socket->name, sizeof socket->name);
    socket->tls = tls_of(socket->name);
    return names + length + (names[length] == ':');
}

static int take_sockets(struct service_manager *manager, struct err *err)
{
    const char *count_text = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    uint64_t count = 0;

    if (count_text == NULL || !is_own(getenv("LISTEN_PID")))
        return 0;
    if (!read_number(count_text, SERVICE_MANAGER_SOCKETS_MAX, &count))
        return fail_number("LISTEN_FDS", count_text, err);
    for (size_t i = 0; i < count; i++) {
        struct service_manager_socket *socket = &manager->sockets[i];
        socket->fd = FIRST_FD + (int)i;
        if (names != NULL)
            names = take_name(socket, names);
        if (fcntl(socket->fd, F_SETFD, FD_CLOEXEC) < 0)
            return err_set(
                err, err_reason_of_system(errno), errno,
                "cannot use descriptor %d, which the service manager should have passed (LISTEN_FDS=%s): %s",
                socket->fd, count_text, strerror(errno));
        manager->socket_count = i + 1;
    }
    return 0;
}

static int take_watchdog(struct service_manager *manager, struct err *err)
{
    const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t time_us = 0;

    if (text == NULL || (pid != NULL && !is_own(pid)))
        return 0;
    if (!read_number(text, INT64_MAX, &time_us))
        return fail_number("WATCHDOG_USEC", text, err);
    manager->watchdog_ms = (int64_t)(time_us / US_PER_MS);
    return 0;
}

/* Shape: native: an error number, 0: it is none of the system's. */
static int fail_notify(struct service_manager *manager, const char *name, int native, const char *why)
{
    char shown[160];
    return err_set(&manager->failure, ERR_SYSTEM_OTHER, native,
                   "cannot notify the service manager at %s (NOTIFY_SOCKET): %s",
                   escape_text((struct bytes){name, strlen(name)}, shown, sizeof shown), why);
}

/* Shape: "/path", or "@name" for an abstract socket. */
static void connect_notify(struct service_manager *manager, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t length = strlen(name);

    if (name[0] != '/' && name[0] != '@') {
        fail_notify(manager, name, 0, "it is neither a path nor an abstract socket");
        return;
    }
    if (length > sizeof at.sun_path - (name[0] == '/')) {
        fail_notify(manager, name, 0, "the name is too long");
        return;
    }
    memcpy(at.sun_path, name, length);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && connect(fd, (struct sockaddr *)&at, size) == 0) {
        manager->notify_fd = fd;
        return;
    }
    fail_notify(manager, name, errno, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

int service_manager_open(struct service_manager *manager, struct err *err)
{
    static const char *const names[] = {"LISTEN_FDS",    "LISTEN_PID",    "LISTEN_PIDFDID", "LISTEN_FDNAMES",
                                        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    *manager = (struct service_manager){.notify_fd = -1};
    const char *notify = getenv("NOTIFY_SOCKET");
    int result = take_sockets(manager, err);
    if (result == 0)
        result = take_watchdog(manager, err);
    if (result == 0 && notify != NULL && notify[0] != '\0')
        connect_notify(manager, notify);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    return result;
}

/* Returns: false where it is to be tried again. Other errors are permanent: the notification is
 * dropped. */
static bool send_now(const struct service_manager *manager, const char *text)
{
    ssize_t sent;
    do
        sent = send(manager->notify_fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS);
}

static bool flush_pending(struct service_manager *manager)
{
    if (manager->pending[0] != '\0' && send_now(manager, manager->pending))
        manager->pending[0] = '\0';
    return manager->pending[0] == '\0';
}

/* The newest state replaces one that could not be sent: only where the process is now counts. */
static void notify_state(struct service_manager *manager, const char *text)
{
    if (manager == NULL || manager->notify_fd < 0)
        return;
    (void)snprintf(manager->pending, sizeof manager->pending, "%s", text);
    (void)flush_pending(manager);
}

static void send_status(struct service_manager *manager)
{
    char status[SERVICE_MANAGER_STATUS_BYTES] = "", text[SERVICE_MANAGER_STATUS_BYTES + sizeof "STATUS="];

    if (manager == NULL || manager->notify_fd < 0 || manager->watch.put_status == NULL)
        return;
    manager->watch.put_status(manager->watch.context, status);
    if (strcmp(status, manager->status) == 0)
        return;
    (void)snprintf(text, sizeof text, "STATUS=%s", status);
    if (send_now(manager, text))
        memcpy(manager->status, status, sizeof status);
}

static void on_beat(uv_timer_t *timer)
{
    struct service_manager *manager = timer->data;

    if (!flush_pending(manager))
        return; /* in order */
    if (manager->watchdog_ms > 0 && manager->watch.is_working(manager->watch.context))
        (void)send_now(manager, "WATCHDOG=1");
    send_status(manager);
}

int service_manager_start(struct service_manager *manager, uv_loop_t *loop,
                          const struct service_manager_watch *watch, struct err *err)
{
    int64_t beat_ms = BEAT_MS;

    if (manager == NULL || manager->notify_fd < 0)
        return 0;
    manager->watch = *watch;
    if (manager->watchdog_ms > 0 && manager->watchdog_ms / BEATS_IN_TIME < beat_ms)
        beat_ms = manager->watchdog_ms / BEATS_IN_TIME > 0 ? manager->watchdog_ms / BEATS_IN_TIME : 1;
    int result = uv_timer_init(loop, &manager->timer);
    manager->timer.data = manager;
    if (result == 0)
        result = uv_timer_start(&manager->timer, on_beat, (uint64_t)beat_ms, (uint64_t)beat_ms);
    if (result != 0)
        return loop_fail(err, result, "cannot start a timer for the service manager");
    service_manager_ready(manager);
    return 0;
}

void service_manager_ready(struct service_manager *manager)
{
    notify_state(manager, "READY=1");
    send_status(manager);
}

void service_manager_reloading(struct service_manager *manager)
{
    char text[64];
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                   (int64_t)now.tv_sec * US_PER_MS * US_PER_MS + now.tv_nsec / US_PER_MS);
    notify_state(manager, text);
}

void service_manager_stopping(struct service_manager *manager)
{
    notify_state(manager, "STOPPING=1");
    send_status(manager);
}

void service_manager_close(struct service_manager *manager)
{
    if (manager == NULL)
        return;
    for (size_t i = 0; i < manager->socket_count; i++)
        if (manager->sockets[i].fd >= 0)
            (void)close(manager->sockets[i].fd);
    if (manager->notify_fd >= 0)
        (void)close(manager->notify_fd);
    manager->socket_count = 0;
    manager->notify_fd = -1;
}
