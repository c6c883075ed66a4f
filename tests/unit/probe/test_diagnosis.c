#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "probe/report.h"
#include "support/diagnosed.h"
#include "support/probe_samples.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct diagnosed_row rows[] = {
    {"nothing", .all = {ALL_OK(V6), ALL_OK(V4)}},
    {"nothing, over TLS", {ALL_OK_TLS(V6, SHOWN_GOOD), ALL_OK_TLS(V4, SHOWN_GOOD)}, .tls = true},
    {"interrupted", .all = {{.peer = V4, PROBE_CONNECT, ERR_INTERRUPTED, "interrupted before it was done"}}},
    {"a fault on this side",
     .all = {{.peer = V4, PROBE_CONNECT, ERR_SYSTEM_DESCRIPTORS, "too many open files"}}},

    {"NXDOMAIN", .v6 = ERR_RESOLVE_NOT_FOUND, .v4 = ERR_RESOLVE_NOT_FOUND,
     .findings = {{"not-found", "There is no address for " HOST ": check the spelling"}}},
    {"only IPv6 asked for", .v6 = ERR_RESOLVE_NOT_FOUND, .only_v6 = true,
     .findings = {{"not-found", "no IPv6 address for " HOST ", and no other was requested: try without -6"}}},
    {"only IPv4 asked for", .v4 = ERR_RESOLVE_NOT_FOUND, .only_v4 = true,
     .findings = {{"not-found", "or add its A record"}}},
    {"no AAAA", {ALL_OK(V4)}, .v6 = ERR_RESOLVE_NOT_FOUND},
    {"only IPv6 asked for, only IPv4 in the hosts file", .v6 = ERR_RESOLVE_NOT_FOUND, .only_v6 = true,
     .v6_not_in_hosts = true,
     .findings = {{"not-found",
                   "/etc/hosts has no IPv6 address for " HOST ", and no other was requested: try without "
                   "-6, or add it there."}}},
    {"no localhost", .v6 = ERR_RESOLVE_NOT_FOUND, .v4 = ERR_RESOLVE_NOT_FOUND, .host = "localhost",
     .findings = {{"not-found", "There is no address for localhost: add it to /etc/hosts, with 127.0.0.1"}}},
    {"no localhost, and no name server", .v6 = ERR_RESOLVE_TEMPORARY, .v4 = ERR_RESOLVE_TEMPORARY,
     .host = "a.LocalHost",
     .findings = {{"dns-temporary", "There is no address for a.LocalHost: add it to /etc/hosts, with"}}},
    {"no localhost, with a dot", .v6 = ERR_RESOLVE_TEMPORARY, .v4 = ERR_RESOLVE_TEMPORARY,
     .host = "a.LocalHost.",
     .findings = {{"dns-temporary",
                   "There is no address for a.LocalHost.: leave out the dot at its end, /etc/hosts"}}},
    {"SERVFAIL", .v6 = ERR_RESOLVE_TEMPORARY, .v4 = ERR_RESOLVE_TEMPORARY,
     .findings = {{"dns-temporary", "The name service fails for " HOST ". This may be temporary (--retry"}}},
    {"no name server answers", .v6 = ERR_RESOLVE_TEMPORARY, .v4 = ERR_RESOLVE_TEMPORARY, .v6_ms = -1,
     .v4_ms = -1, .findings = {{"dns-temporary", "The name service does not answer for " HOST}}},
    {"SERVFAIL for AAAA",
     {ALL_OK(V4)},
     .v6 = ERR_RESOLVE_TEMPORARY,
     .findings = {{"dns-temporary", "fails for the AAAA record of " HOST ", but not for A: clients wait"}}},
    {"A never answered",
     {ALL_OK(V6)},
     .v4 = ERR_RESOLVE_TEMPORARY,
     .v4_ms = -1,
     .findings = {{"dns-temporary", "does not answer for the A record of " HOST ", but not for AAAA"}}},
    {"AAAA answered after 3 s",
     {ALL_OK(V6), ALL_OK(V4)},
     .v6_ms = 3000,
     .v4_ms = 2,
     .findings = {{"dns-slow-one-type", "The AAAA answer for " HOST " took 3.00 s, the A answer 2.00 ms"}}},
    {"no A, answered after 3 s",
     {ALL_OK(V6)},
     .v4 = ERR_RESOLVE_NOT_FOUND,
     .v6_ms = 2,
     .v4_ms = 3000,
     .findings = {{"dns-slow-one-type", "drops queries for A."}}},
    {"AAAA after 0.9 s", {ALL_OK(V6), ALL_OK(V4)}, .v6_ms = 900, .v4_ms = 2},
    {"both answers slow", {ALL_OK(V6), ALL_OK(V4)}, .v6_ms = 3000, .v4_ms = 700},

    {"IPv6 dropped",
     {DROPPED(V6), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable",
                   "no answer from [2001:db8::25]:6000 within 20.0 ms, packets to it are dropped"}}},
    {"two of IPv6 dropped",
     {DROPPED(V6), DROPPED(V6B), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable", "no answer from both IPv6 addresses"}}},
    {"IPv6 refused",
     {REFUSED(V6), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable",
                   "the service may listen for IPv4 only. Make the service reachable there, or remove "
                   "the AAAA record."}}},
    {"no route for IPv6",
     {NO_ROUTE(V6), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable",
                   "This machine has no route to [2001:db8::25]:6000, IPv4 works: add one, see ip -6 "
                   "route, or try only IPv4 with -4."}}},
    {"IPv6 forbidden on this machine",
     {FORBIDDEN(V6), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable",
                   "A rule of this machine forbids connections to [2001:db8::25]:6000, IPv4 works: check "
                   "the firewall here, and ip -6 route for a route of type prohibit, or try"}}},
    {"a blackhole route for IPv6",
     {BEYOND(V6, REACH_DISCARDED), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable",
                   "This machine has a blackhole route to [2001:db8::25]:6000, IPv4 works"}}},
    {"an unreachable route for IPv4",
     {ALL_OK(V6), BEYOND(V4, REACH_REJECTED)},
     .findings = {{"ipv4-unreachable",
                   "This machine has a route of type unreachable to 192.0.2.25:6000, IPv6 works: "
                   "change it, see ip -4 route, or try only IPv6 with -6."}}},
    {"no local port is free",
     {BEYOND(V6, REACH_NO_PORT), ALL_OK(V4)},
     .findings = {{"ipv6-unreachable",
                   "This machine has no free local port for a connection to [2001:db8::25]:6000"}}},

    {"IPv6 switched off here",
     {BEYOND(V6, REACH_SWITCHED_OFF), ALL_OK(V4)},
     .remark =
         "IPv6 is switched off on this machine: [2001:db8::25]:6000 cannot be reached from here and does not "
         "count."},
    {"IPv6 switched off here, two addresses of each",
     {BEYOND(V6, REACH_SWITCHED_OFF), BEYOND(V6B, REACH_SWITCHED_OFF), ALL_OK(V4), ALL_OK(V4B)},
     .remark = "both IPv6 addresses cannot be reached from here and do not count."},
    {"no IPv4 here",
     {ALL_OK(V6), BEYOND(V4, REACH_LOCAL_ONLY)},
     .remark = "This machine has only loopback and link-local IPv4 addresses: 192.0.2.25:6000 cannot"},
    {"IPv6 switched off here, and IPv4 refused",
     {BEYOND(V6, REACH_SWITCHED_OFF), REFUSED(V4)},
     .findings = {{"all-refused", AT_V4 "the connection is refused"}},
     .remark = "IPv6 is switched off on this machine"},
    {"IPv6 switched off here, and one of two refuses",
     {BEYOND(V6, REACH_SWITCHED_OFF), ALL_OK(V4), REFUSED(V4B)},
     .findings = {{"address-differs", "Of 2 addresses, 192.0.2.26:6000 differs"}},
     .remark = "IPv6 is switched off on this machine"},
    {"IPv6 switched off here, and each of IPv4 unreachable in another way",
     {BEYOND(V6, REACH_SWITCHED_OFF), DROPPED(V4), REFUSED(V4B)},
     .findings = {{"connect-mixed", "1 refused, 1 timed out, 0 unreachable"}},
     .remark = "IPv6 is switched off on this machine"},
    {"IPv6 switched off here, and no other address",
     {BEYOND(V6, REACH_SWITCHED_OFF)},
     .v4 = ERR_RESOLVE_NOT_FOUND,
     .findings =
         {{"ipv6-unavailable",
           "IPv6 is switched off on this machine, and " HOST " has no IPv4 address: [2001:db8::25]:6000 "
           "cannot be reached from here; switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0."}}},
    {"IPv6 switched off here, and no other asked for",
     {BEYOND(V6, REACH_SWITCHED_OFF), BEYOND(V6B, REACH_SWITCHED_OFF)},
     .only_v6 = true,
     .findings = {{"ipv6-unavailable",
                   "IPv6 is switched off on this machine: both addresses cannot be reached from "
                   "here; switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0, or try "
                   "without -6."}}},
    {"IPv6 is not in the kernel, and IPv4 has no route",
     {BEYOND(V6, REACH_UNSUPPORTED), NO_ROUTE(V4)},
     .findings = {{"unreachable-all", "This machine has no route to 192.0.2.25:6000: is it in a network"}},
     .remark = "The kernel of this machine has no IPv6: "},
    {"no family here",
     {BEYOND(V6, REACH_SWITCHED_OFF), BEYOND(V4, REACH_LOCAL_ONLY)},
     .findings = {{"unreachable-all",
                   "IPv6 is switched off on this machine, and this machine has only loopback and "
                   "link-local IPv4 addresses: is it in a network at all"}}},
    {"nothing but a link-local source, and no answer",
     {{.peer = V6, PROBE_CONNECT, ERR_CONNECT_TIMEOUT, "no answer within 10 s", .reach = REACH_LOCAL_ONLY},
      ALL_OK(V4)},
     .remark = "This machine has only loopback and link-local IPv6 addresses"},
    {"nothing but a link-local source, and it was refused all the same",
     {{.peer = V6, PROBE_CONNECT, ERR_CONNECT_REFUSED, "Connection refused", .reach = REACH_LOCAL_ONLY},
      ALL_OK(V4)},
     .findings = {{"ipv6-unreachable", "[2001:db8::25]:6000 refuses the connection"}}},
    {"IPv6 behind a router that has no way",
     {{.peer = V6, PROBE_CONNECT, ERR_CONNECT_UNREACHABLE, "No route to host"}, ALL_OK(V4)},
     .findings = {{"ipv6-unreachable", "[2001:db8::25]:6000: No route to host."}}},
    {"IPv4 dropped",
     {ALL_OK(V6), DROPPED(V4)},
     .findings = {{"ipv4-unreachable", "clients that have only IPv4 cannot connect"}}},
    {"IPv6 unreachable, IPv4 another service",
     {DROPPED(V6), {.peer = V4, PROBE_WELCOME, LATE}},
     .findings = {{"ipv6-unreachable", ""}, {"mute", AT_V4}}},

    {"no listener",
     {REFUSED(V6), REFUSED(V4)},
     .findings = {{"all-refused",
                   "At both addresses the connection is refused, nothing listens there: is the service "
                   "running, is 6000 its port"}}},
    {"no listener, and IPv6 cannot be tried",
     {NO_ROUTE(V6), REFUSED(V4)},
     .findings = {{"all-refused", AT_V4 "the connection is refused"}}},
    {"every SYN dropped",
     {DROPPED(V6), DROPPED(V4)},
     .findings = {{"timeout-all", "No answer from both addresses: a firewall"}}},
    {"no route at all",
     {NO_ROUTE(V6), NO_ROUTE(V4)},
     .findings = {{"unreachable-all", "This machine has no route to any of the addresses"}}},
    {"all forbidden on this machine",
     {FORBIDDEN(V6), FORBIDDEN(V4)},
     .findings = {{"unreachable-all",
                   "A rule of this machine forbids connections to both addresses: check the firewall here"}}},
    {"a router has no way",
     {{.peer = V4, PROBE_CONNECT, ERR_CONNECT_UNREACHABLE, "No route to host"}},
     .findings = {{"unreachable-all", "No route leads to 192.0.2.25:6000: No route to host"}}},
    {"each unreachable in another way",
     {NO_ROUTE(V6), DROPPED(V4), REFUSED(V4B), REFUSED(V4C)},
     .findings = {{"connect-mixed", "2 refused, 1 timed out, 1 unreachable"}}},

    {"SYN dropped on one of three",
     {ALL_OK(V4), DROPPED(V4B), ALL_OK(V4C)},
     .findings = {{"address-differs",
                   "Of 3 addresses, 192.0.2.26:6000 differs from the others, of which 2 are OK (no "
                   "answer within 10 s, the SYN was sent 4 times): check that host"}}},
    {"two of three refuse",
     {ALL_OK(V4), REFUSED(V4B), REFUSED(V4C)},
     .findings = {{"address-differs",
                   "192.0.2.26:6000 and 192.0.2.27:6000 differ from the others, of which 1 is OK"}}},
    {"one of three resets",
     {ALL_OK(V4),
      {.peer = V4B, PROBE_WELCOME, ERR_DIALOGUE_RESET, "the peer reset the connection"},
      ALL_OK(V4C)},
     .findings = {{"address-differs", "of which 2 are OK: check that host, or remove it from DNS."},
                  {"resets", "At 192.0.2.26:6000 the connection is accepted and then reset"}}},
    {"one of three shows another name",
     {ALL_OK_TLS(V4, SHOWN_GOOD),
      ALL_OK_TLS(V4B, SHOWN_GOOD),
      {.peer = V4C,
       PROBE_TLS,
       ERR_CERT_NAME,
       "the certificate of " HOST " is for other.example, not for " HOST,
       SHOWN_OTHER_NAME}},
     .tls = true,
     .findings = {{"address-differs", "192.0.2.27:6000 differs"},
                  {"cert-name", "At 192.0.2.27:6000 the certificate"}}},
    {"one of three is unreachable, the others are silent",
     {{.peer = V4, PROBE_WELCOME, LATE}, REFUSED(V4B), {.peer = V4C, PROBE_WELCOME, LATE}},
     .findings =
         {{"address-differs",
           "Of 3 addresses, 192.0.2.26:6000 differs from the others (Connection refused): "},
          {"mute",
           "At 192.0.2.25:6000 and 192.0.2.27:6000 the connection is accepted and no complete welcome"}}},
    {"each of two shows its own certificate",
     {ALL_OK_TLS(V4, SHOWN_GOOD), ALL_OK_TLS(V4B, SHOWN_OLDER)},
     .tls = true,
     .findings = {{"address-differs", "At 192.0.2.26:6000 the certificate differs"}}},
    {"one of three shows an older certificate",
     {ALL_OK_TLS(V4, SHOWN_GOOD), ALL_OK_TLS(V4B, SHOWN_OLDER), ALL_OK_TLS(V4C, SHOWN_GOOD)},
     .tls = true,
     .findings = {{"address-differs",
                   "At 192.0.2.26:6000 the certificate differs from that of the other addresses (30 "
                   "days left, until 2026-01-31, key 0lder00000000000...; there 42 days left"}}},
};

