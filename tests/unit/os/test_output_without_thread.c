#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "support/no_thread.h"
#include "support/watched.h"
#include "tcpgreet/os/output.h"

/* The module is compiled into this program, and no thread can be started. */
#define pthread_create no_thread
#include "os/output.c"
#undef pthread_create

enum { TEXT_BYTES = 1024 * 1024 };

static char text[TEXT_BYTES];

static void on_changed(void *context)
{
    (void)context;
}

static struct output *open_output(struct watched *watched, int fd)
{
    struct err err = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    watched_open(watched);
    struct output *output = output_open(&watched->loop, fd, on_changed, NULL, &err);
    assert_non_null(output);
    return output;
}

static void *read_all(void *context)
{
    static char received[TEXT_BYTES + 1];
    size_t length = 0;
    ssize_t count;
    int fd = *(int *)context;

    while ((count = read(fd, received + length, sizeof received - length)) > 0)
        length += (size_t)count;
    return length == TEXT_BYTES && memcmp(received, text, TEXT_BYTES) == 0 ? context : NULL;
}

static void a_reader_receives_every_byte(void **state)
{
    struct watched watched;
    struct err err = {0};
    pthread_t reader;
    void *received;
    int fds[2];
    (void)state;

    for (size_t i = 0; i < TEXT_BYTES; i++)
        text[i] = (char)(i * 31 + (i >> 8));
    assert_int_equal(pipe(fds), 0);
    struct output *output = open_output(&watched, fds[1]);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &fds[0]), 0);
    assert_int_equal(output_write(output, (struct bytes){text, TEXT_BYTES}, &err), 0);
    assert_false(output_is_pending(output));
    assert_int_equal(output_close(output, 0, &err), 0);
    close(fds[1]);
    assert_int_equal(pthread_join(reader, &received), 0);
    assert_non_null(received);
    close(fds[0]);
    watched_close(&watched);
}

static void a_reader_that_does_not_read_is_not_waited_for(void **state)
{
    struct watched watched;
    struct err err = {0};
    int fds[2];
    (void)state;

    assert_int_equal(pipe(fds), 0);
    struct output *output = open_output(&watched, fds[1]);
    watched_block(true);
    assert_int_equal(output_write(output, (struct bytes){text, TEXT_BYTES}, &err), -1);
    watched_block(false);
    assert_int_equal(err.reason, ERR_SYSTEM_OTHER);
    assert_string_equal(err.text,
                        "cannot wait for the reader of standard output: no thread can be started: Resource "
                        "temporarily unavailable (raise ulimit -u or -v, or pids.max of the control group)");
    assert_int_equal(output_close(output, 0, NULL), 0);
    close(fds[0]);
    close(fds[1]);
    watched_close(&watched);
}

static void a_write_that_fails_is_reported(void **state)
{
    struct watched watched;
    struct err err = {0}, again = {0};
    int fds[2];
    (void)state;

    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    struct output *output = open_output(&watched, fds[1]);
    assert_int_equal(output_write(output, (struct bytes){text, TEXT_BYTES}, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_OUTPUT);
    assert_int_equal(err.native, EPIPE);
    assert_int_equal(output_close(output, 0, &again), -1);
    assert_int_equal(again.native, EPIPE);
    close(fds[1]);
    watched_close(&watched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_receives_every_byte),
        cmocka_unit_test(a_reader_that_does_not_read_is_not_waited_for),
        cmocka_unit_test(a_write_that_fails_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
