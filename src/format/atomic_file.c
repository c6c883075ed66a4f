#include "tcpgreet/format/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE = 0666, MODE_BITS = 07777 };

static int fail(const char *what, const char *path, int why, struct err *err)
{
    return err_set(err, ERR_SYSTEM_FILE, why, "cannot write %s %s: %s", what, path,
                   why == ENXIO ? "no process reads from it" : strerror(why));
}

/* A FIFO that no process reads from would wait for one, and no signal would end that. Returns: -1 with errno.
 * Source: fifo(7). */
static int open_in_place(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, MODE);
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK); /* writing waits */
    return fd;
}

/* Follows symbolic links to what is to be replaced. Returns: whether path is a plain file, or free. */
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
    return S_ISREG(status.st_mode);
}

/* Returns: 0, or errno of what is in the way of a new file. */
static int find_obstacle(const char *path)
{
    char folder[ATOMIC_FILE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    struct stat status;

    (void)snprintf(folder, sizeof(folder), "%.*s", (int)length, path);
    if (stat(length > 0 ? folder : ".", &status) < 0)
        return errno;
    if (!S_ISDIR(status.st_mode))
        return ENOTDIR;
    return access(length > 0 ? folder : ".", W_OK | X_OK) < 0 ? errno : 0;
}

int atomic_file_check(const char *what, const char *path, struct err *err)
{
    struct stat status;
    int why = 0;

    if (strlen(path) >= ATOMIC_FILE_PATH_BYTES)
        why = ENAMETOOLONG;
    else if (path[0] == '\0' || stat(path, &status) < 0)
        why = path[0] == '\0' ? ENOENT : errno == ENOENT ? find_obstacle(path) : errno;
    else if (S_ISDIR(status.st_mode))
        why = EISDIR;
    else if (access(path, W_OK) < 0)
        why = S_ISREG(status.st_mode) && find_obstacle(path) == 0 ? 0 : EACCES;
    return why == 0 ? 0
                    : err_set(err, ERR_USAGE, why, "%s %s cannot be written: %s", what, path, strerror(why));
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
