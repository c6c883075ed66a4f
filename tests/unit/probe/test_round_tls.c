#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/certificates.h"
#include "support/prober.h"
#include "support/sockets.h"
#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION

struct fixture {
    struct prober *prober;
    struct certificates *certificates;
};

/* What libuv opens once for all loops is not counted. */
static int prepare(void **state)
{
    struct watched watched;
    watched_open(&watched);
    watched_close(&watched);
    return certificates_set_up(state);
}

static int set_up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    void *prober;
    fixture->certificates = *state;
    prober_set_up(&prober);
    fixture->prober = prober;
    fixture->prober->plan.tls = tls_party_client_plain(fixture->certificates);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    void *prober = fixture->prober;
    tls_client_free(fixture->prober->plan.tls);
    prober_tear_down(&prober);
    test_free(fixture);
    return 0;
}

static unsigned serve(const struct fixture *fixture, struct prober_server *server)
{
    struct listener listener = prober_listen("127.0.0.1", 0);
    prober_server_open(server, listener, tls_party_server_plain(fixture->certificates));
    return endpoint_port(&listener.at);
}

static struct counters_sum close_and_count(struct prober_server *server)
{
    struct counters_sum counters = {0};
    worker_stop(server->worker, false); /* dialogues may end by themselves */
    worker_stop(server->worker, true);
    worker_count(server->worker, &counters);
    worker_free(server->worker);
    limits_free(server->limits);
    return counters;
}

static void a_dialogue_under_tls_goes_through_every_phase(void **state)
{
    struct fixture *fixture = *state;
    struct prober_server server;
    unsigned port = serve(fixture, &server);

    for (int round = 0; round < 2; round++) {
        prober_run(fixture->prober, "127.0.0.1", port);
        const struct probe_result *result = &fixture->prober->result;
        prober_expect_ok(result, 0, PROBE_CLOSE);
        assert_int_equal(result->verdict.reason, ERR_OK);
        assert_true(result->tls);
        assert_string_equal(result->addresses[0].tls.version, "TLSv1.3");
        assert_true(result->addresses[0].tls.trusted);
        assert_false(result->addresses[0].tls.resumed); /* the next round makes a full handshake too */
        assert_int_equal(result->addresses[0].resumption, PROBE_RESUMPTION_ACCEPTED);
        assert_true(result->addresses[0].tcp.known);
    }
    prober_server_close(&server);
}

static void until_tls_no_dialogue_is_held(void **state)
{
    struct fixture *fixture = *state;
    struct prober_server server;
    unsigned port = serve(fixture, &server);

    fixture->prober->plan.until = PROBE_UNTIL_TLS;
    prober_run(fixture->prober, "127.0.0.1", port);
    struct counters_sum counters = close_and_count(&server);
    prober_expect_ok(&fixture->prober->result, 0, PROBE_TLS);
    assert_string_equal(fixture->prober->result.addresses[0].tls.version, "TLSv1.3");
    assert_int_equal(fixture->prober->result.addresses[0].resumption, PROBE_RESUMPTION_UNTRIED);
    assert_int_equal(counters.names, 0);
}

static void a_volume_is_compared_under_tls(void **state)
{
    enum { BYTES = 300 * 1000 };
    struct fixture *fixture = *state;
    struct prober_server server;
    unsigned port = serve(fixture, &server);

    fixture->prober->plan.volume_bytes = BYTES;
    prober_run(fixture->prober, "127.0.0.1", port);
    prober_server_close(&server);
    prober_expect_ok(&fixture->prober->result, 0, PROBE_VOLUME);
    assert_int_equal(fixture->prober->result.addresses[0].volume.sent_bytes, BYTES + strlen("exit\n"));
}

static void a_rejected_certificate_is_reported(void **state)
{
    struct fixture *fixture = *state;
    char unknown_ca[CERTIFICATES_PATH_BYTES];
    const struct tls_client_config config = {
        .servername = "127.0.0.1",
        .ca = certificates_path(fixture->certificates, "unknown-ca.crt", unknown_ca)};
    struct prober_server server;
    unsigned port = serve(fixture, &server);

    certificates_put(unknown_ca, fixture->certificates->unknown_ca.x509);
    tls_client_free(fixture->prober->plan.tls);
    fixture->prober->plan.tls = tls_party_client(&config);
    prober_run(fixture->prober, "127.0.0.1", port);
    prober_server_close(&server);
    const struct probe_address *address = &fixture->prober->result.addresses[0];
    assert_int_equal(address->err.reason, ERR_CERT_UNTRUSTED);
    assert_int_equal(address->last, PROBE_TLS);
    assert_true(address->spans[PROBE_TLS].end_ns > address->spans[PROBE_TLS].begin_ns);
    assert_string_equal(address->tls.version, "");
    assert_string_not_equal(address->tls.subject, "");
    assert_false(address->tls.trusted);
}

