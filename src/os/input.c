#include "tcpgreet/os/input.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tcpgreet/os/signals.h"

enum { INPUT_BYTES_FIRST = 64 * 1024 };

static const int numbers[SIGNALS_OF_END] = {SIGINT, SIGTERM};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* What is read, and what is changed meanwhile. */
struct watch {
    int fd;
    const char *name;
    struct sigaction actions[SIGNALS_OF_END];
    sigset_t mask; /* in which the signals can come, while nothing else is done */
};

static void begin(struct watch *watch)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t both;

    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&both);
    caught = 0;
    for (int i = 0; i < SIGNALS_OF_END; i++)
        (void)sigaddset(&both, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &both, &watch->mask);
    for (int i = 0; i < SIGNALS_OF_END; i++) {
        (void)sigaction(numbers[i], NULL, &watch->actions[i]);
        if (watch->actions[i].sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
    }
}

static void end(const struct watch *watch)
{
    for (int i = 0; i < SIGNALS_OF_END; i++)
        (void)sigaction(numbers[i], &watch->actions[i], NULL);
    (void)sigprocmask(SIG_SETMASK, &watch->mask, NULL);
}

static int fail(const char *name, struct err *err)
{
    enum err_reason reason = err_reason_of_system(errno);
    if (reason != ERR_SYSTEM_PERMISSION && reason != ERR_SYSTEM_DESCRIPTORS)
        reason = ERR_SYSTEM_FILE;
    return err_set(err, reason, errno, "%s cannot be read: %s", name, strerror(errno));
}

/* Returns: 1: there is something to read, or the end; 0: not yet; -1 with err. */
static int await(const struct watch *watch, struct err *err)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(watch->fd, &set);
    int count = pselect(watch->fd + 1, &set, NULL, NULL, NULL, &watch->mask);
    if (caught != 0)
        return signals_set_end(caught, err);
    return count < 0 && errno != EINTR ? fail(watch->name, err) : count > 0;
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
        if (make_room(watch->name, file, &room, err) < 0)
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
            return fail(watch->name, err);
    }
}

bool input_is_fifo(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
}

int input_read_all(const char *path, const char *name, struct file *file, struct err *err)
{
    struct watch watch = {.fd = path != NULL ? file_open(path) : STDIN_FILENO, .name = name};
    int result = -1;

    *file = (struct file){0};
    if (watch.fd >= FD_SETSIZE)
        errno = EMFILE;
    if (watch.fd < 0 || watch.fd >= FD_SETSIZE)
        fail(name, err);
    else {
        begin(&watch);
        result = read_all(&watch, file, err);
        end(&watch);
    }
    if (path != NULL && watch.fd >= 0)
        (void)close(watch.fd);
    if (result < 0)
        file_free(file);
    return result;
}
