#include "seccomp.h"

#include <stdio.h>

#ifdef TCPGREET_HAVE_SECCOMP

#ifdef TCPGREET_INSTRUMENTED
#define IS_ENFORCED false
#else
#define IS_ENFORCED true
#endif

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tcpgreet/base/library.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define FUNCTIONS(apply)                                                                                     \
    apply(init) apply(release) apply(load) apply(attr_set) apply(rule_add_array) apply(syscall_resolve_name) \
        apply(version)

/* libseccomp's functions. A client does without them, and starts sooner. */
#define MEMBER(name) __typeof__(&seccomp_##name) name; /* NOLINT(bugprone-macro-parentheses): declared */
struct library {
    FUNCTIONS(MEMBER)
};

#ifdef TCPGREET_SECCOMP_LIBRARY

#define NAME(name) {"seccomp_" #name, offsetof(struct library, name)},

static struct library library;

static bool load_library(void)
{
    static const struct library_function functions[] = {FUNCTIONS(NAME)};

    return library.init != NULL || library_load(TCPGREET_SECCOMP_LIBRARY, functions,
                                                sizeof functions / sizeof functions[0], &library) == NULL;
}

#else

#define ADDRESS(name) .name = seccomp_##name,

static const struct library library = {FUNCTIONS(ADDRESS)};

static bool load_library(void)
{
    return true;
}

#endif

#ifdef __s390__
enum { CLONE_FLAGS = 1 };
static const uint64_t executable = 0; /* mmap's arguments are in memory there */
#else
enum { CLONE_FLAGS = 0 };
static const uint64_t executable = PROT_EXEC;
#endif

enum { SERVER = SECCOMP_SERVER, EXPORTER = SECCOMP_EXPORTER, HELPER = SECCOMP_HELPER };
enum { SERVES = SERVER | EXPORTER, ALL = SERVES | HELPER };
enum { READING = 8 /* only where files are opened */ };

/* Each is explained in docs/hardening.md. A name that this architecture or libseccomp does not know is passed
 * over: it has another of them for the same purpose. */
static const struct call {
    const char *name;
    int roles;
} calls[] = {
    {"read", ALL},
    {"readv", ALL},
    {"write", ALL},
    {"writev", ALL},
    {"close", ALL},
    {"lseek", ALL},
    {"_llseek", ALL},
    {"fstat", ALL},
    {"fstat64", ALL},
    {"fcntl", ALL},
    {"fcntl64", ALL},
    {"poll", ALL},
    {"ppoll", ALL},
    {"ppoll_time64", ALL},

    {"brk", ALL},
    {"munmap", ALL},
    {"mremap", ALL},
    {"madvise", ALL},

    {"exit", ALL},
    {"exit_group", ALL},
    {"restart_syscall", ALL},
    {"rt_sigaction", ALL},
    {"rt_sigprocmask", ALL},
    {"rt_sigreturn", ALL},
    {"sigreturn", ALL},
    {"sigaltstack", ALL},

    {"clock_gettime", ALL},
    {"clock_gettime64", ALL},
    {"clock_getres", ALL},
    {"clock_getres_time64", ALL},
    {"clock_nanosleep", ALL},
    {"clock_nanosleep_time64", ALL},
    {"nanosleep", ALL},
    {"gettimeofday", ALL},
    {"time", ALL},

    {"getpid", ALL},
    {"gettid", ALL},
    {"getuid", ALL},
    {"getuid32", ALL},
    {"geteuid", ALL},
    {"geteuid32", ALL},
    {"getgid", ALL},
    {"getgid32", ALL},
    {"getegid", ALL},
    {"getegid32", ALL},
    {"getrandom", ALL},
    {"sched_yield", ALL},
    {"futex", ALL},
    {"futex_time64", ALL},

    {"set_robust_list", SERVES},
    {"rseq", SERVES},
    {"sched_getaffinity", SERVES},
    {"getrlimit", SERVES},
    {"ugetrlimit", SERVES},
    {"sysinfo", SERVES},
    {"uname", SERVES},
    {"membarrier", SERVES},

    {"epoll_create1", SERVES},
    {"epoll_ctl", SERVES},
    {"epoll_wait", SERVES},
    {"epoll_pwait", SERVES},
    {"eventfd2", SERVES},
    {"pipe2", SERVES},

    {"inotify_init1", SERVER | READING},
    {"inotify_add_watch", SERVER | READING},
    {"inotify_rm_watch", SERVER | READING},

    {"accept4", SERVES},
    {"accept", SERVES},
    {"recvfrom", ALL},
    {"recv", ALL},
    {"recvmsg", ALL},
    {"sendto", ALL},
    {"send", ALL},
    {"sendmsg", ALL},
    {"shutdown", SERVES},
    {"getsockopt", SERVES},
    {"setsockopt", SERVES},
    {"getsockname", SERVES},
    {"getpeername", SERVES},
    {"socketpair", SERVES},

    {"socket", EXPORTER},
    {"connect", EXPORTER},
    {"bind", EXPORTER},
    {"sendmmsg", EXPORTER},
    {"recvmmsg", EXPORTER},
    {"recvmmsg_time64", EXPORTER},
    {"getrusage", EXPORTER},

    {"stat", ALL | READING},
    {"stat64", ALL | READING},
    {"lstat", ALL | READING},
    {"lstat64", ALL | READING},
    {"newfstatat", ALL},
    {"fstatat64", ALL},
    {"statx", ALL},
    {"access", ALL | READING},
    {"faccessat", ALL | READING},
    {"readlink", ALL | READING},
    {"readlinkat", ALL | READING},
    {"getdents64", SERVES},
    {"fadvise64", SERVES | READING},
    {"fadvise64_64", SERVES | READING},
    {"getcwd", SERVES | READING},
};

