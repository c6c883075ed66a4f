#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tcpgreet/base/log.h"

/* A writer that does not get to run before log_close has looked for it a second time. */
typedef void *thread_main(void *);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    thread_main *entry;
    bool may_run;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *run_late(void *context)
{
    pthread_mutex_lock(&gate.lock);
    while (!gate.may_run)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return gate.entry(context);
}

static int late_thread(pthread_t *thread, const pthread_attr_t *attributes, thread_main *entry, void *context)
{
    gate.entry = entry;
    return pthread_create(thread, attributes, run_late, context);
}

static void open_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.may_run = true;
    pthread_cond_signal(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static int looks;

static int counted_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    if (++looks == 2)
        open_gate();
    return poll(fds, count, timeout);
}

/* The module is compiled into this program. */
#define pthread_create late_thread
#define poll counted_poll
#include "base/log.c"
#undef poll
#undef pthread_create

static void a_line_is_written_by_a_writer_that_runs_late(void **state)
{
    enum { WAIT_MS = 1 };
    int ends[2];
    char line[64] = "";
    (void)state;

    assert_int_equal(pipe(ends), 0);
    const struct log_config config = {.fd = ends[1], .level = LOG_INFO};
    assert_int_equal(log_open(&config), 0);
    log_event(&(struct log_event){LOG_ERROR, "failed", NULL}, "why it failed");
    log_close(WAIT_MS);
    open_gate(); /* else a writer that was given up would not end */
    close(ends[1]);
    assert_true(read(ends[0], line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "why it failed\n"));
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_written_by_a_writer_that_runs_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
