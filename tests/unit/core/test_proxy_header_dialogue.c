#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/trace.h"
#include "tcpgreet/core/proxy_header_dialogue.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define V2_V4 "\xc0\0\x02\x01\xc6\x33\x64\x02\x13\x88\x01\xbb" /* 192.0.2.1:5000 to 198.51.100.2:443 */

static void keep_arguments(void *context, const struct trace_event *event)
{
    if (event->step == TRACE_PROXIED)
        snprintf(context, 1024, "%s", event->arguments);
}

static enum err_reason accept_all(void *context, const struct proxy_header *header, struct bytes raw)
{
    (void)context;
    (void)header;
    (void)raw;
    return ERR_OK;
}

static void expect_trace(struct bytes in, const char *expected)
{
    struct proxy_header_receiver receiver;
    char text[1024] = "";
    struct sink out = {0};

    trace_to(keep_arguments, text);
    proxy_header_receive(&receiver, accept_all, NULL);
    receiver.dialogue.ops->begin(&receiver.dialogue, &out, 0);
    assert_int_equal(receiver.dialogue.ops->receive(&receiver.dialogue, in, &out, 0), in.length);
    trace_to(NULL, NULL);
    assert_string_equal(text, expected);
}

static void a_client_certificate_counts_as_verified_only_where_the_proxy_has_verified_it(void **state)
{
    (void)state;
    expect_trace(BYTES_LITERAL(V2 "\x21\x11\0\x1a" V2_V4 "\x20\0\x0b\x07\0\0\0\0\x22\0\x03"
                                  "bob"),
                 "192.0.2.1:5000 to 198.51.100.2:443, v2, client certificate \"bob\"");
    expect_trace(BYTES_LITERAL(V2 "\x21\x11\0\x1a" V2_V4 "\x20\0\x0b\x07\0\0\0\x01\x22\0\x03"
                                  "bob"),
                 "192.0.2.1:5000 to 198.51.100.2:443, v2, unverified client certificate \"bob\"");
}

static void the_trace_shows_the_algorithms_of_the_certificate(void **state)
{
    (void)state;
    expect_trace(
        BYTES_LITERAL(V2 "\x21\x11\0\x23" V2_V4 "\x20\0\x14\x01\0\0\0\0\x24\0\x06"
                         "SHA256\x25\0\x03"
                         "EC2"),
        "192.0.2.1:5000 to 198.51.100.2:443, v2, signature algorithm \"SHA256\", key algorithm \"EC2\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_certificate_counts_as_verified_only_where_the_proxy_has_verified_it),
        cmocka_unit_test(the_trace_shows_the_algorithms_of_the_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
