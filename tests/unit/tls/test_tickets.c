#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/clock.h"
#include "support/skip.h"
#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { KEY_BYTES = 80, KEYS_MAX = 25, HOUR_MS = 60 * 60 * 1000 };

static struct tls_server *server_with(const struct certificates *all, const char *keys)
{
    const struct tls_files files = {.cert = all->server_file};
    return tls_party_server(&(struct tls_server_config){.identities = {files}, .ticket_keys = keys});
}

/* A file of `count` keys, the first made of `seed`, the next of seed + 1. Returns: its path, until the next
 * but one. */
static const char *keys_file(const struct certificates *all, const char *name, int seed, size_t count)
{
    static char paths[2][CERTIFICATES_PATH_BYTES];
    static unsigned turn;
    char keys[(KEYS_MAX + 1) * KEY_BYTES];
    char *path = paths[turn++ % 2];
    for (size_t i = 0; i < count * KEY_BYTES; i++)
        keys[i] = (char)(seed + (int)(i / KEY_BYTES));
    certificates_put_bytes(certificates_path(all, name, path), (struct bytes){keys, count * KEY_BYTES});
    return path;
}

/* One connection, long enough for a ticket. Returns: whether it is a resumed one, as both sides see it. */
static bool visit_host(struct tls_client *client, struct tls_server *server, const char *host)
{
    struct tls_meeting meeting = {0};
    tls_meeting_connect(&meeting, client, server, host);
    meeting.server.words = meeting.client.expected = BYTES_LITERAL("welcome");
    TLS_PLAN(&meeting.client, TLS_SHAKE, TLS_RECEIVE, TLS_END, TLS_RECEIVE_END);
    TLS_PLAN(&meeting.server, TLS_SHAKE, TLS_SEND, TLS_RECEIVE_END, TLS_END);
    tls_meeting_run(&meeting);
    tls_party_expect_done(&meeting.client);
    tls_party_expect_done(&meeting.server);
    assert_int_equal(meeting.client.facts.resumed, meeting.server.facts.resumed);
    assert_string_equal(meeting.client.facts.subject, "localhost, 127.0.0.1, ::1");
    bool resumed = meeting.client.facts.resumed;
    tls_meeting_part(&meeting);
    return resumed;
}

static bool visit(struct tls_client *client, struct tls_server *server)
{
    return visit_host(client, server, "localhost");
}

static void the_second_connection_is_resumed(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    assert_false(visit(client, server));
    for (int i = 0; i < 3; i++)
        assert_true(visit(client, server));
    tls_client_free(client);

    client = tls_party_client_plain(*state); /* who comes anew has no ticket */
    assert_false(visit(client, server));
    tls_client_free(client);
    tls_server_free(server);
}

/* What was proved to one name counts for no other, though the server would take the ticket. */
static void a_ticket_is_for_the_name_that_gave_it(void **state)
{
    static const struct {
        const char *host;
        bool resumed;
    } visits[] = {{"localhost", false}, {"127.0.0.1", false}, {"localhost", false}, {"localhost.", true},
                  {"::1", false},       {"::1", true},        {"127.0.0.1", false}};
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *server = tls_party_server_plain(*state);
    for (size_t i = 0; i < COUNT(visits); i++)
        assert_int_equal(visit_host(client, server, visits[i].host), visits[i].resumed);
    tls_client_free(client);
    tls_server_free(server);
}

static void tls_1_2_resumes_too(void **state)
{
    struct tls_server *server = tls_party_server_plain(*state);
    SSL_SESSION *session = NULL;

    for (int i = 0; i < 3; i++) {
        struct tls_meeting meeting = {0};
        SSL *ssl;
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_raw_client(meeting.lowers[0], TLS1_2_VERSION, NULL, &ssl);
        meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
        if (session != NULL)
            assert_int_equal(SSL_set_session(ssl, session), 1);
        tls_meeting_shake(&meeting);
        assert_string_equal(meeting.server.facts.version, "TLSv1.2");
        assert_int_equal(meeting.server.facts.resumed, i > 0);
        SSL_SESSION_free(session);
        session = SSL_get1_session(ssl);
        SSL_shutdown(ssl); /* OpenSSL forgets sessions that were cut off */
        tls_meeting_part(&meeting);
    }
    SSL_SESSION_free(session);
    tls_server_free(server);
}

