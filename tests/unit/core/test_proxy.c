#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/proxy_talk.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SOCKS(text) BYTES_LITERAL(text)
#define NO_METHOD "\x05\x00"
#define PASSWORD_METHOD "\x05\x02"
#define REPLY_V4 "\x05\x00\x00\x01\x7f\x00\x00\x01\x17\x70"

struct expected {
    const char *user;
    struct bytes received;
    enum proxy_talk_end end;
    enum err_reason reason; /* ERR_OK: connected */
    enum err_detail detail;
    int native;
    const char *part; /* of the text; or what is left behind the reply, where it is connected */
};

static struct bytes text(const char *chars)
{
    return (struct bytes){chars, strlen(chars)};
}

static void expect_end(const struct proxy_talk *talk, const struct expected *expected)
{
    if (talk->err.reason != expected->reason || talk->err.detail != expected->detail ||
        talk->err.native != expected->native)
        fail_msg("%s: %s, detail %d, native %d: %s", expected->part, err_word(talk->err.reason),
                 (int)talk->err.detail, talk->err.native, talk->err.text);
    if (expected->reason != ERR_OK) {
        if (strstr(talk->err.text, expected->part) == NULL)
            fail_msg("not \"%s\" but \"%s\"", expected->part, talk->err.text);
        if (strstr(talk->err.text, "hunter2") != NULL)
            fail_msg("the password is in: %s", talk->err.text);
        if (strstr(talk->err.text, "asked for") != NULL && !talk->proxy.asked)
            fail_msg("it was not asked yet: %s", talk->err.text);
        return;
    }
    assert_int_equal(talk->proxy.dialogue.state, DIALOGUE_OVER);
    assert_int_equal(expected->received.length - talk->consumed, strlen(expected->part));
    assert_memory_equal(expected->received.data + talk->consumed, expected->part, strlen(expected->part));
}

/* Whole and byte by byte. */
static void expect(enum proxy_kind kind, const struct expected *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct proxy_route route;
        struct proxy_config config;
        struct proxy_talk talk;
        proxy_talk_route(&route, &config, kind, list[i].user, list[i].user != NULL ? "hunter2" : NULL);
        proxy_talk_hold(&talk, &route, list[i].received, 0, list[i].end);
        expect_end(&talk, &list[i]);
        struct expected bytewise = list[i];
        proxy_talk_hold(&talk, &route, list[i].received, 1, list[i].end);
        bytewise.received.length = list[i].reason == ERR_OK ? talk.consumed + strlen(list[i].part) : 0;
        if (talk.err.detail != ERR_DETAIL_PROXY_STRANGE)
            expect_end(&talk, &bytewise);
        else
            assert_int_equal(list[i].detail, ERR_DETAIL_PROXY_STRANGE);
    }
}

static void expect_request(enum proxy_kind kind, const char *user, const char *password,
                           const struct proxy_route *to, struct bytes received, struct bytes request)
{
    struct proxy_route route;
    struct proxy_config config;
    struct proxy_talk talk;
    proxy_talk_route(&route, &config, kind, user, password);
    if (to != NULL) {
        route.kind = to->kind;
        memcpy(route.host, to->host, sizeof route.host);
    }
    proxy_talk_hold(&talk, &route, received, 0, PROXY_TALK_GOES_ON);
    if (!bytes_equal((struct bytes){talk.sent, talk.sent_length}, request))
        fail_msg("sent \"%.*s\"", (int)talk.sent_length, talk.sent);
}

static const struct proxy_route to_v6 = {.kind = TARGET_IPV6, .host = "2001:db8::1"};
static const struct proxy_route to_v4 = {.kind = TARGET_IPV4, .host = "192.0.2.1"};

static void a_connect_request_names_the_target(void **state)
{
    (void)state;
    expect_request(
        PROXY_HTTP, NULL, NULL, NULL, text(""),
        BYTES_LITERAL("CONNECT target.example:6000 HTTP/1.1\r\nHost: target.example:6000\r\n\r\n"));
    expect_request(PROXY_HTTP, NULL, NULL, &to_v6, text(""),
                   BYTES_LITERAL("CONNECT [2001:db8::1]:6000 HTTP/1.1\r\nHost: [2001:db8::1]:6000\r\n\r\n"));
}

