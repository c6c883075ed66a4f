#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { READS_IN_A_ROW = 64 };

static void call_more(struct input *input)
{
    input->is_waiting = false;
    input->more(input->context);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct input *input = poll->data;

    (void)status; /* the read reports it */
    (void)events;
    input->is_readable = true;
    call_more(input);
    if (!input->is_waiting && uv_is_active((uv_handle_t *)poll))
        uv_poll_stop(poll);
}

static void on_turn(uv_idle_t *turn)
{
    struct input *input = turn->data;

    uv_idle_stop(turn);
    input->reads = 0;
    call_more(input);
}

static int fail(struct err *err)
{
    return err_set(err, ERR_SYSTEM_FILE, errno, "cannot read standard input: %s", strerror(errno));
}

int input_open(struct input *input, uv_loop_t *loop, int fd, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return fail(err);
    input->fd = fd;
    input->is_polled = uv_poll_init(loop, &input->poll, fd) == 0;
    uv_idle_init(loop, &input->turn); /* which cannot fail */
    input->poll.data = input->turn.data = input;
    if (fcntl(fd, F_SETFL, flags) < 0) /* libuv has made it non-blocking for all processes that share it */
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot restore standard input: %s", strerror(errno));
    return 0;
}

/* Returns: INPUT_WAIT, or INPUT_FAILED. */
static enum input_result wait_for_more(struct input *input, struct err *err)
{
    input->is_waiting = true;
    if (!input->is_polled)
        uv_idle_start(&input->turn, on_turn);
    else if (!uv_is_active((uv_handle_t *)&input->poll) &&
             uv_poll_start(&input->poll, UV_READABLE, on_readable) != 0) {
        err_set(err, ERR_INTERNAL, 0, "cannot wait for standard input");
        return INPUT_FAILED;
    }
    return INPUT_WAIT;
}

enum input_result input_read(struct input *input, char *data, size_t room, size_t *count, struct err *err)
{
    ssize_t n;

    if (input->is_polled ? !input->is_readable : input->reads++ == READS_IN_A_ROW)
        return wait_for_more(input, err);
    input->is_readable = false;
    do
        n = read(input->fd, data, room);
    while (n < 0 && errno == EINTR);
    *count = n > 0 ? (size_t)n : 0;
    if (n >= 0)
        return n > 0 ? INPUT_BYTES : INPUT_END;
    if (input->is_polled && (errno == EAGAIN || errno == EWOULDBLOCK)) /* another process has read it */
        return wait_for_more(input, err);
    fail(err);
    return INPUT_FAILED;
}

void input_close(struct input *input)
{
    if (input->is_polled)
        uv_close((uv_handle_t *)&input->poll, NULL);
    if (input->turn.data != NULL)
        uv_close((uv_handle_t *)&input->turn, NULL);
}
