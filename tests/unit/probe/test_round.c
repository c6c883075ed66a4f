#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/clock.h"
#include "support/hole.h"
#include "support/names_known.h"
#include "support/prober.h"
#include "support/skip.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/tls/tls.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define HELLO(name) "Server: Hello " name "!\n" QUESTION
#define BYE "Server: Good bye!\n"

/* A script of a server that does everything right. */
#define GOOD                                                                                                 \
    {                                                                                                        \
        {WELCOME, HELLO("tcpgreet"), BYE}, 2, false                                                          \
    }

/* The loop counts in whole ms. */
enum { SHORT_MS = 100, SHORT_NS = (SHORT_MS - 1) * 1000 * 1000 };

static const struct known_name names[] = {
    {.name = "both.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}},
    {.name = "v4.example", .v4 = {"127.0.0.1"}},
    {.name = "two.example", .v4 = {"127.0.0.2", "127.0.0.1"}},
    {.name = "twins.example", .v4 = {"127.0.0.1", "127.0.0.1", "127.0.0.2"}},
    {.name = "late.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}, .slow_v6 = true},
    {.name = "slow.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}, .slow_v6 = true, .slow_v4 = true},
    {.name = "nowhere.example", .error = EAI_NONAME},
    {.name = "later.example", .error = EAI_AGAIN},
    {0},
};

static void need_ipv6(void)
{
    if (!caller_has_ipv6())
        skip_because("needs ::1 on this machine");
}

/* Returns: a port without a listener on loopback. */
static unsigned free_port(void)
{
    struct listener listener = prober_listen("127.0.0.1", 0);
    unsigned port = endpoint_port(&listener.at);
    listener_close(&listener);
    return port;
}

static int set_up(void **state)
{
    names_know(names);
    return prober_set_up(state);
}

static void a_literal_goes_through_every_phase(void **state)
{
    struct prober *prober = *state;
    struct prober_server server;
    struct listener listener = prober_listen("127.0.0.1", 0);
    char target[32];

    prober_server_open(&server, listener, NULL);
    prober_run(prober, "127.0.0.1", endpoint_port(&listener.at));
    prober_server_close(&server);

    const struct probe_result *result = &prober->result;
    assert_int_equal(result->address_count, 1);
    prober_expect_ok(result, 0, PROBE_CLOSE);
    assert_int_equal(result->verdict.reason, ERR_OK);
    snprintf(target, sizeof target, "127.0.0.1:%u", endpoint_port(&listener.at));
    assert_string_equal(result->target, target);
    assert_string_equal(result->host, "127.0.0.1");
    assert_true(result->literal);
    assert_false(result->tls);
    assert_true(result->started_s > 0);
    assert_false(result->answers[RACE_V6].asked);
    assert_true(result->answers[RACE_V4].asked);
    assert_int_equal(result->answers[RACE_V4].count, 1);

    const struct probe_address *address = &result->addresses[0];
    assert_true(endpoint_equal(&address->peer, &listener.at));
    assert_memory_equal(&address->local.address.v4.sin_addr, &address->peer.address.v4.sin_addr, 4);
    assert_true(endpoint_port(&address->local) != 0);
    assert_string_equal(address->interface, "lo");
    assert_int_equal(address->resumption, PROBE_RESUMPTION_UNTRIED);
    assert_int_equal(result->attempt_count, 1);
    assert_true(result->attempts[0].won);
}

/* A loop that is busy with something else once the SYN has been sent. */
struct busy {
    uv_prepare_t prepare;
    const struct probe_result *result;
    bool was_busy;
};

enum { BUSY_MS = 400 };

static void be_busy(uv_prepare_t *prepare)
{
    struct busy *busy = prepare->data;
    if (busy->was_busy || busy->result->address_count == 0 ||
        busy->result->addresses[0].spans[PROBE_CONNECT].begin_ns < 0)
        return;
    busy->was_busy = true;
    uv_sleep(BUSY_MS);
}

static void a_connect_ends_with_its_syn_ack_however_late_the_loop_is(void **state)
{
    struct prober *prober = *state;
    struct busy busy = {.result = &prober->result};
    struct prober_server server;
    struct listener listener = prober_listen("127.0.0.1", 0);

    prober_server_open(&server, listener, NULL);
    uv_prepare_init(&prober->watched.loop, &busy.prepare);
    busy.prepare.data = &busy;
    uv_prepare_start(&busy.prepare, be_busy);
    uv_unref((uv_handle_t *)&busy.prepare);
    prober_run(prober, "127.0.0.1", endpoint_port(&listener.at));
    uv_close((uv_handle_t *)&busy.prepare, NULL);
    uv_run(&prober->watched.loop, UV_RUN_NOWAIT);
    prober_server_close(&server);

    const struct probe_address *address = &prober->result.addresses[0];
    const struct probe_span *span = &address->spans[PROBE_CONNECT];
    assert_true(busy.was_busy);
    assert_true(address->tcp.rtt_us > 0);
    assert_int_equal((span->end_ns - span->begin_ns) / 1000, address->tcp.rtt_us);
    assert_true(address->spans[PROBE_WELCOME].begin_ns - span->begin_ns > (int64_t)BUSY_MS / 2 * 1000 * 1000);
}

static void each_address_is_tested_and_the_bad_one_reported(void **state)
{
    struct prober *prober = *state;
    struct prober_server server;
    char sentence[200];
    struct listener listener = prober_listen("127.0.0.1", 0);
    unsigned port = endpoint_port(&listener.at);

    prober_server_open(&server, listener, NULL);
    prober_run(prober, "two.example", port);
    prober_server_close(&server);

    const struct probe_result *result = &prober->result;
    assert_int_equal(result->address_count, 2);
    prober_expect_failure(&result->addresses[0], PROBE_CONNECT, ERR_CONNECT_REFUSED, "Connection refused");
    prober_expect_ok(result, 1, PROBE_CLOSE);
    snprintf(sentence, sizeof sentence, "1 of 2 addresses failed: 127.0.0.2:%u: Connection refused", port);
    assert_string_equal(result->verdict.text, sentence);
    assert_int_equal(result->verdict.reason, ERR_DEGRADED);
    assert_int_equal(result->attempt_count, 2);
    assert_true(result->attempts[1].won);
}

static void a_refusal_by_all_is_the_verdict(void **state)
{
    struct prober *prober = *state;
    unsigned port = free_port();
    prober_run(prober, "two.example", port);
    for (size_t i = 0; i < 2; i++)
        prober_expect_failure(&prober->result.addresses[i], PROBE_CONNECT, ERR_CONNECT_REFUSED,
                              "Connection refused");
    assert_int_equal(prober->result.verdict.reason, ERR_CONNECT_REFUSED);
}

static void addresses_are_sorted_ipv6_first(void **state)
{
    static const char *const hosts[] = {"both.example", "late.example"};
    struct prober *prober = *state;
    need_ipv6();
    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct listener listener = prober_listen("127.0.0.1", 0);
        unsigned port = endpoint_port(&listener.at);
        struct prober_peer peer = {.scripts = {GOOD}};
        struct prober_server server;
        prober_peer_open(prober, &peer, prober_listen("::1", port));
        prober_server_open(&server, listener, NULL);
        assert_true(prober_start(prober, hosts[i], port));
        while (i > 0 && prober->result.address_count == 0) /* A is here */
            uv_run(&prober->watched.loop, UV_RUN_ONCE);
        if (i > 0)
            names_let_go(1);
        watched_run(&prober->watched, &prober->done);
        prober_peer_close(&peer);
        prober_server_close(&server);

        assert_int_equal(prober->result.address_count, 2);
        assert_int_equal(endpoint_family(&prober->result.addresses[0].peer), AF_INET6);
        assert_int_equal(endpoint_family(&prober->result.addresses[1].peer), AF_INET);
        prober_expect_ok(&prober->result, 0, PROBE_CLOSE);
        prober_expect_ok(&prober->result, 1, PROBE_CLOSE);
        assert_int_equal(prober->result.verdict.reason, ERR_OK);
    }
}

static void an_address_that_comes_twice_is_tried_once(void **state)
{
    struct prober *prober = *state;
    prober->plan.until = PROBE_UNTIL_RESOLVE;
    prober_run(prober, "twins.example", 6000);
    assert_int_equal(prober->result.address_count, 2);
    assert_int_equal(prober->result.answers[RACE_V4].count, 2);
    prober_expect_ok(&prober->result, 0, PROBE_RESOLVE);
    prober_expect_ok(&prober->result, 1, PROBE_RESOLVE);
    assert_int_equal(prober->result.attempt_count, 0);
    assert_int_equal(prober->result.verdict.reason, ERR_OK);
}

static void until_connect_no_word_is_waited_for(void **state)
{
    static const enum probe_until until[] = {PROBE_UNTIL_CONNECT, PROBE_UNTIL_TLS}; /* without --tls */
    struct prober *prober = *state;
    for (size_t i = 0; i < COUNT(until); i++) {
        struct listener listener = prober_listen("127.0.0.1", 0);
        prober->plan.until = until[i];
        prober_run(prober, "127.0.0.1", endpoint_port(&listener.at));
        prober_expect_ok(&prober->result, 0, PROBE_CONNECT);
        listener_close(&listener);
    }
}

/* Returns: whether the second address was done before the time limit of the silent first. */
static bool second_is_first(struct prober *prober, int64_t limit_ms)
{
    struct listener listener = prober_listen("127.0.0.1", 0);
    struct hole hole = hole_open("127.0.0.2", endpoint_port(&listener.at));
    struct prober_server server;

    prober->plan.connect_timeout_ms = limit_ms;
    prober_server_open(&server, listener, NULL);
    prober_run(prober, "two.example", endpoint_port(&listener.at));
    prober_server_close(&server);
    hole_close(&hole);

    const struct probe_address *silent = &prober->result.addresses[0], *other = silent + 1;
    assert_true(silent->spans[PROBE_CONNECT].end_ns >= (limit_ms - 1) * 1000 * 1000);
    return other->err.reason == ERR_OK &&
           other->spans[PROBE_CLOSE].end_ns < silent->spans[PROBE_CONNECT].end_ns;
}

static void a_silent_address_does_not_delay_the_others(void **state)
{
    struct prober *prober = *state;
    int64_t limit_ms = SHORT_MS;
    hole_need();
    while (!second_is_first(prober, limit_ms) && limit_ms < 4 * SHORT_MS) /* the machine may be busy */
        limit_ms *= 2;

    const struct probe_address *silent = &prober->result.addresses[0];
    char sentence[ERR_TEXT_BYTES];
    snprintf(sentence, sizeof sentence, "no answer within %g s, the SYN was sent once",
             (double)limit_ms / 1000);
    prober_expect_failure(silent, PROBE_CONNECT, ERR_CONNECT_TIMEOUT, sentence);
    assert_string_equal(silent->interface, "lo");
    prober_expect_ok(&prober->result, 1, PROBE_CLOSE);
    assert_true(prober->result.addresses[1].spans[PROBE_CLOSE].end_ns < silent->spans[PROBE_CONNECT].end_ns);
    assert_int_equal(prober->result.verdict.reason, ERR_DEGRADED);

    assert_int_equal(prober->result.attempt_count, 2);
    assert_int_equal(prober->result.attempts[0].end_ns,
                     -1); /* the delay is shortened by the short deadline */
    assert_true(prober->result.attempts[1].won);
}

static void a_failure_of_a_peer_is_reported_with_its_phase(void **state)
{
    static const struct {
        struct prober_script script;
        enum probe_phase phase;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {{{"220 mail.example ESMTP\r\n"}, -1, false},
         PROBE_WELCOME,
         ERR_DIALOGUE_WRONG_ANSWER,
         "expected \"Server: Welcome!\\nServer: What's your name?\", the server sent "
         "\"220 mail.example ESMTP\\r\\n\""},
        {{{""}, 0, false}, PROBE_WELCOME, ERR_DIALOGUE_EARLY_END, NULL},
        {{{"Server: Wel"}, 0, false},
         PROBE_WELCOME,
         ERR_DIALOGUE_EARLY_END,
         "the server ended the dialogue after 0 greetings, before exit was answered"},
        {{{""}, 0, true}, PROBE_WELCOME, ERR_DIALOGUE_RESET, "the peer reset the connection"},
        {{{WELCOME, HELLO("anybody")}, -1, false},
         PROBE_NAME,
         ERR_DIALOGUE_WRONG_ANSWER,
         "expected \"Server: Hello tcpgreet!\\nServer: What's your name\", the server sent "
         "\"Server: Hello anybody!\\nServer: What's your name?\""},
        {{{WELCOME, "Server: Hel"}, 1, false},
         PROBE_NAME,
         ERR_DIALOGUE_EARLY_END,
         "the server ended the dialogue after 0 greetings, before exit was answered"},
        {{{WELCOME, HELLO("tcpgreet"), ""}, 2, false},
         PROBE_CLOSE,
         ERR_DIALOGUE_EARLY_END,
         "the server ended the dialogue after 1 greeting, before exit was answered"},
        {{{WELCOME, HELLO("tcpgreet"), BYE "again"}, 2, false},
         PROBE_CLOSE,
         ERR_DIALOGUE_WRONG_ANSWER,
         "the server sent more after its final message: \"again\""},
    };
    /* Only a build with TLS can check that it is not TLS what the peer waits for. */
    const char *at_once =
        tls_available(NULL) == 0
            ? "the server closed the connection without sending anything: it may reject this address"
            : "the server ended the dialogue after 0 greetings, before exit was answered";
    struct prober *prober = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct prober_peer peer = {.scripts = {cases[i].script}};
        prober_peer_open(prober, &peer, prober_listen("127.0.0.1", 0));
        prober_run(prober, "127.0.0.1", endpoint_port(&peer.listener.at));
        prober_expect_failure(&prober->result.addresses[0], cases[i].phase, cases[i].reason,
                              cases[i].sentence != NULL ? cases[i].sentence : at_once);
        assert_int_equal(prober->result.verdict.reason, cases[i].reason);
        prober_peer_close(&peer);
    }
}

static void a_mute_peer_is_not_waited_for_beyond_the_answer_limit(void **state)
{
    struct prober *prober = *state;
    struct prober_peer peer = {.scripts = {{{WELCOME}, -1, false}}};
    prober->plan.answer_timeout_ms = 20;
    prober_peer_open(prober, &peer, prober_listen("127.0.0.1", 0));
    (void)clock_freeze(); /* for a machine that is busy */
    prober_run(prober, "127.0.0.1", endpoint_port(&peer.listener.at));
    clock_thaw();
    prober_expect_failure(&prober->result.addresses[0], PROBE_NAME, ERR_DIALOGUE_TIMEOUT,
                          "the server did not answer within 0.02 s");
    prober_peer_close(&peer);
}

static void a_name_that_leads_nowhere_is_the_verdict(void **state)
{
    static const struct {
        const char *host;
        bool want_v4;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {"nowhere.example", true, ERR_RESOLVE_NOT_FOUND, "there is no address for nowhere.example"},
        {"v4.example", false, ERR_RESOLVE_NOT_FOUND,
         "there is no address for v4.example (only IPv6 was requested)"},
        {"later.example", true, ERR_RESOLVE_TEMPORARY,
         "no name server had an answer for later.example: try again, or check /etc/resolv.conf"},
    };
    struct prober *prober = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        prober->plan.want_v4 = cases[i].want_v4;
        prober_run(prober, cases[i].host, 6000);
        assert_string_equal(prober->result.verdict.text, cases[i].sentence);
        assert_int_equal(prober->result.verdict.reason, cases[i].reason);
        assert_int_equal(prober->result.address_count, 0);
        assert_true(prober->result.answers[RACE_V6].span.end_ns >= 0);
    }
}

