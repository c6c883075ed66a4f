#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* How a visit ends for the client. */
enum leaving { ORDERLY, CUT_OFF };

static struct tls_session *session_new(struct tls_client *client)
{
    struct err err = {0};
    struct tls_session *session = tls_session_new(client, &err);
    assert_non_null(session);
    assert_false(tls_session_has_ticket(session));
    return session;
}

static void meet(struct tls_meeting *meeting, struct tls_session *session, struct stream *server,
                 const char *host)
{
    struct err err = {0};
    meeting->client.stream = tls_session_stream(session, meeting->lowers[0], host, &err);
    meeting->server.stream = server;
    assert_int_equal(err.reason, ERR_OK);
    meeting->server.words = meeting->client.expected = BYTES_LITERAL("welcome");
}

/* One connection, long enough for a ticket. Returns: whether it is a resumed one, as both sides see it. */
static bool visit_host(struct tls_session *session, struct tls_server *server, const char *host)
{
    struct tls_meeting meeting = {0};
    struct err err = {0};
    tls_meeting_wire(&meeting);
    meet(&meeting, session, tls_server_stream(server, meeting.lowers[1], &err), host);
    TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(&meeting);
    tls_party_expect_done(&meeting.client);
    tls_party_expect_done(&meeting.server);
    assert_true(tls_session_has_ticket(session));
    bool resumed = stream_tls_resumed(meeting.client.stream);
    assert_int_equal(resumed, stream_tls_resumed(meeting.server.stream));
    tls_meeting_part(&meeting);
    return resumed;
}

static bool visit(struct tls_session *session, struct tls_server *server)
{
    return visit_host(session, server, "localhost");
}

/* Two addresses of one name may be two servers that cannot read each other's tickets. */
static void each_session_keeps_the_ticket_of_its_own_server(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *servers[] = {tls_party_server_plain(*state), tls_party_server_plain(*state)};
    struct tls_session *sessions[] = {session_new(client), session_new(client)};

    for (size_t i = 0; i < 2; i++)
        assert_false(visit(sessions[i], servers[i]));
    for (size_t i = 0; i < 4; i++)
        assert_true(visit(sessions[i % 2], servers[i % 2]));
    assert_false(visit(sessions[0], servers[1]));
    for (size_t i = 0; i < 2; i++) {
        tls_session_free(sessions[i]);
        tls_server_free(servers[i]);
    }
    tls_client_free(client);
}

/* Nor do those that go without. */
static void a_session_and_its_client_do_not_share_tickets(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    struct tls_session *session = session_new(client);
    struct tls_meeting meeting = {0};

    assert_false(visit(session, server));
    tls_meeting_connect(&meeting, client, server, "localhost");
    tls_meeting_shake(&meeting);
    assert_false(stream_tls_resumed(meeting.client.stream));
    tls_meeting_part(&meeting);
    tls_client_forget(client);
    assert_true(visit(session, server));
    tls_session_free(session);
    tls_client_free(client);
    tls_server_free(server);
}

static void a_session_is_for_the_name_that_it_was_proved_to(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    struct tls_session *session = session_new(client);
    assert_false(visit_host(session, server, "localhost"));
    assert_false(visit_host(session, server, "127.0.0.1"));
    assert_true(visit_host(session, server, "127.0.0.1"));
    tls_session_free(session);
    tls_client_free(client);
    tls_server_free(server);
}

static void on_ticket(void *context)
{
    int *count = context;
    (*count)++;
}

/* With TLS 1.3 the ticket comes behind the handshake. */
static void a_ticket_is_there_once_something_was_read(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    struct tls_session *session = session_new(client);
    struct tls_meeting meeting = {0};
    struct err err = {0};
    char data[1];
    size_t count;
    int tickets = 0;

    tls_session_await_ticket(session, on_ticket, &tickets);
    tls_meeting_wire(&meeting);
    meet(&meeting, session, tls_server_stream(server, meeting.lowers[1], &err), "localhost");
    tls_meeting_shake(&meeting);
    assert_false(tls_session_has_ticket(session));
    assert_int_equal(tickets, 0);
    assert_int_equal(stream_read(meeting.client.stream, data, sizeof data, &count, &err), STREAM_WANT_READ);
    assert_true(tls_session_has_ticket(session));
    assert_true(tickets > 0);
    tls_meeting_part(&meeting);
    tls_session_free(session);
    tls_client_free(client);
    tls_server_free(server);
}

/* A probe does not wait for the orderly end of each connection. */
static void a_ticket_outlives_the_stream_that_was_cut_off(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const enum leaving leavings[] = {ORDERLY, CUT_OFF};
    unsigned char keys[80] = {1};
    const struct certificates *all = *state;
    const struct certificate *const chain[] = {&all->server, NULL};

    for (size_t i = 0; i < COUNT(versions) * COUNT(leavings); i++) {
        struct tls_client *client = tls_party_client_plain(all);
        struct tls_session *session = session_new(client);
        struct tls_meeting meeting = {0};
        SSL *ssl;
        for (int turn = 0; turn < 2; turn++) {
            tls_meeting_wire(&meeting);
            struct stream *server = tls_raw_server(meeting.lowers[1], versions[i / 2], chain, &ssl);
            assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(SSL_get_SSL_CTX(ssl), keys, sizeof keys), 1);
            meet(&meeting, session, server, "localhost");
            if (leavings[i % 2] == ORDERLY)
                TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_END);
            else
                TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_LEAVE);
            TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND);
            tls_meeting_run(&meeting);
            tls_party_expect_done(&meeting.client);
            assert_int_equal(meeting.client.facts.resumed, turn > 0);
            tls_meeting_part(&meeting);
        }
        tls_session_free(session);
        tls_client_free(client);
    }
}

static void a_server_that_gives_none_leaves_the_session_empty(void **state)
{
    const struct certificates *all = *state;
    const struct certificate *const chain[] = {&all->server, NULL};
    struct tls_client *client = tls_party_client_plain(all);
    struct tls_session *session = session_new(client);
    struct tls_meeting meeting = {0};
    SSL *ssl;

    tls_meeting_wire(&meeting);
    struct stream *server = tls_raw_server(meeting.lowers[1], TLS1_3_VERSION, chain, &ssl);
    assert_int_equal(SSL_set_num_tickets(ssl, 0), 1);
    meet(&meeting, session, server, "localhost");
    TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_END);
    TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND);
    tls_meeting_run(&meeting);
    tls_party_expect_done(&meeting.client);
    assert_false(tls_session_has_ticket(session));
    tls_meeting_part(&meeting);
    tls_session_free(session);
    tls_session_free(NULL);
    tls_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_session_keeps_the_ticket_of_its_own_server),
        cmocka_unit_test(a_session_and_its_client_do_not_share_tickets),
        cmocka_unit_test(a_session_is_for_the_name_that_it_was_proved_to),
        cmocka_unit_test(a_ticket_is_there_once_something_was_read),
        cmocka_unit_test(a_ticket_outlives_the_stream_that_was_cut_off),
        cmocka_unit_test(a_server_that_gives_none_leaves_the_session_empty),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