static void a_plaintext_peer_is_reported_in_the_tls_phase(void **state)
{
    static const struct {
        struct prober_script script;
        enum err_reason reason;
        const char *sentence;
    } cases[] = {
        {{{"220 mail.example ESMTP\r\n"}, -1, false},
         ERR_TLS_PLAINTEXT_PEER,
         "127.0.0.1 does not use TLS from the start on this port: it sent \"220 mail.example ESMTP\\r\\n\" (give "
         "--starttls smtp, or use the TLS port)"},
        {{{NULL}, -1, false},
         ERR_TLS_SILENT_PEER,
         "no reply to the ClientHello from 127.0.0.1 (it may not use TLS on this port)"},
        {{{NULL}, 0, false},
         ERR_TLS_PROTOCOL,
         "the peer closed the connection on the ClientHello without a reply"},
        {{{NULL}, 0, true},
         ERR_TLS_PROTOCOL,
         "the peer reset the connection on the ClientHello without a reply"},
        {{{NULL}, 1, true},
         ERR_TLS_PROTOCOL,
         "the peer reset the connection on the ClientHello without a reply"},
    };
    struct fixture *fixture = *state;
    fixture->prober->plan.connect_timeout_ms = 200;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct prober_peer peer = {.scripts = {cases[i].script}};
        prober_peer_open(fixture->prober, &peer, prober_listen("127.0.0.1", 0));
        prober_run(fixture->prober, "127.0.0.1", endpoint_port(&peer.listener.at));
        prober_expect_failure(&fixture->prober->result.addresses[0], PROBE_TLS, cases[i].reason,
                              cases[i].sentence);
        prober_peer_close(&peer);
    }
}

/* OpenSSL as it comes, in a thread: one dialogue, then what is planned for who comes again. */
struct unknown_ca {
    struct listener listener;
    const struct certificates *certificates;
    bool gives_tickets;
    bool knows_them;      /* the second time; else its keys are new ones */
    bool cuts_the_second; /* instead of a handshake */
    int accepted_count;
    pthread_t thread;
};

static SSL_CTX *context_of(const struct unknown_ca *unknown_ca)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || SSL_CTX_use_certificate(context, unknown_ca->certificates->server.x509) != 1 ||
        SSL_CTX_use_PrivateKey(context, unknown_ca->certificates->server.key) != 1 ||
        SSL_CTX_set_num_tickets(context, unknown_ca->gives_tickets ? 1 : 0) != 1)
        abort();
    return context;
}

static int accept_blocking(const struct listener *listener)
{
    const struct timeval patience = {.tv_sec = CALLER_PATIENCE_S};
    if (!sockets_wait(listener->fd, POLLIN, CALLER_PATIENCE_S * 1000))
        abort();
    int fd = sockets_accept(listener->fd);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0)
        abort();
    return fd;
}

static void send_and_receive(SSL *ssl, const char *words)
{
    char received[100];
    if (SSL_write(ssl, words, (int)strlen(words)) > 0)
        SSL_read(ssl, received, sizeof received);
}