/* What libraries do without where the kernel seems to be too old for it. */
static const char *const unknown_calls[] = {
    "clone3",  "io_uring_setup", "io_uring_enter", "io_uring_register", "epoll_pwait2",     "faccessat2",
    "openat2", "close_range",    "futex_waitv",    "futex_wait",        "futex_wake",       "futex_requeue",
    "mseal",   "statmount",      "listmount",      "map_shadow_stack",  "process_mrelease", "cachestat",
};

enum { COUNT = sizeof calls / sizeof calls[0], UNKNOWN = sizeof unknown_calls / sizeof unknown_calls[0] };

/* Returns: 0; also where there is no such call. */
static int answer(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned conditions,
                  const struct scmp_arg_cmp *list)
{
    int number = library.syscall_resolve_name(name);
    return number == __NR_SCMP_ERROR ? 0 : library.rule_add_array(filter, action, number, conditions, list);
}

static int allow_if(scmp_filter_ctx filter, const char *name, struct scmp_arg_cmp condition)
{
    return answer(filter, SCMP_ACT_ALLOW, name, 1, &condition);
}

static int allow_bits(scmp_filter_ctx filter, const char *name, unsigned argument, uint64_t mask,
                      uint64_t value)
{
    return allow_if(filter, name, (struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, mask, value});
}

static int allow_value(scmp_filter_ctx filter, const char *name, unsigned argument, uint64_t value)
{
    return allow_if(filter, name, (struct scmp_arg_cmp){argument, SCMP_CMP_EQ, value, 0});
}

/* Memory that is never executable, but for a module that the C library loads to look up a name. */
static int allow_memory(scmp_filter_ctx filter, enum seccomp_role role)
{
    uint64_t mask = role == SECCOMP_EXPORTER ? 0 : executable;
    return allow_bits(filter, "mmap", 2, mask, 0) != 0 || allow_bits(filter, "mmap2", 2, mask, 0) != 0 ||
                   allow_bits(filter, "mprotect", 2, PROT_EXEC, 0) != 0
               ? -1
               : 0;
}

static int allow_threads(scmp_filter_ctx filter, enum seccomp_role role)
{
    const struct scmp_arg_cmp reading[] = {{0, SCMP_CMP_EQ, 0, 0}, {2, SCMP_CMP_EQ, 0, 0}};

    if (allow_value(filter, "tgkill", 0, (uint64_t)getpid()) != 0) /* abort(3) */
        return -1;
    if (role == SECCOMP_HELPER)
        return 0;
    return allow_bits(filter, "clone", CLONE_FLAGS, CLONE_THREAD, CLONE_THREAD) != 0 ||
                   answer(filter, SCMP_ACT_ALLOW, "prlimit64", 2, reading) != 0 ||
                   allow_value(filter, "prctl", 0, PR_SET_NAME) != 0 ||
                   allow_value(filter, "prctl", 0, PR_SET_VMA) != 0
               ? -1
               : 0;
}

