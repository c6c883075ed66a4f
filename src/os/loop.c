#include "tcpgreet/os/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

static void *pass(void *gate)
{
    (void)pthread_mutex_lock(gate);
    (void)pthread_mutex_unlock(gate);
    return NULL;
}

/* Returns: how many threads can be there at a time, up to so many. */
static size_t count_threads(size_t wanted)
{
    enum { STACK_BYTES = 8 * 1024 * 1024 }; /* as libuv has it */
    pthread_t *threads = calloc(wanted, sizeof *threads);
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_attr_t attributes;
    size_t count = 0;

    if (threads == NULL || pthread_attr_init(&attributes) != 0) {
        free(threads);
        return 0;
    }
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_mutex_lock(&gate);
    while (count < wanted && pthread_create(&threads[count], &attributes, pass, &gate) == 0)
        count++;
    (void)pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < count; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_attr_destroy(&attributes);
    free(threads);
    return count;
}

void loop_widen_pool(size_t threads)
{
    char number[24];

    if (getenv("UV_THREADPOOL_SIZE") != NULL)
        return;
    size_t possible = count_threads(threads);
    if (possible < threads) /* libuv aborts where it cannot start one, and others are needed, too */
        threads = possible > 3 ? possible / 2 : 1;
    (void)snprintf(number, sizeof number, "%zu", threads);
    (void)setenv("UV_THREADPOOL_SIZE", number, 0); /* without memory the pool is small */
}
