#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#ifdef __APPLE__
typedef int initgroups_gid;
#else
typedef gid_t initgroups_gid;
#endif

/* Other numbers stand for a user that does not exist, too. Source: getpwnam(3). */
static bool is_system_failure(int native)
{
    return native == EIO || native == EINTR || native == EMFILE || native == ENFILE || native == ENOMEM;
}

int privileges_find(const char *name, struct privileges_user *user, struct err *err)
{
    errno = 0;
    const struct passwd *found = getpwnam(name);
    int native = errno;
    int length = snprintf(user->name, sizeof user->name, "%s", name);

    if (found == NULL && is_system_failure(native))
        return err_set(err, err_reason_of_system(native), native, "--user %s: cannot look this user up: %s",
                       name, strerror(native));
    if (found == NULL || length >= (int)sizeof user->name)
        return err_set(err, ERR_USAGE, native,
                       "--user %s: there is no user of this name (give a name, not a number or a group; "
                       "getent passwd lists them)",
                       name);
    if (found->pw_uid == 0)
        return err_set(err, ERR_USAGE, 0,
                       "--user %s: this user is root, and would keep its rights (name another user)", name);
    user->uid = found->pw_uid;
    user->gid = found->pw_gid;
    if (geteuid() == 0)
        return 0;
    return err_set(
        err, ERR_SYSTEM_PERMISSION, EPERM,
        "--user %s: only root can become another user, and this process runs as user %lu: start it as "
        "root, or leave --user out",
        name, (unsigned long)geteuid());
}

int privileges_become(const struct privileges_user *user, struct err *err)
{
    if (initgroups(user->name, (initgroups_gid)user->gid) == 0 && setgid(user->gid) == 0 &&
        setuid(user->uid) == 0)
        return 0;
    int native = errno;
    return err_set(err, native == EPERM ? ERR_SYSTEM_PERMISSION : ERR_SYSTEM_OTHER, native,
                   "--user %s: cannot become this user: %s%s", user->name, strerror(native),
                   native == EPERM ? " (CAP_SETUID and CAP_SETGID are needed)" : "");
}

#ifdef __linux__

enum { CAPABILITY_WORDS = 2, CAPABILITY_BITS = 32 };

bool privileges_bound(void)
{
    bool is_done = true;
    for (int i = 0, has; (has = prctl(PR_CAPBSET_READ, i, 0, 0, 0)) >= 0; i++)
        is_done = (has == 0 || prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0) && is_done;
    return is_done;
}

bool privileges_drop(enum privileges_kept kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[CAPABILITY_WORDS], next[CAPABILITY_WORDS] = {{0}};
    const unsigned word = CAP_DAC_READ_SEARCH / CAPABILITY_BITS;
    const __u32 bit = 1U << CAP_DAC_READ_SEARCH % CAPABILITY_BITS;

    if (kept == PRIVILEGES_READ && syscall(SYS_capget, &header, now) == 0)
        next[word].permitted = next[word].effective = now[word].permitted & bit;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, next) == 0;
}

bool privileges_freeze(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool privileges_hide_memory(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

#else

bool privileges_bound(void)
{
    return false;
}

bool privileges_drop(enum privileges_kept kept)
{
    (void)kept;
    return false;
}

bool privileges_freeze(void)
{
    return false;
}

bool privileges_hide_memory(void)
{
    return false;
}

#endif
