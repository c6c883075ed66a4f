#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/result.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS(ms) ((int64_t)((double)(ms)*1e6))

enum { DELAY_MS = 250, TIMEOUT_MS = 10000, FAMILY_MAX = 4, SILENT = -1, NOT_ASKED = -2 };

/* One family as it was measured. answer_ms: SILENT, NOT_ASKED. */
struct family {
    double answer_ms;
    size_t count;
    struct {
        double connect_ms;      /* SILENT */
        enum err_reason reason; /* of connect; ERR_OK */
    } addresses[FAMILY_MAX];
};

struct attempt {
    size_t address;
    double start_ms, end_ms; /* SILENT: closed because another won */
};

struct simulation {
    const char *name;
    struct family families[RACE_FAMILIES];
    struct attempt attempts[2 * FAMILY_MAX];
    size_t attempt_count;
    int winner; /* address; -1 */
};

static const struct simulation simulations[] = {
    {"one address", {{1, 0, {{0, ERR_OK}}}, {1, 1, {{20, ERR_OK}}}}, {{0, 1, 21}}, 1, 0},
    {"IPv6 first, and OK", {{1, 1, {{20, ERR_OK}}}, {1, 1, {{20, ERR_OK}}}}, {{0, 1, 21}}, 1, 0},
    {"IPv6 dropped",
     {{0, 1, {{SILENT, ERR_CONNECT_TIMEOUT}}}, {0, 1, {{20, ERR_OK}}}},
     {{0, 0, SILENT}, {1, 250, 270}},
     2,
     1},
    {"IPv6 refused: the next at once",
     {{0, 1, {{3.5, ERR_CONNECT_REFUSED}}}, {0, 1, {{20, ERR_OK}}}},
     {{0, 0, 3.5}, {1, 3.5, 23.5}},
     2,
     1},
    {"AAAA late: 50 ms resolution delay",
     {{3000, 1, {{20, ERR_OK}}}, {2, 1, {{20, ERR_OK}}}},
     {{1, 52, 72}},
     1,
     1},
    {"AAAA within the resolution delay: IPv6 first",
     {{30, 1, {{20, ERR_OK}}}, {2, 1, {{20, ERR_OK}}}},
     {{0, 30, 50}},
     1,
     0},
    {"AAAA never answered", {{SILENT, 0, {{0, ERR_OK}}}, {2, 1, {{20, ERR_OK}}}}, {{0, 52, 72}}, 1, 0},
    {"A alone was asked for: no delay",
     {{NOT_ASKED, 0, {{0, ERR_OK}}}, {2, 1, {{20, ERR_OK}}}},
     {{0, 2, 22}},
     1,
     0},
    {"slower than the delay, but first",
     {{0, 1, {{260, ERR_OK}}}, {0, 1, {{20, ERR_OK}}}},
     {{0, 0, 260}, {1, 250, SILENT}},
     2,
     0},
    {"families take turns",
     {{0, 2, {{SILENT, ERR_CONNECT_TIMEOUT}, {10, ERR_OK}}},
      {0, 2, {{SILENT, ERR_CONNECT_TIMEOUT}, {10, ERR_OK}}}},
     {{0, 0, SILENT}, {2, 250, SILENT}, {1, 500, 510}},
     3,
     1},
    {"all refused",
     {{0, 1, {{1, ERR_CONNECT_REFUSED}}}, {0, 1, {{2, ERR_CONNECT_REFUSED}}}},
     {{0, 0, 1}, {1, 1, 3}},
     2,
     -1},
    {"all dropped: until the timeout",
     {{0, 1, {{SILENT, ERR_CONNECT_TIMEOUT}}}, {0, 1, {{SILENT, ERR_CONNECT_TIMEOUT}}}},
     {{0, 0, TIMEOUT_MS}, {1, 250, TIMEOUT_MS}},
     2,
     -1},
    {"no address", {{1, 0, {{0, ERR_OK}}}, {1, 0, {{0, ERR_OK}}}}, {{0}}, 0, -1},
};

static struct endpoint endpoint_at(int family, uint16_t number)
{
    struct endpoint endpoint = endpoint_loopback(family, 6000);
    if (family == AF_INET6)
        endpoint.address.v6.sin6_addr.s6_addr[15] = (uint8_t)(number + 1);
    else
        endpoint.address.v4.sin_addr.s_addr = htonl(0x7f000001u + number);
    return endpoint;
}