static void a_family_without_addresses_is_no_finding(void **state)
{
    struct prober *prober = *state;
    struct listener listener = prober_listen("127.0.0.1", 0);
    prober->plan.until = PROBE_UNTIL_CONNECT;
    prober_run(prober, "v4.example", endpoint_port(&listener.at));
    assert_int_equal(prober->result.verdict.reason, ERR_OK);
    assert_int_equal(prober->result.answers[RACE_V6].err.reason, ERR_RESOLVE_NOT_FOUND);
    listener_close(&listener);
}

static void a_family_without_an_answer_is_a_finding(void **state)
{
    struct prober *prober = *state;
    struct listener listener = prober_listen("127.0.0.1", 0);
    prober->plan.until = PROBE_UNTIL_CONNECT;
    prober->plan.connect_timeout_ms = SHORT_MS;
    prober_run(prober, "late.example", endpoint_port(&listener.at));
    assert_int_equal(resolver_pending(), 1);
    names_let_go(1);

    const struct probe_answer *answer = &prober->result.answers[RACE_V6];
    assert_int_equal(answer->err.reason, ERR_RESOLVE_TEMPORARY);
    assert_string_equal(answer->err.text,
                        "no name server answered for the IPv6 addresses of late.example within 0.1 s");
    assert_int_equal(answer->span.end_ns, -1);
    prober_expect_ok(&prober->result, 0, PROBE_CONNECT);
    assert_int_equal(prober->result.verdict.reason, ERR_DEGRADED);
    assert_true(prober->result.total_ns >= SHORT_NS);
    listener_close(&listener);
}

