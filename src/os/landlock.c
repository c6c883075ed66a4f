#include "landlock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tcpgreet/os/path.h"

/* Headers may be older than the kernel: its types are written here as it has them, and its calls where the
 * headers lack them. Source: Documentation/userspace-api/landlock.rst. */
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef SYS_landlock_create_ruleset
enum {
    CREATE_RULESET = SYS_landlock_create_ruleset,
    ADD_RULE = SYS_landlock_add_rule,
    RESTRICT_SELF = SYS_landlock_restrict_self
};
#else
enum {
    CREATE_RULESET = 444,
    ADD_RULE = 445,
    RESTRICT_SELF = 446
}; /* but for Alpha, and MIPS, whose headers
      add an offset */
#endif
enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };
enum { VERSION_REFER = 2, VERSION_TRUNCATE = 3, VERSION_NET = 4, VERSION_IOCTL = 5, VERSION_SCOPES = 6 };
enum {
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_OF_FIRST_VERSION = (1 << 13) - 1, /* execute, write, read, remove and make, each kind */
    FS_REFER = 1 << 13,
    FS_TRUNCATE = 1 << 14,
    FS_IOCTL_DEV = 1 << 15,
    NET_BIND_TCP = 1 << 0,
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
    SCOPE_SIGNAL = 1 << 1
};

struct ruleset {
    uint64_t files;
    uint64_t net;
    uint64_t scopes;
};

struct path_beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

struct net_port {
    uint64_t allowed;
    uint64_t port;
};

int landlock_version(void)
{
    long version = syscall(CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
    return version > 0 ? (int)version : 0;
}

int landlock_open(const struct landlock_config *config)
{
    int version = landlock_version();
    struct ruleset ruleset = {.files = FS_OF_FIRST_VERSION};
    size_t size = version < VERSION_NET      ? offsetof(struct ruleset, net)
                  : version < VERSION_SCOPES ? offsetof(struct ruleset, scopes)
                                             : sizeof ruleset;
    if (version == 0)
        return -1;
    if (version >= VERSION_REFER)
        ruleset.files |= FS_REFER;
    if (version >= VERSION_TRUNCATE)
        ruleset.files |= FS_TRUNCATE;
    if (version >= VERSION_NET)
        ruleset.net = NET_BIND_TCP | (config->connects ? 0 : NET_CONNECT_TCP);
    if (version >= VERSION_IOCTL)
        ruleset.files |= FS_IOCTL_DEV;
    if (version >= VERSION_SCOPES)
        ruleset.scopes = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
    int rules = (int)syscall(CREATE_RULESET, &ruleset, size, 0);
    if (rules >= 0 && version >= VERSION_NET && config->connects)
        (void)syscall(ADD_RULE, rules, RULE_NET_PORT, &(struct net_port){.allowed = NET_BIND_TCP}, 0);
    return rules;
}

void landlock_allow(int rules, const char *path)
{
    int fd = rules >= 0 ? open(path, O_PATH | O_CLOEXEC) : -1;
    struct stat status;

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0) {
        struct path_beneath rule = {
            .allowed = S_ISDIR(status.st_mode) ? FS_READ_FILE | FS_READ_DIR : FS_READ_FILE, .parent = fd};
        (void)syscall(ADD_RULE, rules, RULE_PATH_BENEATH, &rule, 0);
    }
    (void)close(fd);
}

#ifdef TCPGREET_INSTRUMENTED
#define IS_ENFORCED false
#else
#define IS_ENFORCED true
#endif

bool landlock_restrict(int rules)
{
    if (rules < 0)
        return false;
    bool is_done = IS_ENFORCED && syscall(RESTRICT_SELF, rules, 0) == 0;
    (void)close(rules);
    return is_done;
}

#elif defined(__OpenBSD__)

int landlock_version(void)
{
    return 1;
}

int landlock_open(const struct landlock_config *config)
{
    (void)config;
    return 0; /* there is nothing to hold on to */
}

void landlock_allow(int rules, const char *path)
{
    (void)rules;
    (void)unveil(path, "r");
}

bool landlock_restrict(int rules)
{
    (void)rules;
    return unveil("/", "") == 0 && unveil(NULL, NULL) == 0;
}

#else

int landlock_version(void)
{
    return 0;
}

int landlock_open(const struct landlock_config *config)
{
    (void)config;
    return -1;
}

void landlock_allow(int rules, const char *path)
{
    (void)rules;
    (void)path;
}

bool landlock_restrict(int rules)
{
    (void)rules;
    return false;
}

#endif

static bool is_root(const char *path)
{
    struct stat root, status;
    return stat("/", &root) < 0 ||
           (stat(path, &status) == 0 && root.st_ino == status.st_ino && root.st_dev == status.st_dev);
}

/* Returns: whether a link leads to what is beside it, or below. */
static bool stays(const char *target)
{
    bool is_above = strncmp(target, "..", 2) == 0 && (target[2] == '/' || target[2] == '\0');
    return target[0] != '/' && !is_above; /* "..data" and "..2026_01_01", of Kubernetes, are names */
}

/* Allows what is in a directory; of the root directory, which has everything, only this file. Shape: file
 * NULL: none. */
static void allow_in(int rules, const char *directory, const char *file)
{
    const char *path = is_root(directory) ? file : directory;
    if (path != NULL)
        landlock_allow(rules, path);
}

static void on_step(void *context, const struct path_step *step)
{
    const int *rules = context;
    if (step->target != NULL && (step->is_last || stays(step->target)))
        allow_in(*rules, step->directory, NULL);
}

/* Shape: a path without links. */
static void allow_file(int rules, const char *path)
{
    char directory[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);

    memcpy(directory, path, length);
    directory[length] = '\0';
    allow_in(rules, slash != NULL ? directory : ".", path);
}

static void allow_links_in(int rules, const char *directory)
{
    DIR *entries = opendir(directory);
    char path[PATH_BYTES], end[PATH_BYTES];

    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat status;
        if (fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISLNK(status.st_mode) &&
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) < (int)sizeof path &&
            path_walk(path, on_step, &rules, end))
            allow_file(rules, end);
    }
    (void)closedir(entries);
}

void landlock_allow_replaced(int rules, const char *path)
{
    char end[PATH_BYTES];
    struct stat status;

    if (rules < 0 || !path_walk(path, on_step, &rules, end))
        return;
    if (stat(end, &status) < 0 || !S_ISDIR(status.st_mode)) {
        allow_file(rules, end);
        return;
    }
    landlock_allow(rules, end);
    allow_links_in(rules, end);
}
