#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "support/tls_party.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/explain/explain.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { STORY_BYTES = 4096 };

/* What is sent, by its title, in its order; and how often something is received. */
struct story {
    char text[STORY_BYTES];
    char agreed[256]; /* the last one's words */
    unsigned sent, received, agreements;
};

static void on_step(void *context, const struct trace_event *event)
{
    struct story *story = context;
    if (event->step < TRACE_TLS_CLIENT_HELLO || event->step > TRACE_TLS_AGREED)
        return;
    size_t length = strlen(story->text);
    assert_non_null(event->arguments);
    if (event->step == TRACE_TLS_AGREED) {
        snprintf(story->agreed, sizeof story->agreed, "%s", event->arguments);
        story->agreements++;
    } else if (strncmp(event->arguments, "sent", 4) == 0) {
        snprintf(story->text + length, sizeof story->text - length, "%s%s", length > 0 ? ", " : "",
                 explain_title(event->step) + strlen("TLS "));
        story->sent++;
    } else {
        assert_int_equal(strncmp(event->arguments, "received", 8), 0);
        story->received++;
    }
}

static void play(struct tls_meeting *meeting, struct story *story)
{
    *story = (struct story){0};
    meeting->server.words = meeting->client.expected = BYTES_LITERAL("welcome");
    TLS_PLAN(&meeting->client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting->server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    trace_to(on_step, story);
    tls_meeting_run(meeting);
    trace_to(NULL, NULL);
    assert_in_range(story->received, 3, story->sent);
    tls_meeting_part(meeting);
}

#define FLIGHT_13 "EncryptedExtensions, Certificate, CertificateVerify, Finished, "
#define ENDS "close_notify, close_notify"

static void each_message_is_traced_by_its_name(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    struct tls_meeting meeting = {0};
    struct story story;

    tls_meeting_connect(&meeting, client, server, "localhost");
    play(&meeting, &story);
    assert_string_equal(story.text, "ClientHello, ServerHello, ChangeCipherSpec, " FLIGHT_13
                                    "ChangeCipherSpec, Finished, NewSessionTicket, " ENDS);
    assert_int_equal(story.agreements, 2);
    assert_non_null(strstr(story.agreed, "TLSv1.3, TLS_AES_128_GCM_SHA256, "));
    assert_non_null(strstr(story.agreed, ", full handshake"));

    tls_meeting_connect(&meeting, client, server, "localhost");
    play(&meeting, &story);
    assert_string_equal(story.text,
                        "ClientHello, ServerHello, ChangeCipherSpec, EncryptedExtensions, Finished, "
                        "ChangeCipherSpec, Finished, NewSessionTicket, " ENDS);
    assert_non_null(strstr(story.agreed, ", resumed"));
    tls_client_free(client);
    tls_server_free(server);
}

/* A client that guesses a group the server does not have. */
static void a_wrong_key_share_is_traced_as_a_retry(void **state)
{
    struct tls_server *server = tls_party_server_plain(*state);
    struct tls_meeting meeting = {0};
    struct story story;
    SSL *ssl;

    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_raw_client(meeting.lowers[0], 0, NULL, &ssl);
    meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
    assert_int_equal(SSL_set1_groups_list(ssl, "P-521:P-256"), 1);
    play(&meeting, &story);
    assert_non_null(strstr(story.text, "ClientHello, HelloRetryRequest, "));
    assert_non_null(strstr(story.text, "ClientHello, ServerHello, "));
    tls_server_free(server);
}

static void tls_1_2_and_a_client_certificate_are_traced(void **state)
{
    const struct certificates *all = *state;
    const struct tls_files files = {.cert = all->server_file};
    const struct certificate *const chain[] = {&all->client, NULL};
    struct tls_server *server = tls_party_server(&(struct tls_server_config){
        .identities = {files}, .client_ca = all->ca_file, .client_auth = TLS_CLIENT_AUTH_REQUIRE});
    struct tls_meeting meeting = {0};
    struct story story;

    tls_meeting_wire(&meeting);
    meeting.client.stream = tls_raw_client(meeting.lowers[0], TLS1_2_VERSION, chain, NULL);
    meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
    play(&meeting, &story);
    assert_string_equal(story.text,
                        "ClientHello, ServerHello, Certificate, ServerKeyExchange, CertificateRequest, "
                        "ServerHelloDone, Certificate, ClientKeyExchange, CertificateVerify, "
                        "ChangeCipherSpec, Finished, NewSessionTicket, ChangeCipherSpec, Finished, " ENDS);
    tls_server_free(server);
}

static void a_refusal_is_traced_with_its_alert(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    struct tls_meeting meeting = {0};
    struct story story;

    tls_meeting_connect(&meeting, client, server, "elsewhere");
    play(&meeting, &story);
    assert_string_equal(story.text, "ClientHello, ServerHello, ChangeCipherSpec, " FLIGHT_13 "alert");
    assert_int_equal(story.agreements, 0);
    tls_client_free(client);
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_is_traced_by_its_name),
        cmocka_unit_test(a_wrong_key_share_is_traced_as_a_retry),
        cmocka_unit_test(tls_1_2_and_a_client_certificate_are_traced),
        cmocka_unit_test(a_refusal_is_traced_with_its_alert),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