static void only_what_the_source_allows_is_tried(void **state)
{
    struct prober *prober = *state;
    struct listener listener = prober_listen("127.0.0.1", 0);
    prober->plan.source = "127.0.0.3";
    prober->plan.until = PROBE_UNTIL_CONNECT;
    prober_run(prober, "both.example", endpoint_port(&listener.at));
    assert_false(prober->result.answers[RACE_V6].asked);
    assert_int_equal(prober->result.address_count, 1);
    prober_expect_ok(&prober->result, 0, PROBE_CONNECT);
    assert_int_equal(prober->result.addresses[0].local.address.v4.sin_addr.s_addr, htonl(0x7f000003));
    assert_string_equal(prober->result.addresses[0].interface, "lo");

    assert_false(prober_start(prober, "::1", 6000));
    assert_int_equal(prober->err.reason, ERR_USAGE);
    listener_close(&listener);
}

static void a_zone_that_is_not_there_is_a_verdict(void **state)
{
    struct prober *prober = *state;
    prober_run(prober, "fe80::1%nowhere0", 6000);
    assert_int_equal(prober->result.verdict.reason, ERR_RESOLVE_NOT_FOUND);
    assert_int_equal(prober->result.address_count, 0);
}

static void exhausted_descriptors_are_reported(void **state)
{
    struct prober *prober = *state;
    char sentence[ERR_TEXT_BYTES];
    struct rlimit before;
    int next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit now = {(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    prober_run(prober, "127.0.0.1", 6000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    snprintf(sentence, sizeof sentence, "cannot create a socket: %s (raise ulimit -n)", strerror(EMFILE));
    prober_expect_failure(&prober->result.addresses[0], PROBE_CONNECT, ERR_SYSTEM_DESCRIPTORS, sentence);
    assert_int_equal(endpoint_family(&prober->result.addresses[0].local), AF_UNSPEC);
}

static void a_volume_is_sent_and_compared(void **state)
{
    enum { BYTES = 300 * 1000 };
    struct prober *prober = *state;
    struct prober_server server;
    struct listener listener = prober_listen("127.0.0.1", 0);

    prober->plan.volume_bytes = BYTES;
    prober_server_open(&server, listener, NULL);
    prober_run(prober, "127.0.0.1", endpoint_port(&listener.at));
    prober_server_close(&server);

    prober_expect_ok(&prober->result, 0, PROBE_VOLUME);
    const struct probe_volume *volume = &prober->result.addresses[0].volume;
    assert_true(volume->names > 500);
    assert_int_equal(volume->sent_bytes, BYTES + strlen("exit\n"));
    assert_int_equal(volume->received_bytes,
                     strlen(WELCOME BYE) + BYTES + volume->names * (strlen(HELLO("")) - strlen("\n")));
    assert_int_equal(prober->result.verdict.reason, ERR_OK);
}

static void a_failed_volume_is_reported_with_its_offset(void **state)
{
    static const struct {
        struct prober_script scripts[2];
        uint64_t bytes;
        int64_t limit_ms;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {{GOOD, {{WELCOME, "Server: Bello"}, -1, false}},
         100,
         PROBER_LONG_MS,
         ERR_DIALOGUE_WRONG_ANSWER,
         "byte 51 from the server is wrong, in the answer to name 1, which has 1 bytes: expected \"H\", "
         "received \"B\""},
        {{GOOD, {{WELCOME, "Server: Hello"}, 1, false}},
         100,
         PROBER_LONG_MS,
         ERR_DIALOGUE_EARLY_END,
         "the server closed after 0 of 100 bytes, in a name of 1 bytes"},
        {{GOOD, {{WELCOME}, -1, false}},
         100,
         50,
         ERR_DIALOGUE_TIMEOUT,
         "received nothing for 0.05 s, after 0 of 100 bytes, in a name of 1 bytes: the path may drop large "
         "packets"},
        {{GOOD, {{WELCOME}, 1, true}},
         100,
         PROBER_LONG_MS,
         ERR_DIALOGUE_RESET,
         "the peer reset the connection, after 0 of 100 bytes, in a name of 1 bytes"},
        {{{{WELCOME, "Server: Hello tcpgreet\n!\n" QUESTION, BYE}, 2, false}, GOOD},
         100,
         PROBER_LONG_MS,
         ERR_DIALOGUE_WRONG_ANSWER,
         "this server takes names without a newline: --volume needs one that takes lines"},
    };
    struct prober *prober = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct prober_peer peer = {.scripts = {cases[i].scripts[0], cases[i].scripts[1]}};
        prober->plan.volume_bytes = cases[i].bytes;
        prober->plan.answer_timeout_ms = cases[i].limit_ms;
        prober_peer_open(prober, &peer, prober_listen("127.0.0.1", 0));
        prober_run(prober, "127.0.0.1", endpoint_port(&peer.listener.at));
        prober_expect_failure(&prober->result.addresses[0], PROBE_VOLUME, cases[i].reason, cases[i].sentence);
        assert_true(prober->result.addresses[0].spans[PROBE_CLOSE].end_ns >= 0);
        prober_peer_close(&peer);
    }
}

/* In every state: asking, connecting, in the dialogue, in a transfer, and with all done but nothing reported.
 */
static void a_round_can_be_cancelled_at_any_time(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "v4.example", "two.example", "slow.example"};
    enum { TURNS = 30, LIMIT_MS = 20 };
    struct prober *prober = *state;
    bool cut[PROBE_PHASES] = {false};

    hole_need();
    struct hole hole = hole_open("127.0.0.2", 0);
    probe_round_cancel(NULL);
    prober->plan.connect_timeout_ms = prober->plan.answer_timeout_ms = LIMIT_MS;
    prober->plan.volume_bytes = 100;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        for (int turns = 0; turns < TURNS; turns++) {
            struct prober_peer peer = {.scripts = {GOOD, {{WELCOME}, -1, false}}};
            struct probe_result *result = &prober->result;
            prober_peer_open(prober, &peer, prober_listen("127.0.0.1", endpoint_port(&hole.listener.at)));
            assert_true(prober_start(prober, hosts[i], endpoint_port(&peer.listener.at)));
            for (int turn = 0; turn < turns && !prober->done; turn++)
                uv_run(&prober->watched.loop, UV_RUN_ONCE);
            bool was_done = prober->done;
            probe_round_cancel(prober->round);
            for (size_t a = 0; a < result->address_count && result->verdict.reason == ERR_INTERRUPTED; a++)
                if (result->addresses[a].err.reason == ERR_INTERRUPTED) {
                    enum probe_phase last = result->addresses[a].last;
                    prober_expect_failure(&result->addresses[a], last, ERR_INTERRUPTED,
                                          "interrupted before it was done");
                    cut[last] = true;
                }
            probe_result_fini(result); /* nothing may be written to it any more */
            memset(result, 0, sizeof *result);
            prober_peer_close(&peer);
            if (i == 3)
                names_let_go(2);
            watched_run(&prober->watched, NULL);
            assert_int_equal(prober->done, was_done);
            assert_int_equal(result->total_ns, 0);
        }
    }
    hole_close(&hole);
    assert_true(cut[PROBE_CONNECT]);
    assert_true(cut[PROBE_NAME]);
    assert_true(cut[PROBE_VOLUME]);
}

