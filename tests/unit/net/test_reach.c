#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "support/sandbox.h"
#include "tcpgreet/net/reach.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WIDE6 "2001:db8::1"
#define WIDE4 "192.0.2.1"

/* Skips where it may not be made. */
static void enter(const struct sandbox_network *network)
{
    if (!sandbox_enter(network))
        skip();
}

static void what_a_machine_lacks_is_explained(void **state)
{
    static const struct {
        const char *name;
        struct sandbox_network place;
        const char *to;
        int native;
        enum reach expected;
    } cases[] = {
        {"nothing is up", {0}, "::1", EADDRNOTAVAIL, REACH_NO_ADDRESS},
        {"nothing is up", {0}, "127.0.0.1", ENETUNREACH, REACH_NO_ADDRESS},
        {"IPv6 off", {.up = true, .no_ipv6 = true}, "::1", EADDRNOTAVAIL, REACH_SWITCHED_OFF},
        {"IPv6 off", {.up = true, .no_ipv6 = true}, WIDE6, EADDRNOTAVAIL, REACH_SWITCHED_OFF},
        {"IPv6 off, and a route forbids", {.up = true, .no_ipv6 = true}, WIDE6, EACCES, REACH_SWITCHED_OFF},
        {"IPv6 off is nothing to IPv4",
         {.up = true, .no_ipv6 = true},
         "127.0.0.1",
         ENETUNREACH,
         REACH_NO_ROUTE},
        {"IPv6 off is nothing to a mapped address",
         {.up = true, .no_ipv6 = true},
         "::ffff:127.0.0.1",
         ENETUNREACH,
         REACH_NO_ROUTE},
        {"refused is no question of reach", {.up = true, .no_ipv6 = true}, "::1", ECONNREFUSED, REACH_OPEN},
        {"loopback only", {.up = true}, WIDE6, ENETUNREACH, REACH_LOCAL_ONLY},
        {"loopback only", {.up = true}, WIDE4, ENETUNREACH, REACH_LOCAL_ONLY},
        {"loopback only, mapped", {.up = true}, "::ffff:" WIDE4, ENETUNREACH, REACH_LOCAL_ONLY},
        {"loopback is enough for itself", {.up = true}, "::1", ENETUNREACH, REACH_NO_ROUTE},
        {"no route", {.up = true, .wide = true}, WIDE6, ENETUNREACH, REACH_NO_ROUTE},
        {"unreachable", {.up = true, .wide = true}, WIDE4, EHOSTUNREACH, REACH_REJECTED},
        {"prohibit", {.up = true, .wide = true}, WIDE6, EACCES, REACH_PROHIBITED},
        {"a filter", {.up = true, .wide = true}, WIDE6, EPERM, REACH_PROHIBITED},
        {"blackhole", {.up = true, .wide = true}, WIDE4, EINVAL, REACH_DISCARDED},
        {"no source", {.up = true, .wide = true}, WIDE6, EADDRNOTAVAIL, REACH_NO_SOURCE},
        {"no port", {.up = true, .wide = true}, "::1", EADDRNOTAVAIL, REACH_NO_PORT},
        {"multicast", {.up = true, .wide = true}, "224.0.0.1", ENETUNREACH, REACH_NO_HOST},
        {"multicast", {.up = true, .wide = true}, "ff02::1", ENETUNREACH, REACH_NO_HOST},
        {"the last of multicast", {.up = true}, "::ffff:239.255.255.255", ENETUNREACH, REACH_NO_HOST},
        {"broadcast", {.up = true, .wide = true}, "255.255.255.255", ENETUNREACH, REACH_NO_HOST},
        {"neither", {.up = true, .wide = true}, "240.0.0.1", ENETUNREACH, REACH_NO_ROUTE},
        {"multicast, and no question of reach", {.up = true}, "224.0.0.1", ECONNREFUSED, REACH_OPEN},
    };
    (void)state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct endpoint to = sandbox_endpoint(cases[i].to);
        enter(&cases[i].place);
        enum reach reach = reach_explain(&to, cases[i].native);
        if (reach != cases[i].expected)
            fail_msg("%s, %s, errno %d: %d", cases[i].name, cases[i].to, cases[i].native, (int)reach);
    }
}

static void a_zone_that_is_no_interface_is_explained(void **state)
{
    struct endpoint to = sandbox_endpoint("fe80::1");
    (void)state;
    enter(&(struct sandbox_network){.up = true, .wide = true});
    to.address.v6.sin6_scope_id = 1; /* lo */
    assert_int_equal(reach_explain(&to, ENETUNREACH), REACH_NO_ROUTE);
    to.address.v6.sin6_scope_id = 99;
    assert_int_equal(reach_explain(&to, ENETUNREACH), REACH_NO_INTERFACE);
    assert_int_equal(reach_explain(&to, ECONNREFUSED), REACH_OPEN);
}

static void a_family_is_there_with_its_first_address(void **state)
{
    static const struct {
        struct sandbox_network place;
        enum reach v6, v4;
    } cases[] = {
        {{0}, REACH_NO_ADDRESS, REACH_NO_ADDRESS},
        {{.up = true, .no_ipv4 = true}, REACH_OPEN, REACH_NO_ADDRESS},
        {{.up = true}, REACH_OPEN, REACH_OPEN},
        {{.up = true, .no_ipv6 = true}, REACH_SWITCHED_OFF, REACH_OPEN},
        {{.no_ipv6 = true}, REACH_SWITCHED_OFF, REACH_NO_ADDRESS},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        enter(&cases[i].place);
        assert_int_equal(reach_family(AF_INET6), cases[i].v6);
        assert_int_equal(reach_family(AF_INET), cases[i].v4);
    }
}

