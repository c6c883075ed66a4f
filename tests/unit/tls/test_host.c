#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/stream_memory.h"
#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SAN "DNS:localhost,IP:127.0.0.1,IP:::1"

/* --servername is what is asked and checked for; SNI names a host, never an address. */
static void the_name_asked_for_is_the_one_checked(void **state)
{
    static const struct {
        const char *servername, *host, *sni;
        enum err_reason reason;
    } cases[] = {
        {NULL, "localhost", "localhost", ERR_OK},
        {NULL, "localhost.", "localhost", ERR_OK},
        {NULL, "127.0.0.1", NULL, ERR_OK},
        {NULL, "::1", NULL, ERR_OK},
        {NULL, "::1%lo", NULL, ERR_OK},
        {"localhost", "192.0.2.1", "localhost", ERR_OK},
        {"127.0.0.1", "elsewhere", NULL, ERR_OK},
        {"elsewhere", "localhost", "elsewhere", ERR_CERT_NAME},
#ifdef TCPGREET_HAVE_IDN2
        {NULL,
         "b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example", ERR_OK},
#endif
    };
    const struct certificates *all = *state;
    struct certificate certificate;
    certificate_make(&certificate, &(struct certificate_wish){.issuer = &all->root,
                                                              .names = SAN ",DNS:xn--bcher-kva.example"});
    const struct certificate *const chain[] = {&certificate, NULL};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tls_meeting meeting = {0};
        SSL *ssl;
        struct tls_client *client = tls_party_client(
            &(struct tls_client_config){.ca = all->ca_file, .servername = cases[i].servername});
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_client_stream(client, meeting.lowers[0], cases[i].host, NULL);
        meeting.server.stream = tls_raw_server(meeting.lowers[1], 0, chain, &ssl);
        TLS_PLAN(&meeting.client, TLS_SHAKE);
        TLS_PLAN(&meeting.server, TLS_SHAKE);
        struct err err = {0};
        stream_handshake(meeting.client.stream, &err);
        stream_handshake(meeting.server.stream, &err);
        const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        assert_int_equal(sni == NULL, cases[i].sni == NULL);
        if (sni != NULL)
            assert_string_equal(sni, cases[i].sni);
        tls_meeting_run(&meeting);
        if (meeting.client.err.reason != cases[i].reason)
            fail_msg("case %zu: %s", i, meeting.client.err.text);
        tls_meeting_part(&meeting);
        tls_client_free(client);
    }
    certificate_fini(&certificate);
}

/* To OpenSSL an empty name is any name, and one that begins with a dot any name below. */
static void a_name_that_no_certificate_can_have_is_refused_before_anything_is_sent(void **state)
{
    char longest[300];
    const char *const hosts[] = {"", ".", ".example.com", "%", "%eth0", longest};
    const struct certificates *all = *state;
    struct tls_client *client = tls_party_client_plain(all);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';

    for (size_t i = 0; i < COUNT(hosts); i++) {
        struct stream *ends[2];
        struct err err = {0};
        char data[1];
        size_t count;
        stream_memory_pair(ends, 4096);
        struct stream *stream = tls_client_stream(client, ends[0], hosts[i], &err);
        if (stream != NULL) { /* without IDN a name with a percent sign may pass as one */
            assert_int_equal(hosts[i][0], '%');
            assert_int_equal(stream_handshake(stream, &err), STREAM_WANT_READ);
            stream_free(stream);
        } else {
            assert_int_equal(err.reason, ERR_CERT_NAME);
            assert_int_equal(stream_read(ends[1], data, 1, &count, &err), STREAM_EOF);
        }
        assert_int_equal(ERR_peek_error(), 0);
        stream_free(ends[1]);
    }
    tls_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_asked_for_is_the_one_checked),
        cmocka_unit_test(a_name_that_no_certificate_can_have_is_refused_before_anything_is_sent),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
