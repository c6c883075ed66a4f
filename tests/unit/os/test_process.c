#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/launcher.h"
#include "support/skip.h"
#include "tcpgreet/os/process.h"

enum { PLENTY = 1 << 20 }; /* more than a pipe holds */

struct reader {
    int fd;
    size_t length;
    bool right; /* every byte is the one due */
};

static char byte_at(size_t at)
{
    return (char)(at * 31 + (at >> 8));
}

static void *read_slowly(void *context)
{
    struct reader *reader = context;
    char data[1000];
    ssize_t n;
    reader->right = true;
    while ((n = read(reader->fd, data, sizeof data)) > 0)
        for (ssize_t i = 0; i < n; i++)
            reader->right = reader->right && data[i] == byte_at(reader->length++);
    return NULL;
}

static void write_plenty(int flags)
{
    char *data = malloc(PLENTY);
    struct reader reader = {0};
    struct err err = {0};
    pthread_t thread;
    int fds[2];

    assert_non_null(data);
    for (size_t i = 0; i < PLENTY; i++)
        data[i] = byte_at(i);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, flags), 0);
    reader.fd = fds[0];
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(process_write(fds[1], (struct bytes){data, PLENTY}, &err), 0);
    close(fds[1]);
    pthread_join(thread, NULL);
    close(fds[0]);
    free(data);
    assert_int_equal(reader.length, PLENTY);
    assert_true(reader.right);
    assert_int_equal(err.reason, ERR_OK);
}

static void all_is_written_where_the_reader_is_slow(void **state)
{
    (void)state;
    write_plenty(0);
}

static void all_is_written_where_the_pipe_does_not_block(void **state)
{
    (void)state;
    write_plenty(O_NONBLOCK);
}

static void what_cannot_be_written_is_an_error(void **state)
{
    struct err err = {0};
    int fds[2];
    (void)state;

    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(process_write(fds[1], BYTES_LITERAL("x"), &err), -1);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(err.reason, ERR_SYSTEM_OUTPUT);
    assert_int_equal(err.native, EPIPE);
    close(fds[1]);

    err_clear(&err);
    assert_int_equal(process_write(fds[1], BYTES_LITERAL("x"), &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_OUTPUT);
    assert_non_null(strstr(err.text, "(it is closed)"));

    err_clear(&err);
    int full = open("/dev/full", O_WRONLY);
    if (full >= 0) {
        assert_int_equal(process_write(full, BYTES_LITERAL("x"), &err), -1);
        assert_int_equal(err.native, ENOSPC);
        close(full);
    }
}

static void nothing_to_write_is_no_error(void **state)
{
    struct err err = {0};
    (void)state;
    assert_int_equal(process_write(-1, BYTES_LITERAL(""), &err), 0);
}

/* In a child, for what is done to it cannot be undone. Returns: its exit code. */
static int in_child(int (*check)(unsigned), unsigned argument)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(check(argument));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool same_file(int fd, int other)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Closes those of 0, 1, 2 whose bits are set. Returns: 0 where the guard does what it promises. */
static int guard_closed(unsigned closed)
{
    struct err err = {0};
    int kept[3];

    for (int fd = 0; fd < 3; fd++)
        kept[fd] = fcntl(fd, F_DUPFD, 10);
    for (int fd = 0; fd < 3; fd++)
        if ((closed >> fd & 1) != 0)
            close(fd);
    if (process_guard_standard(&err) < 0 || err.reason != ERR_OK)
        return 1;
    for (int fd = 0; fd < 3; fd++)
        if ((closed >> fd & 1) == 0 && !same_file(fd, kept[fd]))
            return 2;
    if (open("/dev/null", O_RDONLY) < 3)
        return 3;
    if ((closed & 1) != 0 && read(0, &(char){0}, 1) != 0)
        return 4;
    if ((closed & 2) != 0 && (write(1, "x", 1) != -1 || errno != EBADF))
        return 5;
    if ((closed & 4) != 0 && write(2, "x", 1) != 1)
        return 6;
    return 0;
}

static void closed_standard_descriptors_are_taken(void **state)
{
    (void)state;
    for (unsigned closed = 0; closed < 8; closed++) {
        int code = in_child(guard_closed, closed);
        if (code != 0)
            fail_msg("with %u closed: check %d", closed, code);
    }
}

static int raise_limit(unsigned soft)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    limit.rlim_cur = soft;
    limit.rlim_max = limit.rlim_max > 500 ? 500 : limit.rlim_max;
    rlim_t hard = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    if ((rlim_t)process_raise_descriptors() != hard || (rlim_t)process_raise_descriptors() != hard)
        return 3;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == hard ? 0 : 4;
}

static void the_descriptor_limit_is_raised_to_what_is_allowed(void **state)
{
    (void)state;
    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    assert_int_equal(in_child(raise_limit, 100), 0);
    assert_int_equal(in_child(raise_limit, 500), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_written_where_the_reader_is_slow),
        cmocka_unit_test(all_is_written_where_the_pipe_does_not_block),
        cmocka_unit_test(what_cannot_be_written_is_an_error),
        cmocka_unit_test(nothing_to_write_is_no_error),
        cmocka_unit_test(closed_standard_descriptors_are_taken),
        cmocka_unit_test(the_descriptor_limit_is_raised_to_what_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