static void an_address_is_tried_without_a_packet(void **state)
{
    const struct endpoint near = sandbox_endpoint("127.0.0.1"), far = sandbox_endpoint(WIDE4),
                          six = sandbox_endpoint("::1");
    (void)state;
    enter(&(struct sandbox_network){.up = true, .no_ipv6 = true});
    assert_int_equal(reach_try(&near), REACH_OPEN); /* nothing listens there */
    assert_int_equal(reach_try(&far), REACH_LOCAL_ONLY);
    assert_int_equal(reach_try(&six), REACH_SWITCHED_OFF);
}

static void the_source_address_shows_what_is_missing(void **state)
{
    static const struct {
        struct sandbox_network place;
        const char *to, *from;
        enum reach expected;
    } cases[] = {
        {{.up = true}, WIDE6, "fe80::1", REACH_LOCAL_ONLY},
        {{.up = true}, WIDE4, "169.254.0.1", REACH_LOCAL_ONLY},
        {{.up = true, .wide = true}, WIDE6, "fe80::1", REACH_OPEN}, /* with this source address */
        {{.up = true}, "fe80::2", "fe80::1", REACH_OPEN},
        {{0}, "::1", "fd77::1", REACH_NO_LOOPBACK},
        {{.up = true}, "::1", "::1", REACH_OPEN},
        {{.up = true}, WIDE6, "fd77::1", REACH_OPEN},
    };
    const struct endpoint none = {0}, to = sandbox_endpoint(WIDE6);
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct endpoint there = sandbox_endpoint(cases[i].to), source = sandbox_endpoint(cases[i].from);
        enter(&cases[i].place);
        assert_int_equal(reach_of_source(&there, &source), cases[i].expected);
    }
    assert_int_equal(reach_of_source(&to, &none), REACH_OPEN);
}

static int expect(bool holds, int number)
{
    return holds ? 0 : number;
}

static int deny_ipv6(void)
{
    struct endpoint to = sandbox_endpoint("::1");
    if (!sandbox_forbid_family(AF_INET6))
        return SANDBOX_UNDONE;
    return expect(reach_family(AF_INET6) == REACH_DENIED, 1) +
           expect(reach_explain(&to, EAFNOSUPPORT) == REACH_DENIED, 2) +
           expect(reach_try(&to) == REACH_DENIED, 4) + expect(reach_family(AF_INET) == REACH_OPEN, 8);
}

static void a_family_that_only_this_process_lacks_is_denied(void **state)
{
    (void)state;
    enter(&(struct sandbox_network){.up = true});
    sandbox_run(deny_ipv6);
}

static int deny_ipv4(void)
{
    if (!sandbox_forbid_family(AF_INET))
        return SANDBOX_UNDONE;
    return expect(reach_family(AF_INET) == REACH_UNSUPPORTED, 1);
}

static void a_family_without_a_trace_is_not_in_the_kernel(void **state)
{
    (void)state;
    enter(&(struct sandbox_network){0});
    sandbox_run(deny_ipv4);
}

static void each_cause_has_its_text_and_its_remedy(void **state)
{
    static const struct {
        enum reach reach;
        const char *text, *remedy;
    } six[] = {
        {REACH_SWITCHED_OFF, "IPv6 is switched off on this machine",
         "switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0"},
        {REACH_NO_ROUTE, "this machine has no route", "add one, see ip -6 route"},
    };
    char text[REACH_TEXT_BYTES];
    (void)state;

    for (size_t i = 0; i < COUNT(six); i++) {
        assert_string_equal(reach_text(six[i].reach, AF_INET6, text), six[i].text);
        assert_string_equal(reach_remedy(six[i].reach, AF_INET6, text), six[i].remedy);
    }
    assert_string_equal(reach_text(REACH_LOCAL_ONLY, AF_INET, text),
                        "this machine has only loopback and link-local IPv4 addresses");
    for (enum reach reach = REACH_UNSUPPORTED; reach <= REACH_NO_INTERFACE; reach++) {
        assert_in_range(strlen(reach_text(reach, AF_INET6, text)), 10, REACH_TEXT_BYTES - 2);
        assert_in_range(strlen(reach_remedy(reach, AF_INET6, text)), 10, REACH_TEXT_BYTES - 2);
        assert_int_equal(reach_is_impossible(reach), reach <= REACH_LOCAL_ONLY);
    }
    assert_false(reach_is_impossible(REACH_OPEN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_machine_lacks_is_explained),
        cmocka_unit_test(a_zone_that_is_no_interface_is_explained),
        cmocka_unit_test(a_family_is_there_with_its_first_address),
        cmocka_unit_test(an_address_is_tried_without_a_packet),
        cmocka_unit_test(the_source_address_shows_what_is_missing),
        cmocka_unit_test(a_family_that_only_this_process_lacks_is_denied),
        cmocka_unit_test(a_family_without_a_trace_is_not_in_the_kernel),
        cmocka_unit_test(each_cause_has_its_text_and_its_remedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