/* After a reload, tickets of clients stay valid. */
static void a_server_that_takes_over_takes_the_tickets_too(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *first = tls_party_server_plain(*state);
    struct tls_server *unknown_ca = tls_party_server_plain(*state);
    struct tls_server *heir = tls_party_server_plain(*state);

    assert_false(visit(client, first));
    assert_false(visit(client, unknown_ca));
    tls_server_inherit(heir, first);
    assert_false(visit(client, heir)); /* the ticket is the foreign server's by now */
    assert_true(visit(client, first)); /* and the heir's tickets are good for the first */
    tls_server_free(first);
    assert_true(visit(client, heir));
    tls_client_free(client);
    tls_server_free(unknown_ca);
    tls_server_free(heir);
}

/* Keys go on by the hour, the same way on every server that began with the same secret. */
static void heirs_agree_on_each_hours_key(void **state)
{
    enum { HEIRS = 3, HOURS = 6 };
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *heirs[HEIRS];

    if (!clock_freeze())
        skip_because("the clock of this C library cannot be replaced");
    for (size_t i = 0; i < HEIRS; i++) {
        heirs[i] = tls_party_server_plain(*state);
        if (i > 0)
            tls_server_inherit(heirs[i], heirs[0]);
    }
    assert_false(visit(client, heirs[0]));
    for (size_t hour = 0; hour < HOURS; hour++) {
        clock_advance_ms(HOUR_MS);
        for (size_t i = 0; i < HEIRS; i++)
            assert_true(visit(client, heirs[(hour + i) % HEIRS]));
    }
    clock_thaw();
    for (size_t i = 0; i < HEIRS; i++)
        tls_server_free(heirs[i]);
    tls_client_free(client);
}

/* An hour's key opens tickets for a day more, and then it is gone. */
static void a_key_is_forgotten_after_a_day(void **state)
{
    static const struct {
        int hours;
        bool resumed;
    } cases[] = {{0, true}, {1, true}, {23, true}, {24, true}, {25, false}, {100, false}};
    if (!clock_freeze())
        skip_because("the clock of this C library cannot be replaced");
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tls_client *client = tls_party_client_plain(*state);
        struct tls_server *server = tls_party_server_plain(*state);
        assert_false(visit(client, server));
        clock_advance_ms((int64_t)cases[i].hours * HOUR_MS);
        if (visit(client, server) != cases[i].resumed)
            fail_msg("after %d hours it is %sresumed", cases[i].hours, cases[i].resumed ? "not " : "");
        tls_client_free(client);
        tls_server_free(server);
    }
    clock_thaw();
}

static void keys_of_a_file_are_shared(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *one = server_with(*state, keys_file(*state, "one.keys", 10, 1));
    struct tls_server *other = server_with(*state, keys_file(*state, "other.keys", 10, 1));
    struct tls_server *foreign = server_with(*state, keys_file(*state, "foreign.keys", 90, 1));

    assert_false(visit(client, one));
    assert_true(visit(client, other));
    assert_true(visit(client, one));
    assert_false(visit(client, foreign));
    assert_false(visit(client, one)); /* it holds the foreign server's ticket now */
    tls_server_free(one);
    tls_server_free(other);
    tls_server_free(foreign);
    tls_client_free(client);
}

/* The first key seals, each of them opens; so keys are exchanged without losing a ticket. */
static void keys_of_a_file_can_be_exchanged_one_by_one(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *before = server_with(*state, keys_file(*state, "before.keys", 11, 1));
    struct tls_server *during = server_with(*state, keys_file(*state, "during.keys", 10, 2));
    struct tls_server *after = server_with(*state, keys_file(*state, "after.keys", 10, 1));
    struct tls_server *most = server_with(*state, keys_file(*state, "most.keys", 10, KEYS_MAX));

    assert_false(visit(client, before));
    assert_true(visit(client, during)); /* opened with the second, sealed with the first */
    assert_true(visit(client, after));
    assert_true(visit(client, most));
    assert_false(visit(client, before));
    tls_server_free(before);
    tls_server_free(during);
    tls_server_free(after);
    tls_server_free(most);
    tls_client_free(client);
}

/* Keys of a file neither pass to an heir nor give way to those of a predecessor. */
static void keys_of_a_file_are_not_inherited(void **state)
{
    struct tls_client *client = tls_party_client_plain(*state);
    struct tls_server *of_file = server_with(*state, keys_file(*state, "a.keys", 10, 1));
    struct tls_server *own = tls_party_server_plain(*state);
    struct tls_server *same_file = server_with(*state, keys_file(*state, "b.keys", 10, 1));

    tls_server_inherit(own, of_file);
    tls_server_inherit(same_file, own);
    assert_false(visit(client, of_file));
    assert_false(visit(client, own));
    assert_false(visit(client, of_file));
    assert_true(visit(client, same_file));
    tls_server_free(of_file);
    tls_server_free(own);
    tls_server_free(same_file);
    tls_client_free(client);
}