/* The example of RFC 7617 section 2, and each length of the last group. */
static void credentials_are_sent_by_basic_authentication(void **state)
{
    static const char *const pairs[][3] = {{"Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
                                           {"bob", "hunter2", "Ym9iOmh1bnRlcjI="},
                                           {"bob", "", "Ym9iOg=="},
                                           {"b", "\xff\xfe\xfd\xfc", "Yjr//v38"}};
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "CONNECT target.example:6000 HTTP/1.1\r\nHost: target.example:6000\r\n"
                 "Proxy-Authorization: Basic %s\r\n\r\n",
                 pairs[i][2]);
        expect_request(PROXY_HTTP, pairs[i][0], pairs[i][1], NULL, text(""), text(request));
    }
}

static void any_2xx_status_goes_on_with_what_follows_the_header(void **state)
{
    static const struct expected list[] = {
        {NULL, BYTES_LITERAL("HTTP/1.1 200 Connection established\r\n\r\n"), 0, ERR_OK, 0, 0, ""},
        {NULL, BYTES_LITERAL("HTTP/1.0 200\r\n\r\nSSH-2.0-x\r\n"), 0, ERR_OK, 0, 0, "SSH-2.0-x\r\n"},
        {NULL, BYTES_LITERAL("HTTP/1.1 204 x\n\nabc"), 0, ERR_OK, 0, 0, "abc"},
        {NULL, BYTES_LITERAL("HTTP/1.1 299 \r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"),
         0, ERR_OK, 0, 0, "abc"},
        {NULL,
         BYTES_LITERAL("HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
         0, ERR_OK, 0, 0, ""},
        {NULL, BYTES_LITERAL("HTTP/1.1 200 OK\r\nfold: a\r\n b\r\nno colon\r\n\r\n\r\n"), 0, ERR_OK, 0, 0,
         "\r\n"},
    };
    (void)state;
    expect(PROXY_HTTP, list, COUNT(list));
}

#define HTTP_REFUSAL(reply, end, status, part)                                                               \
    {                                                                                                        \
        NULL, BYTES_LITERAL(reply), end, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_HTTP, status, part              \
    }

static void another_status_is_reported_with_its_phrase(void **state)
{
    static const struct expected list[] = {
        HTTP_REFUSAL(
            "HTTP/1.1 403 Filtered\r\n\r\n<html>", 0, 403,
            "proxy localhost:3128 did not connect to target.example:6000: \"403 Filtered\" (its rules"),
        HTTP_REFUSAL("HTTP/1.1 503\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n", 0, 503,
                     "\"503\", \"ERR_DNS_FAIL 0\" (by its account"),
        HTTP_REFUSAL("HTTP/1.1 502 Bad Gateway\r\nproxy-status: p; error=connection_refused\r\n\r\n", 0, 502,
                     "\"502 Bad Gateway\", \"p; error=connection_refused\""),
        HTTP_REFUSAL("HTTP/1.1 302 \x1b[31mFound\"\r\n\r\n", 0, 302, "\"302 \\x1b[31mFound\\\"\""),
        HTTP_REFUSAL("HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, 101, "\"101 Switching Protocols\""),
        HTTP_REFUSAL("HTTP/1.1 403 cut\r\nA", PROXY_TALK_EOF, 403, "\"403 cut\""),
        HTTP_REFUSAL("HTTP/1.1 403 cut\r\nA", PROXY_TALK_EXPIRE, 403, "\"403 cut\""),
        HTTP_REFUSAL("HTTP/1.1 999 \r\n\r\n", 0, 999, "\"999\""),
    };
    (void)state;
    expect(PROXY_HTTP, list, COUNT(list));
}

#define HTTP_USER(user, fields, part)                                                                        \
    {                                                                                                        \
        user, BYTES_LITERAL("HTTP/1.1 407 Who?\r\n" fields "\r\n\r\n"), 0, ERR_CONNECT_PROXY,                \
            ERR_DETAIL_PROXY_USER, 407, part                                                                 \
    }

static void status_407_depends_on_the_schemes_that_are_offered(void **state)
{
    static const struct expected list[] = {
        HTTP_USER(NULL, "Proxy-Authenticate: Basic realm=\"a, Digest b\"",
                  "requires authentication: \"407 Who?\" (use --proxy http://USER@localhost:3128, with the"),
        HTTP_USER("bob", "proxy-authenticate: basic", "rejected the user name or the password"),
        HTTP_USER("bob", "Proxy-Authenticate: Digest realm=\"a\", nonce=\"b\", Basic realm=c",
                  "rejected the user name"),
        HTTP_USER(NULL, "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM",
                  "by Negotiate, NTLM, which"),
        HTTP_USER("bob", "Proxy-Authenticate: Digest realm=\"Basic\", qop=\"auth, Basic\"",
                  "by Digest, which"),
        HTTP_USER(NULL, "A: b", "by a scheme that it does not name"),
        HTTP_USER("bob", "A: b", "rejected the user name or the password"),
        {"bob", BYTES_LITERAL("HTTP/1.0 401 Unauthorized\r\n\r\n"), 0, ERR_CONNECT_PROXY,
         ERR_DETAIL_PROXY_USER, 401, "rejected the user name or the password: \"401 Unauthorized\""},
        {NULL, BYTES_LITERAL("HTTP/1.0 401 No\r\nWWW-Authenticate: Basic\r\n\r\n"), 0, ERR_CONNECT_PROXY,
         ERR_DETAIL_PROXY_USER, 401, "use --proxy http://USER@"},
    };
    (void)state;
    expect(PROXY_HTTP, list, COUNT(list));
}

#define STRANGE(bytes, part)                                                                                 \
    {                                                                                                        \
        NULL, BYTES_LITERAL(bytes), PROXY_TALK_EOF, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_STRANGE, 0, part     \
    }
#define HTTP_BAD(bytes, end, reason, detail, part)                                                           \
    {                                                                                                        \
        NULL, BYTES_LITERAL(bytes), end, reason, detail, 0, part                                             \
    }

static void a_peer_that_is_no_http_proxy_is_named_by_what_it_sent(void **state)
{
    static const struct expected list[] = {
        STRANGE("SSH-2.0-OpenSSH_9.2\r\n",
                "is not an HTTP proxy: it sent \"SSH-2.0-OpenSSH_9.2\" (it is the"),
        STRANGE("\x15\x03\x01\x00\x02\x02\x46", "it is a TLS server"),
        STRANGE("Server: Welcome!\nServer: What's your name?",
                "it is a tcpgreet server; it sent \"Server: Welcome!\""),
        STRANGE("\x05\xff", "it replied as a SOCKS5 proxy"),
        STRANGE("hello", "it sent \"hello\" (check its host and port)"),
    };
    (void)state;
    expect(PROXY_HTTP, list, COUNT(list));
}

static void an_http_reply_that_is_not_valid_or_not_complete_is_none(void **state)
{
    static const struct expected list[] = {
        HTTP_BAD("HTTP/2 200 OK\r\n\r\n", 0, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_MALFORMED, "is not valid"),
        HTTP_BAD("HTTP/1.1 20 OK\r\n\r\n", 0, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_MALFORMED, "is not valid"),
        HTTP_BAD("HTTP/1.1 2000 OK\r\n\r\n", 0, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_MALFORMED,
                 "is not valid"),
        HTTP_BAD("HTTP/1.1 099 OK\r\n\r\n", 0, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_MALFORMED, "is not valid"),
        HTTP_BAD("HTTP/1.1 100 \r\n\r\nSSH-2", 0, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_MALFORMED,
                 "is not valid"),
        HTTP_BAD("", PROXY_TALK_EOF, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_CLOSED, "without a reply"),
        HTTP_BAD("HTT", PROXY_TALK_EOF, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_CLOSED, "before its reply was"),
        HTTP_BAD("HTTP/1.1 200 OK\r\nA: b\r\n", PROXY_TALK_EOF, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_CLOSED,
                 "before its reply was"),
        HTTP_BAD("", PROXY_TALK_EXPIRE, ERR_CONNECT_TIMEOUT, ERR_DETAIL_PROXY_SILENT,
                 "or it waits for the target"),
        HTTP_BAD("HTTP/1.1 200 OK\r\n", PROXY_TALK_EXPIRE, ERR_CONNECT_PROXY, ERR_DETAIL_PROXY_SILENT,
                 "did not complete its reply"),
    };
    (void)state;
    expect(PROXY_HTTP, list, COUNT(list));
}

/* Shape: a text of length bytes for free. */
static char *repeat(const char *piece, size_t length)
{
    char *all = malloc(length);
    if (all == NULL)
        abort();
    for (size_t i = 0; i < length; i++)
        all[i] = piece[i % strlen(piece)];
    return all;
}

static void an_endless_reply_ends_at_its_limits(void **state)
{
    static const char status[] = "HTTP/1.1 200 OK\r\n", refusal[] = "HTTP/1.1 403 No\r\n";
    struct proxy_route route;
    struct proxy_config config;
    struct proxy_talk talk;
    (void)state;

    proxy_talk_route(&route, &config, PROXY_HTTP, NULL, NULL);
    for (size_t step = 0; step <= 1000; step += 500) {
        char *line = repeat("x", PROXY_LINE_MAX + 20);
        memcpy(line, status, sizeof status - 1);
        proxy_talk_hold(&talk, &route, (struct bytes){line, PROXY_LINE_MAX + 20}, step, PROXY_TALK_GOES_ON);
        assert_int_equal(talk.proxy.end, PROXY_END_TOO_LONG);
        assert_non_null(strstr(talk.err.text, "is too long: more than 8 KiB in a line, or 64 KiB in all"));
        free(line);

        char *fields = repeat("abc: d\r\n", PROXY_REPLY_MAX + 100);
        memcpy(fields, status, sizeof status - 1);
        proxy_talk_hold(&talk, &route, (struct bytes){fields, PROXY_REPLY_MAX + 100}, step,
                        PROXY_TALK_GOES_ON);
        assert_int_equal(talk.proxy.end, PROXY_END_TOO_LONG);
        memcpy(fields, refusal, sizeof refusal - 1);
        proxy_talk_hold(&talk, &route, (struct bytes){fields, PROXY_REPLY_MAX + 100}, step,
                        PROXY_TALK_GOES_ON);
        assert_int_equal(talk.proxy.end, PROXY_END_REFUSED);
        free(fields);

        char *interim = repeat("HTTP/1.1 100 x\r\n\r\n", PROXY_REPLY_MAX + 100);
        proxy_talk_hold(&talk, &route, (struct bytes){interim, PROXY_REPLY_MAX + 100}, step,
                        PROXY_TALK_GOES_ON);
        assert_int_equal(talk.proxy.end, PROXY_END_TOO_LONG);
        free(interim);
    }
}

static void a_socks_request_has_the_target_as_what_it_is(void **state)
{
    (void)state;
    expect_request(PROXY_SOCKS5, NULL, NULL, NULL, SOCKS(""), SOCKS("\x05\x01\x00"));
    expect_request(PROXY_SOCKS5, NULL, NULL, NULL, SOCKS(NO_METHOD),
                   SOCKS("\x05\x01\x00\x05\x01\x00\x03\x0etarget.example\x17\x70"));
    expect_request(PROXY_SOCKS5, NULL, NULL, &to_v4, SOCKS(NO_METHOD),
                   SOCKS("\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x17\x70"));
    expect_request(PROXY_SOCKS5, NULL, NULL, &to_v6, SOCKS(NO_METHOD),
                   SOCKS("\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x17\x70"));
}

static void socks_credentials_are_sent_only_where_they_are_asked_for(void **state)
{
    (void)state;
    expect_request(PROXY_SOCKS5, "bob", "pw", NULL, SOCKS(PASSWORD_METHOD),
                   SOCKS("\x05\x02\x00\x02\x01\x03"
                         "bob\x02pw"));
    expect_request(PROXY_SOCKS5, "bob", "pw", NULL, SOCKS(PASSWORD_METHOD "\x01\x00"),
                   SOCKS("\x05\x02\x00\x02\x01\x03"
                         "bob\x02pw\x05\x01\x00\x03\x0etarget.example\x17\x70"));
    expect_request(PROXY_SOCKS5, "bob", "pw", NULL, SOCKS(NO_METHOD),
                   SOCKS("\x05\x02\x00\x02\x05\x01\x00\x03\x0etarget.example\x17\x70"));
}

#define SOCKS_OK(user, bytes, rest)                                                                          \
    {                                                                                                        \
        user, BYTES_LITERAL(bytes), 0, ERR_OK, 0, 0, rest                                                    \
    }

static void a_socks_reply_is_as_long_as_its_address(void **state)
{
    static const struct expected list[] = {
        SOCKS_OK(NULL, NO_METHOD REPLY_V4, ""),
        SOCKS_OK(NULL, NO_METHOD REPLY_V4 "\x05 more", "\x05 more"),
        SOCKS_OK(NULL,
                 NO_METHOD "\x05\x00\x00\x04"
                           "0123456789abcdef\x17\x70rest",
                 "rest"),
        SOCKS_OK(NULL, NO_METHOD "\x05\x00\x00\x03\x04name\x17\x70rest", "rest"),
        SOCKS_OK(NULL, NO_METHOD "\x05\x00\x00\x03\x00\x17\x70rest", "rest"),
        SOCKS_OK("bob", PASSWORD_METHOD "\x01\x00" REPLY_V4 "rest", "rest"),
        SOCKS_OK("bob", PASSWORD_METHOD "\x05\x00" REPLY_V4, ""),
        SOCKS_OK("bob", NO_METHOD REPLY_V4 "rest", "rest"),
    };
    (void)state;
    expect(PROXY_SOCKS5, list, COUNT(list));
}

#define SOCKS_BAD(user, bytes, end, detail, code, part)                                                      \
    {                                                                                                        \
        user, BYTES_LITERAL(bytes), end, ERR_CONNECT_PROXY, detail, code, part                               \
    }

static void a_socks_refusal_is_reported_in_the_words_of_the_standard(void **state)
{
    static const struct expected list[] = {
        SOCKS_BAD(NULL, NO_METHOD "\x05\x01", 0, ERR_DETAIL_PROXY_SOCKS, 1,
                  "reply 1, \"general SOCKS server failure\""),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x02\x00", 0, ERR_DETAIL_PROXY_SOCKS, 2,
                  "not allowed by ruleset\" (its rules"),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x03\x00\x01\0\0\0\0\0\0", 0, ERR_DETAIL_PROXY_SOCKS, 3,
                  "\"Network unreachable\" (by its account"),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x04\x00\x01\0\0\0\0\0\0", 0, ERR_DETAIL_PROXY_SOCKS, 4,
                  "\"Host unreachable\""),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x05\x00\x01\0\0\0\0\0\0", 0, ERR_DETAIL_PROXY_SOCKS, 5,
                  "\"Connection refused\""),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x06", 0, ERR_DETAIL_PROXY_SOCKS, 6, "\"TTL expired\""),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x08", 0, ERR_DETAIL_PROXY_SOCKS, 8, "\"Address type not supported\""),
        SOCKS_BAD(NULL, NO_METHOD "\x05\xfe", 0, ERR_DETAIL_PROXY_SOCKS, 254, "reply 254, \"unassigned\""),
        SOCKS_BAD(NULL, "\x05\xff", 0, ERR_DETAIL_PROXY_USER, 255,
                  "requires authentication (use --proxy socks5://USER@"),
        SOCKS_BAD(NULL, PASSWORD_METHOD, 0, ERR_DETAIL_PROXY_USER, 2, "requires authentication (use"),
        SOCKS_BAD("bob", "\x05\xff", 0, ERR_DETAIL_PROXY_USER, 255, "another method of authentication"),
        SOCKS_BAD("bob", PASSWORD_METHOD "\x01\x01", 0, ERR_DETAIL_PROXY_USER, 1,
                  "rejected the user name or the password"),
    };
    (void)state;
    expect(PROXY_SOCKS5, list, COUNT(list));
}