static struct probe_address *add_address(struct probe_result *result, int family, uint16_t number)
{
    struct probe_address *all =
        realloc(result->addresses, (result->address_count + 1) * sizeof *result->addresses);
    assert_non_null(all);
    result->addresses = all;
    struct probe_address *address = &all[result->address_count++];
    *address = (struct probe_address){.peer = endpoint_at(family, number)};
    for (size_t phase = 0; phase < PROBE_PHASES; phase++)
        address->spans[phase] = (struct probe_span){-1, -1};
    return address;
}

static void add_family(struct probe_result *result, enum race_family which, const struct family *family)
{
    struct probe_answer *answer = &result->answers[which];
    answer->asked = family->answer_ms != (double)NOT_ASKED;
    answer->count = family->count;
    answer->span = (struct probe_span){0, family->answer_ms < 0 ? -1 : MS(family->answer_ms)};
    for (size_t i = 0; i < family->count; i++) {
        struct probe_address *address =
            add_address(result, which == RACE_V6 ? AF_INET6 : AF_INET, (uint16_t)i);
        double connect_ms = family->addresses[i].connect_ms;
        int64_t begin = answer->span.end_ns;
        /* the loop counts in whole ms, so a time limit may come a little early */
        address->spans[PROBE_CONNECT] = (struct probe_span){
            begin, connect_ms < 0 ? MS((double)TIMEOUT_MS - 0.5) : begin + MS(connect_ms)};
        address->last = PROBE_CONNECT;
        if (family->addresses[i].reason != ERR_OK)
            err_set(&address->err, family->addresses[i].reason, 0, "x");
    }
}

static void a_client_would_run_the_race_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(simulations); i++) {
        const struct simulation *due = &simulations[i];
        struct probe_result result = {.until = PROBE_UNTIL_DIALOGUE};
        for (unsigned family = 0; family < RACE_FAMILIES; family++)
            add_family(&result, (enum race_family)family, &due->families[family]);
        probe_result_simulate(&result, DELAY_MS, TIMEOUT_MS);
        if (result.attempt_count != due->attempt_count)
            fail_msg("%s: %zu attempts", due->name, result.attempt_count);
        for (size_t h = 0; h < due->attempt_count; h++) {
            const struct probe_attempt *attempt = &result.attempts[h];
            const struct attempt *wanted = &due->attempts[h];
            int64_t end_ns = wanted->end_ms < 0 ? -1 : MS(wanted->end_ms);
            if (attempt->address != wanted->address || attempt->start_ns != MS(wanted->start_ms) ||
                attempt->end_ns != end_ns || attempt->won != ((int)attempt->address == due->winner))
                fail_msg("%s: attempt %zu is of %zu, %.3f to %.3f ms%s", due->name, h, attempt->address,
                         (double)attempt->start_ns / 1e6, (double)attempt->end_ns / 1e6,
                         attempt->won ? ", won" : "");
        }
        probe_result_fini(&result);
    }
}

static void a_failure_after_connect_is_none_in_the_race(void **state)
{
    struct probe_result result = {.until = PROBE_UNTIL_DIALOGUE,
                                  .answers[RACE_V4] = {true, 1, {0, 0}, {0}, false}};
    struct probe_address *address = add_address(&result, AF_INET, 0);
    (void)state;
    address->spans[PROBE_CONNECT] = (struct probe_span){0, MS(5)};
    address->last = PROBE_TLS;
    err_set(&address->err, ERR_CERT_EXPIRED, 0, "x");
    probe_result_simulate(&result, DELAY_MS, TIMEOUT_MS);
    assert_int_equal(result.attempt_count, 1);
    assert_true(result.attempts[0].won);
    probe_result_fini(&result);
}

static void a_connect_that_the_kernel_gave_up_has_its_time(void **state)
{
    struct probe_result result = {.until = PROBE_UNTIL_DIALOGUE,
                                  .answers[RACE_V4] = {true, 1, {0, 0}, {0}, false}};
    struct probe_address *address = add_address(&result, AF_INET, 0);
    (void)state;
    address->spans[PROBE_CONNECT] = (struct probe_span){0, MS(3000)};
    address->last = PROBE_CONNECT;
    err_set(&address->err, ERR_CONNECT_TIMEOUT, ETIMEDOUT, "x");
    probe_result_simulate(&result, DELAY_MS, TIMEOUT_MS);
    assert_int_equal(result.attempts[0].end_ns, MS(3000));
    probe_result_fini(&result);
}

