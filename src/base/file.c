#include "tcpgreet/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*open_file)(const char *path) = file_open;

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* The last: of a function of file_open_by alone. */
static const char *explain(int native)
{
    return native != ECHILD ? strerror(native) : "the process that opens files has ended: restart the server";
}

static int refuse_errno(const char *what, const char *path, struct err *err)
{
    enum err_reason reason = err_reason_of_system(errno);
    if (reason != ERR_SYSTEM_PERMISSION && reason != ERR_SYSTEM_DESCRIPTORS && reason != ERR_INTERNAL)
        reason = ERR_SYSTEM_FILE;
    return err_set(err, reason, errno, "%s %s cannot be read: %s", what, path, explain(errno));
}

/* Reads to the end; what grows or shrinks meanwhile is taken as it comes. */
static int read_all(int fd, const char *what, const char *path, size_t expected, struct file *file,
                    struct err *err)
{
    size_t room = expected + 1; /* one more, to find the end without reading twice */
    file->data = malloc(room);
    if (file->data == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory to read %s", path);
    for (;;) {
        ssize_t count = read(fd, file->data + file->length, room - file->length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return refuse_errno(what, path, err);
        if (count == 0)
            return 0;
        file->length += (size_t)count;
        if (file->length == room)
            return err_set(err, ERR_SYSTEM_FILE, 0, "%s %s changed while it was read: try again", what, path);
    }
}

int file_open(const char *path)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    return fd;
}

void file_open_by(int (*function)(const char *path))
{
    open_file = function;
}

int file_read(const char *what, const char *path, struct file *file, struct err *err)
{
    struct stat status;
    int result = -1;

    *file = (struct file){0};
    int fd = open_file(path);
    if (fd < 0 && errno == ENXIO)
        return err_set(err, ERR_SYSTEM_FILE, errno,
                       "%s %s cannot be read: it is a socket, not a regular file", what, path);
    if (fd < 0)
        return refuse_errno(what, path, err);
    if (fstat(fd, &status) < 0)
        refuse_errno(what, path, err);
    else if (!S_ISREG(status.st_mode))
        err_set(err, ERR_SYSTEM_FILE, S_ISDIR(status.st_mode) ? EISDIR : 0,
                "%s %s cannot be read: it is %s, not a regular file", what, path, kind_of(status.st_mode));
    else if (status.st_size > FILE_BYTES_MAX)
        err_set(err, ERR_SYSTEM_FILE, EFBIG, "%s %s cannot be read: it has more than %d MiB", what, path,
                FILE_BYTES_MAX / 1024 / 1024);
    else
        result = read_all(fd, what, path, (size_t)status.st_size, file, err);
    file->mode = status.st_mode;
    (void)close(fd);
    if (result < 0)
        file_free(file);
    return result;
}

void file_free(struct file *file)
{
    volatile char *secret = file->data;
    for (size_t i = 0; secret != NULL && i < file->length; i++)
        secret[i] = 0;
    free(file->data);
    *file = (struct file){0};
}
