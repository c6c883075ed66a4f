#include "landlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The C library's and the kernel's headers may be older than the kernel: what they lack is written here as
 * the kernel has it. Source: Documentation/userspace-api/landlock.rst. */
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>

enum {
    CREATE_RULESET = 444,
    ADD_RULE = 445,
    RESTRICT_SELF = 446
}; /* the same numbers on every architecture */
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

/* A path that is followed link by link. Invariant: `at` has no link in it, and `rest` is what follows, "" at
 * the end. */
struct walk {
    int rules;
    int links;
    char at[PATH_MAX];
    char rest[PATH_MAX];
};

enum { LINKS_MAX = 40 }; /* as the kernel has it */

/* The root directory would allow everything. */
static void allow_directory(const struct walk *walk)
{
    if (walk->at[0] != '\0')
        landlock_allow(walk->rules, walk->at);
}

static void leave_last(char *at)
{
    char *slash = strrchr(at, '/');
    if (slash != NULL)
        *slash = '\0';
}

/* What `rest` begins with goes out of it. Returns: false at the end. */
static bool take_name(struct walk *walk, char name[NAME_MAX + 1])
{
    size_t begin = strspn(walk->rest, "/");
    size_t length = strcspn(walk->rest + begin, "/");
    if (length == 0 || length > NAME_MAX)
        return false;
    memcpy(name, walk->rest + begin, length);
    name[length] = '\0';
    memmove(walk->rest, walk->rest + begin + length, strlen(walk->rest + begin + length) + 1);
    return true;
}

/* `at` and the name are a link to target. */
static bool follow(struct walk *walk, const char *target)
{
    char rest[PATH_MAX];
    bool is_last = walk->rest[strspn(walk->rest, "/")] == '\0';
    bool stays = target[0] != '/' && strncmp(target, "..", 2) != 0;

    if (strncmp(target, "..", 2) == 0 && target[2] != '/' && target[2] != '\0')
        stays = true; /* "..data" and "..2026_01_01", of Kubernetes, are names */
    if (is_last || stays)
        allow_directory(walk);
    if (++walk->links > LINKS_MAX ||
        snprintf(rest, sizeof rest, "%s/%s", target, walk->rest) >= (int)sizeof rest)
        return false;
    memcpy(walk->rest, rest, strlen(rest) + 1);
    if (target[0] == '/')
        walk->at[0] = '\0';
    return true;
}

/* Returns: false where the path leads nowhere. */
static bool step(struct walk *walk, const char *name)
{
    char path[PATH_MAX], target[PATH_MAX];

    if (strcmp(name, ".") == 0)
        return true;
    if (strcmp(name, "..") == 0) {
        leave_last(walk->at);
        return true;
    }
    if (snprintf(path, sizeof path, "%s/%s", walk->at, name) >= (int)sizeof path)
        return false;
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0 && errno != EINVAL)
        return false;
    if (length < 0) {
        memcpy(walk->at, path, strlen(path) + 1);
        return true;
    }
    target[length] = '\0';
    return follow(walk, target);
}

/* Returns: whether it leads to something, whose path without links is walk->at then. */
static bool walk_to_end(struct walk *walk, const char *path)
{
    char name[NAME_MAX + 1];

    walk->at[0] = '\0';
    if (path[0] != '/' && getcwd(walk->at, sizeof walk->at) == NULL)
        return false;
    if (strcmp(walk->at, "/") == 0)
        walk->at[0] = '\0';
    if (snprintf(walk->rest, sizeof walk->rest, "%s", path) >= (int)sizeof walk->rest)
        return false;
    while (take_name(walk, name))
        if (!step(walk, name))
            return false;
    return true;
}

static void allow_file(struct walk *walk)
{
    char file[PATH_MAX];

    memcpy(file, walk->at, strlen(walk->at) + 1);
    leave_last(walk->at);
    if (walk->at[0] != '\0')
        landlock_allow(walk->rules, walk->at);
    else
        landlock_allow(walk->rules, file);
}

static void allow_links_in(int rules, const char *directory)
{
    DIR *entries = opendir(directory);
    char path[PATH_MAX];

    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat status;
        struct walk walk = {.rules = rules};
        if (fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISLNK(status.st_mode) &&
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) < (int)sizeof path &&
            walk_to_end(&walk, path))
            allow_file(&walk);
    }
    (void)closedir(entries);
}

void landlock_allow_replaced(int rules, const char *path)
{
    struct walk walk = {.rules = rules};
    struct stat status;

    if (rules < 0 || !walk_to_end(&walk, path))
        return;
    if (stat(walk.at, &status) < 0 || !S_ISDIR(status.st_mode)) {
        allow_file(&walk);
        return;
    }
    landlock_allow(rules, walk.at);
    allow_links_in(rules, walk.at);
}
