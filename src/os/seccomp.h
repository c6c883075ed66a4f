/* System calls: which this process can still make, by seccomp on Linux and pledge on OpenBSD. */
#ifndef TCPGREET_OS_SECCOMP_H
#define TCPGREET_OS_SECCOMP_H

#include <stdbool.h>

enum seccomp_role { SECCOMP_SERVER = 1, SECCOMP_EXPORTER = 2, SECCOMP_HELPER = 4 };

struct seccomp_config {
    enum seccomp_role role;
    bool opens_files; /* to read them */
};

/* From now on libuv's loops do without io_uring, whose operations pass by every filter. Shape: after
 * privileges_freeze, and before a loop is made. Returns: whether that is so. */
bool seccomp_forbid_io_uring(void);

/* From now on this thread, and those that it starts, can make the calls of docs/hardening.md and no others:
 * these fail with EPERM, or with ENOSYS where a library then does without. Shape: after privileges_freeze.
 * Returns: whether that is so. Source: seccomp(2), seccomp_rule_add(3). */
bool seccomp_restrict(const struct seccomp_config *config);

/* Writes "libseccomp 2.5.4", or what there is in its place. Returns: text. */
const char *seccomp_version_text(char *text, unsigned long room);

#endif
