#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "support/guard.h"
#include "support/skip.h"
#include "tcpgreet/core/endpoint.h"

static struct endpoint make(const char *address, uint16_t port, uint32_t zone)
{
    struct endpoint endpoint = endpoint_wildcard(strchr(address, ':') != NULL ? AF_INET6 : AF_INET, port);
    if (endpoint_family(&endpoint) == AF_INET6) {
        assert_int_equal(inet_pton(AF_INET6, address, &endpoint.address.v6.sin6_addr), 1);
        endpoint.address.v6.sin6_scope_id = zone;
    } else {
        assert_int_equal(inet_pton(AF_INET, address, &endpoint.address.v4.sin_addr), 1);
    }
    return endpoint;
}

static void endpoint_is_written_as_the_rfcs_recommend(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint16_t port;
        uint32_t zone;
        const char *expected;
    } cases[] = {
        {"127.0.0.1", 6000, 0, "127.0.0.1:6000"},
        {"255.255.255.255", 65535, 0, "255.255.255.255:65535"},
        {"::1", 6000, 0, "[::1]:6000"},
        {"::", 0, 0, "[::]:0"},
        {"2001:DB8:0:0:1:0:0:1", 443, 0, "[2001:db8::1:0:0:1]:443"},
        {"::ffff:192.0.2.1", 80, 0, "[::ffff:192.0.2.1]:80"},
        {"fe80::1", 6000, UINT32_MAX, "[fe80::1%4294967295]:6000"},
        {"fe80:1111:2222:3333:4444:5555:6666:7777", 65535, UINT32_MAX,
         "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[ENDPOINT_TEXT_BYTES];
        struct endpoint endpoint = make(cases[i].address, cases[i].port, cases[i].zone);
        assert_string_equal(endpoint_format(&endpoint, text), cases[i].expected);
    }
    char text[ENDPOINT_TEXT_BYTES];
    assert_string_equal(endpoint_format(&(struct endpoint){0}, text), "none");
}

static void zone_is_written_as_the_name_of_its_interface(void **state)
{
    (void)state;
    struct if_nameindex *interfaces = if_nameindex();
    if (interfaces == NULL || interfaces[0].if_index == 0) {
        if_freenameindex(interfaces);
        skip_because("no network interface");
    }
    char expected[ENDPOINT_TEXT_BYTES];
    char text[ENDPOINT_TEXT_BYTES];
    struct endpoint endpoint = make("fe80::1", 6000, interfaces[0].if_index);
    (void)snprintf(expected, sizeof(expected), "[fe80::1%%%s]:6000", interfaces[0].if_name);
    if_freenameindex(interfaces);
    assert_string_equal(endpoint_format(&endpoint, text), expected);
}

static void endpoints_are_equal_by_family_address_port_and_zone(void **state)
{
    (void)state;
    const struct endpoint none = {0};
    const struct endpoint different[] = {
        make("127.0.0.1", 6000, 0),
        make("127.0.0.2", 6000, 0),
        make("127.0.0.1", 6001, 0),
        make("::1", 6000, 0),
        make("::2", 6000, 0),
        make("::1", 6001, 0),
        make("fe80::1", 6000, 1),
        make("fe80::1", 6000, 2),
        make("::ffff:127.0.0.1", 6000, 0),
        none,
    };
    size_t count = sizeof(different) / sizeof(different[0]);
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++)
            assert_int_equal(endpoint_equal(&different[a], &different[b]), a == b);
}

static void padding_and_flow_label_do_not_distinguish_endpoints(void **state)
{
    (void)state;
    struct endpoint v4 = make("127.0.0.1", 6000, 0);
    struct endpoint v6 = make("::1", 6000, 0);
    struct endpoint padded = v4;
    struct endpoint labelled = v6;
    memset(padded.address.v4.sin_zero, 0xff, sizeof(padded.address.v4.sin_zero));
    labelled.address.v6.sin6_flowinfo = 7;
    assert_true(endpoint_equal(&v4, &padded));
    assert_true(endpoint_equal(&v6, &labelled));
}

