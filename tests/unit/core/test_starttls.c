#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/starttls_talks.h"
#include "tcpgreet/core/service.h"

enum { ROOM = DIALOGUE_OUT_BYTES };

/* A dialogue, and all that it has sent and not consumed. */
struct run {
    struct starttls starttls;
    char room[ROOM];
    struct sink out;
    struct buf in;
};

static void start_at(struct run *run, const struct starttls_config *config, const char *host,
                     const struct endpoint *local)
{
    *run = (struct run){0};
    run->out = (struct sink){run->room, 0, sizeof run->room};
    starttls_init(&run->starttls, config, host, local);
    dialogue_begin(&run->starttls.dialogue, &run->out, 0);
}

static void start(struct run *run, enum starttls_protocol protocol)
{
    start_at(run, &(struct starttls_config){.protocol = protocol}, "example.org", NULL);
}

static void feed(struct run *run, struct bytes bytes)
{
    assert_int_equal(buf_append(&run->in, bytes), 0);
    buf_consume(&run->in, dialogue_receive(&run->starttls.dialogue, buf_bytes(&run->in), &run->out, 0));
}

static void feed_text(struct run *run, const char *text)
{
    feed(run, (struct bytes){text, strlen(text)});
}

static void expect_failed(struct run *run, enum err_reason reason, const char *part)
{
    struct err err = {0};
    assert_int_equal(run->starttls.dialogue.state, DIALOGUE_FAILED);
    dialogue_failure(&run->starttls.dialogue, buf_bytes(&run->in), &err);
    assert_int_equal(err.reason, reason);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, err.text);
    buf_fini(&run->in);
}

static void expect_state(struct run *run, enum dialogue_state state)
{
    assert_int_equal(run->starttls.dialogue.state, state);
    buf_fini(&run->in);
}

static void expect_sent(const struct run *run, const char *text)
{
    if (run->out.length != strlen(text) || memcmp(run->room, text, run->out.length) != 0)
        fail_msg("sent \"%.*s\"", (int)run->out.length, run->room);
}

static void each_dialogue_ends_as_it_must_and_quotes_the_peer(void **state)
{
    (void)state;
    for (size_t i = 0; i < starttls_talk_count; i++) {
        const struct starttls_talk *talk = &starttls_talks[i];
        struct run run;
        start(&run, talk->protocol);
        for (size_t j = 0; j < STARTTLS_TALK_TURNS && talk->turns[j].received.length > 0; j++)
            feed(&run, talk->turns[j].received);
        if (run.starttls.end != talk->end)
            fail_msg("%s ends with %d", talk->name, (int)run.starttls.end);
        if (talk->end == STARTTLS_GOES_ON)
            expect_state(&run, DIALOGUE_OVER);
        else
            expect_failed(&run, ERR_TLS_STARTTLS, talk->quotes != NULL ? talk->quotes : "example.org");
    }
}

/* The last reply of a dialogue that succeeds, and a byte. */
static void data_behind_the_go_ahead_is_refused_as_an_injection(void **state)
{
    unsigned tried = 0;
    (void)state;
    for (size_t i = 0; i < starttls_talk_count; i++) {
        const struct starttls_talk *talk = &starttls_talks[i];
        struct run run;
        size_t last = 0;
        while (last + 1 < STARTTLS_TALK_TURNS && talk->turns[last + 1].received.length > 0)
            last++;
        if (talk->end != STARTTLS_GOES_ON)
            continue;
        start(&run, talk->protocol);
        for (size_t j = 0; j < last; j++)
            feed(&run, talk->turns[j].received);
        struct bytes go = talk->turns[last].received;
        char *longer = test_malloc(go.length + 2);
        memcpy(longer, go.data, go.length);
        memcpy(longer + go.length, "X\n", 2);
        feed(&run, (struct bytes){longer, go.length + 2});
        test_free(longer);
        expect_failed(&run, ERR_TLS_STARTTLS, "before TLS began (command injection): \"X\"");
        tried |= 1u << talk->protocol;
    }
    assert_int_equal(tried, (1u << STARTTLS_PROTOCOLS) - 2);
}

static void the_end_of_a_line_is_quoted_where_it_is_all_that_was_sent(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_POSTGRES);
    feed_text(&run, "S\r\n");
    expect_failed(&run, ERR_TLS_STARTTLS, "(command injection): \"\\r\\n\"");
    start(&run, STARTTLS_SMTP);
    feed_text(&run, "\n");
    expect_failed(&run, ERR_TLS_STARTTLS, "does not use SMTP on this port: it sent \"\\n\"");
}

static void a_silent_peer_sent_nothing_while_starttls_was_awaited(void **state)
{
    (void)state;
    for (int protocol = STARTTLS_NONE + 1; protocol < STARTTLS_PROTOCOLS; protocol++) {
        struct run run;
        start(&run, (enum starttls_protocol)protocol);
        dialogue_expire(&run.starttls.dialogue, (struct bytes){0}, &run.out, DIALOGUE_NEVER);
        expect_failed(&run, ERR_TLS_SILENT_PEER, "sent nothing while STARTTLS");
    }
}

