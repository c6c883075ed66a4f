#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "probe/summary.h"
#include "support/written.h"

enum { PORT = 6000, ADDRESSES = 4, STARTED_S = 1767225600 };

#define US INT64_C(1000)

/* One address of a round, with dots for IPv4. us: the connect; the name takes as long again. */
struct found {
    const char *address; /* NULL ends a list */
    enum err_reason reason;
    int64_t us;
};

struct round {
    struct found found[ADDRESSES + 1];
    enum err_reason unresolved[RACE_FAMILIES]; /* why a family has no address; ERR_OK: it has, or has none */
    enum err_reason verdict;
};

static struct probe_summary summary;
static const struct probe_style ascii = {.columns = 80};
static const struct probe_style utf8 = {.columns = 80, .utf8 = true};

static void make_address(const struct found *found, struct probe_address *address)
{
    bool v4 = strchr(found->address, '.') != NULL;
    int64_t ns = found->us * US;

    address->peer = endpoint_loopback(v4 ? AF_INET : AF_INET6, PORT);
    void *binary =
        v4 ? (void *)&address->peer.address.v4.sin_addr : (void *)&address->peer.address.v6.sin6_addr;
    assert_int_equal(inet_pton(v4 ? AF_INET : AF_INET6, found->address, binary), 1);
    for (size_t phase = 0; phase < PROBE_PHASES; phase++)
        address->spans[phase] = (struct probe_span){-1, -1};
    address->spans[PROBE_RESOLVE] = (struct probe_span){0, 0};
    address->spans[PROBE_CONNECT] = (struct probe_span){0, ns};
    address->last = PROBE_CONNECT;
    if (found->reason == ERR_OK || found->reason == ERR_DIALOGUE_TIMEOUT) {
        address->spans[PROBE_NAME] = (struct probe_span){ns, 2 * ns};
        address->last = PROBE_NAME;
    }
    address->reach = found->reason == ERR_CONNECT_UNREACHABLE ? REACH_SWITCHED_OFF : REACH_OPEN;
    if (found->reason != ERR_OK)
        err_set(&address->err, found->reason, 0, "it failed");
}

/* Shape: the caller frees addresses. */
static struct probe_result make_round(const struct round *round)
{
    struct probe_result result = {.target = "host:6000", .host = "host", .started_s = STARTED_S};

    result.addresses = calloc(ADDRESSES, sizeof(*result.addresses));
    assert_non_null(result.addresses);
    for (const struct found *found = round->found; found->address != NULL; found++) {
        make_address(found, &result.addresses[result.address_count++]);
        result.answers[strchr(found->address, '.') != NULL ? RACE_V4 : RACE_V6].count++;
    }
    for (size_t family = 0; family < RACE_FAMILIES; family++) {
        struct probe_answer *answer = &result.answers[family];
        answer->asked = true;
        if (answer->count == 0)
            err_set(&answer->err,
                    round->unresolved[family] != ERR_OK ? round->unresolved[family] : ERR_RESOLVE_NOT_FOUND,
                    0, "no address");
    }
    if (round->verdict != ERR_OK)
        err_set(&result.verdict, round->verdict, 0, "sentence of %s", err_word(round->verdict));
    return result;
}

/* Adds a round. Returns: what had changed; valid until the next. */
static const char *add(struct round round)
{
    static char changes[PROBE_SENTENCE_BYTES];
    struct probe_result result = make_round(&round);
    struct err err = {0};

    bool changed = probe_summary_changes(&summary, &result, changes);
    assert_int_equal(changed, changes[0] != '\0');
    assert_int_equal(probe_summary_add(&summary, &result, &err), 0);
    assert_int_equal(err.reason, ERR_OK);
    probe_result_fini(&result);
    return changes;
}

#define ADD(...) add((struct round){.found = __VA_ARGS__})

static char *text(const struct probe_style *style)
{
    struct written written;
    written_open(&written);
    probe_summary_text(&summary, style, written.out);
    return written_close(&written);
}

static char *json(void)
{
    struct written written;
    written_open(&written);
    probe_summary_json(&summary, written.out);
    return written_close(&written);
}

static int start(void **state)
{
    (void)state;
    memset(&summary, 0, sizeof(summary));
    return setenv("TZ", "UTC", 1);
}

