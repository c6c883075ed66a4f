#include "tcpgreet/base/obstacle.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const struct {
    int why;
    const char *advice;
} advices[] = {
    {ENOENT, " (create its directory first)"},
    {ENOTDIR, " (only the last part of a path can be a file)"},
    {EACCES, " (give a place where this user may write)"},
    {EPERM, " (give a place where this user may write)"},
    {EROFS, " (give a place on another file system)"},
    {ENOSPC, " (free some, or give a place on another device)"},
    {EDQUOT, " (free some, or give a place on another file system)"},
};

static const char *advice_on(int why)
{
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
        if (advices[i].why == why)
            return advices[i].advice;
    return "";
}

const char *obstacle_text(const char *path, int why, char text[OBSTACLE_BYTES])
{
    struct stat status;
    bool is_known = stat(path, &status) == 0;

    if (why == EISDIR)
        return "it is a directory (give the name of a file)";
    if (why == ENXIO && is_known && S_ISFIFO(status.st_mode))
        return "it is a FIFO that no process reads from (start its reader first)";
    if (why == ENXIO && is_known && S_ISSOCK(status.st_mode))
        return "it is a socket (give the name of a file)";
    (void)snprintf(text, OBSTACLE_BYTES, "%s%s", strerror(why), advice_on(why));
    return text;
}

int obstacle_of_space(int fd)
{
    struct stat status;
    struct statvfs space;

    if (fstat(fd, &status) < 0)
        return 0;
    if (S_ISCHR(status.st_mode))
        return write(fd, "", 0) < 0 && errno == ENOSPC ? ENOSPC : 0;
    if ((!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) || fstatvfs(fd, &space) < 0)
        return 0;
    return space.f_blocks > 0 && (geteuid() == 0 ? space.f_bfree : space.f_bavail) == 0 ? ENOSPC : 0;
}