static void a_peer_that_stalls_is_quoted(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_SMTP);
    feed_text(&run, "220-please\r\n22");
    dialogue_expire(&run.starttls.dialogue, buf_bytes(&run.in), &run.out, DIALOGUE_NEVER);
    expect_failed(&run, ERR_TLS_TIMEOUT, "took too long; it sent \"220-please\\r\\n22\"");
    start(&run, STARTTLS_SMTP);
    feed_text(&run, "220 a\r\n");
    dialogue_expire(&run.starttls.dialogue, buf_bytes(&run.in), &run.out, DIALOGUE_NEVER);
    expect_failed(&run, ERR_TLS_TIMEOUT, "STARTTLS (SMTP) with example.org took too long");
}

static void a_peer_that_closes_is_quoted(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_POP3);
    dialogue_eof(&run.starttls.dialogue, (struct bytes){0}, &run.out, 0);
    expect_failed(&run, ERR_TLS_STARTTLS, "closed the connection without sending anything");
    start(&run, STARTTLS_POP3);
    feed_text(&run, "+OK");
    dialogue_eof(&run.starttls.dialogue, buf_bytes(&run.in), &run.out, 0);
    expect_failed(&run, ERR_TLS_STARTTLS,
                  "closed the connection during STARTTLS (POP3), having sent \"+OK\"");
    start(&run, STARTTLS_POP3);
    run.starttls.dialogue.is_reset = true;
    dialogue_eof(&run.starttls.dialogue, (struct bytes){0}, &run.out, 0);
    expect_failed(&run, ERR_TLS_STARTTLS, "reset the connection without sending anything");
}

static void what_is_quoted_is_escaped(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_FTP);
    feed_text(&run, "421 \"\x9b\xff\"\r\n");
    expect_failed(&run, ERR_TLS_STARTTLS, "421 \\\"\\x9b\\xff\\\"");
    start(&run, STARTTLS_SMTP);
    feed_text(&run, "\n");
    expect_failed(&run, ERR_TLS_STARTTLS, "it sent \"\\n\"");
}

/* MySQL's first packet holds a NUL, and no newline. */
static void binary_data_is_no_line_that_is_waited_for(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_SMTP);
    feed(&run, BYTES_LITERAL("\x19\0\0\0\x0a"
                             "8.0.1\0"
                             "1234"
                             "12345678\0"
                             "\xff\xff\x21\0\0"));
    expect_failed(&run, ERR_TLS_STARTTLS, "(give --starttls mysql)");
}

static void feed_many(struct run *run, char byte, size_t count)
{
    char *bytes = test_malloc(count);
    memset(bytes, byte, count);
    feed(run, (struct bytes){bytes, count});
    test_free(bytes);
}

static void a_line_may_have_4_kib(void **state)
{
    static const enum starttls_protocol protocols[] = {STARTTLS_SMTP, STARTTLS_IRC, STARTTLS_SIEVE};
    struct run run;
    (void)state;
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        start(&run, protocols[i]);
        feed_many(&run, 'x', STARTTLS_LINE_MAX);
        expect_state(&run, DIALOGUE_RUNNING);
        start(&run, protocols[i]);
        feed_many(&run, 'x', STARTTLS_LINE_MAX + 1);
        expect_failed(&run, ERR_TLS_STARTTLS, "longer");
    }
}

static void an_xml_tag_may_have_4_kib(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_XMPP);
    feed_text(&run, "<a '");
    feed_many(&run, '>', STARTTLS_LINE_MAX - 5);
    assert_int_equal(run.starttls.dialogue.state, DIALOGUE_RUNNING);
    feed_many(&run, '>', 1);
    expect_failed(&run, ERR_TLS_STARTTLS, "longer");
}

static void a_literal_belongs_to_its_line_of_4_kib(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_SIEVE);
    feed_text(&run, "\"SIEVE\" {4097}\r\n");
    expect_failed(&run, ERR_TLS_STARTTLS, "longer");
}