static int tear_down(void **state)
{
    (void)state;
    probe_summary_fini(&summary);
    return 0;
}

static void each_address_has_its_rounds_failures_and_times(void **state)
{
    (void)state;
    ADD({{"::1", ERR_OK, 100}, {"127.0.0.1", ERR_CONNECT_REFUSED, 50}}, .verdict = ERR_DEGRADED);
    ADD({{"::1", ERR_OK, 300}, {"127.0.0.1", ERR_OK, 50}});
    ADD({{"::1", ERR_OK, 200}, {"127.0.0.1", ERR_CONNECT_REFUSED, 50}}, .verdict = ERR_DEGRADED);
    char *sent = text(&utf8);
    assert_string_equal(sent, "\nhost:6000: 3 rounds, 1 all OK, the worst degraded: sentence of degraded\n"
                              "[::1]:6000: 3 rounds, 0 failed (0 %)\n"
                              "  total: min 200 µs, median 400 µs, p99 600 µs\n"
                              "  connect: min 100 µs, median 200 µs, p99 300 µs\n"
                              "127.0.0.1:6000: 3 rounds, 2 failed (66.7 %), mostly connect-refused\n"
                              "  total: min 100 µs, median 100 µs, p99 100 µs\n"
                              "  connect: min 50.0 µs, median 50.0 µs, p99 50.0 µs\n");
    free(sent);
}

static void what_this_machine_cannot_reach_has_no_rounds_and_one_remark(void **state)
{
    static const char remark[] =
        "IPv6 is switched off on this machine: [::1]:6000 cannot be reached from here and "
        "does not count.";
    (void)state;
    for (int i = 0; i < 2; i++)
        ADD({{"::1", ERR_CONNECT_UNREACHABLE, 100}, {"127.0.0.1", ERR_OK, 50}});
    char *sent = text(&utf8), *object = json();
    const char *at = strstr(sent, remark);
    assert_non_null(at);
    assert_string_equal(at + strlen(remark), "\n");
    assert_non_null(strstr(sent, "\nhost:6000: 2 rounds, 2 all OK\n127.0.0.1:6000: 2 rounds, 0 failed"));
    assert_null(strstr(object, "{\"address\":\"::1\""));
    assert_non_null(strstr(object, "],\"remarks\":[{\"word\":\"ipv6-unavailable\",\"text\":\"IPv6 is"));
    free(sent);
    free(object);
}

static void a_terminal_of_ascii_is_shown_ascii(void **state)
{
    (void)state;
    ADD({{"::1", ERR_OK, 100}});
    char *sent = text(&ascii);
    assert_string_equal(sent, "\nhost:6000: 1 round, 1 all OK\n"
                              "[::1]:6000: 1 round, 0 failed (0 %)\n"
                              "  total: min 200 us, median 200 us, p99 200 us\n"
                              "  connect: min 100 us, median 100 us, p99 100 us\n");
    free(sent);
}

static void the_reported_reason_is_the_most_frequent(void **state)
{
    (void)state;
    ADD({{"::1", ERR_DIALOGUE_TIMEOUT, 100}}, .verdict = ERR_DIALOGUE_TIMEOUT);
    ADD({{"::1", ERR_CONNECT_REFUSED, 100}}, .verdict = ERR_CONNECT_REFUSED);
    ADD({{"::1", ERR_CONNECT_REFUSED, 100}}, .verdict = ERR_CONNECT_REFUSED);
    ADD({{"::1", ERR_OK, 100}});
    assert_int_equal(probe_summary_failed(summary.rows[0]), 3);
    assert_int_equal(probe_summary_reason(summary.rows[0]), ERR_CONNECT_REFUSED);
    assert_int_equal(summary.rows[0]->total.total, 1);
    assert_int_equal(summary.rows[0]->connect.total, 2); /* one failed after it had connected */
}

