#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/clock.h"
#include "support/meeting.h"
#include "support/stream_prompt.h"
#include "support/tls_party.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PIECE = 4096, LIMIT = 10 * 1000, LATE_STRIDE = 7 };

/* What the far side, OpenSSL as it comes, does beside the dialogue. */
enum habit {
    PLAIN,
    EARLY_WELCOME, /* a server of TLS 1.3 sends its welcome before the client's Finished has come */
    NEW_KEYS       /* before each answer or name it changes its keys and asks this side to do so too */
};

struct flights {
    int version; /* the newest of the far side */
    bool near_is_server;
    bool resumes;
    enum habit habit;
};

/* What all dialogues of one row share. */
struct contexts {
    struct tls_client *client;
    struct tls_server *server;
    SSL_CTX *far;
    SSL_SESSION *session; /* the far client's */
    size_t shaken_at;     /* of the last dialogue; 0: there was none */
};

struct far {
    const struct flights *flights;
    struct stream *stream;
    SSL *ssl;
    bool up, welcomed, ended;
    size_t shaken_at; /* how many bytes it had sent when the handshake was done */
    size_t answered;  /* of received: whole names */
    struct buf received;
};

static const struct bytes names[] = {{"Ann", 3}, {"Bob", 3}};
#define ANSWERS MEETING_HELLO("Ann") MEETING_HELLO("Bob") MEETING_BYE

static bool is_wait(enum stream_result result)
{
    return result == STREAM_WANT_READ || result == STREAM_WANT_WRITE;
}

static void far_send(struct far *far, struct bytes bytes)
{
    struct err err = {0};
    size_t count = 0;
    assert_int_equal(stream_write(far->stream, bytes.data, bytes.length, &count, &err), STREAM_OK);
    assert_int_equal(count, bytes.length);
}