/* A modified ticket is ignored, and is no failure either. */
static void what_is_no_ticket_is_passed_over(void **state)
{
    struct tls_server *server = tls_party_server_plain(*state);
    SSL_SESSION *session = NULL;

    for (int i = 0; i < 40; i++) {
        struct tls_meeting meeting = {0};
        SSL *ssl;
        tls_meeting_wire(&meeting);
        meeting.client.stream = tls_raw_client(meeting.lowers[0], TLS1_2_VERSION, NULL, &ssl);
        meeting.server.stream = tls_server_stream(server, meeting.lowers[1], NULL);
        if (session != NULL) {
            const unsigned char *ticket;
            size_t length;
            SSL_SESSION_get0_ticket(session, &ticket, &length);
            assert_true(length > 100);
            ((unsigned char *)(uintptr_t)ticket)[(size_t)i * (length - 1) / 39] ^= 1;
            assert_int_equal(SSL_set_session(ssl, session), 1);
        }
        tls_meeting_shake(&meeting);
        assert_false(meeting.server.facts.resumed);
        SSL_SESSION_free(session);
        session = SSL_get1_session(ssl);
        SSL_shutdown(ssl);
        tls_meeting_part(&meeting);
    }
    SSL_SESSION_free(session);
    tls_server_free(server);
}

static void files_that_are_no_keys_are_refused(void **state)
{
    static const size_t lengths[] = {0, 1, 48, 79, 81, 159, 161, KEYS_MAX * KEY_BYTES + 1, 26 * KEY_BYTES};
    const struct certificates *all = *state;
    const struct tls_files files = {.cert = all->server_file};
    char path[CERTIFICATES_PATH_BYTES], bytes[26 * KEY_BYTES] = {1};

    for (size_t i = 0; i <= COUNT(lengths); i++) {
        struct err err = {0};
        certificates_path(all, i < COUNT(lengths) ? "bad.keys" : "none.keys", path);
        if (i < COUNT(lengths))
            certificates_put_bytes(path, (struct bytes){bytes, lengths[i]});
        assert_null(
            tls_server_new(&(struct tls_server_config){.identities = {files}, .ticket_keys = path}, &err));
        assert_int_equal(err.reason, ERR_SYSTEM_FILE);
        assert_non_null(strstr(err.text, i < COUNT(lengths)
                                             ? "are not 1 to 25 keys of 80 bytes"
                                             : "none.keys cannot be read: No such file or directory"));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void a_file_that_others_can_read_is_refused(void **state)
{
    static const struct {
        mode_t mode;
        bool taken;
    } modes[] = {{0600, true}, {0440, true}, {0644, false}, {0604, false}, {0620, false}, {0601, false}};
    const struct certificates *all = *state;
    const struct tls_files files = {.cert = all->server_file};
    const char *path = keys_file(all, "open.keys", 1, 1);

    for (size_t i = 0; i < 2 * COUNT(modes); i++) {
        struct err err = {0};
        bool insecure = i % 2 == 1;
        assert_int_equal(chmod(path, modes[i / 2].mode), 0);
        struct tls_server *server = tls_server_new(
            &(struct tls_server_config){
                .policy = {.insecure = insecure}, .identities = {files}, .ticket_keys = path},
            &err);
        assert_int_equal(server != NULL, modes[i / 2].taken || insecure);
        if (server == NULL) {
            char sentence[512];
            snprintf(
                sentence, sizeof sentence,
                "the ticket key file %s is accessible to others (mode %04o): chmod 600 %s, or --insecure",
                path, (unsigned)modes[i / 2].mode, path);
            assert_string_equal(err.text, sentence);
            assert_int_equal(err.reason, ERR_SYSTEM_PERMISSION);
        }
        tls_server_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_connection_is_resumed),
        cmocka_unit_test(a_ticket_is_for_the_name_that_gave_it),
        cmocka_unit_test(tls_1_2_resumes_too),
        cmocka_unit_test(a_server_that_takes_over_takes_the_tickets_too),
        cmocka_unit_test(heirs_agree_on_each_hours_key),
        cmocka_unit_test(a_key_is_forgotten_after_a_day),
        cmocka_unit_test(keys_of_a_file_are_shared),
        cmocka_unit_test(keys_of_a_file_can_be_exchanged_one_by_one),
        cmocka_unit_test(keys_of_a_file_are_not_inherited),
        cmocka_unit_test(what_is_no_ticket_is_passed_over),
        cmocka_unit_test(files_that_are_no_keys_are_refused),
        cmocka_unit_test(a_file_that_others_can_read_is_refused),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
