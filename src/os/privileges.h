/* The rights of this process: its user, its capabilities, and whether its memory can be read by others. */
#ifndef TCPGREET_OS_PRIVILEGES_SOURCE_H
#define TCPGREET_OS_PRIVILEGES_SOURCE_H

#include <stdbool.h>
#include <sys/types.h>

#include "tcpgreet/base/err.h"

enum { PRIVILEGES_NAME_BYTES = 64 };

struct privileges_user {
    char name[PRIVILEGES_NAME_BYTES];
    uid_t uid;
    gid_t gid;
};

/* Looks a user up. Errors: usage: there is none, or it is root; system-permission: this process cannot become
 * another user; system-…, internal: users cannot be looked up. Returns: 0, -1. Source: getpwnam(3). */
int privileges_find(const char *name, struct privileges_user *user, struct err *err);

/* Becomes this user for good, with its groups. Errors: system-permission, system-other. Returns: 0, -1.
 * Source: initgroups(3), setuid(2). */
int privileges_become(const struct privileges_user *user, struct err *err);

/* Takes all capabilities out of the bounding set, so that no program that this process might execute has any.
 * It keeps its own. Returns: whether that set is empty. */
bool privileges_bound(void);

/* What a process has in the end. */
enum privileges_kept {
    PRIVILEGES_NONE,
    PRIVILEGES_READ /* CAP_DAC_READ_SEARCH, if it was there: to open what the owner alone may read */
};

/* Gives up all other capabilities. Returns: whether it did. Source: capabilities(7). */
bool privileges_drop(enum privileges_kept kept);

/* No program that this process might execute has more rights than it has. Returns: whether that is so.
 * Source: PR_SET_NO_NEW_PRIVS(2const). */
bool privileges_freeze(void);

/* No core dumps, and no debugger but root's. Returns: whether that is so. Source: PR_SET_DUMPABLE(2const). */
bool privileges_hide_memory(void);

#endif
