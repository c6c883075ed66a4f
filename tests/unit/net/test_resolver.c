#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/launcher.h"
#include "support/names_known.h"
#include "support/skip.h"
#include "support/watched.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/net/resolver.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The results of the resolver of one test. */
struct fixture {
    struct watched watched;
    struct resolver *resolver;
    bool starting;
    bool cancel_at_once; /* from inside the first answer */
    unsigned answers;
    int families[2];
    struct endpoint first;
    size_t count;
    struct err err;
    bool two;
};

static void on_answer(void *context, const struct resolver_answer *answer)
{
    struct fixture *fixture = context;

    assert_false(fixture->starting);
    assert_true(fixture->answers < 2);
    assert_int_equal(answer->count == 0, answer->err != NULL);
    fixture->families[fixture->answers++] = answer->family;
    fixture->two = fixture->answers == 2;
    if (answer->count > 0 && fixture->count == 0)
        fixture->first = answer->endpoints[0];
    fixture->count += answer->count;
    if (answer->err != NULL)
        fixture->err = *answer->err;
    if (fixture->cancel_at_once) {
        resolver_cancel(fixture->resolver);
        fixture->resolver = NULL;
    }
}

static int set_up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    watched_open(&fixture->watched);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    resolver_cancel(fixture->resolver);
    watched_close(&fixture->watched);
    names_await_end();
    test_free(fixture);
    return 0;
}

static struct resolver *start(struct fixture *fixture, const struct target *target, bool v6, bool v4,
                              struct err *err)
{
    struct resolver_query query = {target, v6, v4};
    resolver_cancel(fixture->resolver);
    fixture->starting = true;
    fixture->resolver = resolver_start(&fixture->watched.loop, &query, on_answer, fixture, err);
    fixture->starting = false;
    assert_int_equal(fixture->resolver == NULL, err->reason != ERR_OK);
    return fixture->resolver;
}

static struct target parse(const char *host, const char *service)
{
    struct target target;
    struct err err = {0};
    if (target_parse(&target, host, service, &err) < 0)
        fail_msg("%s", err.text);
    return target;
}

/* Asks the C library for what it knows without a query: a literal that is not known as one. */
static struct target numeric_name(const char *host, const char *service)
{
    struct target target = parse(host, service);
    target.kind = TARGET_NAME;
    return target;
}

static void literals_are_answered_without_asking(void **state)
{
    static const char *const literals[][3] = {{"127.0.0.1", "6000", "127.0.0.1:6000"},
                                              {"[::1]", "0", "[::1]:0"},
                                              {"::ffff:1.2.3.4", "80", "1.2.3.4:80"},
                                              {"2001:db8::1", "http", "[2001:db8::1]:80"}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT(literals); i++) {
        struct target target = parse(literals[i][0], literals[i][1]);
        struct err err = {0};
        char text[ENDPOINT_TEXT_BYTES];

        if (strcmp(literals[i][1], "http") == 0 && getservbyname("http", "tcp") == NULL)
            continue; /* a machine without /etc/services */
        fixture->answers = 0;
        fixture->count = 0;
        assert_non_null(start(fixture, &target, true, true, &err));
        assert_int_equal(resolver_pending(), 0);
        watched_run(&fixture->watched, NULL);
        assert_int_equal(fixture->answers, 1);
        assert_int_equal(fixture->count, 1);
        assert_int_equal(fixture->families[0], endpoint_family(&fixture->first));
        assert_string_equal(endpoint_format(&fixture->first, text), literals[i][2]);
    }
}

static void a_zone_becomes_the_interfaces_number(void **state)
{
    struct fixture *fixture = *state;
    char name[IF_NAMESIZE], host[64];
    struct err err = {0};

    if (if_indextoname(1, name) == NULL)
        skip_because("no network interface");
    snprintf(host, sizeof host, "fe80::1%%%s", name);
    struct target target = parse(host, "6000");
    assert_non_null(start(fixture, &target, true, true, &err));
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->count, 1);
    assert_int_equal(fixture->first.address.v6.sin6_scope_id, 1);
}