static void each_fault_of_a_name_or_a_path_has_its_sentence(void **state)
{
    (void)state;
    diagnosed_expect(rows, sizeof rows / sizeof rows[0]);
}

/* Nothing that a peer can fill makes a sentence too long, and no escape is cut. */
static void a_sentence_that_is_too_long_ends_in_dots(void **state)
{
    static const enum err_reason reasons[] = {ERR_CERT_NAME, ERR_CERT_WEAK, ERR_TLS_ALERT,
                                              ERR_DIALOGUE_WRONG_ANSWER, ERR_TLS_PLAINTEXT_PEER};
    (void)state;
    for (size_t i = 0; i < 4 * COUNT(reasons); i++) {
        struct diagnosed_row row = {.all = {{.peer = "2001:db8:1234:5678:9abc:def0:1234:5678",
                                             PROBE_VOLUME,
                                             reasons[i / 4],
                                             "is wrong    ",
                                             SHOWN_OTHER_NAME}},
                                    .tls = true};
        struct probe_finding findings[PROBE_FINDINGS_MAX];
        struct probe_result result;
        diagnosed_make(&result, &row);
        struct probe_address *address = &result.addresses[0];
        memset(address->tls.subject, 'n', sizeof address->tls.subject - 1);
        memset(result.host, 'h', sizeof result.host - 1);
        for (size_t k = strlen("is wrong") + i % 4; k + 4 < sizeof address->err.text; k += 4)
            memcpy(address->err.text + k, "\\x1b", 5);
        assert_int_equal(probe_diagnose(&result, findings), 1);
        size_t length = strlen(findings[0].text);
        assert_true(length < PROBE_SENTENCE_BYTES);
        if (length > PROBE_SENTENCE_BYTES - 10) {
            assert_string_equal(findings[0].text + length - 3, "...");
            size_t backslash = (size_t)(strrchr(findings[0].text, '\\') - findings[0].text);
            assert_true(reasons[i / 4] == ERR_CERT_NAME || backslash + 4 <= length - 3);
        }
        probe_result_fini(&result);
    }
}

