#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif
#ifndef SOCK_CLOEXEC /* macOS */
#define SOCK_CLOEXEC 0
#endif

struct endpoint sandbox_endpoint(const char *text)
{
    struct endpoint endpoint = endpoint_wildcard(strchr(text, ':') != NULL ? AF_INET6 : AF_INET, 6000);
    bool v6 = endpoint_family(&endpoint) == AF_INET6;
    void *binary = v6 ? (void *)&endpoint.address.v6.sin6_addr : (void *)&endpoint.address.v4.sin_addr;
    assert_int_equal(inet_pton(endpoint_family(&endpoint), text, binary), 1);
    return endpoint;
}

static bool write_setting(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Source: netdevice(7). */
static bool set_v4(int fd, const char *interface, const char *address)
{
    struct ifreq request = {0};
    struct endpoint at = sandbox_endpoint(address);

    at.address.v4.sin_port = 0;
    memcpy(request.ifr_name, interface, strlen(interface));
    memcpy(&request.ifr_addr, &at.address.any, sizeof request.ifr_addr);
    return ioctl(fd, SIOCSIFADDR, &request) == 0;
}

/* Source: Linux's struct in6_ifreq, whose header cannot stand beside those of the C library. */
static bool add_v6(const char *address)
{
    struct {
        struct in6_addr address;
        uint32_t prefix;
        int index;
        char unused[40]; /* valgrind takes it for a struct ifreq, which is larger */
    } request = {.address = sandbox_endpoint(address).address.v6.sin6_addr, .prefix = 128};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    request.index = (int)if_nametoindex("lo");
    bool added = fd >= 0 && request.index > 0 && ioctl(fd, SIOCSIFADDR, &request) == 0;
    if (fd >= 0)
        close(fd);
    return added;
}

bool sandbox_enter(const struct sandbox_network *network)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
#ifdef CLONE_NEWNET
    if (unshare(CLONE_NEWNET) < 0)
        return false;
#else
    return false;
#endif
    if (network->no_ipv6 && !write_setting("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1"))
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool made = fd >= 0 && (!network->up || ioctl(fd, SIOCSIFFLAGS, &lo) == 0) &&
                (!network->no_ipv4 || set_v4(fd, "lo", "0.0.0.0")) &&
                (!network->wide || (set_v4(fd, "lo:1", "198.51.100.1") && add_v6("fd77::1")));
    if (fd >= 0)
        close(fd);
    return made;
}

bool sandbox_forbid_family(int family)
{
#if defined(__linux__) && defined(__NR_socket)
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)family, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return false;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    close(fd); /* by socketcall(2), whose family a filter cannot see: 32-bit x86 */
    return false;
#else
    (void)family;
    return false;
#endif
}

void sandbox_run(int (*step)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(step());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SANDBOX_UNDONE)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}
