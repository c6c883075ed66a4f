#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/sockets.h"
#include "tcpgreet/net/listener.h"
#include "tcpgreet/net/tcp_facts.h"

static struct endpoint endpoint_of(const char *text)
{
    struct endpoint endpoint = endpoint_wildcard(strchr(text, ':') != NULL ? AF_INET6 : AF_INET, 1);
    if (endpoint_family(&endpoint) == AF_INET6)
        assert_int_equal(inet_pton(AF_INET6, text, &endpoint.address.v6.sin6_addr), 1);
    else
        assert_int_equal(inet_pton(AF_INET, text, &endpoint.address.v4.sin_addr), 1);
    return endpoint;
}

#ifdef __linux__
static void a_connection_has_a_segment_size_and_a_round_trip(void **state)
{
    const struct listener_options options = {.backlog = 1, .want_v4 = true};
    struct target target;
    struct listener listener;
    struct tcp_facts facts = {0};
    (void)state;

    assert_int_equal(target_parse(&target, "127.0.0.1", "0", NULL), 0);
    assert_int_equal(listener_open(&target, &options, &listener, 1, NULL), 1);
    int fd = caller_connect(&listener.at);
    assert_true(tcp_facts_read(fd, true, &facts));
    assert_true(facts.known);
    assert_in_range(facts.mss_bytes, 500, 65536);
    assert_true(facts.rtt_us > 0);
    assert_int_equal(facts.retransmits, 0);
    assert_int_equal(facts.syn_retransmits, 0);
    close(fd);
    listener_close(&listener);
}

static void without_a_connection_nothing_is_made_up(void **state)
{
    struct tcp_facts facts = {0};
    int fd = sockets_open(AF_INET, SOCK_STREAM);
    (void)state;
    assert_true(tcp_facts_read(fd, true, &facts));
    assert_int_equal(facts.mss_bytes, 0);
    assert_int_equal(facts.rtt_us, 0);
    close(fd);
}

static void what_was_known_outlives_the_connection(void **state)
{
    struct tcp_facts facts = {
        .known = true, .mss_bytes = 1448, .rtt_us = 70, .retransmits = 2, .syn_retransmits = 2};
    int closed = sockets_open(AF_INET, SOCK_STREAM);
    (void)state;
    assert_true(tcp_facts_read(closed, false, &facts));
    assert_int_equal(facts.mss_bytes, 1448);
    assert_int_equal(facts.rtt_us, 70);
    assert_int_equal(facts.syn_retransmits, 2);
    close(closed);
}
#endif

static void a_socket_that_is_not_tcp_has_no_facts(void **state)
{
    struct tcp_facts facts = {0};
    int ends[2];
    (void)state;
    sockets_open_pair(ends);
    assert_false(tcp_facts_read(ends[0], true, &facts));
    assert_false(facts.known);
    close(ends[0]);
    close(ends[1]);
}

static void an_address_leads_to_its_interface(void **state)
{
    char name[IF_NAMESIZE], short_name[2];
    struct endpoint any = {0};
    struct endpoint loopback = endpoint_of("127.0.0.1"), beside = endpoint_of("127.0.0.9"),
                    foreign = endpoint_of("192.0.2.1"); /* RFC 5737 */
    (void)state;

    assert_string_equal(tcp_facts_interface(&loopback, name, sizeof name), "lo");
    assert_string_equal(tcp_facts_interface(&beside, name, sizeof name), "lo");
    assert_string_equal(tcp_facts_interface(&foreign, name, sizeof name), "");
    struct tcp_interfaces interfaces = {0};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(tcp_interfaces_name(&interfaces, &loopback, name, sizeof name), "lo");
        assert_string_equal(tcp_interfaces_name(&interfaces, &foreign, name, sizeof name), "");
        if (i == 1)
            interfaces.listed_ns = 1; /* long ago */
    }
    assert_true(interfaces.listed_ns > 1);
    tcp_interfaces_fini(&interfaces);
    assert_string_equal(tcp_facts_interface(&any, name, sizeof name), "");
    assert_string_equal(tcp_facts_interface(&loopback, short_name, sizeof short_name), "l");
}

/* Each address of this machine leads to an interface that has it; a link-local one to that of its zone. */
static void every_address_of_this_machine_has_its_interface(void **state)
{
    struct ifaddrs *list;
    char name[IF_NAMESIZE];
    unsigned checked = 0;
    (void)state;

    assert_int_equal(getifaddrs(&list), 0);
    for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
        struct endpoint local;
        if (entry->ifa_addr == NULL ||
            (entry->ifa_addr->sa_family != AF_INET6 && entry->ifa_addr->sa_family != AF_INET))
            continue;
        bool is_v6 = entry->ifa_addr->sa_family == AF_INET6;
        socklen_t length = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        assert_int_equal(endpoint_from_sockaddr(&local, entry->ifa_addr, length), 0);
        assert_string_equal(tcp_facts_interface(&local, name, sizeof name), entry->ifa_name);
        checked++;
        if (is_v6 && IN6_IS_ADDR_LINKLOCAL(&local.address.v6.sin6_addr)) {
            local.address.v6.sin6_scope_id += 1000;
            assert_string_equal(tcp_facts_interface(&local, name, sizeof name), "");
        }
    }
    freeifaddrs(list);
    assert_true(checked > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __linux__
        cmocka_unit_test(a_connection_has_a_segment_size_and_a_round_trip),
        cmocka_unit_test(without_a_connection_nothing_is_made_up),
        cmocka_unit_test(what_was_known_outlives_the_connection),
#endif
        cmocka_unit_test(a_socket_that_is_not_tcp_has_no_facts),
        cmocka_unit_test(an_address_leads_to_its_interface),
        cmocka_unit_test(every_address_of_this_machine_has_its_interface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
