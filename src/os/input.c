#include "tcpgreet/os/input.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "tcpgreet/base/interrupt.h"
#include "tcpgreet/os/signals.h"

enum { INPUT_BYTES_FIRST = 64 * 1024, MS_PER_S = 1000, NS_PER_MS = 1000 * 1000 };

static const int numbers[SIGNALS_OF_END] = {SIGINT, SIGTERM};

/* What is read. */
struct watch {
    int fd;
    struct input *input;
    uint64_t start_ns;
    struct interrupt interrupt;
};

static int fail(const char *name, struct err *err)
{
    enum err_reason reason = err_reason_of_system(errno);
    if (reason != ERR_SYSTEM_PERMISSION && reason != ERR_SYSTEM_DESCRIPTORS)
        reason = ERR_SYSTEM_FILE;
    return err_set(err, reason, errno, "%s cannot be read: %s", name, strerror(errno));
}

/* Returns: as interrupt_await, at the latest when the timeout is over. */
static int await_in_time(const struct watch *watch)
{
    struct input *input = watch->input;
    int64_t left_ms = input->timeout_ms - input->took_ms;
    struct timespec left = {.tv_sec = left_ms / MS_PER_S, .tv_nsec = (long)(left_ms % MS_PER_S) * NS_PER_MS};

    int ready = interrupt_await(&watch->interrupt, watch->fd, input->timeout_ms > 0 ? &left : NULL);
    input->took_ms = (int64_t)(uv_hrtime() - watch->start_ns) / NS_PER_MS;
    return ready;
}

/* Returns: 1: there is something to read, or the end; 0: not yet; -1 with err. */
static int await(const struct watch *watch, struct err *err)
{
    const struct input *input = watch->input;

    if (input->timeout_ms > 0 && input->took_ms >= input->timeout_ms)
        return err_set(err, ERR_CONNECT_TIMEOUT, 0, "--timeout (%g s) expired before the end of %s",
                       (double)input->timeout_ms / (double)MS_PER_S, input->name);
    int ready = await_in_time(watch);
    if (interrupt_caught() != 0)
        return signals_set_end(interrupt_caught(), err);
    return ready < 0 ? fail(input->name, err) : ready;
}

/* Returns: 0, -1: no memory, or too much. */
static int make_room(const char *name, struct file *file, size_t *room, struct err *err)
{
    size_t more = *room == 0 ? INPUT_BYTES_FIRST : 2 * *room;

    if (file->length < *room)
        return 0;
    if (file->length > FILE_BYTES_MAX)
        return err_set(err, ERR_SYSTEM_FILE, EFBIG, "%s has more than %d MiB", name,
                       FILE_BYTES_MAX / 1024 / 1024);
    char *data = realloc(file->data, more);
    if (data == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory to read %s", name);
    file->data = data;
    *room = more;
    return 0;
}

static int read_all(const struct watch *watch, struct file *file, struct err *err)
{
    size_t room = 0;

    for (;;) {
        if (make_room(watch->input->name, file, &room, err) < 0)
            return -1;
        int ready = await(watch, err);
        if (ready < 0)
            return -1;
        if (ready == 0)
            continue;
        ssize_t count = read(watch->fd, file->data + file->length, room - file->length);
        if (count == 0)
            return 0;
        if (count > 0)
            file->length += (size_t)count;
        else if (errno != EINTR && errno != EAGAIN)
            return fail(watch->input->name, err);
    }
}

bool input_is_fifo(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
}

int input_read_all(struct input *input, struct file *file, struct err *err)
{
    const char *path = input->path;
    struct watch watch = {
        .fd = path != NULL ? file_open(path) : STDIN_FILENO, .input = input, .start_ns = uv_hrtime()};
    int result = -1;

    *file = (struct file){0};
    input->took_ms = 0;
    if (watch.fd >= FD_SETSIZE)
        errno = EMFILE;
    if (watch.fd < 0 || watch.fd >= FD_SETSIZE)
        fail(input->name, err);
    else {
        interrupt_begin(&watch.interrupt, numbers, SIGNALS_OF_END);
        result = read_all(&watch, file, err);
        interrupt_end(&watch.interrupt);
    }
    if (path != NULL && watch.fd >= 0)
        (void)close(watch.fd);
    if (result < 0)
        file_free(file);
    return result;
}