static void where_nothing_connects_there_is_no_race(void **state)
{
    struct probe_result result = {.until = PROBE_UNTIL_RESOLVE,
                                  .answers[RACE_V4] = {true, 1, {0, 0}, {0}, false}};
    (void)state;
    add_address(&result, AF_INET, 0);
    probe_result_simulate(&result, DELAY_MS, TIMEOUT_MS);
    assert_int_equal(result.attempt_count, 0);
    probe_result_fini(&result);
}

/* Every family full, none answering: each still gets its turn within the time. */
static void a_full_race_fits(void **state)
{
    struct probe_result result = {.until = PROBE_UNTIL_CONNECT};
    (void)state;
    for (unsigned family = 0; family < RACE_FAMILIES; family++) {
        result.answers[family] = (struct probe_answer){true, RACE_ENDPOINTS_PER_FAMILY, {0, 0}, {0}, false};
        for (unsigned i = 0; i < RACE_ENDPOINTS_PER_FAMILY; i++) {
            struct probe_address *address =
                add_address(&result, family == RACE_V6 ? AF_INET6 : AF_INET, (uint16_t)i);
            address->spans[PROBE_CONNECT] = (struct probe_span){0, MS(TIMEOUT_MS)};
            address->last = PROBE_CONNECT;
            err_set(&address->err, ERR_CONNECT_TIMEOUT, 0, "x");
        }
    }
    probe_result_simulate(&result, DELAY_MS, TIMEOUT_MS);
    assert_int_equal(result.attempt_count, PROBE_ADDRESSES_MAX);
    for (size_t i = 0; i < result.attempt_count; i++) {
        assert_int_equal(result.attempts[i].end_ns, MS(TIMEOUT_MS));
        assert_false(result.attempts[i].won);
    }
    probe_result_fini(&result);
}

/* What a verdict is made of (an address of IPv6 that is unreachable is so because IPv6 is off here): two
 * addresses of IPv6, one of IPv4, or fewer. */
struct judgement {
    const char *name;
    struct {
        enum probe_phase last;
        enum err_reason reason;
    } addresses[3];
    size_t v6, v4;
    enum err_reason v6_answer, v4_answer; /* ERR_OK; ERR_USAGE: was not asked */
    bool require_any;
    enum err_reason reason;
    const char *sentence;
};

