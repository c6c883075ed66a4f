#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/accept_fault.h"
#include "support/caller.h"
#include "support/clock.h"
#include "support/skip.h"
#include "support/sockets.h"
#include "tcpgreet/http/http.h"

enum { PENDING_MAX = 64, LONG_MS = 600 * 1000, MEDIUM_MS = 1000, SHORT_MS = 50, TEXT_BYTES = 64 * 1024 };

#define REQUEST(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* A server on the test's own thread. "/later" is answered by answer_later, all else at once with its own
 * target. */
static struct site {
    uv_loop_t loop;
    struct http *http;
    struct endpoint at;
    struct http_request *pending[PENDING_MAX];
    size_t pending_count;
    unsigned handled;
    unsigned failures;
    char uri[HTTP_URI_BYTES];
} site;

static void on_request(void *context, struct http_request *request)
{
    struct site *to = context;

    to->handled++;
    snprintf(to->uri, sizeof(to->uri), "%s", http_request_uri(request));
    if (strncmp(to->uri, "/later", 6) == 0 && to->pending_count < PENDING_MAX)
        to->pending[to->pending_count++] = request;
    else
        http_reply_text(request, HTTP_OK, to->uri);
}

static void on_failed(void *context, const struct err *err, bool for_good)
{
    struct site *to = context;
    assert_int_not_equal(err->reason, ERR_OK);
    assert_false(for_good);
    to->failures++;
}

static void open_site(size_t max_connections, unsigned wait_ms)
{
    const struct listener_options options = {.backlog = 128, .want_v4 = true};
    struct listener listener;
    struct target target;
    struct err err = {0};

    (void)clock_freeze(); /* where it cannot be set by hand, it goes on */
    site.pending_count = site.handled = site.failures = 0;
    assert_int_equal(target_parse(&target, "127.0.0.1", "0", &err), 0);
    assert_int_equal(listener_open(&target, &options, &listener, 1, &err), 1);
    site.at = listener.at;
    assert_int_equal(uv_loop_init(&site.loop), 0);
    if (http_available("a test", &err) != 0)
        fail_msg("%s", err.text);
    site.http = http_open(&site.loop,
                          &(struct http_config){.listeners = &listener,
                                                .listener_count = 1,
                                                .max_connections = max_connections,
                                                .wait_ms = wait_ms,
                                                .handle = on_request,
                                                .failed = on_failed,
                                                .context = &site},
                          &err);
    if (site.http == NULL)
        fail_msg("%s", err.text);
}

static void close_site(void)
{
    http_close(site.http);
    clock_thaw();
    assert_int_equal(uv_run(&site.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&site.loop), 0);
}

static void answer_later(size_t i)
{
    http_reply_text(site.pending[i], HTTP_OK, "late");
}

/* Each turn is a millisecond, however long it takes. */
static void turn(void)
{
    uv_run(&site.loop, UV_RUN_NOWAIT);
    poll(NULL, 0, 1);
    clock_advance_ms(1);
}

static void await_handled(unsigned count)
{
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && site.handled < count; i++)
        turn();
    assert_int_equal(site.handled, count);
}

/* What came so far; NUL-terminated. */
static char received[TEXT_BYTES];

/* Reads until the text ends with `ending`; NULL: until the end of the stream, also by a reset. */
static const char *await_text(int fd, const char *ending)
{
    size_t length = 0;

    received[0] = '\0';
    for (int i = 0; i < CALLER_PATIENCE_S * 1000; i++) {
        turn();
        ssize_t n = recv(fd, received + length, sizeof(received) - 1 - length, 0);
        length += n > 0 ? (size_t)n : 0;
        received[length] = '\0';
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return ending == NULL ? received : "(closed)";
        if (ending != NULL && length >= strlen(ending) &&
            strcmp(received + length - strlen(ending), ending) == 0)
            return received;
    }
    return "(nothing)";
}

static void expect_status(const char *answer, unsigned status)
{
    char line[16];
    snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
    if (strncmp(answer, line, strlen(line)) != 0)
        fail_msg("expected %s, not: %s", line, answer);
}

static void expect_line(const char *answer, const char *line)
{
    if (strstr(answer, line) == NULL)
        fail_msg("expected %s in: %s", line, answer);
}

/* Returns: the answer to one request on a connection of its own. */
static const char *ask(const char *request, const char *ending)
{
    int fd = caller_connect(&site.at);
    caller_send(fd, request);
    const char *answer = await_text(fd, ending);
    close(fd);
    return answer;
}

