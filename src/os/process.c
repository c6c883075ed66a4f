#include "tcpgreet/os/process.h"

#include <errno.h>
#include <fcntl.h>
#ifdef TCPGREET_HAVE_MALLOC_TRIM
#include <malloc.h>
#endif
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

int process_write(int fd, struct bytes bytes, struct err *err)
{
    while (bytes.length > 0) {
        ssize_t written = write(fd, bytes.data, bytes.length);
        if (written >= 0) {
            bytes = bytes_skip(bytes, (size_t)written);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            if (poll(&room, 1, -1) < 0 && errno != EINTR)
                return err_set(err, ERR_SYSTEM_OUTPUT, errno, "cannot write: %s", strerror(errno));
        } else if (errno != EINTR) {
            return err_set(err, ERR_SYSTEM_OUTPUT, errno, "cannot write to standard output: %s%s",
                           strerror(errno), errno == EBADF ? " (it is closed)" : "");
        }
    }
    return 0;
}

int process_guard_standard(struct err *err)
{
    /* Reading from 0 returns end of file, writing to 1 fails with an error, writing to 2 is discarded. */
    static const int flags[3] = {O_RDONLY, O_RDONLY, O_WRONLY};

    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", flags[fd]) != fd)
            return err_set(err, ERR_SYSTEM_FILE, errno,
                           "cannot open /dev/null in place of a closed descriptor: %s", strerror(errno));
    }
    return 0;
}

/* One that is a standard descriptor need not be the controlling one. */
static bool has_terminal(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (isatty(fd) == 1)
            return true;
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

bool process_hangs_up(void)
{
    struct sigaction now;
    return sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler != SIG_IGN && has_terminal();
}

int process_check_descriptors(size_t count, struct err *err)
{
    int fds[PROCESS_DESCRIPTORS_MAX];
    size_t opened = 0;
    int native = 0;

    while (opened < count && opened < PROCESS_DESCRIPTORS_MAX && native == 0) {
        fds[opened] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        native = fds[opened] < 0 ? errno : 0;
        opened += native == 0;
    }
    for (size_t i = 0; i < opened; i++)
        (void)close(fds[i]);
    if (native == 0 || (native != EMFILE && native != ENFILE && native != EINVAL))
        return 0;
    return err_set(err, ERR_SYSTEM_DESCRIPTORS, native,
                   "%zu more descriptors are needed, and only %zu can be opened: raise ulimit -n", count,
                   opened);
}

size_t process_raise_descriptors(void)
{
    enum { UNKNOWN = 1024 };
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return UNKNOWN;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (before != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_cur = before;
    return limit.rlim_cur == RLIM_INFINITY ? (size_t)1 << 20 : (size_t)limit.rlim_cur;
}

void process_trim_memory(void)
{
#ifdef TCPGREET_HAVE_MALLOC_TRIM
    (void)malloc_trim(0);
#endif
}

void process_meter_open(struct process_meter *meter)
{
    meter->memory = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    meter->descriptors = opendir("/proc/self/fd");
}

void process_meter_close(struct process_meter *meter)
{
    if (meter->memory >= 0)
        close(meter->memory);
    if (meter->descriptors != NULL)
        closedir(meter->descriptors);
    *meter = (struct process_meter){.memory = -1};
}

/* Source: clock_gettime(3). */
static double cpu_seconds(void)
{
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Source: proc(5), statm: pages; the second number is resident. */
static double resident_bytes(const struct process_meter *meter)
{
    char text[128];
    size_t resident;

    if (meter->memory < 0)
        return uv_resident_set_memory(&resident) == 0 ? (double)resident : 0;
    ssize_t length = lseek(meter->memory, 0, SEEK_SET) == 0 ? read(meter->memory, text, sizeof text - 1) : -1;
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *second = strchr(text, ' ');
    return second != NULL ? (double)strtoull(second, NULL, 10) * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double count_descriptors(const struct process_meter *meter)
{
    double count = -2; /* "." and ".." */

    if (meter->descriptors == NULL)
        return 0;
    rewinddir(meter->descriptors);
    while (readdir(meter->descriptors) != NULL)
        count++;
    return count > 0 ? count : 0;
}

struct process_usage process_meter_read(const struct process_meter *meter)
{
    struct process_usage usage = {.cpu_s = cpu_seconds(),
                                  .resident_bytes = resident_bytes(meter),
                                  .descriptors = count_descriptors(meter)};
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        usage.descriptor_limit = (double)limit.rlim_cur;
    return usage;
}
