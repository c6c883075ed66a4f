#include "tcpgreet/os/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#ifdef TCPGREET_HAVE_MALLOC_TRIM
#include <malloc.h>
#endif
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
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

static double seconds_of(uv_timeval_t time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double count_descriptors(void)
{
    double count = -3; /* ".", "..", and the one of the listing */
    DIR *folder = opendir("/proc/self/fd");

    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

struct process_usage process_usage(void)
{
    struct process_usage usage = {.descriptors = count_descriptors()};
    struct rlimit limit;
    uv_rusage_t times;
    size_t resident;

    if (uv_getrusage(&times) == 0)
        usage.cpu_s = seconds_of(times.ru_utime) + seconds_of(times.ru_stime);
    if (uv_resident_set_memory(&resident) == 0)
        usage.resident_bytes = (double)resident;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        usage.descriptor_limit = (double)limit.rlim_cur;
    return usage;
}
