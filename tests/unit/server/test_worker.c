#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/worker.h"
#include "support/caller.h"
#include "support/host.h"
#include "support/launcher.h"
#include "support/skip.h"
#include "tcpgreet/base/trace.h"

static void guests_are_served_at_once_and_counted(void **state)
{
    enum { GUESTS = 20 };
    struct host *host = *state;
    int fds[GUESTS];

    host_start(host);
    for (int i = 0; i < GUESTS; i++)
        fds[i] = host_greet(host);
    HOST_EXPECT_COUNTER(host, connections, GUESTS);
    HOST_EXPECT_COUNTER(host, open, GUESTS);
    HOST_EXPECT_COUNTER(host, names, GUESTS);
    for (int i = 0; i < GUESTS; i++)
        host_leave(fds[i]);
    HOST_EXPECT_COUNTER(host, open, 0);
    struct worker_counters end = host_counters(host);
    assert_int_equal(end.connections, GUESTS);
    assert_int_equal(end.failed + end.silent + end.timed_out + end.strangers + end.refused + end.pauses, 0);
}

static void counters_add_up(void **state)
{
    struct host *host = *state;
    struct worker_counters sum = {.connections = 5, .names = 7};
    host_start(host);
    host_leave(host_greet(host));
    HOST_EXPECT_COUNTER(host, open, 0);
    worker_count(host->worker, &sum);
    assert_int_equal(sum.connections, 6);
    assert_int_equal(sum.names, 8);
}

static void a_guest_too_many_hears_so_and_the_next_finds_a_place(void **state)
{
    struct host *host = *state;
    int waiting[5];

    host->config.max_connections = 1;
    host_start(host);
    int fd = host_greet(host);
    for (int i = 0; i < 5; i++) { /* two of them may linger */
        waiting[i] = caller_connect(&host->at);
        caller_expect(waiting[i], HOST_SORRY);
        caller_expect_end(waiting[i]);
    }
    HOST_EXPECT_COUNTER(host, refused, 5);
    for (int i = 0; i < 5; i++)
        close(waiting[i]);
    host_leave(fd);
    HOST_EXPECT_COUNTER(host, open, 0);
    host_leave(host_greet(host));
    HOST_EXPECT_COUNTER(host, connections, 2);
    assert_int_equal(host_counters(host).silent, 0);
}

static void each_way_to_end_has_its_counter(void **state)
{
    enum { SILENT = 30 };
    struct host *host = *state;
    host_start(host);

    for (int i = 0; i < SILENT; i++)
        close(caller_connect(&host->at));
    HOST_EXPECT_COUNTER(host, silent, SILENT);
    caller_reset(caller_connect(&host->at));
    HOST_EXPECT_COUNTER(host, silent, SILENT + 1);

    caller_reset(host_greet(host));
    HOST_EXPECT_COUNTER(host, failed, 1);

    int stranger = caller_connect(&host->at);
    caller_say(stranger, "GET / HTTP/1.1\r\n");
    caller_expect(stranger, HOST_WELCOME);
    caller_expect_end(stranger);
    close(stranger);
    HOST_EXPECT_COUNTER(host, strangers, 1);

    int half = host_greet(host);
    shutdown(half, SHUT_WR);
    caller_expect_end(half);
    close(half);
    HOST_EXPECT_COUNTER(host, open, 0);
    struct worker_counters end = host_counters(host);
    assert_int_equal(end.connections, SILENT + 4);
    assert_int_equal(end.silent, SILENT + 1);
    assert_int_equal(end.failed, 1);
    assert_int_equal(end.timed_out, 0);
}

static void silence_is_counted_as_such(void **state)
{
    struct host *host = *state;
    host->policy.idle_ms = 10;
    host_start(host);
    int fd = caller_connect(&host->at);
    caller_expect(fd, HOST_WELCOME HOST_BYE);
    caller_expect_end(fd);
    close(fd);
    HOST_EXPECT_COUNTER(host, timed_out, 1);
    HOST_EXPECT_COUNTER(host, open, 0);
    assert_int_equal(host_counters(host).silent, 0);
}

static void exhausted_descriptors_pause_the_accepting_for_a_while(void **state)
{
    struct host *host = *state;
    struct rlimit before, now;

    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    host_start(host);
    int fd = host_greet(host), late = socket(AF_INET, SOCK_STREAM, 0), next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int connected = connect(late, &host->at.address.any, endpoint_length(&host->at));
    HOST_EXPECT_COUNTER(host, pauses, 1);
    caller_say(fd, "Bob\n"); /* the others go on */
    caller_expect(fd, HOST_HELLO("Bob"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    assert_int_equal(connected, 0);
    caller_expect(late, HOST_WELCOME);
    host_leave(late);
    host_leave(fd);
    HOST_EXPECT_COUNTER(host, open, 0);
    HOST_EXPECT_COUNTER(host, pauses, 1);
}

static void a_worker_that_cannot_start_closes_its_listeners(void **state)
{
    struct host *host = *state;
    FILE *file = tmpfile(); /* cannot be waited for */
    struct listener listeners[2] = {host_listen(), {.fd = dup(fileno(file))}};
    struct err err = {0};

    assert_int_equal(fclose(file), 0);
    host->config.listeners = listeners;
    host->config.listener_count = 2;
    assert_null(worker_start(&host->config, &err));
    assert_int_equal(err.reason, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "cannot start a worker: "));
    assert_int_equal(atomic_load(&host->stopped), 0);

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct endpoint *at = &listeners[0].at;
    assert_int_equal(connect(fd, &at->address.any, endpoint_length(at)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
}

int main(void)
{
#define WORKER_TEST(test) cmocka_unit_test_setup_teardown(test, host_set_up, host_tear_down)
    const struct CMUnitTest tests[] = {
        WORKER_TEST(guests_are_served_at_once_and_counted),
        WORKER_TEST(counters_add_up),
        WORKER_TEST(a_guest_too_many_hears_so_and_the_next_finds_a_place),
        WORKER_TEST(each_way_to_end_has_its_counter),
        WORKER_TEST(silence_is_counted_as_such),
        WORKER_TEST(exhausted_descriptors_pause_the_accepting_for_a_while),
        WORKER_TEST(a_worker_that_cannot_start_closes_its_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