static void a_zone_that_does_not_exist_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct target target = parse("fe80::1%nosuchzone", "6000");
    struct err err = {0};
    assert_null(start(fixture, &target, true, true, &err));
    assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
    assert_string_equal(err.text, "there is no address fe80::1%nosuchzone: this machine has no interface "
                                  "nosuchzone (ip link lists them)");
}

static void an_interface_that_exists_is_not_called_missing(void **state)
{
    struct fixture *fixture = *state;
    char name[IF_NAMESIZE], host[64], expected[96];
    struct err err = {0};

    if (if_indextoname(1, name) == NULL)
        skip_because("no network interface");
    snprintf(host, sizeof host, "::1%%%s", name); /* not link-local */
    snprintf(expected, sizeof expected, "there is no address for %s", host);
    struct target target = parse(host, "6000");
    assert_null(start(fixture, &target, true, true, &err));
    assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
    assert_string_equal(err.text, expected);
}

static void each_wanted_family_is_answered_once(void **state)
{
    struct fixture *fixture = *state;
    struct target target = numeric_name("127.0.0.1", "6000");
    struct err err = {0};

    assert_non_null(start(fixture, &target, true, true, &err));
    assert_int_equal(fixture->answers, 0);
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->answers, 2);
    assert_int_equal(fixture->families[0] + fixture->families[1], AF_INET + AF_INET6);
    assert_int_equal(fixture->count, 1);
    assert_int_equal(endpoint_port(&fixture->first), 6000);
    assert_int_equal(fixture->err.reason, ERR_RESOLVE_NOT_FOUND); /* of the other family */
    assert_string_equal(fixture->err.text, "there is no address for 127.0.0.1");
}

static void an_unwanted_family_is_not_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct target target = numeric_name("::1", "6000");
    struct err err = {0};
    assert_non_null(start(fixture, &target, true, false, &err));
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->answers, 1);
    assert_int_equal(fixture->families[0], AF_INET6);
    assert_int_equal(fixture->count, 1);
}

static void a_service_that_does_not_exist_is_named(void **state)
{
    static const char sentence[] = "there is no TCP service named nosuchservice: use a port number";
    struct fixture *fixture = *state;
    struct target literal = parse("::1", "nosuchservice"), name = parse("localhost", "nosuchservice");
    struct err err = {0};

    assert_null(start(fixture, &literal, true, true, &err));
    assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
    assert_string_equal(err.text, sentence);

    err_clear(&err);
    assert_non_null(start(fixture, &name, false, true, &err));
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->err.reason, ERR_RESOLVE_NOT_FOUND);
    assert_string_equal(fixture->err.text, sentence);
}

static void a_question_that_is_with_the_c_library_is_forgotten(void **state)
{
    static const struct known_name names[] = {{.name = "slow.example", .slow_v6 = true, .slow_v4 = true},
                                              {0}};
    struct fixture *fixture = *state;
    struct target target = parse("slow.example", "6000");
    struct err err = {0};

    names_know(names);
    assert_non_null(start(fixture, &target, true, true, &err));
    names_await_slow(2);
    assert_int_equal(resolver_pending(), 2);
    resolver_cancel(fixture->resolver);
    fixture->resolver = NULL;
    watched_run(&fixture->watched, NULL); /* which waits for neither */
    assert_int_equal(resolver_pending(), 2);
    names_let_go(2);
    names_await_end();
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->answers, 0);
}

static void an_answer_that_comes_too_late_to_be_cancelled_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct target target = numeric_name("127.0.0.1", "6000");
    struct err err = {0};

    assert_non_null(start(fixture, &target, true, true, &err));
    names_await_end(); /* the C library is done, the loop knows nothing yet */
    resolver_cancel(fixture->resolver);
    fixture->resolver = NULL;
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->answers, 0);
}

static void a_literal_can_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct target target = parse("::1", "6000");
    struct err err = {0};
    assert_non_null(start(fixture, &target, true, true, &err));
    resolver_cancel(fixture->resolver);
    fixture->resolver = NULL;
    resolver_cancel(NULL);
    watched_run(&fixture->watched, NULL);
    assert_int_equal(fixture->answers, 0);
}