static void a_socks_reply_that_is_not_valid_or_not_complete_is_none(void **state)
{
    static const struct expected list[] = {
        STRANGE("HTTP/1.0 400 Bad Request\r\n\r\n",
                "is not a SOCKS5 proxy: it is an HTTP server (use http://"),
        STRANGE("SSH-2.0-x\r\n", "protocol ssh"),
        STRANGE("\x00\x5b\x00\x00\x00\x00\x00\x00", "it replied as a SOCKS4 proxy"),
        SOCKS_BAD(NULL, "\x05\x01", 0, ERR_DETAIL_PROXY_MALFORMED, 0, "\"\\x05\\x01\""),
        SOCKS_BAD(NULL, NO_METHOD "\x04\x00", 0, ERR_DETAIL_PROXY_MALFORMED, 0, "\"\\x04\\x00\""),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x00\x00\x02", 0, ERR_DETAIL_PROXY_MALFORMED, 0, "is not valid"),
        SOCKS_BAD(NULL, "", PROXY_TALK_EOF, ERR_DETAIL_PROXY_CLOSED, 0,
                  "closed the connection without a reply (it may not"),
        SOCKS_BAD(NULL, "\x05", PROXY_TALK_EOF, ERR_DETAIL_PROXY_CLOSED, 0, "before its reply was complete"),
        SOCKS_BAD("bob", PASSWORD_METHOD, PROXY_TALK_EOF, ERR_DETAIL_PROXY_CLOSED, 0,
                  "without a reply to the user name and the password"),
        SOCKS_BAD("bob", PASSWORD_METHOD "\x01", PROXY_TALK_EOF, ERR_DETAIL_PROXY_CLOSED, 0,
                  "before its reply was complete"),
        SOCKS_BAD(NULL, NO_METHOD, PROXY_TALK_EOF, ERR_DETAIL_PROXY_CLOSED, 0,
                  "without a reply, asked for target.example:6000"),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x00", PROXY_TALK_EOF, ERR_DETAIL_PROXY_CLOSED, 0,
                  "before its reply was complete, asked for target.example:6000"),
        SOCKS_BAD(NULL, "", PROXY_TALK_EXPIRE, ERR_DETAIL_PROXY_SILENT, 0, "is it a SOCKS5 proxy?"),
        SOCKS_BAD("bob", PASSWORD_METHOD, PROXY_TALK_EXPIRE, ERR_DETAIL_PROXY_SILENT, 0,
                  "does not reply to the user name and the password"),
        SOCKS_BAD("bob", PASSWORD_METHOD "\x01", PROXY_TALK_EXPIRE, ERR_DETAIL_PROXY_SILENT, 0,
                  "did not complete its reply"),
        SOCKS_BAD(NULL, NO_METHOD "\x05\x00", PROXY_TALK_EXPIRE, ERR_DETAIL_PROXY_SILENT, 0,
                  "did not complete its reply"),
        {NULL, BYTES_LITERAL(NO_METHOD), PROXY_TALK_EXPIRE, ERR_CONNECT_TIMEOUT, ERR_DETAIL_PROXY_SILENT, 0,
         "or it waits for the target"},
    };
    (void)state;
    expect(PROXY_SOCKS5, list, COUNT(list));
}

