#include "support/accept_fault.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    int fd;
    int native;
    int times;
    unsigned count;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool accept_fault_is_available(void)
{
#ifdef SYS_accept4
    return true;
#else
    return false;
#endif
}

void accept_fault_set(int fd, int native, int times)
{
    pthread_mutex_lock(&fault.lock);
    fault.fd = fd;
    fault.native = native;
    fault.times = times;
    fault.count = 0;
    pthread_mutex_unlock(&fault.lock);
}

unsigned accept_fault_count(void)
{
    pthread_mutex_lock(&fault.lock);
    unsigned count = fault.count;
    pthread_mutex_unlock(&fault.lock);
    return count;
}

#ifdef SYS_accept4

/* Returns: errno of this call, or 0. */
static int take_fault(int fd)
{
    int native = 0;
    pthread_mutex_lock(&fault.lock);
    if (fault.times != 0 && (fault.fd == fd || fault.fd == ACCEPT_FAULT_ANY)) {
        native = fault.native;
        fault.times -= fault.times > 0;
        fault.count++;
    }
    pthread_mutex_unlock(&fault.lock);
    return native;
}

/* The linker takes this one instead of the C library's, whose header declares it with a union of its own. */
struct sockaddr;
int accept4(int fd, struct sockaddr *address, unsigned *length, int flags);

int accept4(int fd, struct sockaddr *address, unsigned *length, int flags)
{
    int native = take_fault(fd);
    if (native == 0)
        return (int)syscall(SYS_accept4, fd, address, length, flags);
    errno = native;
    return -1;
}

#endif