static const struct judgement judgements[] = {
    {"all OK", {{PROBE_CLOSE, ERR_OK}, {PROBE_CLOSE, ERR_OK}}, 1, 1, ERR_OK, ERR_OK, false, ERR_OK, ""},
    {"the furthest failure is the verdict",
     {{PROBE_CONNECT, ERR_CONNECT_REFUSED}, {PROBE_TLS, ERR_CERT_NAME}, {PROBE_CONNECT, ERR_CONNECT_TIMEOUT}},
     2,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_CERT_NAME,
     "none of 3 addresses is OK; the one that got furthest is [::2]:6000: cert-name"},
    {"of equals the first",
     {{PROBE_CONNECT, ERR_CONNECT_TIMEOUT}, {PROBE_CONNECT, ERR_CONNECT_REFUSED}},
     1,
     1,
     ERR_OK,
     ERR_OK,
     true,
     ERR_CONNECT_TIMEOUT,
     "none of 2 addresses is OK; the one that got furthest is [::1]:6000: connect-timeout"},
    {"the only one",
     {{PROBE_NAME, ERR_DIALOGUE_TIMEOUT}},
     0,
     1,
     ERR_USAGE,
     ERR_OK,
     false,
     ERR_DIALOGUE_TIMEOUT,
     "127.0.0.1:6000: dialogue-timeout"},
    {"one of several",
     {{PROBE_CLOSE, ERR_OK}, {PROBE_CONNECT, ERR_CONNECT_TIMEOUT}, {PROBE_CLOSE, ERR_OK}},
     2,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_DEGRADED,
     "1 of 3 addresses failed: [::2]:6000: connect-timeout"},
    {"several of several",
     {{PROBE_CONNECT, ERR_CONNECT_TIMEOUT}, {PROBE_TLS, ERR_TLS_ALERT}, {PROBE_CLOSE, ERR_OK}},
     2,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_DEGRADED,
     "2 of 3 addresses failed: [::2]:6000: tls-alert"},
    {"one that this side could not try",
     {{PROBE_CONNECT, ERR_SYSTEM_DESCRIPTORS}, {PROBE_CLOSE, ERR_OK}, {PROBE_CLOSE, ERR_OK}},
     2,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_SYSTEM_DESCRIPTORS,
     "1 of 3 addresses could not be tried: [::1]:6000: system-descriptors"},
    {"one that this side could not try, and one that is down",
     {{PROBE_CONNECT, ERR_SYSTEM_DESCRIPTORS}, {PROBE_CONNECT, ERR_CONNECT_REFUSED}, {PROBE_CLOSE, ERR_OK}},
     2,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_DEGRADED,
     "2 of 3 addresses failed: [::2]:6000: connect-refused"},
    {"IPv6 off here does not count",
     {{PROBE_CONNECT, ERR_CONNECT_UNREACHABLE}, {PROBE_CLOSE, ERR_OK}},
     1,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_OK,
     ""},
    {"IPv6 off here is not why IPv4 is refused",
     {{PROBE_CONNECT, ERR_CONNECT_UNREACHABLE}, {PROBE_CONNECT, ERR_CONNECT_REFUSED}},
     1,
     1,
     ERR_OK,
     ERR_OK,
     false,
     ERR_CONNECT_REFUSED,
     "127.0.0.1:6000: connect-refused"},
    {"IPv6 off here, and some of IPv4",
     {{PROBE_CONNECT, ERR_CONNECT_UNREACHABLE}, {PROBE_CLOSE, ERR_OK}, {PROBE_CONNECT, ERR_CONNECT_TIMEOUT}},
     1,
     2,
     ERR_OK,
     ERR_OK,
     false,
     ERR_DEGRADED,
     "1 of 2 addresses failed: 127.0.0.2:6000: connect-timeout"},
    {"IPv6 off here, and asked for alone",
     {{PROBE_CONNECT, ERR_CONNECT_UNREACHABLE}, {PROBE_CONNECT, ERR_CONNECT_UNREACHABLE}},
     2,
     0,
     ERR_OK,
     ERR_USAGE,
     false,
     ERR_CONNECT_UNREACHABLE,
     "none of 2 addresses is OK; the one that got furthest is [::1]:6000: connect-unreachable"},
    {"any will do",
     {{PROBE_CONNECT, ERR_CONNECT_TIMEOUT}, {PROBE_CLOSE, ERR_OK}},
     1,
     1,
     ERR_OK,
     ERR_OK,
     true,
     ERR_OK,
     ""},
    {"a family that has none is no finding",
     {{PROBE_CLOSE, ERR_OK}},
     0,
     1,
     ERR_RESOLVE_NOT_FOUND,
     ERR_OK,
     false,
     ERR_OK,
     ""},
    {"a family without an answer is one",
     {{PROBE_CLOSE, ERR_OK}},
     0,
     1,
     ERR_RESOLVE_TEMPORARY,
     ERR_OK,
     false,
     ERR_DEGRADED,
     "the name service fails for IPv6: resolve-temporary"},
    {"unless any will do", {{PROBE_CLOSE, ERR_OK}}, 1, 0, ERR_OK, ERR_RESOLVE_TEMPORARY, true, ERR_OK, ""},
    {"none found",
     {{PROBE_RESOLVE, ERR_OK}},
     0,
     0,
     ERR_RESOLVE_NOT_FOUND,
     ERR_RESOLVE_NOT_FOUND,
     false,
     ERR_RESOLVE_NOT_FOUND,
     "resolve-not-found"},
    {"a temporary failure is more significant",
     {{PROBE_RESOLVE, ERR_OK}},
     0,
     0,
     ERR_RESOLVE_NOT_FOUND,
     ERR_RESOLVE_TEMPORARY,
     false,
     ERR_RESOLVE_TEMPORARY,
     "resolve-temporary"},
    {"none found of the only family",
     {{PROBE_RESOLVE, ERR_OK}},
     0,
     0,
     ERR_RESOLVE_NOT_FOUND,
     ERR_USAGE,
     false,
     ERR_RESOLVE_NOT_FOUND,
     "resolve-not-found (only IPv6 was requested)"},
};

static void judge_answer(struct probe_answer *answer, enum err_reason reason, size_t count)
{
    answer->asked = reason != ERR_USAGE;
    answer->count = count;
    if (answer->asked && reason != ERR_OK)
        err_set(&answer->err, reason, 0, "%s", err_word(reason));
}

