#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tcpgreet/core/target.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TEN "abcdefghij"
#define LABEL_63 TEN TEN TEN TEN TEN TEN "abc"
#define NAME_253 LABEL_63 "." LABEL_63 "." LABEL_63 "." TEN TEN TEN TEN TEN TEN "a"

struct host_case {
    const char *host;
    enum target_kind kind;
    const char *kept;
};

static void hosts_of_every_kind_are_known(void **state)
{
    (void)state;
    static const struct host_case cases[] = {
        {NULL, TARGET_EVERY_ADDRESS, ""},
        {"", TARGET_EVERY_ADDRESS, ""},
        {"localhost", TARGET_NAME, "localhost"},
        {"host.example.com.", TARGET_NAME, "host.example.com."},
        {"_sip._tcp.example", TARGET_NAME, "_sip._tcp.example"},
        {"3com.com", TARGET_NAME, "3com.com"},
        {"1.2.3.4.example", TARGET_NAME, "1.2.3.4.example"},
        {"0xfg", TARGET_NAME, "0xfg"},
        {"m\xc3\xbcller.example", TARGET_NAME, "m\xc3\xbcller.example"},
        {LABEL_63, TARGET_NAME, LABEL_63},
        {NAME_253, TARGET_NAME, NAME_253},
        {NAME_253 ".", TARGET_NAME, NAME_253 "."},
        {"127.0.0.1", TARGET_IPV4, "127.0.0.1"},
        {"255.255.255.255", TARGET_IPV4, "255.255.255.255"},
        {"::", TARGET_IPV6, "::"},
        {"::1", TARGET_IPV6, "::1"},
        {"[::1]", TARGET_IPV6, "::1"},
        {"2001:DB8::1", TARGET_IPV6, "2001:DB8::1"},
        {"::ffff:192.0.2.1", TARGET_IPV4, "192.0.2.1"},
        {"[::ffff:c000:201]", TARGET_IPV4, "192.0.2.1"},
        {"::192.0.2.1", TARGET_IPV6, "::192.0.2.1"},
        {"fe80::1%eth0", TARGET_IPV6, "fe80::1%eth0"},
        {"[fe80::1%2]", TARGET_IPV6, "fe80::1%2"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target target;
        struct err err = {0};
        assert_int_equal(target_parse(&target, cases[i].host, "6000", &err), 0);
        assert_int_equal(err.reason, ERR_OK);
        assert_int_equal(target.kind, cases[i].kind);
        assert_string_equal(target.host, cases[i].kept);
        assert_string_equal(target.service, "6000");
    }
}

struct refusal_case {
    const char *word;
    const char *sends;
};

static void assert_refused(const char *host, const char *port, const char *sends)
{
    static const struct target empty;
    struct target target;
    struct err err = {0};
    assert_int_equal(target_parse(&target, host, port, &err), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    if (strstr(err.text, sends) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", err.text, sends);
    assert_memory_equal(&target, &empty, sizeof(target));
}

static void what_is_no_host_is_refused_in_words(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {".", ". is not a host name: there is nothing between two dots"},
        {".example", "nothing between two dots, or before the first"},
        {"a..b", "nothing between two dots"},
        {"host..", "nothing between two dots"},
        {"-host", "-host is not a host name: it begins with a dash"},
        {"my host", "my host is not a host name: it may hold letters"},
        {"m\xc3\xbc ller", "it may hold letters"},
        {"http//host", "it may hold letters"},
        {"host%eth0", "it may hold letters"},
        {"127.0.0.1%lo", "it may hold letters"},
        {"a\\b", "a\\\\b is not a host name"},
        {"a\nb", "a\\nb is not a host name: it holds bytes that are not printable"},
        {"a\x1b[2J", "a\\x1b[2J has brackets"},
        {"\xff", "\\xff is not a host name: it holds bytes that are not printable"},
        {"a\xe2\x80\xae", "it holds bytes that are not printable"},
        {LABEL_63 "d", "more than 63 characters"},
        {NAME_253 "b", "more than 253 characters"},
        {"127.1", "127.1 is not an IPv4 address: write all four numbers"},
        {"1.2.3", "1.2.3 is not an IPv4 address"},
        {"0x7f.1", "0x7f.1 is not an IPv4 address"},
        {"0x7f000001", "0x7f000001 is not an IPv4 address"},
        {"127.0.0.0X1", "is not an IPv4 address"},
        {"2130706433", "is not an IPv4 address"},
        {"256.0.0.1", "is not an IPv4 address"},
        {"127.0.0.01", "is not an IPv4 address"},
        {"127.0.0.1.", "is not an IPv4 address"},
        {"1.2.3.4.5", "is not an IPv4 address"},
        {"host.1", "is not an IPv4 address"},
        {"1::2::3", "1::2::3 is not an IPv6 address"},
        {"http://host", "http://host is not an IPv6 address"},
        {":", "is not an IPv6 address"},
        {"fe80::1%", "fe80::1% is not an IPv6 address"},
        {"fe80::1%e 0", "is not an IPv6 address"},
        {"fe80::1%a%b", "is not an IPv6 address"},
        {"fe80::1%\x1b", "fe80::1%\\x1b is not an IPv6 address"},
        {"[::1", "[::1 has brackets that do not match"},
        {"::1]", "::1] has brackets that do not match"},
        {"[", "brackets"},
        {"]", "brackets"},
        {"ho[st", "brackets that do not match"},
        {"[]", "[] is not an IPv6 address, and brackets are for nothing else"},
        {"[localhost]", "[localhost] is not an IPv6 address"},
        {"[127.0.0.1]", "[127.0.0.1] is not an IPv6 address"},
        {"[[::1]]", "is not an IPv6 address"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(cases[i].word, "6000", cases[i].sends);
}

static void host_is_refused_where_it_does_not_fit(void **state)
{
    (void)state;
    char host[TARGET_HOST_BYTES + 1];
    struct target target;
    for (size_t i = 0; i < sizeof(host) - 1; i += 2)
        memcpy(host + i, i % 64 == 62 ? "b." : "\xc3\xbc", 2);
    host[TARGET_HOST_BYTES] = '\0';
    assert_refused(host, "6000", "is too long for a host name");
    host[TARGET_HOST_BYTES - 1] = '\0';
    assert_int_equal(target_parse(&target, host, "6000", NULL), 0);
    assert_string_equal(target.host, host);
}

static void services_are_numbers_or_names(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"0", "0"},
        {"6000", "6000"},
        {"65535", "65535"},
        {"000080", "80"},
        {"00000000", "0"},
        {"00000000000000000000000000000000000000000000000000000000000000000000000080", "80"},
        {"http", "http"},
        {"3com-tsmux", "3com-tsmux"},
        {"a_b.c+d", "a_b.c+d"},
        {LABEL_63, LABEL_63},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target target;
        assert_int_equal(target_parse(&target, "host", cases[i][0], NULL), 0);
        assert_string_equal(target.service, cases[i][1]);
    }
}

static void what_is_no_service_is_refused_in_words(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {NULL, "the port is missing"},
        {"", "the port is missing"},
        {"65536", "65536 is not a port: the highest is 65535"},
        {"4294967376", "the highest is 65535"},
        {"99999999999999999999999999", "the highest is 65535"},
        {"-1", "-1 is not a port"},
        {"+80", "+80 is not a port"},
        {" 80", "is not a port"},
        {"80 ", "is not a port"},
        {"6-7", "6-7 is not a port"},
        {"-http", "is not a port"},
        {"ht tp", "is not a port"},
        {"h\xc3\xb6", "h\xc3\xb6 is not a port"},
        {"a\n", "a\\n is not a port"},
        {LABEL_63 "d", "is not a port"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused("host", cases[i].word, cases[i].sends);
}

static void one_word_may_carry_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        bool one_word;
        const char *host; /* NULL: refused */
        const char *service;
    } cases[] = {
        {"host:6000", true, "host", "6000"}, {"127.0.0.1:http", true, "127.0.0.1", "http"},
        {"[::1]:6000", true, "::1", "6000"}, {"[fe80::1%eth0]:6000", true, "fe80::1%eth0", "6000"},
        {"6000", false, "", "6000"},         {"http", false, "", "http"},
        {"host:", true, NULL, NULL},         {"[::1]:", true, NULL, NULL},
        {"[host]:80", true, NULL, NULL},     {"ho[st:80", true, NULL, NULL},
        {"[::1]:80:90", true, NULL, NULL},   {"", false, NULL, NULL},
        {":6000", false, NULL, NULL},        {"::1", false, NULL, NULL},
        {"::1:6000", false, NULL, NULL},     {"fe80::1%eth0", false, NULL, NULL},
        {"[::1]", false, NULL, NULL},        {"[::1]6000", false, NULL, NULL},
        {"[::1", false, NULL, NULL},         {"127.0.0.1", false, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target target;
        struct err err = {0};
        assert_int_equal(target_is_one_word(cases[i].word), cases[i].one_word);
        int result = target_parse_word(&target, cases[i].word, &err);
        assert_int_equal(result, cases[i].host != NULL ? 0 : -1);
        assert_string_equal(target.host, cases[i].host != NULL ? cases[i].host : "");
        assert_string_equal(target.service, cases[i].host != NULL ? cases[i].service : "");
        assert_int_equal(err.reason, cases[i].host != NULL ? ERR_OK : ERR_USAGE);
    }
}

static void an_address_without_a_port_has_a_hint(void **state)
{
    (void)state;
    struct target target;
    struct err err = {0};
    assert_int_equal(target_parse_word(&target, "::1", &err), -1);
    assert_string_equal(err.text, "::1 is neither a port nor HOST:PORT nor [IPV6]:PORT");
}

static void target_is_written_as_it_could_be_typed(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"localhost", "6000", "localhost:6000"},
        {"127.0.0.1", "http", "127.0.0.1:http"},
        {"::1", "6000", "[::1]:6000"},
        {"[fe80::1%eth0]", "6000", "[fe80::1%eth0]:6000"},
        {NULL, "6000", "every address, port 6000"},
        {"m\xc3\xbcller", "1", "m\xc3\xbcller:1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[64];
        struct target target;
        assert_int_equal(target_parse(&target, cases[i][0], cases[i][1], NULL), 0);
        assert_ptr_equal(target_format(&target, text, sizeof(text)), text);
        assert_string_equal(text, cases[i][2]);
    }
}

static void long_target_is_cut_to_its_room(void **state)
{
    (void)state;
    char text[17] = "................";
    struct target target;
    assert_int_equal(target_parse(&target, "a-rather-long-name.example", "6000", NULL), 0);
    assert_string_equal(target_format(&target, text, 16), "a-rather-lon...");
}

static void localhost_is_a_name_of_this_machine(void **state)
{
    static const char *const names[] = {"localhost", "LOCALHOST", "localhost.", "a.localhost",
                                        "a.b.localhost."};
    static const char *const others[] = {"", ".", "localhos", "notlocalhost", "localhost.example", "::1"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_true(target_is_localhost(names[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(target_is_localhost(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_of_every_kind_are_known),
        cmocka_unit_test(what_is_no_host_is_refused_in_words),
        cmocka_unit_test(host_is_refused_where_it_does_not_fit),
        cmocka_unit_test(services_are_numbers_or_names),
        cmocka_unit_test(what_is_no_service_is_refused_in_words),
        cmocka_unit_test(one_word_may_carry_host_and_port),
        cmocka_unit_test(an_address_without_a_port_has_a_hint),
        cmocka_unit_test(target_is_written_as_it_could_be_typed),
        cmocka_unit_test(long_target_is_cut_to_its_room),
        cmocka_unit_test(localhost_is_a_name_of_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
