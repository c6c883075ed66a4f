/* The service manager that has started this process: the sockets that it passes, and the notifications that
 * it takes. Nothing of systemd is linked: both are done as its manual pages describe them. Source:
 * sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). */
#ifndef TCPGREET_OS_SERVICE_MANAGER_H
#define TCPGREET_OS_SERVICE_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "tcpgreet/base/err.h"

enum {
    SERVICE_MANAGER_SOCKETS_MAX = 64,
    SERVICE_MANAGER_NAME_BYTES = 256, /* as systemd limits a name, and NUL */
    SERVICE_MANAGER_STATUS_BYTES = 256,
    SERVICE_MANAGER_PENDING_BYTES = 512
};

/* What the name of a socket decides: "tls", "plain", and any other. */
enum service_manager_tls { SERVICE_MANAGER_TLS_ANY, SERVICE_MANAGER_TLS_DEMANDED, SERVICE_MANAGER_TLS_NONE };

/* A descriptor that was passed. Shape: name: of FileDescriptorName=; "" where there is none; printable. */
struct service_manager_socket {
    int fd;
    enum service_manager_tls tls;
    char name[SERVICE_MANAGER_NAME_BYTES];
};

/* What the process reports of itself at each beat. */
struct service_manager_watch {
    bool (*is_working)(
        void *context); /* false: the watchdog is not notified, and the manager ends the process */
    void (*put_status)(void *context, char status[SERVICE_MANAGER_STATUS_BYTES]); /* a line for people */
    void *context;
};

/* Invariants: sockets are open, and close at exec; notify_fd < 0 where no notifications are taken; timer is
 * initialized if and only if timer.data is not NULL. */
struct service_manager {
    struct service_manager_socket sockets[SERVICE_MANAGER_SOCKETS_MAX];
    size_t socket_count;
    int notify_fd;
    int64_t watchdog_ms; /* 0: none */
    struct err failure;  /* why no notifications can be sent although they are taken */
    char pending[SERVICE_MANAGER_PENDING_BYTES]; /* a state that could not be sent yet; "": none */
    char status[SERVICE_MANAGER_STATUS_BYTES];   /* as sent last */
    struct service_manager_watch watch;
    uv_timer_t timer;
};

/* Reads what the environment has for this process, and removes it there, so that no child takes it for its
 * own. Variables for another process (LISTEN_PID, WATCHDOG_PID) are ignored. Connects to NOTIFY_SOCKET: call
 * it before a sandbox forbids that. Errors: usage: the variables contradict themselves; system-...: a
 * descriptor that was passed is not open. Returns: 0, -1. Thread: before any other thread starts. */
int service_manager_open(struct service_manager *manager, struct err *err);

/* Notifies that the process is ready; from now on, from the loop, of its status line whenever that has
 * changed, and the watchdog as long as watch->is_working. Borrows: manager and loop, until loop is closed,
 * with the timer as every handle. Errors: internal. Returns: 0, -1. */
int service_manager_start(struct service_manager *manager, uv_loop_t *loop,
                          const struct service_manager_watch *watch, struct err *err);

/* Notifies: READY=1; RELOADING=1, which READY=1 ends; STOPPING=1. None blocks; what cannot be sent at once is
 * sent with the next beat. Shape: here and above, nothing happens where no notifications are taken, or
 * manager is NULL. */
void service_manager_ready(struct service_manager *manager);
void service_manager_reloading(struct service_manager *manager);
void service_manager_stopping(struct service_manager *manager);

/* Closes what is left: the notification socket, and sockets that were not taken (fd >= 0). Shape: manager may
 * be NULL. */
void service_manager_close(struct service_manager *manager);

#endif