/* An exporter names the interfaces of its zones, through a socket that a server cannot open. */
static int allow_ioctl(scmp_filter_ctx filter, enum seccomp_role role)
{
    static const struct {
        uint64_t request;
        int roles;
    } requests[] = {{FIONBIO, SERVES},
                    {FIONREAD, SERVES},
                    {TCGETS, SERVES},
                    {SIOCGIFNAME, EXPORTER},
                    {SIOCGIFINDEX, EXPORTER}};

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        if ((requests[i].roles & (int)role) != 0 && allow_value(filter, "ioctl", 1, requests[i].request) != 0)
            return -1;
    return 0;
}

/* Which files, is left to Landlock. */
static int allow_to_read(scmp_filter_ctx filter, bool opens_files)
{
    const uint64_t changing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;

    if (!opens_files)
        return 0;
    return allow_bits(filter, "open", 1, changing, O_RDONLY) != 0 ||
                   allow_bits(filter, "openat", 2, changing, O_RDONLY) != 0
               ? -1
               : 0;
}

static int add_calls(scmp_filter_ctx filter, const struct seccomp_config *config)
{
    for (size_t i = 0; i < COUNT; i++)
        if ((calls[i].roles & (int)config->role) != 0 &&
            (config->opens_files || (calls[i].roles & READING) == 0) &&
            answer(filter, SCMP_ACT_ALLOW, calls[i].name, 0, NULL) != 0)
            return -1;
    for (size_t i = 0; i < UNKNOWN; i++)
        if (answer(filter, SCMP_ACT_ERRNO(ENOSYS), unknown_calls[i], 0, NULL) != 0)
            return -1;
    return allow_memory(filter, config->role) != 0 || allow_threads(filter, config->role) != 0 ||
                   allow_ioctl(filter, config->role) != 0 || allow_to_read(filter, config->opens_files) != 0
               ? -1
               : 0;
}

static int load(scmp_filter_ctx filter)
{
    enum { BINARY_TREE = 2 };

    if (library.attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) != 0 || /* privileges_freeze sets it */
        library.attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)) != 0) /* by default: kill */
        return -1;
    (void)library.attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, BINARY_TREE);
    return IS_ENFORCED ? library.load(filter) : -1;
}

/* Returns: a filter that answers with action, for finish; NULL. */
static scmp_filter_ctx begin(uint32_t action)
{
    return load_library() ? library.init(action) : NULL;
}

static bool finish(scmp_filter_ctx filter, bool is_whole)
{
    bool is_done = is_whole && load(filter) == 0;

    if (filter != NULL)
        library.release(filter);
    return is_done;
}

bool seccomp_restrict(const struct seccomp_config *config)
{
    scmp_filter_ctx filter = begin(SCMP_ACT_ERRNO(EPERM));
    return finish(filter, filter != NULL && add_calls(filter, config) == 0);
}

bool seccomp_forbid_io_uring(void)
{
    scmp_filter_ctx filter = begin(SCMP_ACT_ALLOW);
    return finish(filter,
                  filter != NULL && answer(filter, SCMP_ACT_ERRNO(ENOSYS), "io_uring_setup", 0, NULL) == 0);
}

const char *seccomp_version_text(char *text, unsigned long room)
{
    if (!load_library()) {
        (void)snprintf(text, room, "libseccomp cannot be loaded");
        return text;
    }
    const struct scmp_version *version = library.version();
    (void)snprintf(text, room, "libseccomp %u.%u.%u%s", version->major, version->minor, version->micro,
                   IS_ENFORCED ? "" : " (not used: instrumented build)");
    return text;
}

#elif defined(__OpenBSD__)

#include <unistd.h>

bool seccomp_forbid_io_uring(void)
{
    return true; /* there is none */
}

bool seccomp_restrict(const struct seccomp_config *config)
{
    const char *promises = config->role == SECCOMP_HELPER     ? "stdio rpath sendfd"
                           : config->role == SECCOMP_EXPORTER ? "stdio rpath inet dns recvfd"
                                                              : "stdio rpath inet recvfd";
    return pledge(promises, NULL) == 0;
}

const char *seccomp_version_text(char *text, unsigned long room)
{
    (void)snprintf(text, room, "pledge and unveil");
    return text;
}

#else

bool seccomp_forbid_io_uring(void)
{
    return false;
}

bool seccomp_restrict(const struct seccomp_config *config)
{
    (void)config;
    return false;
}

const char *seccomp_version_text(char *text, unsigned long room)
{
    (void)snprintf(text, room, "no libseccomp");
    return text;
}

#endif
