#include "tcpgreet/os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "tcpgreet/os/process.h"

/* libuv's first loop takes a descriptor for the kernel's queue and two for a pipe, without which it aborts;
 * from 1.45 on two more for io_uring, and one for waking it. Returns: 0, or an error of libuv. */
static int find_descriptors(void)
{
    enum { DESCRIPTORS = 6 };
    int fds[DESCRIPTORS], count = 0, result = 0;
    while (result == 0 && count < DESCRIPTORS) {
        fds[count] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
        if (fds[count] < 0)
            result = uv_translate_sys_error(errno);
        else
            count++;
    }
    while (count > 0)
        close(fds[--count]);
    return result;
}

int loop_init(uv_loop_t *loop)
{
    int result = find_descriptors();
    return result == 0 ? uv_loop_init(loop) : result;
}

int loop_fail(struct err *err, int result, const char *what)
{
    bool exhausted = result == UV_EMFILE || result == UV_ENFILE;
    return err_set(err, exhausted ? ERR_SYSTEM_DESCRIPTORS : ERR_INTERNAL, -result, "%s: %s%s", what,
                   uv_strerror(result), exhausted ? " (raise ulimit -n)" : "");
}

int loop_open(uv_loop_t *loop, struct err *err)
{
    enum { DESCRIPTORS = 16 }; /* 6 for the loop and its signals; two sockets; what two lookups open */

    if (process_check_descriptors(DESCRIPTORS, err) < 0)
        return -1;
    int result = loop_init(loop);
    return result == 0 ? 0 : loop_fail(err, result, "cannot start an event loop");
}

static bool is_left;

void loop_leave(void)
{
    is_left = true;
}

bool loop_is_left(void)
{
    return is_left;
}