static void before_its_time_nothing_expires(void **state)
{
    struct proxy_route route;
    struct proxy_config config;
    struct proxy proxy;
    static char room[DIALOGUE_OUT_BYTES];
    struct sink out = {room, 0, sizeof room};
    (void)state;
    for (int kind = PROXY_HTTP; kind <= PROXY_SOCKS5; kind++) {
        proxy_talk_route(&route, &config, (enum proxy_kind)kind, NULL, NULL);
        proxy_init(&proxy, &route);
        dialogue_begin(&proxy.dialogue, &out, 0);
        dialogue_expire(&proxy.dialogue, (struct bytes){0}, &out, DIALOGUE_NEVER - 1);
        assert_int_equal(proxy.dialogue.state, DIALOGUE_RUNNING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connect_request_names_the_target),
        cmocka_unit_test(credentials_are_sent_by_basic_authentication),
        cmocka_unit_test(any_2xx_status_goes_on_with_what_follows_the_header),
        cmocka_unit_test(another_status_is_reported_with_its_phrase),
        cmocka_unit_test(status_407_depends_on_the_schemes_that_are_offered),
        cmocka_unit_test(a_peer_that_is_no_http_proxy_is_named_by_what_it_sent),
        cmocka_unit_test(an_http_reply_that_is_not_valid_or_not_complete_is_none),
        cmocka_unit_test(an_endless_reply_ends_at_its_limits),
        cmocka_unit_test(a_socks_request_has_the_target_as_what_it_is),
        cmocka_unit_test(socks_credentials_are_sent_only_where_they_are_asked_for),
        cmocka_unit_test(a_socks_reply_is_as_long_as_its_address),
        cmocka_unit_test(a_socks_refusal_is_reported_in_the_words_of_the_standard),
        cmocka_unit_test(a_socks_reply_that_is_not_valid_or_not_complete_is_none),
        cmocka_unit_test(before_its_time_nothing_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
