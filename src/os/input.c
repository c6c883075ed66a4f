#include "tcpgreet/os/input.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "tcpgreet/os/signals.h"

enum { INPUT_BYTES_FIRST = 64 * 1024 };

static const int numbers[SIGNALS_OF_END] = {SIGINT, SIGTERM};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* What is changed while standard input is read. */
struct watch {
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

static int fail(struct err *err)
{
    return err_set(err, ERR_SYSTEM_FILE, errno, "standard input cannot be read: %s", strerror(errno));
}

/* Returns: 1: there is something to read, or the end; 0: not yet; -1 with err. */
static int await(const struct watch *watch, struct err *err)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(STDIN_FILENO, &set);
    int count = pselect(STDIN_FILENO + 1, &set, NULL, NULL, NULL, &watch->mask);
    if (caught != 0)
        return signals_set_end(caught, err);
    return count < 0 && errno != EINTR ? fail(err) : count > 0;
}

/* Returns: 0, -1: no memory, or too much. */
static int make_room(struct file *file, size_t *room, struct err *err)
{
    size_t more = *room == 0 ? INPUT_BYTES_FIRST : 2 * *room;

    if (file->length < *room)
        return 0;
    if (file->length > FILE_BYTES_MAX)
        return err_set(err, ERR_SYSTEM_FILE, EFBIG, "standard input has more than %d MiB",
                       FILE_BYTES_MAX / 1024 / 1024);
    char *data = realloc(file->data, more);
    if (data == NULL)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory to read standard input");
    file->data = data;
    *room = more;
    return 0;
}

static int read_all(const struct watch *watch, struct file *file, struct err *err)
{
    size_t room = 0;

    for (;;) {
        if (make_room(file, &room, err) < 0)
            return -1;
        int ready = await(watch, err);
        if (ready < 0)
            return -1;
        if (ready == 0)
            continue;
        ssize_t count = read(STDIN_FILENO, file->data + file->length, room - file->length);
        if (count == 0)
            return 0;
        if (count > 0)
            file->length += (size_t)count;
        else if (errno != EINTR && errno != EAGAIN)
            return fail(err);
    }
}

int input_read_all(struct file *file, struct err *err)
{
    struct watch watch;

    *file = (struct file){0};
    begin(&watch);
    int result = read_all(&watch, file, err);
    end(&watch);
    if (result < 0)
        file_free(file);
    return result;
}
