#include "tcpgreet/format/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tcpgreet/base/obstacle.h"

enum { MODE = 0666, MODE_BITS = 07777 };

/* A FIFO that was checked, until it is written: its reader is to see no end before that. */
static int checked_fifo = -1;

static int fail(const char *what, const char *path, int why, struct err *err)
{
    char text[OBSTACLE_BYTES];
    return err_set(err, ERR_SYSTEM_FILE, why, "cannot write %s %s: %s", what, path,
                   obstacle_text(path, why, text));
}

static bool is_checked_fifo(const char *path)
{
    struct stat held, named;
    return checked_fifo >= 0 && fstat(checked_fifo, &held) == 0 && stat(path, &named) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* A FIFO that no process reads from would wait for one, and no signal would end that. Returns: -1 with errno.
 * Source: fifo(7). */
static int open_in_place(const char *path)
{
    bool is_open = is_checked_fifo(path);
    int fd = is_open ? checked_fifo
                     : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, MODE);
    if (is_open)
        checked_fifo = -1;
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK); /* writing waits */
    return fd;
}

/* In such a folder a file is replaced by its owner only. Source: unlink(2), EPERM. */
static bool is_kept(const struct stat *folder, const struct stat *file)
{
    uid_t user = geteuid();
    return (folder->st_mode & S_ISVTX) != 0 && user != 0 && user != file->st_uid && user != folder->st_uid;
}

/* Shape: file: what is there; NULL. Returns: 0, or errno of what is in the way of a new file in place of it.
 */
static int find_obstacle(const char *path, const struct stat *file)
{
    char folder[ATOMIC_FILE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    struct stat status;

    (void)snprintf(folder, sizeof(folder), "%.*s", length > 0 ? (int)length : 1, length > 0 ? path : ".");
    if (stat(folder, &status) < 0)
        return errno;
    if (!S_ISDIR(status.st_mode))
        return ENOTDIR;
    if (access(folder, W_OK | X_OK) < 0)
        return errno;
    if (file != NULL && is_kept(&status, file))
        return EPERM;
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    int why = fd >= 0 ? obstacle_of_space(fd) : 0; /* else it is not to be listed */
    if (fd >= 0)
        (void)close(fd);
    return why;
}

/* Follows symbolic links to what is to be replaced. Returns: whether it can be: it is a plain file, or free.
 */
static bool find(const char *path, char found[ATOMIC_FILE_PATH_BYTES], mode_t *mode)
{
    struct stat status;
    char *real = realpath(path, NULL);

    (void)snprintf(found, ATOMIC_FILE_PATH_BYTES, "%s", real != NULL ? real : path);
    free(real);
    *mode = 0;
    if (stat(path, &status) < 0)
        return errno == ENOENT;
    *mode = status.st_mode & MODE_BITS;
    return S_ISREG(status.st_mode) && find_obstacle(found, &status) != EPERM;
}

/* Opens what is neither a plain file nor a directory, and writes nothing. Returns: 0, or errno. */
static int try_special(const char *path, mode_t mode)
{
    if (S_ISFIFO(mode) && is_checked_fifo(path))
        return 0;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno;
    int why = obstacle_of_space(fd);
    if (S_ISFIFO(mode) && checked_fifo < 0)
        checked_fifo = fd;
    else
        (void)close(fd);
    return why;
}

/* Returns: 0, or errno of what is in the way of writing path. */
static int find_obstacle_of(const char *path)
{
    char found[ATOMIC_FILE_PATH_BYTES];
    struct stat status;
    mode_t mode;

    if (strlen(path) >= ATOMIC_FILE_PATH_BYTES)
        return ENAMETOOLONG;
    if (path[0] == '\0')
        return ENOENT;
    if (stat(path, &status) < 0)
        return errno == ENOENT ? find_obstacle(path, NULL) : errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    if (!S_ISREG(status.st_mode))
        return try_special(path, status.st_mode);
    (void)find(path, found, &mode);
    int why = find_obstacle(found, &status);
    return why == ENOSPC || (why != 0 && access(path, W_OK) < 0) ? why : 0; /* it is written in place */
}

int atomic_file_check(const char *what, const char *path, struct err *err)
{
    char text[OBSTACLE_BYTES];
    int why = find_obstacle_of(path);

    return why == 0 ? 0
                    : err_set(err, ERR_USAGE, why, "%s %s cannot be written: %s", what, path,
                              obstacle_text(path, why, text));
}

/* Returns: a file beside path, with its permissions; -1: there cannot be one. */
static int open_part(struct atomic_file *file, mode_t mode)
{
    int length = snprintf(file->part, sizeof(file->part), "%s.%ld.part", file->path, (long)getpid());
    int fd = (size_t)length < sizeof(file->part)
                 ? open(file->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE)
                 : -1;

    if (fd < 0)
        file->part[0] = '\0';
    else if (mode != 0)
        (void)fchmod(fd, mode); /* without it, it has those of a new file */
    return fd;
}

static void remove_part(struct atomic_file *file)
{
    if (file->part[0] != '\0')
        (void)unlink(file->part);
    file->part[0] = '\0';
}

int atomic_file_open(struct atomic_file *file, const char *what, const char *path, struct err *err)
{
    mode_t mode;

    *file = (struct atomic_file){0};
    if (strlen(path) >= sizeof(file->path))
        return fail(what, path, ENAMETOOLONG, err);
    bool replaces = find(path, file->path, &mode);
    int fd = replaces ? open_part(file, mode) : -1;
    if (fd < 0)
        fd = open_in_place(path);
    if (fd < 0)
        return fail(what, path, errno, err);
    file->out = fdopen(fd, "w");
    if (file->out != NULL)
        return 0;
    int why = errno;
    (void)close(fd);
    remove_part(file);
    return fail(what, path, why, err);
}

int atomic_file_close(struct atomic_file *file, const char *what, struct err *err)
{
    errno = 0;
    bool whole = fflush(file->out) == 0 && ferror(file->out) == 0;
    int why = whole ? 0 : errno != 0 ? errno : EIO;

    if (fclose(file->out) != 0 && whole) {
        whole = false;
        why = errno;
    }
    if (whole && file->part[0] != '\0' && rename(file->part, file->path) < 0) {
        whole = false;
        why = errno;
    }
    if (whole)
        return 0;
    remove_part(file);
    return fail(what, file->path, why, err);
}