static void a_request_is_answered_with_every_security_field(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    const char *answer = ask(REQUEST("/a%20b?c=%2e&d"), "/a%20b?c=%2e&d\n");
    expect_status(answer, 200);
    expect_line(answer, "Content-Type: text/plain; charset=utf-8\r\n");
    expect_line(answer, "Cache-Control: no-store\r\n");
    expect_line(answer, "X-Content-Type-Options: nosniff\r\n");
    expect_line(answer, "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "
                        "frame-ancestors 'none'\r\n");
    expect_line(answer, "Cross-Origin-Resource-Policy: same-origin\r\n");
    close_site();
}

static void a_target_in_absolute_form_loses_its_authority(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    expect_status(ask(REQUEST("http://localhost:1/x?y"), "/x?y\n"), 200);
    close_site();
}

static void head_is_answered_without_a_body(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    const char *answer = ask("HEAD /abc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", NULL);
    expect_status(answer, 200);
    expect_line(answer, "Content-Length: 5\r\n");
    assert_string_equal(answer + strlen(answer) - 4, "\r\n\r\n");
    close_site();
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    int fd = caller_connect(&site.at);
    for (int i = 0; i < 3; i++) {
        caller_send(fd, REQUEST("/again"));
        expect_status(await_text(fd, "/again\n"), 200);
    }
    close(fd);
    close_site();
}

static void an_answer_may_come_later(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/later"));
    await_handled(1);
    expect_status(ask(REQUEST("/other"), "/other\n"), 200);
    answer_later(0);
    expect_status(await_text(fd, "late\n"), 200);
    close(fd);
    close_site();
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/later") REQUEST("/second") REQUEST("/later") REQUEST("/fourth"));
    await_handled(1);
    answer_later(0);
    await_handled(3);
    answer_later(1);
    await_text(fd, "/fourth\n");
    const char *late = strstr(received, "late\n"), *second = strstr(received, "/second\n");
    assert_non_null(late);
    assert_non_null(second);
    assert_true(late < second);
    assert_true(second < strstr(late + 1, "late\n"));
    close(fd);
    close_site();
}

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char request[] = REQUEST("/slowly");
    (void)state;
    open_site(8, LONG_MS);
    int fd = caller_connect(&site.at);
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        caller_send(fd, (char[]){request[i], '\0'});
        turn();
    }
    expect_status(await_text(fd, "/slowly\n"), 200);
    close(fd);
    close_site();
}

static void a_peer_that_has_ended_its_side_gets_its_answer(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/later"));
    shutdown(fd, SHUT_WR);
    await_handled(1);
    answer_later(0);
    expect_status(await_text(fd, NULL), 200);
    close(fd);
    close_site();
}

static void a_peer_that_left_a_pending_request_costs_nothing(void **state)
{
    (void)state;
    open_site(2, LONG_MS);
    for (int i = 0; i < 8; i++) {
        int fd = caller_connect(&site.at);
        site.pending_count = site.handled = 0;
        caller_send(fd, REQUEST("/later"));
        await_handled(1);
        i % 2 == 0 ? caller_reset(fd) : (void)close(fd);
        turn();
        answer_later(0);
        expect_status(ask(REQUEST("/next"), "/next\n"), 200);
    }
    close_site();
}

static void methods_and_bodies_that_are_not_served_are_refused(void **state)
{
    static const struct {
        const char *request;
        unsigned status;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 405},
        {"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"get / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nhOST: a\r\nX: y\r\nHost: b\r\n\r\n", 400},
    };
    (void)state;
    open_site(8, LONG_MS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = caller_connect(&site.at);
        caller_send(fd, cases[i].request);
        shutdown(fd, SHUT_WR);
        expect_status(await_text(fd, NULL), cases[i].status);
        if (cases[i].status == 405)
            expect_line(received, "Allow: GET, HEAD\r\n");
        close(fd);
    }
    assert_int_equal(site.handled, 0);
    close_site();
}

static void malformed_requests_end_their_connection_only(void **state)
{
    static const char *const requests[] = {"\x16\x03\x01\x02\x01\x01\x01\xfc\r\n\r\n",
                                           "GET\r\n\r\n",
                                           "GET  \r\n\r\n",
                                           "GET / HTTP/9.9\r\n\r\n",
                                           "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                           "GET / HTTP/1.1\r\n folded: a\r\n\r\n",
                                           "\r\n\r\n\r\n",
                                           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"};
    (void)state;
    open_site(8, MEDIUM_MS);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        int fd = caller_connect(&site.at);
        caller_send(fd, requests[i]);
        shutdown(fd, SHUT_WR);
        if (strcmp(await_text(fd, NULL), "(nothing)") == 0)
            fail_msg("nothing follows request %zu", i);
        close(fd);
        expect_status(ask(REQUEST("/next"), "/next\n"), 200);
    }
    close_site();
}

