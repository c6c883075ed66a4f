#include "name_input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 4096, READS_IN_A_ROW = 64 };

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct names *names = poll->data;
    (void)status; /* the read tells */
    (void)events;
    uv_poll_stop(poll);
    names->readable = true;
    names->more(names->context);
}

static void on_turn(uv_timer_t *timer)
{
    struct names *names = timer->data;
    names->reads = 0;
    names->more(names->context);
}

int names_open(struct names *names, uv_loop_t *loop, int fd, struct err *err)
{
    names->fd = names->operand_count > 0 ? -1 : fd;
    if (names->fd < 0)
        return 0;

    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot read names from standard input: %s",
                       strerror(errno));
    names->polled = uv_poll_init(loop, &names->poll, fd) == 0;
    names->poll.data = names->turn.data = names;
    if (uv_timer_init(loop, &names->turn) != 0)
        return err_set(err, ERR_INTERNAL, 0, "cannot make a timer");
    if (fcntl(fd, F_SETFL, flags) < 0) /* libuv has made it non-blocking for everybody who shares it */
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot restore standard input: %s", strerror(errno));
    return 0;
}

static enum names_result next_operand(struct names *names, struct bytes *name)
{
    if (names->given == names->operand_count)
        return NAMES_END;
    const char *operand = names->operands[names->given++];
    *name = (struct bytes){operand, strlen(operand)};
    return NAMES_NEXT;
}

/* Reads once, where that does not block. Returns: NAMES_NEXT where there is something new to look at. */
static enum names_result fill(struct names *names, struct err *err)
{
    char data[READ_BYTES];
    ssize_t n;

    if (names->polled && !names->readable) {
        if (uv_poll_start(&names->poll, UV_READABLE, on_readable) == 0)
            return NAMES_WAIT;
        err_set(err, ERR_INTERNAL, 0, "cannot wait for standard input");
        return NAMES_FAILED;
    }
    names->readable = false;
    if (!names->polled && names->reads++ == READS_IN_A_ROW) {
        uv_timer_start(&names->turn, on_turn, 1, 0); /* at 0 it would run again in the same turn */
        return NAMES_WAIT;
    }
    do
        n = read(names->fd, data, sizeof data);
    while (n < 0 && errno == EINTR);

    names->ended = n == 0;
    if (n < 0 && !(errno == EAGAIN && names->polled)) {
        err_set(err, ERR_SYSTEM_FILE, errno, "cannot read names from standard input: %s", strerror(errno));
        return NAMES_FAILED;
    }
    if (n > 0 && buf_append(&names->line, (struct bytes){data, (size_t)n}) < 0) {
        err_set(err, ERR_INTERNAL, 0, "no memory for a name");
        return NAMES_FAILED;
    }
    return NAMES_NEXT;
}

/* What is buffered as a line, if one ends in it or nothing more will come. *taken: with its newline. */
static bool find_line(const struct names *names, struct bytes *line, size_t *taken)
{
    struct bytes bytes = buf_bytes(&names->line);
    const char *lf = bytes.length > 0 ? memchr(bytes.data, '\n', bytes.length) : NULL;

    if (lf == NULL && !(names->ended && bytes.length > 0))
        return false;
    size_t length = lf != NULL ? (size_t)(lf - bytes.data) : bytes.length;
    *taken = lf != NULL ? length + 1 : length;
    if (lf != NULL && length > 0 && bytes.data[length - 1] == '\r')
        length--;
    *line = (struct bytes){bytes.data, length};
    return true;
}

/* Throws away what belongs to a line that is too long. Returns: whether its end is reached. */
static bool skip(struct names *names)
{
    struct bytes line;
    size_t taken;
    bool whole = find_line(names, &line, &taken);
    buf_consume(&names->line, whole ? taken : buf_length(&names->line));
    names->skipping = !whole && !names->ended;
    return !names->skipping;
}

static enum names_result refuse(struct names *names, const struct err *why, struct err *err)
{
    err_set(err, ERR_USAGE, 0, "line %zu of standard input: %s", names->given, why->text);
    return NAMES_REFUSED;
}

static enum names_result refuse_endless(struct names *names, struct err *err)
{
    struct err why = {0};
    names->given++;
    err_set(&why, ERR_USAGE, 0, "the name is too long: a name has at most %d bytes", GREETING_NAME_MAX);
    names->skipping = true;
    return refuse(names, &why, err);
}

static enum names_result next_line(struct names *names, struct bytes *name, struct err *err)
{
    struct err why = {0};

    buf_consume(&names->line, names->taken);
    names->taken = 0;
    for (;;) {
        if (names->skipping && !skip(names)) {
            /* more of it is to come */
        } else if (find_line(names, name, &names->taken)) {
            names->given++;
            if (session_name_fits(names->framing, *name, &why) == 0)
                return NAMES_NEXT;
            return refuse(names, &why, err);
        } else if (buf_length(&names->line) > GREETING_NAME_MAX + 1) {
            return refuse_endless(names, err);
        } else if (names->ended) {
            return NAMES_END;
        }
        enum names_result result = fill(names, err);
        if (result != NAMES_NEXT)
            return result;
    }
}

enum names_result names_next(struct names *names, struct bytes *name, struct err *err)
{
    return names->fd < 0 ? next_operand(names, name) : next_line(names, name, err);
}

void names_close(struct names *names)
{
    if (names->polled)
        uv_close((uv_handle_t *)&names->poll, NULL);
    if (names->turn.data != NULL)
        uv_close((uv_handle_t *)&names->turn, NULL);
    buf_fini(&names->line);
}