static void the_worst_round_is_the_first_of_its_rank(void **state)
{
    (void)state;
    static const struct {
        enum err_reason verdict, worst;
    } rounds[] = {{ERR_OK, ERR_OK},
                  {ERR_THRESHOLD, ERR_THRESHOLD},
                  {ERR_OK, ERR_THRESHOLD},
                  {ERR_DEGRADED, ERR_DEGRADED},
                  {ERR_THRESHOLD, ERR_DEGRADED},
                  {ERR_TLS_ALERT, ERR_TLS_ALERT},
                  {ERR_CONNECT_REFUSED, ERR_TLS_ALERT},
                  {ERR_DEGRADED, ERR_TLS_ALERT}};

    for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
        ADD({{"::1", ERR_OK, 1}}, .verdict = rounds[i].verdict);
        if (summary.worst.reason != rounds[i].worst)
            fail_msg("after round %zu the worst is %s", i, err_word(summary.worst.reason));
    }
    assert_int_equal(summary.ok, 2);
    assert_string_equal(summary.worst.text, "sentence of tls-alert");
}

static void added_and_removed_addresses_are_reported(void **state)
{
    (void)state;
    assert_string_equal(ADD({{"::1", ERR_OK, 1}, {"127.0.0.1", ERR_OK, 1}}), "");
    assert_string_equal(ADD({{"127.0.0.1", ERR_OK, 1}, {"::1", ERR_OK, 1}}), ""); /* the order is no change */
    assert_string_equal(ADD({{"::2", ERR_OK, 1}, {"::3", ERR_OK, 1}, {"127.0.0.1", ERR_OK, 1}}),
                        "now also [::2]:6000, [::3]:6000, no longer [::1]:6000");
    assert_string_equal(ADD({{"::2", ERR_OK, 1}, {"::3", ERR_OK, 1}}), "no longer 127.0.0.1:6000");
    assert_string_equal(ADD({{"::2", ERR_OK, 1}, {"::3", ERR_OK, 1}, {"127.0.0.2", ERR_OK, 1}}),
                        "now also 127.0.0.2:6000");
    assert_int_equal(summary.row_count, 5);
}

static void a_name_service_that_fails_changes_nothing(void **state)
{
    (void)state;
    assert_string_equal(ADD({{"::1", ERR_OK, 1}, {"127.0.0.1", ERR_OK, 1}}), "");
    assert_string_equal(ADD({{"127.0.0.1", ERR_OK, 1}}, .unresolved = {[RACE_V6] = ERR_RESOLVE_TEMPORARY},
                            .verdict = ERR_DEGRADED),
                        "");
    assert_string_equal(ADD({{0}}, .unresolved = {ERR_RESOLVE_TEMPORARY, ERR_RESOLVE_TEMPORARY},
                            .verdict = ERR_RESOLVE_TEMPORARY),
                        "");
    assert_string_equal(ADD({{"::1", ERR_OK, 1}, {"127.0.0.1", ERR_OK, 1}}), "");
    assert_int_equal(summary.nameless, 1);
}

static void an_answer_that_comes_late_is_no_change(void **state)
{
    (void)state;
    assert_string_equal(ADD({{"::1", ERR_OK, 1}}, .unresolved = {[RACE_V4] = ERR_RESOLVE_TEMPORARY}), "");
    assert_string_equal(ADD({{"::1", ERR_OK, 1}, {"127.0.0.1", ERR_OK, 1}}), "");
    assert_string_equal(ADD({{"::1", ERR_OK, 1}, {"127.0.0.2", ERR_OK, 1}}),
                        "now also 127.0.0.2:6000, no longer 127.0.0.1:6000");
}

static void a_round_has_a_line_an_address(void **state)
{
    (void)state;
    struct probe_result result = make_round(&(struct round){
        {{"::1", ERR_OK, 100}, {"127.0.0.1", ERR_CONNECT_REFUSED, 50}}, .verdict = ERR_DEGRADED});
    struct written written;

    written_open(&written);
    probe_summary_round(&result, "now also [::1]:6000", &utf8, written.out);
    char *sent = written_close(&written);
    assert_string_equal(
        sent, "00:00:00 host:6000: now also [::1]:6000\n"
              "00:00:00 [::1]:6000 OK 200 µs: resolve 0 s, connect 100 µs, name 100 µs\n"
              "00:00:00 127.0.0.1:6000 connect-refused: resolve 0 s, connect failed after 50.0 µs\n");
    free(sent);
    probe_result_fini(&result);
}

