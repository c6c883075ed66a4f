#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/diagnosed.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BY_PROXY(detail_, native_)                                                                           \
    {                                                                                                        \
        .peer = V4, PROBE_PROXY, ERR_CONNECT_PROXY, "refused", .detail = (detail_), .native = (native_)      \
    }
#define WORD(word, sentence)                                                                                 \
    {                                                                                                        \
        {                                                                                                    \
            (word), (sentence)                                                                               \
        }                                                                                                    \
    }
#define THROUGH .through_proxy = true

static const struct diagnosed_row rows[] = {
    {"a proxy that works", {ALL_OK(V4)}, THROUGH},
    {"no address of the proxy", .v6 = ERR_RESOLVE_NOT_FOUND, .v4 = ERR_RESOLVE_NOT_FOUND, THROUGH,
     .findings = {{"proxy-unreachable",
                   "The proxy http://proxy.example:3128 cannot be reached: nothing is known of " HOST},
                  {"not-found", "There is no address for proxy.example: check"}}},
    {"a proxy that is down",
     {REFUSED(V6), REFUSED(V4)},
     THROUGH,
     .findings = {{"proxy-unreachable", "cannot be reached"}, {"all-refused", "both addresses"}}},
    {"one address of two is down",
     {REFUSED(V6), ALL_OK(V4)},
     THROUGH,
     .findings = {{"ipv6-unreachable", "IPv4 works"}}},
    {"status 403",
     {BY_PROXY(ERR_DETAIL_PROXY_HTTP, 403)},
     THROUGH,
     .findings = WORD("proxy-refused", "refuses to connect to " HOST ":6000 (HTTP status 403): its rules")},
    {"status 500",
     {BY_PROXY(ERR_DETAIL_PROXY_HTTP, 500)},
     THROUGH,
     .findings = WORD("proxy-target", "status 500")},
    {"status 501",
     {BY_PROXY(ERR_DETAIL_PROXY_HTTP, 501)},
     THROUGH,
     .findings = WORD("proxy-refused", "status 501")},
    {"status 502",
     {BY_PROXY(ERR_DETAIL_PROXY_HTTP, 502)},
     THROUGH,
     .findings =
         WORD("proxy-target", "reports that it failed to connect to " HOST ":6000 (HTTP status 502)")},
    {"status 504",
     {BY_PROXY(ERR_DETAIL_PROXY_HTTP, 504)},
     THROUGH,
     .findings = WORD("proxy-target", "status 504")},
    {"status 505",
     {BY_PROXY(ERR_DETAIL_PROXY_HTTP, 505)},
     THROUGH,
     .findings = WORD("proxy-refused", "status 505")},
    {"reply 2",
     {BY_PROXY(ERR_DETAIL_PROXY_SOCKS, 2)},
     THROUGH,
     .findings = WORD("proxy-refused", "(SOCKS5 reply 2)")},
    {"reply 3",
     {BY_PROXY(ERR_DETAIL_PROXY_SOCKS, 3)},
     THROUGH,
     .findings = WORD("proxy-target", "(SOCKS5 reply 3)")},
    {"reply 6",
     {BY_PROXY(ERR_DETAIL_PROXY_SOCKS, 6)},
     THROUGH,
     .findings = WORD("proxy-target", "(SOCKS5 reply 6)")},
    {"reply 7",
     {BY_PROXY(ERR_DETAIL_PROXY_SOCKS, 7)},
     THROUGH,
     .findings = WORD("proxy-refused", "(SOCKS5 reply 7)")},
    {"no user",
     {BY_PROXY(ERR_DETAIL_PROXY_USER, 407)},
     THROUGH,
     .findings =
         WORD("proxy-authentication", "Authentication at the proxy failed, the target was not asked for")},
    {"no proxy",
     {BY_PROXY(ERR_DETAIL_PROXY_STRANGE, 0)},
     THROUGH,
     .findings = WORD("proxy-protocol", AT_V4 "there is no such proxy")},
    {"a reply that is not valid",
     {BY_PROXY(ERR_DETAIL_PROXY_MALFORMED, 0)},
     THROUGH,
     .findings = WORD("proxy-protocol", "or it is defective")},
    {"a proxy that closes",
     {BY_PROXY(ERR_DETAIL_PROXY_CLOSED, 0)},
     THROUGH,
     .findings = WORD("proxy-mute", "closes it without a reply")},
    {"a proxy that waits",
     {{.peer = V4, PROBE_PROXY, ERR_CONNECT_TIMEOUT, "late", .detail = ERR_DETAIL_PROXY_SILENT}},
     THROUGH,
     .findings = WORD("proxy-mute", "it waits for " HOST ":6000")},
    {"a proxy that --timeout interrupts",
     {{.peer = V4, PROBE_PROXY, ERR_CONNECT_TIMEOUT, "--timeout expired"}},
     THROUGH,
     .findings = WORD("proxy-mute", "does not reply in time")},
};

static void each_fault_of_a_proxy_has_its_finding(void **state)
{
    (void)state;
    diagnosed_expect(rows, COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_fault_of_a_proxy_has_its_finding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