/* Sends more than may be sent, for as long as it is read. */
static const char *send_much(const char *begin, char of, size_t length)
{
    char *much = malloc(length);
    int fd = caller_connect(&site.at);

    assert_non_null(much);
    memset(much, of, length);
    caller_send(fd, begin);
    for (size_t sent = 0; sent < length;) {
        turn();
        ssize_t n = send(fd, much + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        sent += n > 0 ? (size_t)n : 0;
        if (n < 0 && sockets_wait(fd, POLLIN, 0))
            break;
    }
    free(much);
    shutdown(fd, SHUT_WR);
    const char *answer = await_text(fd, NULL);
    close(fd);
    return answer;
}

static void what_is_too_large_is_refused(void **state)
{
    char request[HTTP_URI_BYTES + 256];
    (void)state;
    open_site(8, LONG_MS);
    int length =
        snprintf(request, sizeof(request), "GET /%0*d HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_URI_BYTES, 0);
    assert_true(length > 0 && (size_t)length < sizeof(request));
    int fd = caller_connect(&site.at);
    caller_send(fd, request);
    expect_status(await_text(fd, "too long\n"), 414);
    close(fd);
    assert_int_equal(site.handled, 0);

    const char *answer = send_much("GET / HTTP/1.1\r\nHost: a\r\nX: ", 'x', 1024 * 1024);
    if (answer[0] != '\0') /* the reset may have overtaken it */
        expect_status(answer, 431);
    assert_string_not_equal(send_much("GET /", 'x', 1024 * 1024), "(nothing)");
    assert_int_equal(site.handled, 0);
    expect_status(ask(REQUEST("/next"), "/next\n"), 200);
    close_site();
}

static void a_request_of_http_1_0_needs_no_host(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, "GET /old HTTP/1.0\r\n\r\n");
    await_text(fd, NULL);
    assert_non_null(strstr(received, " 200 "));
    close(fd);
    close_site();
}

static void parameters_that_the_library_cannot_keep_are_refused_at_once(void **state)
{
    static const struct {
        const char *parameter;
        int count;
    } cases[] = {{"a=b&", 300},
                 {"a=b&", 1000},
                 {"a=b&", 3000},
                 {"&", 300},
                 {"&", 4000},
                 {"a&", 2000},
                 {"abcdefgh=12345678", 800}};
    static char request[32 * 1024];
    (void)state;
    open_site(8, LONG_MS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = (size_t)snprintf(request, sizeof(request), "GET /?");
        for (int n = 0; n < cases[i].count; n++)
            length += (size_t)snprintf(request + length, sizeof(request) - length, "%s", cases[i].parameter);
        snprintf(request + length, sizeof(request) - length, " HTTP/1.1\r\nHost: a\r\n\r\n");
        int fd = caller_connect(&site.at);
        caller_send(fd, request);
        expect_status(await_text(fd, NULL), 414);
        close(fd);
    }
    assert_int_equal(site.handled, 0);
    expect_status(ask(REQUEST("/next?a=b"), "/next?a=b\n"), 200);
    close_site();
}

static void a_connection_that_sends_no_whole_request_is_closed(void **state)
{
    static const char *const parts[] = {"", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nX: "};
    (void)state;
    open_site(8, SHORT_MS);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert_string_equal(ask(parts[i], NULL), "");
    close_site();
}

static void bytes_that_trickle_in_do_not_extend_the_wait(void **state)
{
    ssize_t n = 1;
    (void)state;
    open_site(8, SHORT_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < CALLER_PATIENCE_S * 1000 && n > 0; i++) {
        n = send(fd, "x", 1, MSG_NOSIGNAL);
        turn();
    }
    assert_true(n < 0);
    close(fd);
    close_site();
}

static void a_connection_that_idles_after_an_answer_is_closed(void **state)
{
    (void)state;
    open_site(8, SHORT_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/once"));
    expect_status(await_text(fd, NULL), 200);
    close(fd);
    close_site();
}

static void the_time_until_the_answer_is_not_the_peers(void **state)
{
    (void)state;
    open_site(8, SHORT_MS);
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/later"));
    await_handled(1);
    assert_string_equal(ask("", NULL), ""); /* one that came after it is closed */
    answer_later(0);
    expect_status(await_text(fd, "late\n"), 200);
    close(fd);
    close_site();
}

static void at_the_limit_the_connection_that_waited_longest_is_closed(void **state)
{
    enum { LIMIT = 4 };
    int fds[LIMIT];
    (void)state;
    open_site(LIMIT, LONG_MS);
    fds[0] = caller_connect(&site.at);
    caller_send(fds[0], REQUEST("/later"));
    await_handled(1);
    for (size_t i = 1; i < LIMIT; i++) {
        fds[i] = caller_connect(&site.at);
        caller_send(fds[i], "GET /");
        turn();
    }
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/new"));
    expect_status(await_text(fd, "/new\n"), 200);
    assert_string_equal(await_text(fds[1], NULL), "");
    answer_later(0);
    expect_status(await_text(fds[0], "late\n"), 200);
    caller_send(fds[2], "kept HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status(await_text(fds[2], "/kept\n"), 200);
    for (size_t i = 0; i < LIMIT; i++)
        close(fds[i]);
    close(fd);
    close_site();
}

static void where_every_connection_is_pending_the_next_one_waits(void **state)
{
    enum { LIMIT = 3 };
    int fds[LIMIT];
    (void)state;
    open_site(LIMIT, LONG_MS);
    for (size_t i = 0; i < LIMIT; i++) {
        fds[i] = caller_connect(&site.at);
        caller_send(fds[i], REQUEST("/later"));
    }
    await_handled(LIMIT);
    int fd = caller_connect(&site.at);
    caller_send(fd, REQUEST("/new"));
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(site.handled, LIMIT);
    answer_later(1);
    expect_status(await_text(fd, "/new\n"), 200);
    answer_later(0);
    answer_later(2);
    for (size_t i = 0; i < LIMIT; i++)
        close(fds[i]);
    close(fd);
    close_site();
}

static void a_failed_accept_is_reported_once_and_tried_again(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    accept_fault_set(ACCEPT_FAULT_ANY, EMFILE, 2);
    expect_status(ask(REQUEST("/next"), "/next\n"), 200);
    assert_int_equal(site.failures, 1);
    close_site();
}

static void closing_answers_what_is_pending(void **state)
{
    (void)state;
    open_site(8, LONG_MS);
    int pending = caller_connect(&site.at), pipelined = caller_connect(&site.at),
        idle = caller_connect(&site.at);
    caller_send(pending, REQUEST("/later"));
    caller_send(pipelined, REQUEST("/later") REQUEST("/later"));
    await_handled(2);
    close_site();
    open_site(8, LONG_MS);
    expect_status(await_text(pending, NULL), 503);
    expect_line(received, "Retry-After: 1\r\n");
    expect_status(await_text(pipelined, NULL), 503);
    assert_string_equal(await_text(idle, NULL), "");
    close(pending);
    close(pipelined);
    close(idle);
    close_site();
}

static void a_server_may_be_closed_while_connections_come(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        open_site(8, LONG_MS);
        int fd = caller_connect(&site.at);
        caller_send(fd, REQUEST("/later"));
        for (int j = 0; j < i % 4; j++)
            turn();
        close_site();
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_with_every_security_field),
        cmocka_unit_test(a_target_in_absolute_form_loses_its_authority),
        cmocka_unit_test(head_is_answered_without_a_body),
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(a_peer_that_has_ended_its_side_gets_its_answer),
        cmocka_unit_test(a_peer_that_left_a_pending_request_costs_nothing),
        cmocka_unit_test(methods_and_bodies_that_are_not_served_are_refused),
        cmocka_unit_test(malformed_requests_end_their_connection_only),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(a_request_of_http_1_0_needs_no_host),
        cmocka_unit_test(parameters_that_the_library_cannot_keep_are_refused_at_once),
        cmocka_unit_test(a_connection_that_sends_no_whole_request_is_closed),
        cmocka_unit_test(bytes_that_trickle_in_do_not_extend_the_wait),
        cmocka_unit_test(a_connection_that_idles_after_an_answer_is_closed),
        cmocka_unit_test(the_time_until_the_answer_is_not_the_peers),
        cmocka_unit_test(at_the_limit_the_connection_that_waited_longest_is_closed),
        cmocka_unit_test(where_every_connection_is_pending_the_next_one_waits),
        cmocka_unit_test(a_failed_accept_is_reported_once_and_tried_again),
        cmocka_unit_test(closing_answers_what_is_pending),
        cmocka_unit_test(a_server_may_be_closed_while_connections_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
