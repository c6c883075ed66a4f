#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/loop_close.h"
#include "tcpgreet/os/service_manager.h"

static const char *const variables[] = {"LISTEN_FDS",    "LISTEN_PID",    "LISTEN_PIDFDID", "LISTEN_FDNAMES",
                                        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
enum { VARIABLES = sizeof variables / sizeof variables[0] };

static void set_own(const char *name)
{
    char pid[24];
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(setenv(name, pid, 1), 0);
}

/* Two descriptors, 3 and 4, as they are passed. */
static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIABLES; i++)
        (void)unsetenv(variables[i]);
    for (int fd = 3; fd < 5; fd++)
        if (dup2(STDERR_FILENO, fd) != fd || fcntl(fd, F_SETFD, 0) < 0)
            return -1;
    return 0;
}

static void passed_descriptors_have_their_names_and_close_at_exec(void **state)
{
    (void)state;
    struct service_manager manager;
    struct err err = {0};
    set_own("LISTEN_PID");
    assert_int_equal(setenv("LISTEN_FDS", "2", 1), 0);
    assert_int_equal(setenv("LISTEN_FDNAMES", "web:\x1b[2J:more", 1), 0);
    assert_int_equal(service_manager_open(&manager, &err), 0);
    assert_int_equal(manager.socket_count, 2);
    assert_string_equal(manager.sockets[0].name, "web");
    assert_string_equal(manager.sockets[1].name, "\\x1b[2J");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(manager.sockets[i].fd, 3 + i);
        assert_int_equal(fcntl(3 + i, F_GETFD), FD_CLOEXEC);
    }
    service_manager_close(&manager);
    assert_int_equal(fcntl(3, F_GETFD), -1);
}

static void fewer_names_than_descriptors_leave_the_rest_without(void **state)
{
    (void)state;
    struct service_manager manager;
    set_own("LISTEN_PID");
    assert_int_equal(setenv("LISTEN_FDS", "2", 1), 0);
    assert_int_equal(setenv("LISTEN_FDNAMES", "web", 1), 0);
    assert_int_equal(service_manager_open(&manager, NULL), 0);
    assert_string_equal(manager.sockets[0].name, "web");
    assert_string_equal(manager.sockets[1].name, "");
    service_manager_close(&manager);
}

static void variables_are_removed_from_the_environment(void **state)
{
    (void)state;
    struct service_manager manager;
    for (int is_own = 0; is_own < 2; is_own++) {
        for (size_t i = 0; i < VARIABLES; i++)
            assert_int_equal(setenv(variables[i], "1", 1), 0);
        if (is_own)
            set_own("LISTEN_PID");
        assert_int_equal(service_manager_open(&manager, NULL), 0);
        assert_int_equal(manager.socket_count, is_own);
        for (size_t i = 0; i < VARIABLES; i++)
            assert_null(getenv(variables[i]));
        service_manager_close(&manager);
    }
}

static void refused_socket_name_has_no_error_of_the_system(void **state)
{
    char longest[200] = "/";
    const char *const refused[] = {"relative", longest};
    (void)state;
    memset(longest + 1, 'x', sizeof longest - 2);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct service_manager manager;
        assert_int_equal(setenv("NOTIFY_SOCKET", refused[i], 1), 0);
        errno = ENOENT; /* of an earlier call */
        assert_int_equal(service_manager_open(&manager, NULL), 0);
        assert_int_equal(manager.failure.reason, ERR_SYSTEM_OTHER);
        assert_int_equal(manager.failure.native, 0);
        assert_int_equal(manager.notify_fd, -1);
        service_manager_close(&manager);
    }
}

static void watchdog_of_another_process_is_ignored(void **state)
{
    (void)state;
    struct service_manager manager;
    assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    assert_int_equal(service_manager_open(&manager, NULL), 0);
    assert_true(manager.watchdog_ms == 3000);
    assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
    assert_int_equal(service_manager_open(&manager, NULL), 0);
    assert_true(manager.watchdog_ms == 0);
}

/* A manager at the other end of a pair. */
struct talk {
    struct service_manager manager;
    int other;
    uv_loop_t loop;
    bool is_working;
    int beats;
};

