#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/accept_fault.h"
#include "support/caller.h"
#include "support/launcher.h"
#include "support/sandbox.h"
#include "support/skip.h"
#include "support/sockets.h"
#include "tcpgreet/net/listener.h"

static const struct listener_options both = {.backlog = 16, .want_v6 = true, .want_v4 = true};

static struct target at(const char *host, unsigned port)
{
    struct target target;
    struct err err = {0};
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (target_parse(&target, host, service, &err) < 0)
        fail_msg("%s", err.text);
    return target;
}

static size_t open_at(const char *host, unsigned port, const struct listener_options *options,
                      struct listener listeners[2], struct err *err)
{
    struct target target = at(host, port);
    size_t count = listener_open(&target, options, listeners, 2, err);
    assert_int_equal(count == 0, err->reason != ERR_OK);
    return count;
}

static struct listener open_one(const char *host)
{
    struct listener listeners[2];
    struct err err = {0};
    if (open_at(host, 0, &both, listeners, &err) != 1)
        fail_msg("%s", err.text);
    return listeners[0];
}

static void need_ipv6(void)
{
    if (!caller_has_ipv6())
        skip_because("needs ::1 on this machine");
}

static enum listener_result accept_one(const struct listener *listener, int *fd, struct endpoint *peer,
                                       struct err *err)
{
    assert_true(sockets_wait(listener->fd, POLLIN, CALLER_PATIENCE_S * 1000));
    return listener_accept(listener, fd, peer, err);
}

static void port_0_becomes_one_port_for_both_families(void **state)
{
    (void)state;
    need_ipv6();
    for (int i = 0; i < 20; i++) {
        struct listener listeners[2];
        struct err err = {0};
        assert_int_equal(open_at("", 0, &both, listeners, &err), 2);
        assert_int_equal(endpoint_family(&listeners[0].at), AF_INET6);
        assert_int_equal(endpoint_family(&listeners[1].at), AF_INET);
        assert_true(endpoint_port(&listeners[0].at) > 0);
        assert_int_equal(endpoint_port(&listeners[0].at), endpoint_port(&listeners[1].at));
        listener_close(&listeners[0]);
        listener_close(&listeners[1]);
    }
}

static void each_family_has_a_socket_of_its_own(void **state)
{
    struct listener listeners[2];
    struct err err = {0};
    struct endpoint peer;
    int accepted;
    (void)state;

    need_ipv6();
    assert_int_equal(open_at("", 0, &both, listeners, &err), 2);
    struct endpoint to = endpoint_wildcard(AF_INET, endpoint_port(&listeners[1].at));
    to.address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = caller_connect(&to);
    assert_int_equal(accept_one(&listeners[1], &accepted, &peer, &err), LISTENER_ACCEPTED);
    assert_int_equal(listener_accept(&listeners[0], &(int){0}, &peer, &err), LISTENER_EMPTY);
    close(accepted);
    close(fd);
    listener_close(&listeners[0]);
    listener_close(&listeners[1]);
}

static void only_the_wanted_family_is_opened(void **state)
{
    const struct listener_options only_v4 = {.backlog = 1, .want_v4 = true};
    struct listener listeners[2];
    struct err err = {0};
    (void)state;
    assert_int_equal(open_at("", 0, &only_v4, listeners, &err), 1);
    assert_int_equal(endpoint_family(&listeners[0].at), AF_INET);
    listener_close(&listeners[0]);
    assert_int_equal(open_at("::1", 0, &only_v4, listeners, &err), 0);
    assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
}

static void a_port_in_use_is_reported_with_a_remedy(void **state)
{
    struct listener first = open_one("127.0.0.1"), listeners[2];
    struct err err = {0};
    char sentence[ERR_TEXT_BYTES];
    unsigned port = endpoint_port(&first.at);
    (void)state;

    snprintf(sentence, sizeof sentence,
             "cannot listen on 127.0.0.1:%u: %s (another program has this port: ss -ltnp shows which)", port,
             strerror(EADDRINUSE));
    assert_int_equal(open_at("127.0.0.1", port, &both, listeners, &err), 0);
    assert_int_equal(err.reason, ERR_SYSTEM_ADDRESS_IN_USE);
    assert_int_equal(err.native, EADDRINUSE);
    assert_string_equal(err.text, sentence);
    listener_close(&first);
}

