#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/skip.h"
#include "support/sockets.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/net/stream_tcp.h"

enum { PORTS = 4, FIRST_PORT = 40000, DESTINATIONS = 3, LISTENER_PORT = 6000 };

static int write_setting(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : 0;
}

/* A network of this test's own, where only PORTS ports are handed out. Skips where it may not be made. */
static void enter_small_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
#ifdef CLONE_NEWNET
    if (unshare(CLONE_NEWNET) < 0)
        skip_because("needs the right to make a network namespace");
#else
    skip_because("needs network namespaces");
#endif
    int fd = sockets_open(AF_INET, SOCK_DGRAM);
    bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    if (!up || write_setting("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003") < 0)
        skip_because("needs a writable /proc/sys/net");
}

static int listen_at(const struct endpoint *at)
{
    int fd = sockets_open(endpoint_family(at), SOCK_STREAM);
    assert_int_equal(bind(fd, &at->address.any, endpoint_length(at)), 0);
    assert_int_equal(listen(fd, DESTINATIONS * PORTS), 0);
    return fd;
}

static struct endpoint source_of(int fd)
{
    struct endpoint source = endpoint_loopback(AF_INET, 0);
    socklen_t length = sizeof source.address;
    assert_int_equal(getsockname(fd, &source.address.any, &length), 0);
    return source;
}

static int connect_from(const struct endpoint *from, const struct endpoint *to)
{
    struct err err = {0};
    int fd = stream_tcp_connect(to, from, NULL, &err);
    if (fd < 0)
        fail_msg("%s", err.text);
    assert_true(sockets_wait(fd, POLLOUT, 5000));
    if (stream_tcp_outcome(fd, to, 0, &err) < 0)
        fail_msg("%s", err.text);
    return fd;
}

/* All of a source's ports towards each of several destinations. */
static void every_destination_has_all_ports_of_a_source(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};
    (void)state;

    enter_small_network();
    for (size_t f = 0; f < 2; f++) {
        const struct endpoint from = endpoint_loopback(families[f], 0);
        int listeners[DESTINATIONS], fds[DESTINATIONS][PORTS];
        for (int i = 0; i < DESTINATIONS; i++) {
            const struct endpoint to = endpoint_loopback(families[f], (uint16_t)(LISTENER_PORT + i));
            listeners[i] = listen_at(&to);
            for (int j = 0; j < PORTS; j++) {
                fds[i][j] = connect_from(&from, &to);
                struct endpoint source = source_of(fds[i][j]);
                assert_in_range(endpoint_port(&source), FIRST_PORT, FIRST_PORT + PORTS - 1);
                endpoint_set_port(&source, 0);
                assert_true(endpoint_equal(&source, &from));
            }
        }
        for (int i = 0; i < DESTINATIONS; i++) {
            for (int j = 0; j < PORTS; j++)
                close(fds[i][j]);
            close(listeners[i]);
        }
    }
}

static void count_step(void *context, const struct trace_event *event)
{
    unsigned *counts = context;
    counts[event->step]++;
}

static void a_port_that_is_given_is_bound_at_once(void **state)
{
    static unsigned counts[TRACE_STEPS]; /* used by the trace even if this test ends early */
    const struct endpoint to = endpoint_loopback(AF_INET, LISTENER_PORT);
    const struct endpoint given = endpoint_loopback(AF_INET, FIRST_PORT + PORTS);
    const struct endpoint any = endpoint_loopback(AF_INET, 0);
    (void)state;

    enter_small_network();
    int listener = listen_at(&to);
    trace_to(count_step, counts);
    int late = connect_from(&any, &to);
    assert_int_equal(counts[TRACE_BIND], 1);
    assert_int_equal(counts[TRACE_BIND_NO_PORT], 1);
    int early = connect_from(&given, &to);
    trace_to(NULL, NULL);
    assert_int_equal(counts[TRACE_BIND], 2);
    assert_int_equal(counts[TRACE_BIND_NO_PORT], 1);
    struct endpoint source = source_of(early);
    assert_true(endpoint_equal(&source, &given));
    close(late);
    close(early);
    close(listener);
}

static void a_machine_without_a_free_port_is_the_cause(void **state)
{
    const struct endpoint to = endpoint_loopback(AF_INET, LISTENER_PORT);
    enum reach reach = REACH_OPEN;
    struct err err = {0};
    int fds[PORTS];
    (void)state;

    enter_small_network();
    int listener = listen_at(&to);
    for (int i = 0; i < PORTS; i++)
        fds[i] = connect_from(NULL, &to);
    assert_int_equal(stream_tcp_connect(&to, NULL, &reach, &err), -1);
    assert_int_equal(reach, REACH_NO_PORT);
    assert_string_equal(err.text, "this machine has no free local port for a connection");
    for (int i = 0; i < PORTS; i++)
        close(fds[i]);
    close(listener);
}

static void a_link_local_address_without_its_zone_is_reported_as_such(void **state)
{
    struct endpoint to = endpoint_loopback(AF_INET6, LISTENER_PORT);
    struct err err = {0};
    (void)state;

    to.address.v6.sin6_addr = (struct in6_addr){.s6_addr = {0xfe, 0x80, [15] = 1}};
    assert_int_equal(stream_tcp_connect(&to, NULL, NULL, &err), -1);
    if (strstr(err.text, "no IPv6") != NULL)
        skip_because("needs IPv6");
    assert_non_null(strstr(err.text, "needs its zone, as fe80::1%eth0)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_without_a_free_port_is_the_cause),
        cmocka_unit_test(a_link_local_address_without_its_zone_is_reported_as_such),
        cmocka_unit_test(a_port_that_is_given_is_bound_at_once),
        cmocka_unit_test(every_destination_has_all_ports_of_a_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