int main(void)
{
#define PROBE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, prober_tear_down)
    const struct CMUnitTest tests[] = {
        PROBE_TEST(a_literal_goes_through_every_phase),
        PROBE_TEST(each_address_is_tested_and_the_bad_one_reported),
        PROBE_TEST(a_refusal_by_all_is_the_verdict),
        PROBE_TEST(addresses_are_sorted_ipv6_first),
        PROBE_TEST(an_address_that_comes_twice_is_tried_once),
        PROBE_TEST(a_connect_ends_with_its_syn_ack_however_late_the_loop_is),
        PROBE_TEST(until_connect_no_word_is_waited_for),
        PROBE_TEST(a_silent_address_does_not_delay_the_others),
        PROBE_TEST(a_failure_of_a_peer_is_reported_with_its_phase),
        PROBE_TEST(a_mute_peer_is_not_waited_for_beyond_the_answer_limit),
        PROBE_TEST(a_name_that_leads_nowhere_is_the_verdict),
        PROBE_TEST(a_family_without_addresses_is_no_finding),
        PROBE_TEST(a_family_without_an_answer_is_a_finding),
        PROBE_TEST(only_what_the_source_allows_is_tried),
        PROBE_TEST(a_zone_that_is_not_there_is_a_verdict),
        PROBE_TEST(exhausted_descriptors_are_reported),
        PROBE_TEST(a_volume_is_sent_and_compared),
        PROBE_TEST(a_failed_volume_is_reported_with_its_offset),
        PROBE_TEST(a_round_can_be_cancelled_at_any_time),
    };
    return cmocka_run_group_tests(tests, hole_prepare, NULL);
}
