/* A path that is followed link by link. */
#ifndef TCPGREET_OS_PATH_H
#define TCPGREET_OS_PATH_H

#include <limits.h>
#include <stdbool.h>

#ifdef PATH_MAX
enum { PATH_BYTES = PATH_MAX };
#else
enum { PATH_BYTES = 4096 };
#endif

/* A name on the way, which may be replaced by another file. */
struct path_step {
    const char *directory; /* that holds the name; without links; "." for the working directory */
    const char *name;
    const char *target; /* where the name leads to as a symbolic link; NULL: it is none, or does not exist */
    bool is_last;       /* no other name follows it in the path, or in the target of the link before it */
};

/* Follows a path as the kernel does, and calls back for each symbolic link on the way, and for the last name.
 * Returns: whether it leads to something, whose path without links is then in `end`; false also where it
 * is too long or has too many links. Thread: any; the working directory stays as it is. Source:
 * path_resolution(7). */
bool path_walk(const char *path, void (*on_step)(void *context, const struct path_step *step), void *context,
               char end[PATH_BYTES]);

#endif