static void an_answer_may_cancel_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct target targets[] = {numeric_name("127.0.0.1", "6000"), parse("127.0.0.1", "6000")};
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct err err = {0};
        fixture->answers = 0;
        fixture->cancel_at_once = true;
        assert_non_null(start(fixture, &targets[i], true, true, &err));
        watched_run(&fixture->watched, NULL);
        assert_int_equal(fixture->answers, 1);
    }
}

#ifdef TCPGREET_HAVE_IDN2

static void note_question(void *context, const struct trace_event *event)
{
    if (event->step == TRACE_RESOLVE)
        snprintf(context, 300, "%s", event->arguments);
}

static void names_are_asked_for_as_a_labels(void **state)
{
    static const char *const labels[][2] = {
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"B\xc3\x9c"
         "CHER.example",
         "xn--bcher-kva.example"},
        {"bu\xcc\x88"
         "cher.example",
         "xn--bcher-kva.example"},
        {"stra\xc3\x9f"
         "e.example",
         "xn--strae-oqa.example"},
        {"\xe4\xbe\x8b\xe3\x81\x88.example.", "xn--r8jz45g.example."},
        {"plain_name.example", "plain_name.example"},
    };
    static const struct known_name none[] = {{0}};
    struct fixture *fixture = *state;

    names_know(none); /* no name server is queried */
    for (size_t i = 0; i < COUNT(labels); i++) {
        char asked[300] = "", due[300];
        struct target target = parse(labels[i][0], "6000");
        struct err err = {0};
        snprintf(due, sizeof due, "%s, 6000, AF_INET", labels[i][1]);
        fixture->answers = 0;
        trace_to(note_question, asked);
        assert_non_null(start(fixture, &target, false, true, &err));
        watched_run(&fixture->watched, NULL);
        trace_to(NULL, NULL);
        assert_int_equal(fixture->answers, 1);
        assert_string_equal(asked, due);
    }
}

static void what_cannot_become_a_labels_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char host[200] = "";
    struct err err = {0};
    struct endpoint endpoint;

    for (int i = 0; i < 64; i++)
        strcat(host, "\xc3\xbc");
    struct target target = parse(host, "6000");
    struct resolver_query query = {&target, true, true};
    assert_null(start(fixture, &target, true, true, &err));
    assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
    assert_non_null(strstr(err.text, "is not a domain name: "));

    err_clear(&err);
    assert_int_equal(resolver_lookup(&query, &endpoint, 1, &err), 0);
    assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
}

#endif

static void a_lookup_finds_every_address_ipv6_first(void **state)
{
    static const struct {
        bool v6, v4;
        const char *due[3];
    } cases[] = {{true, true, {"[::]:6000", "0.0.0.0:6000"}},
                 {true, false, {"[::]:6000"}},
                 {false, true, {"0.0.0.0:6000"}}};
    struct target every = parse("", "6000");
    (void)state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct endpoint endpoints[4];
        struct err err = {0};
        char text[ENDPOINT_TEXT_BYTES];
        struct resolver_query query = {&every, cases[i].v6, cases[i].v4};
        size_t count = resolver_lookup(&query, endpoints, COUNT(endpoints), &err);
        for (size_t j = 0; j < count; j++)
            assert_string_equal(endpoint_format(&endpoints[j], text), cases[i].due[j]);
        assert_null(cases[i].due[count]);
        assert_int_equal(resolver_lookup(&query, endpoints, 1, &err), 1);
        assert_int_equal(err.reason, ERR_OK);
    }
}