static void a_reply_may_have_64_kib(void **state)
{
    static const struct {
        enum starttls_protocol protocol;
        const char *line;
    } endless[] = {{STARTTLS_SMTP, "220-line\r\n"},
                   {STARTTLS_FTP, "220-line\r\n"},
                   {STARTTLS_IRC, "NOTICE x\r\n"},
                   {STARTTLS_SIEVE, "\"12345678\"\n"},
                   {STARTTLS_XMPP, "\r\n\r\n\r\n\r\n\r\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++) {
        struct run run;
        start(&run, endless[i].protocol);
        size_t length = strlen(endless[i].line), fed = 0;
        while (fed + length <= STARTTLS_REPLY_MAX) {
            feed_text(&run, endless[i].line);
            assert_int_equal(run.starttls.dialogue.state, DIALOGUE_RUNNING);
            fed += length;
        }
        feed_text(&run, endless[i].line);
        expect_failed(&run, ERR_TLS_STARTTLS, "64 KiB");
    }
}

static void a_message_of_ldap_may_have_64_kib(void **state)
{
    struct run run;
    (void)state;
    start(&run, STARTTLS_LDAP);
    feed(&run, BYTES_LITERAL("\x30\x84\0\0\xff\xfa"));
    feed_many(&run, 'x', 0xfff9);
    assert_true(buf_length(&run.in) <= DIALOGUE_KEEP_BYTES);
    expect_state(&run, DIALOGUE_RUNNING);
}

/* The kernel's choice of address is what the greeting names. */
static void ehlo_names_the_address_of_this_side(void **state)
{
    struct endpoint local = endpoint_loopback(AF_INET6, 5);
    struct starttls_config config = {.protocol = STARTTLS_SMTP};
    struct run run;
    (void)state;
    local.address.v6.sin6_scope_id = 7;
    start_at(&run, &config, "example.org", &local);
    feed_text(&run, "220 a\r\n");
    expect_sent(&run, "EHLO [IPv6:::1]\r\n");
    local = endpoint_loopback(AF_INET, 5);
    inet_pton(AF_INET, "192.0.2.7", &local.address.v4.sin_addr);
    start_at(&run, &config, "example.org", &local);
    feed_text(&run, "220 a\r\n");
    expect_sent(&run, "EHLO [192.0.2.7]\r\n");
}

static void expect_to(const char *host, const char *servername, const char *to)
{
    char expected[400];
    struct run run;
    start_at(&run, &(struct starttls_config){STARTTLS_XMPP, servername}, host, NULL);
    snprintf(expected, sizeof expected,
             "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
             "xmlns:stream='http://etherx.jabber.org/streams'>",
             to);
    expect_sent(&run, expected);
}

static void xmpp_addresses_the_servername_or_the_host(void **state)
{
    (void)state;
    expect_to("xmpp.example.org", NULL, "xmpp.example.org");
    expect_to("xmpp.example.org", "example.org", "example.org");
    expect_to("example.org.", NULL, "example.org");
    expect_to("fe80::1%eth0", NULL, "[fe80::1]");
    expect_to("192.0.2.1", NULL, "192.0.2.1");
    expect_to("a", "<'\"&>%s", "&lt;&apos;&quot;&amp;&gt;%s");
}

static void words_and_protocols_match(void **state)
{
    enum starttls_protocol found = STARTTLS_SMTP;
    (void)state;
    for (int protocol = STARTTLS_NONE + 1; protocol < STARTTLS_PROTOCOLS; protocol++) {
        assert_true(starttls_parse(starttls_word((enum starttls_protocol)protocol), &found));
        assert_int_equal(found, protocol);
    }
    assert_string_equal(starttls_word(STARTTLS_XMPP_SERVER), "xmpp-server");
    assert_false(starttls_parse("SMTP", &found));
    assert_false(starttls_parse("", &found));
}

static void a_service_that_is_recognized_has_its_protocol_and_port(void **state)
{
    enum starttls_protocol found = STARTTLS_SMTP;
    (void)state;
    assert_true(starttls_of_service("imap", &found));
    assert_int_equal(starttls_tls_port(found), 993);
    assert_true(starttls_of_service("mariadb", &found));
    assert_int_equal(found, STARTTLS_MYSQL);
    assert_int_equal(starttls_tls_port(found), 0);
    assert_false(starttls_of_service("ssh", &found));
    assert_false(starttls_of_service(NULL, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_dialogue_ends_as_it_must_and_quotes_the_peer),
        cmocka_unit_test(data_behind_the_go_ahead_is_refused_as_an_injection),
        cmocka_unit_test(the_end_of_a_line_is_quoted_where_it_is_all_that_was_sent),
        cmocka_unit_test(a_silent_peer_sent_nothing_while_starttls_was_awaited),
        cmocka_unit_test(a_peer_that_stalls_is_quoted),
        cmocka_unit_test(a_peer_that_closes_is_quoted),
        cmocka_unit_test(what_is_quoted_is_escaped),
        cmocka_unit_test(binary_data_is_no_line_that_is_waited_for),
        cmocka_unit_test(a_line_may_have_4_kib),
        cmocka_unit_test(an_xml_tag_may_have_4_kib),
        cmocka_unit_test(a_literal_belongs_to_its_line_of_4_kib),
        cmocka_unit_test(a_reply_may_have_64_kib),
        cmocka_unit_test(a_message_of_ldap_may_have_64_kib),
        cmocka_unit_test(ehlo_names_the_address_of_this_side),
        cmocka_unit_test(xmpp_addresses_the_servername_or_the_host),
        cmocka_unit_test(words_and_protocols_match),
        cmocka_unit_test(a_service_that_is_recognized_has_its_protocol_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
