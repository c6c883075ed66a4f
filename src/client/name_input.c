#include "name_input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 4096, READS_IN_A_ROW = 64 };

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct name_input *input = poll->data;
    (void)status; /* the read reports it */
    (void)events;
    uv_poll_stop(poll);
    input->readable = true;
    input->more(input->context);
}

static void on_turn(uv_timer_t *timer)
{
    struct name_input *input = timer->data;
    input->reads = 0;
    input->more(input->context);
}

int name_input_open(struct name_input *input, uv_loop_t *loop, int fd, struct err *err)
{
    input->fd = input->operand_count > 0 ? -1 : fd;
    if (input->fd < 0)
        return 0;

    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot read names from standard input: %s",
                       strerror(errno));
    input->polled = uv_poll_init(loop, &input->poll, fd) == 0;
    input->poll.data = input->turn.data = input;
    uv_timer_init(loop, &input->turn); /* which cannot fail */
    if (fcntl(fd, F_SETFL, flags) < 0) /* libuv has made it non-blocking for all processes that share it */
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot restore standard input: %s", strerror(errno));
    return 0;
}

static enum name_input_result next_operand(struct name_input *input, struct bytes *name)
{
    if (input->given == input->operand_count)
        return NAME_INPUT_END;
    const char *operand = input->operands[input->given++];
    *name = (struct bytes){operand, strlen(operand)};
    return NAME_INPUT_NEXT;
}

/* Reads once, where that does not block. Returns: NAME_INPUT_NEXT where there is something new to look at. */
static enum name_input_result fill(struct name_input *input, struct err *err)
{
    char data[READ_BYTES];
    ssize_t n;

    if (input->polled && !input->readable) {
        if (uv_poll_start(&input->poll, UV_READABLE, on_readable) == 0)
            return NAME_INPUT_WAIT;
        err_set(err, ERR_INTERNAL, 0, "cannot wait for standard input");
        return NAME_INPUT_FAILED;
    }
    input->readable = false;
    if (!input->polled && input->reads++ == READS_IN_A_ROW) {
        uv_timer_start(&input->turn, on_turn, 1, 0); /* at 0 it would run again in the same turn */
        return NAME_INPUT_WAIT;
    }
    do
        n = read(input->fd, data, sizeof data);
    while (n < 0 && errno == EINTR);

    input->ended = n == 0;
    if (n < 0 && !(errno == EAGAIN && input->polled)) {
        err_set(err, ERR_SYSTEM_FILE, errno, "cannot read names from standard input: %s", strerror(errno));
        return NAME_INPUT_FAILED;
    }
    if (n > 0 && buf_append(&input->line, (struct bytes){data, (size_t)n}) < 0) {
        err_set(err, ERR_INTERNAL, 0, "not enough memory for a name");
        return NAME_INPUT_FAILED;
    }
    return NAME_INPUT_NEXT;
}

/* What is buffered as a line, if one ends in it or nothing more will come. *taken: with its newline. */
static bool find_line(const struct name_input *input, struct bytes *line, size_t *taken)
{
    struct bytes bytes = buf_bytes(&input->line);
    const char *lf = bytes.length > 0 ? memchr(bytes.data, '\n', bytes.length) : NULL;

    if (lf == NULL && !(input->ended && bytes.length > 0))
        return false;
    size_t length = lf != NULL ? (size_t)(lf - bytes.data) : bytes.length;
    *taken = lf != NULL ? length + 1 : length;
    if (lf != NULL && length > 0 && bytes.data[length - 1] == '\r')
        length--;
    *line = (struct bytes){bytes.data, length};
    return true;
}

/* Throws away what belongs to a line that is too long. Returns: whether its end is reached. */
static bool skip(struct name_input *input)
{
    struct bytes line;
    size_t taken;
    bool whole = find_line(input, &line, &taken);
    buf_consume(&input->line, whole ? taken : buf_length(&input->line));
    input->skipping = !whole && !input->ended;
    return !input->skipping;
}

static enum name_input_result refuse(struct name_input *input, const struct err *why, struct err *err)
{
    err_set(err, ERR_USAGE, 0, "line %zu of standard input: %s", input->given, why->text);
    return NAME_INPUT_REFUSED;
}

static enum name_input_result refuse_endless(struct name_input *input, struct err *err)
{
    struct err why = {0};
    input->given++;
    err_set(&why, ERR_USAGE, 0, "the name is too long: a name has at most %d bytes", GREETING_NAME_MAX);
    input->skipping = true;
    return refuse(input, &why, err);
}

static enum name_input_result next_line(struct name_input *input, struct bytes *name, struct err *err)
{
    struct err why = {0};

    buf_consume(&input->line, input->taken);
    input->taken = 0;
    for (;;) {
        if (input->skipping && !skip(input)) {
            /* more of it is to come */
        } else if (find_line(input, name, &input->taken)) {
            input->given++;
            if (session_name_fits(input->framing, *name, &why) == 0)
                return NAME_INPUT_NEXT;
            return refuse(input, &why, err);
        } else if (buf_length(&input->line) > GREETING_NAME_MAX + 1) {
            return refuse_endless(input, err);
        } else if (input->ended) {
            return NAME_INPUT_END;
        }
        enum name_input_result result = fill(input, err);
        if (result != NAME_INPUT_NEXT)
            return result;
    }
}

enum name_input_result name_input_next(struct name_input *input, struct bytes *name, struct err *err)
{
    return input->fd < 0 ? next_operand(input, name) : next_line(input, name, err);
}

void name_input_close(struct name_input *input)
{
    if (input->polled)
        uv_close((uv_handle_t *)&input->poll, NULL);
    if (input->turn.data != NULL)
        uv_close((uv_handle_t *)&input->turn, NULL);
    buf_fini(&input->line);
}