static void sockaddr_is_taken_only_whole_and_of_a_known_family(void **state)
{
    (void)state;
    const struct endpoint known[] = {make("192.0.2.1", 6000, 0), make("fe80::1", 6000, 3)};
    for (size_t i = 0; i < 2; i++) {
        socklen_t whole = endpoint_length(&known[i]);
        for (socklen_t length = 0; length <= whole; length += 2) {
            struct endpoint taken;
            const char *copy = guard_bytes(&known[i].address, length);
            const void *address = copy;
            int result = endpoint_from_sockaddr(&taken, address, length);
            assert_int_equal(result, length == whole ? 0 : -1);
            assert_true(endpoint_equal(&taken, result == 0 ? &known[i] : &(struct endpoint){0}));
            guard_free(copy, length);
        }
    }
    struct endpoint taken;
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    assert_int_equal(endpoint_from_sockaddr(&taken, (struct sockaddr *)&other, sizeof(other)), -1);
    assert_int_equal(endpoint_family(&taken), AF_UNSPEC);
}

static void wildcard_is_every_address_of_its_family(void **state)
{
    (void)state;
    char text[ENDPOINT_TEXT_BYTES];
    struct endpoint v4 = endpoint_wildcard(AF_INET, 6000);
    struct endpoint v6 = endpoint_wildcard(AF_INET6, 6000);
    assert_string_equal(endpoint_format(&v4, text), "0.0.0.0:6000");
    assert_string_equal(endpoint_format(&v6, text), "[::]:6000");
    assert_int_equal(endpoint_length(&v4), sizeof(struct sockaddr_in));
    assert_int_equal(endpoint_length(&v6), sizeof(struct sockaddr_in6));
}

static void port_can_be_changed_and_is_in_host_order(void **state)
{
    (void)state;
    struct endpoint endpoints[] = {make("192.0.2.1", 1, 0), make("::1", 1, 0)};
    for (size_t i = 0; i < 2; i++) {
        endpoint_set_port(&endpoints[i], 0x1234);
        assert_int_equal(endpoint_port(&endpoints[i]), 0x1234);
    }
    assert_int_equal(endpoints[0].address.v4.sin_port, htons(0x1234));
    struct endpoint none = {0};
    endpoint_set_port(&none, 6000);
    assert_int_equal(endpoint_port(&none), 0);
    assert_int_equal(endpoint_length(&none), 0);
    assert_true(endpoint_equal(&none, &(struct endpoint){0}));
}

static void mapped_address_becomes_ipv4_and_no_other_does(void **state)
{
    (void)state;
    struct endpoint mapped = make("::ffff:192.0.2.1", 6000, 0), ipv4 = make("192.0.2.1", 6000, 0);
    struct endpoint others[] = {make("::1", 1, 0), make("::192.0.2.1", 1, 0), make("192.0.2.1", 1, 0)};
    endpoint_unmap(&mapped);
    assert_true(endpoint_equal(&mapped, &ipv4));
    for (size_t i = 0; i < 3; i++) {
        struct endpoint before = others[i];
        endpoint_unmap(&others[i]);
        assert_true(endpoint_equal(&others[i], &before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_is_written_as_the_rfcs_recommend),
        cmocka_unit_test(zone_is_written_as_the_name_of_its_interface),
        cmocka_unit_test(endpoints_are_equal_by_family_address_port_and_zone),
        cmocka_unit_test(padding_and_flow_label_do_not_distinguish_endpoints),
        cmocka_unit_test(sockaddr_is_taken_only_whole_and_of_a_known_family),
        cmocka_unit_test(wildcard_is_every_address_of_its_family),
        cmocka_unit_test(port_can_be_changed_and_is_in_host_order),
        cmocka_unit_test(mapped_address_becomes_ipv4_and_no_other_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
