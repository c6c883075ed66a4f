#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/hole.h"
#include "support/names_known.h"
#include "support/skip.h"
#include "support/watched.h"
#include "tcpgreet/link/dialer.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/net/resolver.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LONG_MS = 15 * 1000, HOUR_MS = 60 * 60 * 1000, DESCRIPTORS = 256 };

static const struct known_name names[] = {
    {.name = "both.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}},
    {.name = "v4.example", .v4 = {"127.0.0.1"}},
    {.name = "two.example", .v4 = {"127.0.0.2", "127.0.0.1"}},
    {.name = "late.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}, .slow_v6 = true},
    {.name = "slow.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}, .slow_v6 = true, .slow_v4 = true},
    {.name = "nowhere.example", .error = EAI_NONAME},
    {.name = "later.example", .error = EAI_AGAIN},
    {0},
};

struct fixture {
    struct watched watched;
    struct target target;
    struct dialer_config config;
    struct dialer *dialer;
    bool starting, done;
    struct stream *stream;
    struct dialer_facts facts;
    struct err err;
    unsigned descriptors; /* open before the test */
};

static unsigned count_descriptors(void)
{
    unsigned open = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

static int set_up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    fixture->descriptors = count_descriptors();
    watched_open(&fixture->watched);
    fixture->config = (struct dialer_config){.target = &fixture->target,
                                             .want_v6 = true,
                                             .want_v4 = true,
                                             .attempt_delay_ms = LONG_MS,
                                             .timeout_ms = LONG_MS};
    names_know(names);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    stream_free(fixture->stream);
    watched_close(&fixture->watched);
    names_await_end();
    assert_int_equal(count_descriptors(), fixture->descriptors);
    test_free(fixture);
    return 0;
}

static void on_done(void *context, struct stream *stream, const struct dialer_facts *facts,
                    const struct err *err)
{
    struct fixture *fixture = context;
    assert_false(fixture->starting);
    assert_false(fixture->done);
    assert_int_equal(stream == NULL, err != NULL);
    fixture->done = true;
    fixture->dialer = NULL;
    fixture->stream = stream;
    fixture->facts = *facts;
    if (err != NULL)
        fixture->err = *err;
}

/* Returns: whether the dialer started. */
static bool start(struct fixture *fixture, const char *host, unsigned port)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (target_parse(&fixture->target, host, service, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    fixture->starting = true;
    fixture->dialer = dialer_start(&fixture->watched.loop, &fixture->config, on_done, fixture, &fixture->err);
    fixture->starting = false;
    assert_int_equal(fixture->dialer == NULL, fixture->err.reason != ERR_OK);
    return fixture->dialer != NULL;
}

static void dial(struct fixture *fixture, const char *host, unsigned port)
{
    if (!start(fixture, host, port))
        fail_msg("%s", fixture->err.text);
    watched_run(&fixture->watched, &fixture->done);
}

static void expect_failure(const struct fixture *fixture, enum err_reason reason, const char *format,
                           unsigned port)
{
    char sentence[ERR_TEXT_BYTES];
    size_t length = 0;
    for (const char *c = format; *c != '\0'; c++) /* every # is the port */
        length += (size_t)snprintf(sentence + length, sizeof sentence - length, *c == '#' ? "%u" : "%c",
                                   *c == '#' ? port : (unsigned)*c);
    assert_null(fixture->stream);
    assert_string_equal(fixture->err.text, sentence);
    assert_int_equal(fixture->err.reason, reason);
}

static struct listener listen_at_loopback(void)
{
    struct listener listener = hole_listen_at("127.0.0.1", 0, 16);
    assert_true(listener.fd >= 0);
    return listener;
}

static void need_ipv6(void)
{
    if (!caller_has_ipv6())
        skip_because("needs ::1 on this machine");
}

/* Returns: a port without a listener on loopback, of either family. */
static unsigned free_port(void)
{
    struct listener listener = listen_at_loopback();
    unsigned port = endpoint_port(&listener.at);
    listener_close(&listener);
    return port;
}

static void a_literal_is_connected(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = listen_at_loopback();
    struct endpoint peer;
    char byte = 0;
    size_t count = 0;
    int accepted;

    dial(fixture, "127.0.0.1", endpoint_port(&listener.at));
    assert_non_null(fixture->stream);
    assert_int_equal(listener_accept(&listener, &accepted, &peer, NULL), LISTENER_ACCEPTED);
    assert_true(endpoint_equal(&fixture->facts.peer, &listener.at));
    assert_true(endpoint_equal(&fixture->facts.local, &peer));
    assert_int_equal(fixture->facts.attempts, 1);
    assert_true(fixture->facts.resolve_ns > 0 && fixture->facts.connect_ns > 0);
    assert_true(fixture->facts.total_ns >= fixture->facts.resolve_ns + fixture->facts.connect_ns);
    assert_true((fcntl(stream_fd(fixture->stream), F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(stream_write(fixture->stream, "x", 1, &count, &fixture->err), STREAM_OK);
    assert_int_equal(fcntl(accepted, F_SETFL, 0), 0);
    assert_int_equal(read(accepted, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(accepted);
    listener_close(&listener);
}

static void a_refusal_is_reported_with_a_remedy(void **state)
{
    struct fixture *fixture = *state;
    unsigned port = free_port();
    dial(fixture, "127.0.0.1", port);
    expect_failure(fixture, ERR_CONNECT_REFUSED,
                   "cannot connect to 127.0.0.1:#: Connection refused (nothing listens there, or a firewall "
                   "refuses)",
                   port);
    assert_int_equal(fixture->facts.attempts, 1);
}

static void a_refusal_by_both_families_names_both(void **state)
{
    struct fixture *fixture = *state;
    unsigned port = free_port();
    need_ipv6();
    dial(fixture, "both.example", port);
    expect_failure(fixture, ERR_CONNECT_REFUSED,
                   "cannot connect to both.example:#: [::1]:#: Connection refused; 127.0.0.1:#: Connection "
                   "refused (nothing listens there, or a firewall refuses)",
                   port);
    assert_int_equal(fixture->facts.attempts, 2);
}

static void after_a_refusal_the_next_address_is_tried_at_once(void **state)
{
    static const char *const hosts[] = {"both.example", "two.example"};
    struct fixture *fixture = *state;
    fixture->config.attempt_delay_ms = 2 * HOUR_MS; /* who waits for either outlasts watched_run */
    fixture->config.timeout_ms = 2 * HOUR_MS;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct listener listener = listen_at_loopback();
        stream_free(fixture->stream);
        fixture->done = false;
        dial(fixture, hosts[i], endpoint_port(&listener.at));
        assert_non_null(fixture->stream);
        assert_true(endpoint_equal(&fixture->facts.peer, &listener.at));
        assert_int_equal(fixture->facts.attempts, 2);
        listener_close(&listener);
    }
}

static void only_the_wanted_family_is_tried(void **state)
{
    struct fixture *fixture = *state;
    unsigned port = free_port();
    fixture->config.want_v6 = false;
    dial(fixture, "both.example", port);
    assert_int_equal(fixture->err.reason, ERR_CONNECT_REFUSED);
    assert_int_equal(fixture->facts.attempts, 1);
    assert_null(strstr(fixture->err.text, "::1"));

    fixture->config.want_v6 = true;
    fixture->config.want_v4 = false;
    err_clear(&fixture->err);
    assert_false(start(fixture, "127.0.0.1", port));
    expect_failure(fixture, ERR_USAGE,
                   "127.0.0.1 is not of the address family that -4, -6 or --source leaves", port);
}

static void a_name_that_does_not_exist_is_reported(void **state)
{
    static const struct {
        const char *host;
        bool want_v4;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {"nowhere.example", true, ERR_RESOLVE_NOT_FOUND, "there is no address for nowhere.example"},
        {"v4.example", false, ERR_RESOLVE_NOT_FOUND, "there is no IPv6 address for v4.example"},
        {"later.example", true, ERR_RESOLVE_TEMPORARY,
         "no name server had an answer for later.example: try again, or check /etc/resolv.conf"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fixture->done = false;
        err_clear(&fixture->err);
        fixture->config.want_v4 = cases[i].want_v4;
        dial(fixture, cases[i].host, 6000);
        expect_failure(fixture, cases[i].reason, cases[i].sentence, 0);
        assert_int_equal(fixture->facts.attempts, 0);
    }
}

static void a_name_server_that_is_silent_is_not_waited_for(void **state)
{
    struct fixture *fixture = *state;
    char sentence[ERR_TEXT_BYTES];
    for (int64_t limit_ms = 20; limit_ms < 2000 && resolver_pending() == 0; limit_ms *= 4) {
        fixture->done = false; /* on a busy machine no name server has been asked yet */
        err_clear(&fixture->err);
        fixture->config.timeout_ms = limit_ms;
        dial(fixture, "slow.example", 6000);
        snprintf(sentence, sizeof sentence, "no name server answered for slow.example within %g s",
                 (double)limit_ms / 1000);
        expect_failure(fixture, ERR_RESOLVE_TEMPORARY, sentence, 0);
    }
    assert_true(resolver_pending() > 0);
    names_let_go(2); /* and its result is dropped then */
}

static void a_late_answer_does_not_hold_up_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = listen_at_loopback();
    dial(fixture, "late.example", endpoint_port(&listener.at));
    assert_non_null(fixture->stream);
    assert_int_equal(resolver_pending(), 1);
    names_let_go(1);
    listener_close(&listener);
}

static void silence_is_a_timeout(void **state)
{
    struct fixture *fixture = *state;
    hole_need();
    struct hole hole = hole_open("127.0.0.1", 0);
    unsigned port = endpoint_port(&hole.listener.at);
    fixture->config.timeout_ms = 50;
    dial(fixture, "127.0.0.1", port);
    expect_failure(fixture, ERR_CONNECT_TIMEOUT, "cannot connect to 127.0.0.1:#: no answer within 0.05 s",
                   port);
    hole_close(&hole);
}

static void a_timeout_reports_earlier_failures(void **state)
{
    struct fixture *fixture = *state;
    hole_need();
    need_ipv6();
    struct hole hole = hole_open("127.0.0.1", 0);
    unsigned port = endpoint_port(&hole.listener.at);
    fixture->config.timeout_ms = 200;
    dial(fixture, "both.example", port);
    expect_failure(fixture, ERR_CONNECT_TIMEOUT,
                   "cannot connect to both.example:#: no answer within 0.2 s; [::1]:#: Connection refused",
                   port);
    assert_int_equal(fixture->facts.attempts, 2);
    hole_close(&hole);
}

static void a_silent_address_is_overtaken_by_the_next(void **state)
{
    struct fixture *fixture = *state;
    hole_need();
    need_ipv6();
    struct listener listener = listen_at_loopback();
    unsigned port = endpoint_port(&listener.at);
    struct hole hole = hole_open("::1", port);
    fixture->config.attempt_delay_ms = 10;
    dial(fixture, "both.example", port);
    assert_non_null(fixture->stream);
    assert_true(endpoint_equal(&fixture->facts.peer, &listener.at));
    assert_int_equal(fixture->facts.attempts, 2);
    hole_close(&hole);
    listener_close(&listener);
}

/* The time is shared: a long attempt delay must not eat the turn of the second address. */
static void every_address_gets_its_turn_before_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    hole_need();
    need_ipv6();
    struct listener listener = listen_at_loopback();
    unsigned port = endpoint_port(&listener.at);
    struct hole hole = hole_open("::1", port);
    fixture->config.timeout_ms = 1000;
    dial(fixture, "both.example", port);
    assert_non_null(fixture->stream);
    hole_close(&hole);
    listener_close(&listener);
}

static void the_source_address_is_used(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = listen_at_loopback();
    char local[ENDPOINT_TEXT_BYTES];
    fixture->config.source = "127.0.0.3";
    dial(fixture, "both.example", endpoint_port(&listener.at));
    assert_non_null(fixture->stream);
    assert_int_equal(fixture->facts.attempts, 1); /* of the source's family alone */
    assert_memory_equal(endpoint_format(&fixture->facts.local, local), "127.0.0.3:", 10);
    listener_close(&listener);
}

static void an_unusable_source_is_reported(void **state)
{
    static const struct {
        const char *source, *host, *sentence;
    } cases[] = {
        {"somewhere", "127.0.0.1", "--source takes an address of this machine, not \"somewhere\""},
        {"", "127.0.0.1", "--source takes an address of this machine, not \"\""},
        {"::1", "127.0.0.1", "127.0.0.1 is not of the address family that -4, -6 or --source leaves"},
    };
    struct fixture *fixture = *state;
    char sentence[ERR_TEXT_BYTES];
    for (size_t i = 0; i < COUNT(cases); i++) {
        err_clear(&fixture->err);
        fixture->config.source = cases[i].source;
        assert_false(start(fixture, cases[i].host, 6000));
        expect_failure(fixture, ERR_USAGE, cases[i].sentence, 0);
    }
    err_clear(&fixture->err);
    fixture->config.source = "192.0.2.1"; /* RFC 5737 */
    dial(fixture, "127.0.0.1", 6000);
    snprintf(sentence, sizeof sentence,
             "cannot connect to 127.0.0.1:6000: cannot use source 192.0.2.1:0: %s (--source takes an address "
             "of this machine)",
             strerror(EADDRNOTAVAIL));
    expect_failure(fixture, ERR_SYSTEM_ADDRESS_NOT_AVAILABLE, sentence, 0);
}

static void exhausted_descriptors_are_reported_with_a_remedy(void **state)
{
    struct fixture *fixture = *state;
    char sentence[ERR_TEXT_BYTES];
    struct rlimit before;
    int next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit now = {(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    dial(fixture, "127.0.0.1", 6000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    snprintf(sentence, sizeof sentence,
             "cannot connect to 127.0.0.1:6000: cannot create a socket: %s (raise ulimit -n)",
             strerror(EMFILE));
    expect_failure(fixture, ERR_SYSTEM_DESCRIPTORS, sentence, 0);
}

static void a_dialer_can_be_cancelled_at_any_time(void **state)
{
    struct fixture *fixture = *state;
    hole_need();
    struct hole hole = hole_open("127.0.0.1", 0);
    unsigned port = endpoint_port(&hole.listener.at);
    static const char *const hosts[] = {"127.0.0.1", "v4.example", "slow.example"};

    dialer_cancel(NULL);
    for (size_t i = 0; i < COUNT(hosts); i++) {
        for (int turns = 0; turns < 4; turns++) { /* resolving, connecting */
            assert_true(start(fixture, hosts[i], port));
            for (int turn = 0; turn < turns; turn++)
                uv_run(&fixture->watched.loop, UV_RUN_NOWAIT);
            dialer_cancel(fixture->dialer);
        }
    }
    names_let_go(8);
    watched_run(&fixture->watched, NULL);
    assert_false(fixture->done);
    hole_close(&hole);
}

int main(void)
{
#define DIALER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DIALER_TEST(a_literal_is_connected),
        DIALER_TEST(a_refusal_is_reported_with_a_remedy),
        DIALER_TEST(a_refusal_by_both_families_names_both),
        DIALER_TEST(after_a_refusal_the_next_address_is_tried_at_once),
        DIALER_TEST(only_the_wanted_family_is_tried),
        DIALER_TEST(a_name_that_does_not_exist_is_reported),
        DIALER_TEST(a_name_server_that_is_silent_is_not_waited_for),
        DIALER_TEST(a_late_answer_does_not_hold_up_the_other),
        DIALER_TEST(silence_is_a_timeout),
        DIALER_TEST(a_timeout_reports_earlier_failures),
        DIALER_TEST(a_silent_address_is_overtaken_by_the_next),
        DIALER_TEST(every_address_gets_its_turn_before_the_timeout),
        DIALER_TEST(the_source_address_is_used),
        DIALER_TEST(an_unusable_source_is_reported),
        DIALER_TEST(exhausted_descriptors_are_reported_with_a_remedy),
        DIALER_TEST(a_dialer_can_be_cancelled_at_any_time),
    };
    return cmocka_run_group_tests(tests, hole_prepare, NULL);
}
