#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "tcpgreet/core/prefix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct endpoint endpoint_of(const char *text)
{
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    struct endpoint endpoint = endpoint_wildcard(family, 1);
    assert_int_equal(inet_pton(family, text,
                               family == AF_INET ? (void *)&endpoint.address.v4.sin_addr
                                                 : (void *)&endpoint.address.v6.sin6_addr),
                     1);
    return endpoint;
}

static void an_address_is_in_a_network_whose_bits_it_has(void **state)
{
    static const struct {
        const char *network, *address;
        bool is_in;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/25", "192.0.2.127", true},
        {"192.0.2.0/25", "192.0.2.128", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.0/31", "192.0.2.1", true},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "192.0.2.1", false},
        {"::/0", "::ffff:192.0.2.1", false},
        {"192.0.2.0/24", "::ffff:192.0.2.9", true},
        {"::ffff:127.0.0.0/104", "127.1.2.3", true},
        {"::ffff:127.0.0.0/104", "::ffff:127.1.2.3", true},
        {"::ffff:127.0.0.0/104", "128.0.0.1", false},
        {"::ffff:192.0.2.1", "192.0.2.1", true},
        {"::ffff:192.0.2.1", "192.0.2.2", false},
        {"::ffff:0:0/96", "203.0.113.1", true},
        {"::ffff:0:0/96", "2001:db8::1", false},
        {"::ffff:c000:200/121", "192.0.2.127", true},
        {"::ffff:c000:200/121", "192.0.2.128", false},
        {"::/95", "::1.2.3.4", true},
        {"::/80", "1.2.3.4", false},
        {"2001:db8::/32", "2001:db8:ffff::", true},
        {"2001:db8::/32", "2001:db9::", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"2001:db8::1/128", "2001:db8::1", true},
        {"2001:db8::1/128", "2001:db8::", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct prefix_list list = {.count = 2};
        struct endpoint endpoint = endpoint_of(cases[i].address);
        assert_int_equal(prefix_parse("198.51.100.0/24", &list.list[0]), PREFIX_OK);
        assert_int_equal(prefix_parse(cases[i].network, &list.list[1]), PREFIX_OK);
        if (prefix_list_contains(&list, &endpoint) != cases[i].is_in)
            fail_msg("%s in %s", cases[i].address, cases[i].network);
    }
}

static void an_empty_list_contains_no_address(void **state)
{
    const struct prefix_list list = {0};
    struct endpoint endpoint = endpoint_of("192.0.2.1");
    (void)state;
    assert_false(prefix_list_contains(&list, &endpoint));
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const cases[] = {"",
                                        "/",
                                        "192.0.2.0/",
                                        "192.0.2.0/33",
                                        "192.0.2.0/024",
                                        "192.0.2.0/+8",
                                        "192.0.2/24",
                                        "::/129",
                                        "fe80::1%lo",
                                        "example.org",
                                        "::1/128/1",
                                        "[::1]/128",
                                        "192.0.2.0/ 8",
                                        " 192.0.2.0/24",
                                        "192.0.2.0/1000",
                                        "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000/32"};
    struct prefix prefix;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (prefix_parse(cases[i], &prefix) != PREFIX_BAD)
            fail_msg("\"%s\" is accepted", cases[i]);
}

static void bits_behind_a_prefix_are_found_and_cleared(void **state)
{
    static const char *const cases[][2] = {{"192.0.2.1/24", "192.0.2.0/24"},
                                           {"2001:db8::1/64", "2001:db8::/64"},
                                           {"255.255.255.255/0", "0.0.0.0/0"},
                                           {"192.0.2.255/31", "192.0.2.254/31"},
                                           {"ffff::ffff/127", "ffff::fffe/127"}};
    struct prefix prefix;
    char text[PREFIX_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(prefix_parse(cases[i][0], &prefix), PREFIX_HOST);
        assert_string_equal(prefix_format(&prefix, text), cases[i][1]);
        assert_int_equal(prefix_parse(text, &prefix), PREFIX_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_in_a_network_whose_bits_it_has),
        cmocka_unit_test(an_empty_list_contains_no_address),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(bits_behind_a_prefix_are_found_and_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
