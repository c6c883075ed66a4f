/* Files: which this process can still open, by Landlock on Linux and unveil on OpenBSD. */
#ifndef TCPGREET_OS_LANDLOCK_H
#define TCPGREET_OS_LANDLOCK_H

#include <stdbool.h>

struct landlock_config {
    bool connects; /* over TCP, from ports that the kernel chooses; no port can be chosen either way */
};

/* Begins a set of rules. Returns: its descriptor, -1 where this system has no Landlock. Source: landlock(7).
 */
int landlock_open(const struct landlock_config *config);

/* Allows to read what is in a directory, or a file. Shape: what does not exist is passed over. */
void landlock_allow(int rules, const char *path);

/* Allows to read the directory of a file, those that its links lead to now, and those that a link might lead
 * to that is exchanged for another beside it: so a file that is replaced there by rename(2) stays readable.
 * Of a directory: that itself, and where the links in it lead. */
void landlock_allow_replaced(int rules, const char *path);

/* From now on this thread, and those that it starts, can open nothing else. Closes rules. Shape: after
 * privileges_freeze. Returns: whether that is so. */
bool landlock_restrict(int rules);

/* Returns: the version of Landlock that is used, 0 for none. */
int landlock_version(void);

#endif