static void far_change_keys(struct far *far)
{
    if (far->flights->habit == NEW_KEYS)
        assert_int_equal(SSL_key_update(far->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
}

static void far_end(struct far *far)
{
    struct err err = {0};
    if (!far->ended)
        assert_int_equal(stream_shutdown(far->stream, &err), STREAM_OK);
    far->ended = true;
}

/* The server answers each name. */
static void far_answer(struct far *far)
{
    struct bytes rest = bytes_skip(buf_bytes(&far->received), far->answered);
    const char *lf;

    while (rest.length > 0 && (lf = memchr(rest.data, '\n', rest.length)) != NULL) {
        struct bytes name = {rest.data, (size_t)(lf - rest.data)};
        char answer[2 * GREETING_NAME_MAX];
        far_change_keys(far);
        if (bytes_equal(name, BYTES_LITERAL("exit"))) {
            far_send(far, BYTES_LITERAL(MEETING_BYE));
            far_end(far);
        } else {
            int length = snprintf(answer, sizeof answer, "Server: Hello %.*s!\n" MEETING_QUESTION,
                                  (int)name.length, name.data);
            far_send(far, (struct bytes){answer, (size_t)length});
        }
        far->answered += name.length + 1;
        rest = bytes_skip(rest, name.length + 1);
    }
}

/* Sends the welcome as soon as the server has keys for data. */
static void far_welcome_early(struct far *far)
{
    char nothing[1];
    size_t count;
    if (far->welcomed || SSL_read_early_data(far->ssl, nothing, sizeof nothing, &count) == 0)
        return;
    assert_int_equal(SSL_write_early_data(far->ssl, MEETING_WELCOME, sizeof MEETING_WELCOME - 1, &count), 1);
    far->welcomed = true;
}

/* What it sends as soon as it has shaken hands. */
static void far_begin(struct far *far)
{
    if (!far->flights->near_is_server) {
        if (!far->welcomed)
            far_send(far, BYTES_LITERAL(MEETING_WELCOME));
        return;
    }
    for (size_t i = 0; i < COUNT(names); i++) {
        far_change_keys(far);
        far_send(far, names[i]);
        far_send(far, BYTES_LITERAL("\n"));
    }
    far_send(far, BYTES_LITERAL("exit\n"));
}

/* Returns: whether it is done. */
static bool far_shake(struct far *far)
{
    struct err err = {0};
    if (far->up)
        return true;
    if (far->flights->habit == EARLY_WELCOME) {
        far_welcome_early(far);
        if (!far->welcomed)
            return false;
    }
    enum stream_result result = stream_handshake(far->stream, &err);
    if (result != STREAM_OK && !is_wait(result))
        fail_msg("the far side: %s", err.text);
    if (result != STREAM_OK)
        return false;
    far->up = true;
    far->shaken_at = (size_t)BIO_number_written(SSL_get_wbio(far->ssl));
    far_begin(far);
    return true;
}

static void far_act(void *context)
{
    struct far *far = context;
    char data[PIECE];
    size_t count;
    struct err err = {0};
    enum stream_result result = STREAM_WANT_READ;

    if (!far_shake(far))
        return;
    while ((result = stream_read(far->stream, data, sizeof data, &count, &err)) == STREAM_OK) {
        assert_int_equal(buf_append(&far->received, (struct bytes){data, count}), 0);
        if (!far->flights->near_is_server)
            far_answer(far);
    }
    if (result == STREAM_EOF)
        far_end(far);
    else if (!is_wait(result))
        fail_msg("the far side: %s", err.text);
}

static void check_dialogue(struct meeting *meeting, struct far *far, bool near_is_server, int64_t begin_ms)
{
    const struct side *near = near_is_server ? &meeting->server : &meeting->client;
    struct bytes answers = near_is_server ? buf_bytes(&far->received) : buf_bytes(&near->received);

    if (near->err.reason != ERR_OK)
        fail_msg("%s", near->err.text);
    assert_int_equal(near->session.end, SESSION_END_EXIT);
    assert_int_equal(near->session.names, COUNT(names));
    assert_int_equal(near->done_ms, begin_ms); /* no deadline had to help */
    assert_true(bytes_equal(answers, BYTES_LITERAL(MEETING_WELCOME ANSWERS)));
    assert_true(far->ended);
}

/* What a later dialogue may resume. */
static void keep_session(struct contexts *contexts, SSL *ssl)
{
    if (SSL_is_server(ssl) == 1)
        return;
    SSL_SESSION_free(contexts->session);
    contexts->session = SSL_SESSION_dup(SSL_get0_session(ssl));
    assert_non_null(contexts->session);
}

static struct stream *near_stream(const struct contexts *contexts, bool is_server, struct stream *lower)
{
    struct err err = {0};
    struct stream *stream = is_server ? tls_server_stream(contexts->server, lower, &err)
                                      : tls_client_stream(contexts->client, lower, "localhost", &err);
    assert_non_null(stream);
    return stream;
}

/* One dialogue. Returns: whether something was held at that byte. */
static bool hold_dialogue(struct contexts *contexts, const struct flights *flights, size_t hold_at, bool late)
{
    struct meeting *meeting = meeting_new();
    struct side *near = flights->near_is_server ? &meeting->server : &meeting->client;
    struct far far = {.flights = flights};
    struct stream_faults stutter = {.want_every = late ? 2 : 0}; /* below the near side's TLS */
    const struct stream_prompt prompt = {&meeting->loop, far_act, &far, hold_at, late};
    struct stream *ends[2];
    struct err err = {0};

    meeting->client.names = names;
    meeting->client.name_count = COUNT(names);
    stream_prompt_pair(ends, &prompt);
    far.stream = tls_raw_stream(ends[1], contexts->far, &far.ssl);
    if (flights->resumes && contexts->session != NULL)
        assert_int_equal(SSL_set_session(far.ssl, contexts->session), 1);
    if (!flights->resumes)
        tls_client_forget(contexts->client);
    far_act(&far); /* a client begins */
    int64_t begin_ms = clock_now_ms();
    assert_int_equal(
        meeting_start_on(meeting, near, flights->near_is_server ? SIDE_SERVER : SIDE_CLIENT,
                         near_stream(contexts, flights->near_is_server, stream_fault_new(ends[0], &stutter)),
                         &err),
        0);
    meeting_run(meeting, MEETING_LONG_MS);
    check_dialogue(meeting, &far, flights->near_is_server, begin_ms);
    assert_int_equal(SSL_version(far.ssl), flights->version);
    assert_int_equal(SSL_session_reused(far.ssl), flights->resumes && contexts->shaken_at > 0);
    contexts->shaken_at = far.shaken_at;
    bool held = BIO_number_written(SSL_get_wbio(far.ssl)) > hold_at;
    keep_session(contexts, far.ssl);
    stream_free(far.stream);
    buf_fini(&far.received);
    meeting_free(meeting);
    return held;
}

static void cut_everywhere(const struct certificates *certificates, const struct flights *flights)
{
    const struct certificate *const chain[] = {&certificates->server, NULL};
    struct contexts contexts = {
        .client = tls_party_client_plain(certificates),
        .server = tls_party_server_plain(certificates),
        .far = tls_raw_context(flights->near_is_server ? TLS_client_method() : TLS_server_method(),
                               flights->version, flights->near_is_server ? NULL : chain),
    };
    if (flights->near_is_server) /* a hybrid group would make the hello long */
        assert_int_equal(SSL_CTX_set1_groups_list(contexts.far, "X25519:P-256"), 1);
    if (flights->habit == EARLY_WELCOME) /* a ticket after the welcome would wake the client */
        assert_int_equal(SSL_CTX_set_num_tickets(contexts.far, 0), 1);
    for (int late = 0; late < 2; late++) {
        hold_dialogue(&contexts, flights, SIZE_MAX, late == 1);
        size_t hold_at = flights->habit == NEW_KEYS ? contexts.shaken_at : 1;
        while (hold_dialogue(&contexts, flights, hold_at, late == 1))
            hold_at += late == 0 ? 1 : LATE_STRIDE;
        assert_in_range(hold_at, 300, LIMIT);
    }
    SSL_SESSION_free(contexts.session);
    SSL_CTX_free(contexts.far);
    tls_client_free(contexts.client);
    tls_server_free(contexts.server);
}

static void no_cut_of_the_flights_of_tls_1_2_stops_a_dialogue(void **state)
{
    for (int i = 0; i < 4; i++)
        cut_everywhere(*state, &(struct flights){TLS1_2_VERSION, (i & 1) != 0, (i & 2) != 0, PLAIN});
}

static void no_cut_of_the_flights_of_tls_1_3_stops_a_dialogue(void **state)
{
    for (int i = 0; i < 4; i++)
        cut_everywhere(*state, &(struct flights){TLS1_3_VERSION, (i & 1) != 0, (i & 2) != 0, PLAIN});
}

static void no_cut_stops_a_client_whose_server_sends_data_with_its_handshake(void **state)
{
    cut_everywhere(*state, &(struct flights){TLS1_3_VERSION, false, false, EARLY_WELCOME});
}

static void no_cut_at_a_change_of_keys_stops_a_dialogue(void **state)
{
    for (int server = 0; server < 2; server++)
        cut_everywhere(*state, &(struct flights){TLS1_3_VERSION, server == 1, true, NEW_KEYS});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cut_of_the_flights_of_tls_1_2_stops_a_dialogue),
        cmocka_unit_test(no_cut_of_the_flights_of_tls_1_3_stops_a_dialogue),
        cmocka_unit_test(no_cut_stops_a_client_whose_server_sends_data_with_its_handshake),
        cmocka_unit_test(no_cut_at_a_change_of_keys_stops_a_dialogue),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
