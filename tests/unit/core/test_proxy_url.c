#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tcpgreet/core/proxy.h"

static void expect(const char *url, enum proxy_kind kind, const char *host, const char *port,
                   const char *user)
{
    struct proxy_config config;
    struct err err = {0};
    if (proxy_parse(&config, url, &err) != 0)
        fail_msg("%s: %s", url, err.text);
    assert_int_equal(config.kind, kind);
    assert_string_equal(config.at.host, host);
    assert_string_equal(config.at.service, port);
    assert_int_equal(config.has_user, user != NULL);
    assert_string_equal(config.user, user != NULL ? user : "");
}

static void refuse(const char *url, const char *part)
{
    struct proxy_config config;
    struct err err = {0};
    if (proxy_parse(&config, url, &err) == 0)
        fail_msg("%s was accepted", url);
    assert_int_equal(err.reason, ERR_USAGE);
    assert_int_equal(config.kind, PROXY_NONE);
    if (strstr(err.text, part) == NULL || strncmp(err.text, "--proxy", 7) != 0)
        fail_msg("%s: %s", url, err.text);
    if (strstr(err.text, "hunter") != NULL)
        fail_msg("the password is in: %s", err.text);
}

static void both_schemes_are_read_in_any_case(void **state)
{
    (void)state;
    expect("http://proxy.example:3128", PROXY_HTTP, "proxy.example", "3128", NULL);
    expect("HTTP://proxy.example:3128/", PROXY_HTTP, "proxy.example", "3128", NULL);
    expect("socks5://127.0.0.1:9050", PROXY_SOCKS5, "127.0.0.1", "9050", NULL);
    expect("Socks5://localhost:01080", PROXY_SOCKS5, "localhost", "1080", NULL);
}

static void the_port_is_1080_where_there_is_none(void **state)
{
    (void)state;
    expect("http://localhost", PROXY_HTTP, "localhost", "1080", NULL);
    expect("socks5://[::1]", PROXY_SOCKS5, "::1", "1080", NULL);
    expect("socks5://[::1]/", PROXY_SOCKS5, "::1", "1080", NULL);
    expect("http://bob@192.0.2.1", PROXY_HTTP, "192.0.2.1", "1080", "bob");
}

static void hosts_are_those_that_a_target_can_have(void **state)
{
    (void)state;
    expect("http://[2001:db8::1]:80", PROXY_HTTP, "2001:db8::1", "80", NULL);
    expect("http://[fe80::1%eth0]:80", PROXY_HTTP, "fe80::1%eth0", "80", NULL);
    expect("http://[fe80::1%25eth0]:80", PROXY_HTTP, "fe80::1%eth0", "80", NULL);
    expect("http://b\xc3\xbc"
           "cher.example:80",
           PROXY_HTTP,
           "b\xc3\xbc"
           "cher.example",
           "80", NULL);
    refuse("http://::1:3128", "needs brackets, as in http://[::1]:3128");
    refuse("http://[::1:3128", "brackets");
    refuse("http://a b:3128", "not a host name");
    refuse("http://", "the host is missing");
    refuse("http://:3128", "the host is missing");
    refuse("socks5://bob@", "the host is missing");
    refuse("http://localhost:", "the port is not valid");
    refuse("http://localhost:0", "the port is not valid");
    refuse("http://localhost:http", "the port is not valid");
    refuse("http://localhost:65536", "the port is not valid");
}

static void a_user_name_may_be_percent_encoded(void **state)
{
    char longest[PROXY_USER_MAX + 1], url[PROXY_USER_MAX + 40];
    (void)state;

    expect("http://bob@localhost:80", PROXY_HTTP, "localhost", "80", "bob");
    expect("http://b%40b%2f@localhost:80", PROXY_HTTP, "localhost", "80", "b@b/");
    expect("socks5://a%3Ab@localhost:80", PROXY_SOCKS5, "localhost", "80", "a:b");
    refuse("http://a%3Ab@localhost:80", "the user name is not valid");
    refuse("http://a%0db@localhost:80", "the user name is not valid");
    refuse("http://a%00b@localhost:80", "the user name is not valid");
    refuse("http://a%4@localhost:80", "the user name is not valid");
    refuse("http://a%@localhost:80", "the user name is not valid");
    refuse("http://a%zz@localhost:80", "the user name is not valid");
    refuse("http://@localhost:80", "the user name before @ is empty");
    memset(longest, 'u', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    snprintf(url, sizeof url, "socks5://%s@localhost", longest);
    expect(url, PROXY_SOCKS5, "localhost", "1080", longest);
    snprintf(url, sizeof url, "socks5://%su@localhost", longest);
    refuse(url, "longer than 255 bytes");
}

static void a_password_is_rejected_and_not_repeated(void **state)
{
    static const char *const urls[] = {
        "http://bob:hunter2@localhost:3128",      "socks5://bob:hunter2@localhost:3128",
        "http://bob:hun/hunter2@localhost:3128",  "http://bob:hun@hunter2@localhost:3128",
        "http://bob:hun://hunter@localhost:3128", "http://bob:hunter#2?/@localhost:3128"};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        refuse(urls[i], "TCPGREET_PROXY_PASSWORD");
        refuse(urls[i], "://USER@localhost:3128?");
    }
    refuse("http://bob:hunter2", "the port is not valid");
    refuse("https://bob:hunter2", "did you mean http://HOST:PORT?");
    refuse("bob:hunter2@localhost:3128", "did you mean http://USER@localhost:3128?");
    refuse("https://bob:hunter2@[::1]:3128", "did you mean http://USER@[::1]:3128?");
}

static void other_schemes_get_the_one_that_was_meant(void **state)
{
    (void)state;
    refuse("https://proxy:3128", "over TLS is not supported: did you mean http://proxy:3128?");
    refuse("socks5h://proxy:1080", "did you mean socks5://proxy:1080?");
    refuse("socks4://proxy:1080", "SOCKS4 is not supported: did you mean socks5://proxy:1080?");
    refuse("socks4a://proxy", "did you mean socks5://proxy?");
    refuse("socks://[::1]", "did you mean socks5://[::1]?");
    refuse("ftp://proxy:21", "this scheme is not supported");
    refuse("proxy:3128", "did you mean http://proxy:3128?");
    refuse("proxy", "did you mean http://proxy?");
    refuse("http://proxy:3128/path", "leave out what follows the port: did you mean http://proxy:3128?");
    refuse("socks5://proxy?x", "did you mean socks5://proxy?");
    refuse("", "did you mean http://HOST:PORT?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_schemes_are_read_in_any_case),
        cmocka_unit_test(the_port_is_1080_where_there_is_none),
        cmocka_unit_test(hosts_are_those_that_a_target_can_have),
        cmocka_unit_test(a_user_name_may_be_percent_encoded),
        cmocka_unit_test(a_password_is_rejected_and_not_repeated),
        cmocka_unit_test(other_schemes_get_the_one_that_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