static void a_conflict_between_two_listeners_of_one_process_names_both(void **state)
{
    static const char *const cases[][2] = {
        {"127.0.0.1", "127.0.0.1"}, {"0.0.0.0", "127.0.0.1"}, {"127.0.0.1", "0.0.0.0"}};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct listener others[] = {open_one("127.0.0.2"), open_one(cases[i][0])}, listeners[2];
        struct listener_options how = both;
        struct err err = {0};
        char sentence[ERR_TEXT_BYTES];
        unsigned port = endpoint_port(&others[1].at);

        while (endpoint_port(&others[0].at) == port) { /* the kernel may choose the same for both */
            struct listener same = others[0];
            others[0] = open_one("127.0.0.2");
            listener_close(&same);
        }

        how.others = others;
        how.other_count = 2;
        snprintf(sentence, sizeof sentence,
                 "cannot listen on %s:%u: it conflicts with the listener of this server on %s:%u (use one of "
                 "the two, or another port)",
                 cases[i][1], port, cases[i][0], port);
        assert_int_equal(open_at(cases[i][1], port, &how, listeners, &err), 0);
        assert_int_equal(err.reason, ERR_SYSTEM_ADDRESS_IN_USE);
        assert_string_equal(err.text, sentence);
        how.other_count = 1;
        err_clear(&err);
        assert_int_equal(open_at(cases[i][1], port, &how, listeners, &err), 0);
        assert_non_null(strstr(err.text, "another program has this port"));
        listener_close(&others[0]);
        listener_close(&others[1]);
    }
}

static void where_one_of_two_is_in_use_none_stays_open(void **state)
{
    (void)state;
    need_ipv6();
    struct listener first = open_one("127.0.0.1"), listeners[2];
    struct err err = {0};
    unsigned port = endpoint_port(&first.at);

    assert_int_equal(open_at("", port, &both, listeners, &err), 0);
    assert_int_equal(err.reason, ERR_SYSTEM_ADDRESS_IN_USE);
    err_clear(&err);
    assert_int_equal(open_at("::", port, &both, listeners, &err), 1);
    listener_close(&listeners[0]);
    listener_close(&first);
}

static void an_address_of_another_host_is_reported_with_a_remedy(void **state)
{
    struct listener listeners[2];
    struct err err = {0};
    (void)state;
    assert_int_equal(open_at("192.0.2.1", 6000, &both, listeners, &err), 0); /* RFC 5737 */
    assert_int_equal(err.reason, ERR_SYSTEM_ADDRESS_NOT_AVAILABLE);
    assert_non_null(strstr(err.text, "cannot listen on 192.0.2.1:6000: "));
    assert_non_null(strstr(err.text, "(not an address of this machine: ip address lists them)"));
}

static void a_privileged_port_is_reported_with_a_remedy(void **state)
{
    enum { UNPRIVILEGED = 65534 };
    struct listener listeners[2];
    struct err err = {0};
    bool root = geteuid() == 0;
    (void)state;

    if (root)
        assert_int_equal(seteuid(UNPRIVILEGED), 0);
    size_t count = open_at("127.0.0.1", 1, &both, listeners, &err);
    if (root)
        assert_int_equal(seteuid(0), 0);
    if (count > 0) {
        listener_close(&listeners[0]);
        skip_because("ports below 1024 need no privilege");
    }
    assert_int_equal(err.reason, ERR_SYSTEM_PERMISSION);
    assert_non_null(strstr(err.text, "(ports below 1024 need CAP_NET_BIND_SERVICE)"));
}

/* Fails unless the connection is as listener_accept promises. */
static void check_accepted(int fd)
{
    int nodelay = 0;
    socklen_t length = sizeof nodelay;
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &length), 0);
    assert_true(nodelay != 0);
}

static void a_port_can_be_had_again_at_once(void **state)
{
    struct listener listener = open_one("127.0.0.1"), again[2];
    struct endpoint peer;
    struct err err = {0};
    unsigned port = endpoint_port(&listener.at);
    int accepted;
    (void)state;

    int fd = caller_connect(&listener.at);
    assert_int_equal(accept_one(&listener, &accepted, &peer, &err), LISTENER_ACCEPTED);
    close(accepted); /* first, so that it is this side that lingers in TIME_WAIT */
    caller_expect_end(fd);
    close(fd);
    listener_close(&listener);
    assert_int_equal(open_at("127.0.0.1", port, &both, again, &err), 1);
    listener_close(&again[0]);
}