static void the_verdict_is_that_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(judgements); i++) {
        const struct judgement *due = &judgements[i];
        struct probe_result result = {.require_any = due->require_any};
        judge_answer(&result.answers[RACE_V6], due->v6_answer, due->v6);
        judge_answer(&result.answers[RACE_V4], due->v4_answer, due->v4);
        for (size_t a = 0; a < due->v6 + due->v4; a++) {
            bool is_v6 = a < due->v6;
            struct probe_address *address =
                add_address(&result, is_v6 ? AF_INET6 : AF_INET, (uint16_t)(is_v6 ? a : a - due->v6));
            address->last = due->addresses[a].last;
            if (is_v6 && due->addresses[a].reason == ERR_CONNECT_UNREACHABLE)
                address->reach = REACH_SWITCHED_OFF;
            if (due->addresses[a].reason != ERR_OK)
                err_set(&address->err, due->addresses[a].reason, 0, "%s", err_word(due->addresses[a].reason));
        }
        err_set(&result.verdict, ERR_INTERNAL, 0, "of before");
        probe_result_judge(&result);
        if (result.verdict.reason != due->reason || strcmp(result.verdict.text, due->sentence) != 0)
            fail_msg("%s: %s: \"%s\"", due->name, err_word(result.verdict.reason), result.verdict.text);
        probe_result_fini(&result);
        assert_null(result.addresses);
        assert_int_equal(result.address_count, 0);
    }
}

/* With --until auto; where none greets, or another level was asked for, each is fine by itself. */
static void where_one_address_greets_the_others_are_held_to_that(void **state)
{
    static const enum probe_peer peers[] = {PROBE_PEER_GREETS, PROBE_PEER_SILENT, PROBE_PEER_OTHER};
    static const enum err_reason reasons[] = {ERR_OK, ERR_DIALOGUE_TIMEOUT, ERR_DIALOGUE_WRONG_ANSWER};
    (void)state;
    for (int turn = 0; turn < 3; turn++) {
        struct probe_result result = {.until = turn == 1 ? PROBE_UNTIL_CONNECT : PROBE_UNTIL_AUTO};
        bool are_held = turn == 0;
        for (size_t i = 0; i < COUNT(peers); i++) {
            struct probe_address *address = add_address(&result, AF_INET6, (uint16_t)i);
            address->peer_is = turn == 2 && i == 0 ? PROBE_PEER_CLOSED : peers[i];
            address->spans[PROBE_CONNECT] = (struct probe_span){1, 2};
            address->listened_ns = 9;
        }
        probe_result_compare(&result);
        for (size_t i = 0; i < COUNT(peers); i++)
            assert_int_equal(result.addresses[i].err.reason, are_held ? reasons[i] : ERR_OK);
        assert_int_equal(result.addresses[1].spans[PROBE_WELCOME].begin_ns, are_held ? 2 : -1);
        assert_int_equal(result.addresses[1].spans[PROBE_WELCOME].end_ns, are_held ? 9 : -1);
        probe_result_fini(&result);
    }
}

static void phases_have_names_and_spans_lengths(void **state)
{
    static const char *const names[] = {"resolve", "connect", "proxy", "starttls", "tls",
                                        "welcome", "name",    "close", "exchange", "volume"};
    const struct probe_span spans[] = {{-1, -1}, {0, 0}, {5, 12}};
    const int64_t lengths[] = {-1, 0, 7};
    (void)state;
    for (unsigned phase = 0; phase < PROBE_PHASES; phase++)
        assert_string_equal(probe_phase_name((enum probe_phase)phase), names[phase]);
    for (size_t i = 0; i < COUNT(spans); i++)
        assert_int_equal(probe_span_ns(&spans[i]), lengths[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_would_run_the_race_so),
        cmocka_unit_test(a_failure_after_connect_is_none_in_the_race),
        cmocka_unit_test(a_connect_that_the_kernel_gave_up_has_its_time),
        cmocka_unit_test(where_nothing_connects_there_is_no_race),
        cmocka_unit_test(a_full_race_fits),
        cmocka_unit_test(the_verdict_is_that_of_the_table),
        cmocka_unit_test(where_one_address_greets_the_others_are_held_to_that),
        cmocka_unit_test(phases_have_names_and_spans_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
