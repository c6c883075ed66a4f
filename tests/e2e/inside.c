/* Preloaded into the program: with the first connection that is accepted, tries from inside what an intruder
 * would, and reports each result on standard error as one line, "inside: execve=1 passwd=13 ...", with error
 * numbers. INSIDE_FILE names a file that is none of the program's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char report[1024] = "inside:";

static void note(const char *what, int result)
{
    size_t length = strlen(report);
    (void)snprintf(report + length, sizeof report - length, " %s=%d", what, result >= 0 ? 0 : errno);
}

/* Where a child cannot be made, it is tried here: it must fail. */
static int try_execve(void)
{
    char *const arguments[] = {(char *)"true", NULL}, *const none[] = {NULL};
    int status = 0;
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (child > 0) {
        (void)waitpid(child, &status, 0);
        errno = WEXITSTATUS(status);
        return status == 0 ? 0 : -1;
    }
    (void)execve("/bin/true", arguments, none); /* it may be of another C library */
    if (child == 0)
        _exit(errno);
    return -1;
}

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd;
}

static int try_listen(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ? -1 : listen(fd, 1);
    int native = errno;
    (void)close(fd);
    errno = native;
    return result;
}

static int try_connect(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int result = connect(fd, (struct sockaddr *)&at, sizeof at);
    int native = errno;
    (void)close(fd);
    errno = native;
    return result < 0 && native != ECONNREFUSED ? -1 : 0; /* no process listens there */
}

static int try_code(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    void *page = mmap(NULL, 4096, PROT_NONE, flags, -1, 0);
    if (page == MAP_FAILED)
        return -1;
    /* At a fixed address: otherwise musl makes EPERM ENOMEM. */
    void *code = mmap(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, flags | MAP_FIXED, -1, 0);
    int native = errno;
    (void)munmap(page, 4096);
    errno = native;
    return code == MAP_FAILED ? -1 : 0;
}

static void try_all(void)
{
    const char *foreign = getenv("INSIDE_FILE");

    note("execve", try_execve());
    note("passwd", try_open("/etc/passwd", O_RDONLY));
    if (foreign != NULL)
        note("foreign", try_open(foreign, O_RDONLY));
    note("create", try_open("/tmp/tcpgreet-inside", O_WRONLY | O_CREAT | O_TRUNC));
    (void)unlink("/tmp/tcpgreet-inside");
    note("listen", try_listen());
    note("connect", try_connect());
    note("kill", kill(getppid(), 0));
    note("ptrace", (int)syscall(SYS_ptrace, PTRACE_SEIZE, getppid(), 0, 0) < 0 && errno == EPERM ? -1 : 0);
    note("code", try_code());
#if defined(__x86_64__) && !defined(__ILP32__)
    (void)syscall(0x40000000 | SYS_getpid); /* of another ABI: it must not end the process */
#endif
    (void)strcat(report, "\n");
    (void)!write(STDERR_FILENO, report, strlen(report));
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    static int (*original)(int, struct sockaddr *, socklen_t *, int);
    static atomic_flag tried = ATOMIC_FLAG_INIT;

    if (original == NULL)
        *(void **)&original = dlsym(RTLD_NEXT, "accept4");
    int accepted = original(fd, address, length, flags);
    if (accepted >= 0 && !atomic_flag_test_and_set(&tried)) {
        int native = errno;
        try_all();
        errno = native;
    }
    return accepted;
}