static void receive_connection(SSL_CTX *context, int fd, bool talks)
{
    SSL *ssl = SSL_new(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
        abort();
    if (SSL_accept(ssl) == 1 && talks) {
        send_and_receive(ssl, WELCOME);
        send_and_receive(ssl, "Server: Hello tcpgreet!\n" QUESTION);
        SSL_write(ssl, "Server: Good bye!\n", 18);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
}

static void *receive_connections(void *context)
{
    struct unknown_ca *unknown_ca = context;
    SSL_CTX *first = context_of(unknown_ca), *second = context_of(unknown_ca);

    receive_connection(first, accept_blocking(&unknown_ca->listener), true);
    for (int accepted = 1; accepted < unknown_ca->accepted_count; accepted++) {
        int fd = accept_blocking(&unknown_ca->listener);
        if (unknown_ca->cuts_the_second)
            close(fd);
        else
            receive_connection(unknown_ca->knows_them ? first : second, fd, false);
    }
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    return NULL;
}

static void resumption_is_what_the_server_makes_of_it(void **state)
{
    static const struct {
        bool gives_tickets, knows_them, cuts_the_second;
        int accepted_count;
        enum probe_resumption resumption;
    } cases[] = {
        {true, true, false, 2, PROBE_RESUMPTION_ACCEPTED},
        {true, false, false, 2, PROBE_RESUMPTION_REFUSED},
        {true, true, true, 2, PROBE_RESUMPTION_FAILED},
        {false, false, false, 1, PROBE_RESUMPTION_NO_TICKET},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct unknown_ca unknown_ca = {.listener = prober_listen("127.0.0.1", 0),
                                        .certificates = fixture->certificates,
                                        .gives_tickets = cases[i].gives_tickets,
                                        .knows_them = cases[i].knows_them,
                                        .cuts_the_second = cases[i].cuts_the_second,
                                        .accepted_count = cases[i].accepted_count};
        const struct prober *prober = fixture->prober;
        watched_block(true);
        assert_int_equal(pthread_create(&unknown_ca.thread, NULL, receive_connections, &unknown_ca), 0);
        prober_run(fixture->prober, "127.0.0.1", endpoint_port(&unknown_ca.listener.at));
        prober_expect_ok(&prober->result, 0, PROBE_CLOSE);
        if (prober->result.addresses[0].resumption != cases[i].resumption)
            fail_msg("case %zu: %d", i, (int)prober->result.addresses[0].resumption);
        assert_int_equal(prober->result.verdict.reason, ERR_OK);
        pthread_join(unknown_ca.thread, NULL);
        watched_block(false);
        listener_close(&unknown_ca.listener);
    }
}

/* Whatever is under way: the context may be freed right after. */
static void cancel(struct fixture *fixture)
{
    struct prober *prober = fixture->prober;
    probe_round_cancel(prober->round);
    tls_client_free(prober->plan.tls);
    prober->plan.tls = NULL;
    watched_run(&prober->watched, NULL);
    prober->plan.tls = tls_party_client_plain(fixture->certificates);
}

static void a_round_under_tls_can_be_cancelled_at_any_time(void **state)
{
    enum { TURNS = 40 };
    struct fixture *fixture = *state;
    struct prober *prober = fixture->prober;
    struct prober_server server;
    unsigned port = serve(fixture, &server);

    prober->plan.volume_bytes = 100000;
    for (int turns = 0; turns < TURNS; turns++) {
        assert_true(prober_start(prober, "127.0.0.1", port));
        for (int turn = 0; turn < turns && !prober->done; turn++)
            uv_run(&prober->watched.loop, UV_RUN_ONCE);
        bool was_done = prober->done;
        cancel(fixture);
        assert_int_equal(prober->done, was_done);
        assert_true(was_done || prober->result.total_ns > 0);
    }
    prober_server_close(&server);
}

static void a_cancelled_handshake_is_reported(void **state)
{
    struct fixture *fixture = *state;
    struct prober *prober = fixture->prober;
    struct prober_peer silent = {.scripts = {{{NULL}, -1, false}}};

    prober_peer_open(prober, &silent, prober_listen("127.0.0.1", 0));
    assert_true(prober_start(prober, "127.0.0.1", endpoint_port(&silent.listener.at)));
    while (prober->result.address_count == 0 || prober->result.addresses[0].last < PROBE_TLS)
        uv_run(&prober->watched.loop, UV_RUN_ONCE);
    struct probe_round *round = prober->round;
    prober->round = NULL;
    probe_round_cancel(round);
    prober_peer_close(&silent);
    cancel(fixture);
    prober_expect_failure(&prober->result.addresses[0], PROBE_TLS, ERR_INTERRUPTED,
                          "interrupted before it was done");
    assert_int_equal(prober->result.verdict.reason, ERR_INTERRUPTED);
}

int main(void)
{
#define PROBE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PROBE_TEST(a_dialogue_under_tls_goes_through_every_phase),
        PROBE_TEST(until_tls_no_dialogue_is_held),
        PROBE_TEST(a_volume_is_compared_under_tls),
        PROBE_TEST(a_rejected_certificate_is_reported),
        PROBE_TEST(a_plaintext_peer_is_reported_in_the_tls_phase),
        PROBE_TEST(resumption_is_what_the_server_makes_of_it),
        PROBE_TEST(a_round_under_tls_can_be_cancelled_at_any_time),
        PROBE_TEST(a_cancelled_handshake_is_reported),
    };
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) /* the peer writes to a closed connection */
        return 1;
    return cmocka_run_group_tests(tests, prepare, certificates_tear_down);
}