static void an_accepted_connection_is_ready_for_the_loop(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        if (i == 1)
            need_ipv6();
        struct listener listener = open_one(hosts[i]);
        struct endpoint peer, local;
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        struct err err = {0};
        int accepted = -1;

        assert_true((fcntl(listener.fd, F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(listener.fd, F_GETFD) & FD_CLOEXEC) != 0);
        assert_int_equal(listener_accept(&listener, &accepted, &peer, &err), LISTENER_EMPTY);
        int fd = caller_connect(&listener.at);
        assert_int_equal(accept_one(&listener, &accepted, &peer, &err), LISTENER_ACCEPTED);
        check_accepted(accepted);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        assert_int_equal(endpoint_from_sockaddr(&local, (struct sockaddr *)&address, length), 0);
        assert_true(endpoint_equal(&local, &peer));
        close(accepted);
        assert_int_equal(listener_accept(&listener, &accepted, &peer, &err), LISTENER_EMPTY);
        assert_int_equal(err.reason, ERR_OK);
        close(fd);
        listener_close(&listener);
    }
}

static void several_sockets_may_share_a_port(void **state)
{
    const struct listener_options shared = {
        .backlog = 1, .reuse_port = true, .want_v6 = true, .want_v4 = true};
    struct listener first[2], second, third[2];
    struct err err = {0};
    (void)state;

    assert_int_equal(open_at("127.0.0.1", 0, &shared, first, &err), 1);
    assert_int_equal(listener_open_again(&first[0], &shared, &second, &err), 0);
    assert_true(endpoint_equal(&first[0].at, &second.at));
    assert_int_equal(listener_open_again(&first[0], &both, &third[0], &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_ADDRESS_IN_USE);
    err_clear(&err);
    assert_int_equal(open_at("127.0.0.1", endpoint_port(&first[0].at), &shared, third, &err), 0);
    assert_int_equal(err.reason, ERR_SYSTEM_ADDRESS_IN_USE); /* another program's port is not shared */
    listener_close(&first[0]);
    listener_close(&second);
    listener_close(&second);
}

static void where_the_kernel_balances_every_socket_gets_some(void **state)
{
    enum { SOCKETS = 4, CALLERS = 200 };
    const struct listener_options shared = {.backlog = CALLERS, .reuse_port = true, .want_v4 = true};
    struct listener listeners[SOCKETS];
    struct pollfd polled[SOCKETS];
    struct endpoint peer;
    struct err err = {0};
    int fds[CALLERS], counts[SOCKETS] = {0}, fd;
    (void)state;

#if defined __linux__ || defined SO_REUSEPORT_LB
    assert_true(listener_balances());
#endif
    if (!listener_balances())
        skip_because("needs SO_REUSEPORT that distributes connections");
    assert_int_equal(open_at("127.0.0.1", 0, &shared, listeners, &err), 1);
    for (size_t i = 1; i < SOCKETS; i++)
        assert_int_equal(listener_open_again(&listeners[0], &shared, &listeners[i], &err), 0);
    for (size_t i = 0; i < CALLERS; i++)
        fds[i] = caller_connect(&listeners[0].at);
    for (size_t i = 0; i < SOCKETS; i++)
        polled[i] = (struct pollfd){.fd = listeners[i].fd, .events = POLLIN};
    for (int accepted = 0; accepted < CALLERS; accepted++) {
        size_t i = 0;
        assert_true(poll(polled, SOCKETS, CALLER_PATIENCE_S * 1000) > 0);
        while (polled[i].revents == 0)
            i++;
        assert_int_equal(listener_accept(&listeners[i], &fd, &peer, &err), LISTENER_ACCEPTED);
        close(fd);
        counts[i]++;
    }
    for (size_t i = 0; i < SOCKETS; i++) {
        assert_true(counts[i] > 0);
        listener_close(&listeners[i]);
    }
    for (size_t i = 0; i < CALLERS; i++)
        close(fds[i]);
}

/* Sets the limit of descriptors to those that are open. Returns: the limit before. */
static struct rlimit forbid_descriptors(void)
{
    struct rlimit before;
    int next = dup(0);
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit now = {(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void exhausted_descriptors_are_reported_and_recovered_from(void **state)
{
    struct listener more[2];
    struct endpoint peer;
    struct err err = {0}, why = {0};
    int accepted;
    (void)state;

    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    struct listener listener = open_one("127.0.0.1");
    int fd = caller_connect(&listener.at);

    struct rlimit before = forbid_descriptors();
    enum listener_result result = accept_one(&listener, &accepted, &peer, &err);
    size_t count = open_at("127.0.0.1", 0, &both, more, &why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, LISTENER_EXHAUSTED);
    assert_int_equal(err.reason, ERR_SYSTEM_DESCRIPTORS);
    assert_int_equal(count, 0);
    assert_int_equal(why.reason, ERR_SYSTEM_DESCRIPTORS);
    assert_non_null(strstr(why.text, "(raise ulimit -n)"));

    err_clear(&err);
    assert_int_equal(listener_accept(&listener, &accepted, &peer, &err), LISTENER_ACCEPTED);
    close(accepted);
    close(fd);
    listener_close(&listener);
}

static const struct accept_case {
    int native;
    enum listener_result result;
    enum err_reason reason;
    const char *remedy;
} accept_cases[] = {
    {EINTR, LISTENER_LOST, ERR_SYSTEM_OTHER, ""},
    {ECONNABORTED, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
    {EPROTO, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
    {ENETDOWN, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
    {ENOPROTOOPT, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
    {EHOSTDOWN, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
#ifdef ENONET
    {ENONET, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
#endif
    {EHOSTUNREACH, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
    {EOPNOTSUPP, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"}, /* it does listen */
    {ENETUNREACH, LISTENER_LOST, ERR_SYSTEM_OTHER, "the network and the firewall"},
    {EMFILE, LISTENER_EXHAUSTED, ERR_SYSTEM_DESCRIPTORS, "raise ulimit -n, or lower --max-connections"},
    {ENFILE, LISTENER_EXHAUSTED, ERR_SYSTEM_DESCRIPTORS, "the limit of the whole system"},
    {ENOBUFS, LISTENER_EXHAUSTED, ERR_SYSTEM_OTHER, "free memory"},
    {ENOMEM, LISTENER_EXHAUSTED, ERR_INTERNAL, "free memory"},
    {EPERM, LISTENER_REFUSED, ERR_SYSTEM_PERMISSION, "allow accept4"},
    {EACCES, LISTENER_REFUSED, ERR_SYSTEM_PERMISSION, "allow accept4"},
    {ENODEV, LISTENER_REFUSED, ERR_SYSTEM_OTHER, ""}, /* none that accept4(2) names */
    {EINVAL, LISTENER_FAILED, ERR_SYSTEM_OTHER, "does not support accept4"},
    {ENOSYS, LISTENER_FAILED, ERR_SYSTEM_OTHER, "does not support accept4"},
    {EBADF, LISTENER_FAILED, ERR_SYSTEM_OTHER, "report it as a defect"},
    {ENOTSOCK, LISTENER_FAILED, ERR_SYSTEM_OTHER, "report it as a defect"},
    {EFAULT, LISTENER_FAILED, ERR_SYSTEM_OTHER, "report it as a defect"},
};

static void each_errno_of_accept_has_its_result_and_its_remedy(void **state)
{
    struct listener listener = open_one("127.0.0.1");
    char head[ERR_TEXT_BYTES];
    (void)state;

    if (!accept_fault_is_available())
        skip();
    for (size_t i = 0; i < sizeof accept_cases / sizeof accept_cases[0]; i++) {
        const struct accept_case *expected = &accept_cases[i];
        struct endpoint peer;
        struct err err = {0};
        int accepted;

        accept_fault_set(listener.fd, expected->native, 1);
        assert_int_equal(listener_accept(&listener, &accepted, &peer, &err), expected->result);
        assert_int_equal(err.reason, expected->reason);
        assert_int_equal(err.native, expected->native);
        snprintf(head, sizeof head, "cannot accept connections on 127.0.0.1:%u: %s",
                 endpoint_port(&listener.at), strerror(expected->native));
        assert_memory_equal(err.text, head, strlen(head));
        assert_non_null(strstr(err.text, expected->remedy));
        if (expected->remedy[0] == '\0')
            assert_string_equal(err.text, head);
        assert_int_equal(listener_accept(&listener, &accepted, &peer, NULL), LISTENER_EMPTY);
    }
    listener_close(&listener);
}

/* Fails unless accepting from this descriptor can never work, for this reason. */
static void check_failed(int fd, const struct endpoint *at, int native, const char *remedy)
{
    struct listener broken = {.fd = fd, .at = *at};
    struct endpoint peer;
    struct err err = {0};
    int accepted;
    assert_int_equal(listener_accept(&broken, &accepted, &peer, &err), LISTENER_FAILED);
    assert_int_equal(err.native, native);
    assert_non_null(strstr(err.text, remedy));
}

static void what_is_no_listener_fails_for_good(void **state)
{
    struct listener listener = open_one("127.0.0.1");
    int fds[2], udp = socket(AF_INET, SOCK_DGRAM, 0);
    (void)state;

    assert_int_equal(pipe(fds), 0);
    check_failed(fds[0], &listener.at, ENOTSOCK, "report it as a defect");
    close(fds[0]);
    close(fds[1]);
    check_failed(fds[0], &listener.at, EBADF, "report it as a defect");
    check_failed(udp, &listener.at, EOPNOTSUPP, "no longer listens");
    close(udp);
    assert_int_equal(shutdown(listener.fd, SHUT_RD), 0);
    check_failed(listener.fd, &listener.at, EINVAL, "no longer listens");
    listener_close(&listener);
}

/* Returns: 0 where every address is the one of `family`, and `host`, of the other, is refused with this text;
 * else the number of what is not. */
static int listen_with(int family, const char *host, const char *text)
{
    struct listener listeners[2];
    struct target every, missing;
    struct err err = {0};

    if (target_parse(&every, "", "0", &err) < 0 || target_parse(&missing, host, "0", &err) < 0)
        return 1;
    if (listener_open(&every, &both, listeners, 2, &err) != 1)
        return 2;
    if (endpoint_family(&listeners[0].at) != family || err.reason != ERR_OK)
        return 3;
    if (listener_open(&missing, &both, listeners, 2, &err) != 0)
        return 4;
    if (err.reason != ERR_SYSTEM_ADDRESS_NOT_AVAILABLE || strcmp(err.text, text) != 0)
        goto wrong;
    return 0;
wrong:
    (void)fprintf(stderr, "%s\n", err.text);
    return 5;
}

static int listen_where_ipv6_is_denied(void)
{
    return sandbox_forbid_family(AF_INET6)
               ? listen_with(
                     AF_INET, "::1",
                     "cannot listen on [::1]:0: this process is not allowed to use IPv6 (check its sandbox: "
                     "seccomp, or RestrictAddressFamilies= of its service)")
               : SANDBOX_UNDONE;
}

#define OFF_TEXT(host)                                                                                       \
    "cannot listen on [" host "]:0: IPv6 is switched off on this machine (switch it on with sysctl -w "      \
    "net.ipv6.conf.all.disable_ipv6=0)"

static int listen_where_ipv6_is_off(void)
{
    if (!sandbox_enter(&(struct sandbox_network){.up = true, .no_ipv6 = true}))
        return SANDBOX_UNDONE;
    int result = listen_with(AF_INET, "::1", OFF_TEXT("::1"));
    return result != 0 ? result : listen_with(AF_INET, "::", OFF_TEXT("::")); /* which Linux would bind */
}

static int listen_where_ipv4_is_missing(void)
{
    return sandbox_enter(&(struct sandbox_network){.up = true, .no_ipv4 = true})
               ? listen_with(
                     AF_INET6, "127.0.0.1",
                     "cannot listen on 127.0.0.1:0: no interface of this machine has an IPv4 address (add "
                     "one, see ip address)")
               : SANDBOX_UNDONE;
}

/* Nothing is up yet: addresses may come. */
static int listen_where_nothing_is_up(void)
{
    struct listener listeners[2];
    struct target every;
    struct err err = {0};

    if (!sandbox_enter(&(struct sandbox_network){0}))
        return SANDBOX_UNDONE;
    return target_parse(&every, "", "0", &err) < 0 || listener_open(&every, &both, listeners, 2, &err) != 2;
}

static void every_address_is_one_of_a_family_that_is_there(void **state)
{
    (void)state;
    sandbox_run(listen_where_ipv6_is_off);
    sandbox_run(listen_where_ipv4_is_missing);
    sandbox_run(listen_where_nothing_is_up);
}

static void a_family_that_is_denied_is_left_out(void **state)
{
    (void)state;
    sandbox_run(listen_where_ipv6_is_denied);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_0_becomes_one_port_for_both_families),
        cmocka_unit_test(each_family_has_a_socket_of_its_own),
        cmocka_unit_test(only_the_wanted_family_is_opened),
        cmocka_unit_test(a_port_in_use_is_reported_with_a_remedy),
        cmocka_unit_test(a_conflict_between_two_listeners_of_one_process_names_both),
        cmocka_unit_test(where_one_of_two_is_in_use_none_stays_open),
        cmocka_unit_test(an_address_of_another_host_is_reported_with_a_remedy),
        cmocka_unit_test(a_privileged_port_is_reported_with_a_remedy),
        cmocka_unit_test(a_port_can_be_had_again_at_once),
        cmocka_unit_test(an_accepted_connection_is_ready_for_the_loop),
        cmocka_unit_test(several_sockets_may_share_a_port),
        cmocka_unit_test(where_the_kernel_balances_every_socket_gets_some),
        cmocka_unit_test(exhausted_descriptors_are_reported_and_recovered_from),
        cmocka_unit_test(each_errno_of_accept_has_its_result_and_its_remedy),
        cmocka_unit_test(what_is_no_listener_fails_for_good),
        cmocka_unit_test(every_address_is_one_of_a_family_that_is_there),
        cmocka_unit_test(a_family_that_is_denied_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