static bool is_working(void *context)
{
    struct talk *talk = context;
    talk->beats++;
    return talk->is_working;
}

static void put_status(void *context, char status[SERVICE_MANAGER_STATUS_BYTES])
{
    struct talk *talk = context;
    (void)snprintf(status, SERVICE_MANAGER_STATUS_BYTES, "%s", talk->is_working ? "working" : "stuck");
    if (talk->beats == 3)
        uv_stop(&talk->loop);
}

static void talk_open(struct talk *talk)
{
    int fds[2];
    const struct service_manager_watch watch = {is_working, put_status, talk};
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    talk->manager = (struct service_manager){.notify_fd = fds[0], .watchdog_ms = 10};
    talk->other = fds[1];
    assert_int_equal(uv_loop_init(&talk->loop), 0);
    assert_int_equal(service_manager_start(&talk->manager, &talk->loop, &watch, NULL), 0);
}

static void talk_close(struct talk *talk)
{
    loop_close(&talk->loop);
    service_manager_close(&talk->manager);
    (void)close(talk->other);
}

/* Returns: whether there was one. */
static bool receive(struct talk *talk, char text[256])
{
    ssize_t length = recv(talk->other, text, 255, MSG_DONTWAIT);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static void expect(struct talk *talk, const char *expected)
{
    char text[256];
    assert_true(receive(talk, text));
    assert_string_equal(text, expected);
}

static void status_is_sent_once_and_the_watchdog_at_each_beat(void **state)
{
    (void)state;
    struct talk talk = {.is_working = true};
    char text[256];
    talk_open(&talk);
    (void)uv_run(&talk.loop, UV_RUN_DEFAULT);
    expect(&talk, "READY=1");
    expect(&talk, "STATUS=working");
    for (int i = 0; i < 3; i++)
        expect(&talk, "WATCHDOG=1");
    assert_false(receive(&talk, text));
    talk_close(&talk);
}

static void watchdog_is_not_notified_of_a_process_that_is_stuck(void **state)
{
    (void)state;
    struct talk talk = {.is_working = false};
    char text[256];
    talk_open(&talk);
    (void)uv_run(&talk.loop, UV_RUN_DEFAULT);
    expect(&talk, "READY=1");
    expect(&talk, "STATUS=stuck");
    assert_false(receive(&talk, text));
    talk_close(&talk);
}

static void state_that_cannot_be_sent_is_sent_later_and_only_the_newest(void **state)
{
    (void)state;
    struct talk talk = {.is_working = true};
    char text[256];
    int filled = 0;
    talk_open(&talk);
    expect(&talk, "READY=1");
    expect(&talk, "STATUS=working");
    while (send(talk.manager.notify_fd, "x", 1, MSG_DONTWAIT) == 1)
        filled++;
    service_manager_ready(&talk.manager);
    service_manager_stopping(&talk.manager);
    while (filled-- > 0)
        expect(&talk, "x");
    assert_false(receive(&talk, text));
    (void)uv_run(&talk.loop, UV_RUN_DEFAULT);
    expect(&talk, "STOPPING=1");
    talk_close(&talk);
}

static void manager_that_is_gone_does_not_matter(void **state)
{
    (void)state;
    struct talk talk = {.is_working = true};
    talk_open(&talk);
    (void)close(talk.other);
    service_manager_ready(&talk.manager);
    (void)uv_run(&talk.loop, UV_RUN_DEFAULT);
    assert_int_equal(talk.beats, 3);
    talk.other = -1;
    talk_close(&talk);
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passed_descriptors_have_their_names_and_close_at_exec),
        TEST(fewer_names_than_descriptors_leave_the_rest_without),
        TEST(variables_are_removed_from_the_environment),
        TEST(refused_socket_name_has_no_error_of_the_system),
        TEST(watchdog_of_another_process_is_ignored),
        TEST(status_is_sent_once_and_the_watchdog_at_each_beat),
        TEST(watchdog_is_not_notified_of_a_process_that_is_stuck),
        TEST(state_that_cannot_be_sent_is_sent_later_and_only_the_newest),
        TEST(manager_that_is_gone_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