static void a_lookup_without_result_reports_the_reason(void **state)
{
    static const struct {
        const char *host, *service;
        bool v6, v4;
        const char *sentence;
    } cases[] = {
        {"127.0.0.1", "6000", true, false, "there is no address for 127.0.0.1"},
        {"::1", "6000", false, true, "there is no address for ::1"},
        {"::1", "6000", false, false, "no address family is left to resolve"},
        {"::1", "nosuch", true, true, "there is no TCP service named nosuch: use a port number"},
        {"", "nosuch", true, true, "there is no TCP service named nosuch: use a port number"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target target = parse(cases[i].host, cases[i].service);
        struct resolver_query query = {&target, cases[i].v6, cases[i].v4};
        struct endpoint endpoint;
        struct err err = {0};
        assert_int_equal(resolver_lookup(&query, &endpoint, 1, &err), 0);
        assert_int_equal(err.reason, ERR_RESOLVE_NOT_FOUND);
        assert_string_equal(err.text, cases[i].sentence);
    }
}

/* What the C library reports then is that the name is unknown. */
static void exhausted_descriptors_are_not_called_an_unknown_name(void **state)
{
    struct target target;
    struct resolver_query query = {&target, true, true};
    struct endpoint endpoints[4];
    struct rlimit before, few = {0};
    struct err err = {0};
    (void)state;

    if (!launcher_has_real_limits())
        skip_because("needs setrlimit(2), which valgrind does not pass on");
    assert_int_equal(target_parse(&target, "missing.invalid", "80", &err), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_cur = 3;
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    size_t count = resolver_lookup(&query, endpoints, COUNT(endpoints), &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(count, 0);
    assert_int_equal(err.reason, ERR_SYSTEM_DESCRIPTORS);
}

static void a_hosts_file_is_read_as_the_c_library_does(void **state)
{
    static const char text[] = "# 127.0.0.1 commented\n"
                               "127.0.0.1\tlocalhost Four # ::1 behind\n"
                               "::1 localhost six\r\n"
                               "  fe80::1%lo zoned\n"
                               "nothing word\n"
                               "192.0.2.1\n"
                               "192.0.2.1 last";
    static const struct {
        const char *name;
        bool v6, v4;
    } cases[] = {{"localhost", true, true}, {"four", false, true},       {"SIX", true, false},
                 {"zoned", true, false},    {"last", false, true},       {"word", false, false},
                 {"behind", false, false},  {"commented", false, false}, {"localhos", false, false},
                 {"", false, false},        {"six.", false, false}};
    char path[] = "/tmp/tcpgreet-hosts-XXXXXX";
    int fd = mkstemp(path);
    (void)state;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct resolver_hosts hosts = resolver_read_hosts(path, cases[i].name);
        if (hosts.v6 != cases[i].v6 || hosts.v4 != cases[i].v4)
            fail_msg("%s: %d %d", cases[i].name, hosts.v6, hosts.v4);
    }
    assert_int_equal(unlink(path), 0);
    struct resolver_hosts none = resolver_read_hosts(path, "localhost");
    assert_false(none.v6 || none.v4);
}

int main(void)
{
#define RESOLVER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RESOLVER_TEST(literals_are_answered_without_asking),
        RESOLVER_TEST(a_zone_becomes_the_interfaces_number),
        RESOLVER_TEST(a_zone_that_does_not_exist_is_refused),
        RESOLVER_TEST(an_interface_that_exists_is_not_called_missing),
        RESOLVER_TEST(each_wanted_family_is_answered_once),
        RESOLVER_TEST(an_unwanted_family_is_not_asked_for),
        RESOLVER_TEST(a_service_that_does_not_exist_is_named),
        RESOLVER_TEST(a_question_that_is_with_the_c_library_is_forgotten),
        RESOLVER_TEST(an_answer_that_comes_too_late_to_be_cancelled_is_forgotten),
        RESOLVER_TEST(a_literal_can_be_cancelled),
        RESOLVER_TEST(an_answer_may_cancel_the_rest),
#ifdef TCPGREET_HAVE_IDN2
        RESOLVER_TEST(names_are_asked_for_as_a_labels),
        RESOLVER_TEST(what_cannot_become_a_labels_is_refused),
#endif
        cmocka_unit_test(a_lookup_finds_every_address_ipv6_first),
        cmocka_unit_test(exhausted_descriptors_are_not_called_an_unknown_name),
        cmocka_unit_test(a_lookup_without_result_reports_the_reason),
        cmocka_unit_test(a_hosts_file_is_read_as_the_c_library_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