static void a_round_without_addresses_or_over_a_limit_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        struct round round;
        const char *sent;
    } cases[] = {{{{{0}}, .verdict = ERR_RESOLVE_NOT_FOUND},
                  "00:00:00 resolve-not-found: sentence of resolve-not-found\n"},
                 {{{{"::1", ERR_OK, 100}}, .verdict = ERR_THRESHOLD},
                  "00:00:00 [::1]:6000 OK 200 us: resolve 0 s, connect 100 us, name 100 us\n"
                  "00:00:00 threshold: sentence of threshold\n"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct probe_result result = make_round(&cases[i].round);
        struct written written;
        written_open(&written);
        probe_summary_round(&result, "", &ascii, written.out);
        char *sent = written_close(&written);
        assert_string_equal(sent, cases[i].sent);
        free(sent);
        probe_result_fini(&result);
    }
}

static void the_json_has_counts_reasons_and_seconds(void **state)
{
    (void)state;
    ADD({{"::1", ERR_OK, 100}, {"127.0.0.1", ERR_CONNECT_REFUSED, 50}}, .verdict = ERR_DEGRADED);
    ADD({{"::1", ERR_OK, 100}}, .verdict = ERR_OK);
    ADD({{0}}, .verdict = ERR_RESOLVE_NOT_FOUND);
    char *sent = json();
    assert_string_equal(
        sent,
        "{\"schema\":\"tcpgreet.probe-summary.v1\",\"target\":\"host:6000\",\"rounds\":3,\"ok\":1,"
        "\"without_address\":1,\"uncounted\":0,\"worst\":{\"word\":\"resolve-not-found\",\"exit_code\":3,"
        "\"text\":"
        "\"sentence of resolve-not-found\"},\"addresses\":["
        "{\"address\":\"::1\",\"family\":\"ipv6\",\"rounds\":2,\"failed\":0,\"reasons\":{\"ok\":2},"
        "\"total_seconds\":{\"count\":2,\"min\":0.0002,\"median\":0.0002,\"p99\":0.0002,\"max\":0.0002},"
        "\"connect_seconds\":{\"count\":2,\"min\":0.0001,\"median\":0.0001,\"p99\":0.0001,\"max\":0.0001}},"
        "{\"address\":\"127.0.0.1\",\"family\":\"ipv4\",\"rounds\":1,\"failed\":1,"
        "\"reasons\":{\"connect-refused\":1},\"total_seconds\":null,\"connect_seconds\":null}],\"remarks\":[]"
        "}\n");
    free(sent);
}

static void addresses_without_end_are_counted_and_not_kept(void **state)
{
    (void)state;
    for (int i = 0; i < PROBE_SUMMARY_ROWS_MAX + 3; i++) {
        char address[32];
        snprintf(address, sizeof(address), "2001:db8::%x", (unsigned)i + 1);
        ADD({{address, ERR_OK, 1}});
    }
    assert_int_equal(summary.row_count, PROBE_SUMMARY_ROWS_MAX);
    assert_int_equal(summary.uncounted, 3);
    assert_int_equal(summary.known_count, 1);
    char *sent = text(&ascii);
    assert_non_null(strstr(sent, "\nand further addresses, beyond the 256 that are counted separately\n"));
    free(sent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_address_has_its_rounds_failures_and_times, start, tear_down),
        cmocka_unit_test_setup_teardown(what_this_machine_cannot_reach_has_no_rounds_and_one_remark, start,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_terminal_of_ascii_is_shown_ascii, start, tear_down),
        cmocka_unit_test_setup_teardown(the_reported_reason_is_the_most_frequent, start, tear_down),
        cmocka_unit_test_setup_teardown(the_worst_round_is_the_first_of_its_rank, start, tear_down),
        cmocka_unit_test_setup_teardown(added_and_removed_addresses_are_reported, start, tear_down),
        cmocka_unit_test_setup_teardown(a_name_service_that_fails_changes_nothing, start, tear_down),
        cmocka_unit_test_setup_teardown(an_answer_that_comes_late_is_no_change, start, tear_down),
        cmocka_unit_test_setup_teardown(a_round_has_a_line_an_address, start, tear_down),
        cmocka_unit_test_setup_teardown(a_round_without_addresses_or_over_a_limit_has_its_reason, start,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_json_has_counts_reasons_and_seconds, start, tear_down),
        cmocka_unit_test_setup_teardown(addresses_without_end_are_counted_and_not_kept, start, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