/* Each of as many addresses as there can be fails in a way of its own turn: one finding a cause. */
static void a_crowd_makes_few_findings(void **state)
{
    struct probe_finding findings[PROBE_FINDINGS_MAX];
    struct probe_result result;
    (void)state;
    probe_sample_make(PROBE_SAMPLE_CROWD, &result);
    for (size_t i = 0; i < result.address_count; i++) {
        result.addresses[i].last = PROBE_NAME;
        result.addresses[i].err = (struct err){0};
        err_set(&result.addresses[i].err, i % 2 == 0 ? ERR_DIALOGUE_RESET : ERR_DIALOGUE_EARLY_END, 0, "cut");
    }
    assert_int_equal(probe_diagnose(&result, findings), 2);
    assert_string_equal(findings[0].word, "resets");
    assert_non_null(strstr(findings[0].text, "]:6000 and 63 more"));
    assert_string_equal(findings[1].word, "early-end");
    probe_result_fini(&result);
}

/* Every rule at once, as far as there is room. */
static void there_are_never_more_findings_than_room(void **state)
{
    struct probe_finding findings[PROBE_FINDINGS_MAX + 1];
    struct probe_result result;
    (void)state;
    probe_sample_make(PROBE_SAMPLE_CROWD, &result);
    result.tls = true;
    for (size_t i = 0; i < result.address_count; i++) {
        struct probe_address *address = &result.addresses[i];
        enum err_reason reason = ERR_CONNECT_REFUSED + (enum err_reason)(i % 24);
        address->last = PROBE_NAME;
        address->err = (struct err){0};
        err_set(&address->err, reason, 0, "why");
    }
    findings[PROBE_FINDINGS_MAX].word = "untouched";
    assert_int_equal(probe_diagnose(&result, findings), PROBE_FINDINGS_MAX);
    assert_string_equal(findings[PROBE_FINDINGS_MAX].word, "untouched");
    probe_result_fini(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_of_a_name_or_a_path_has_its_sentence),
        cmocka_unit_test(a_sentence_that_is_too_long_ends_in_dots),
        cmocka_unit_test(a_crowd_makes_few_findings),
        cmocka_unit_test(there_are_never_more_findings_than_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
