#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/core/race.h"

/*
 * A play in virtual time, item by item: "at what". Inputs are "AAAA n" and "A n" (that many addresses),
 * "fail 6.i" and "connect 4.i" (attempt i of that family). The race must answer with "start 6.i", "won 4.i",
 * "exhausted", "timed out", exactly then and nothing else.
 */
struct play {
    const char *name;
    const char *script;
    struct race_config config; /* a zero field stands for the usual value: 250 ms, deadline at 10000 */
    int only;                  /* AF_INET, AF_INET6, or 0: both */
};

static const struct play plays[] = {
    {"race_starts_at_once_when_AAAA_comes_first",
     .script = "20 AAAA 1 | 20 start 6.0 | 50 connect 6.0 | 50 won 6.0"},
    {"race_holds_A_back_for_50_ms_and_then_starts",
     .script = "20 A 1 | 70 start 4.0 | 80 connect 4.0 | 80 won 4.0"},
    {"race_prefers_AAAA_that_comes_30_ms_after_A",
     .script = "100 A 1 | 130 AAAA 1 | 130 start 6.0 | 380 start 4.0 | 390 connect 4.0 | 390 won 4.0"},
    {"race_does_not_hold_A_back_once_AAAA_is_known_to_be_empty",
     .script = "10 AAAA 0 | 20 A 1 | 20 start 4.0 | 30 connect 4.0 | 30 won 4.0"},
    {"race_stops_holding_A_back_when_AAAA_turns_out_empty",
     .script = "10 A 1 | 25 AAAA 0 | 25 start 4.0 | 30 connect 4.0 | 30 won 4.0"},
    {"race_tries_AAAA_next_when_it_comes_3_s_late",
     .script = "0 A 14 | 50 start 4.0 | 300 start 4.1 | 550 start 4.2 | 800 start 4.3 | 1050 start 4.4 | "
               "1300 start 4.5 | 1550 start 4.6 | 1800 start 4.7 | 2050 start 4.8 | 2300 start 4.9 | "
               "2550 start 4.10 | 2800 start 4.11 | 3000 AAAA 2 | 3050 start 6.0 | 3300 start 4.12 | "
               "3550 start 6.1 | 3551 connect 6.1 | 3551 won 6.1"},
    {"race_waits_for_AAAA_when_every_A_has_failed",
     .script = "0 A 1 | 50 start 4.0 | 60 fail 4.0 | 3000 AAAA 1 | 3000 start 6.0 | 3001 fail 6.0 | "
               "3001 exhausted"},
    {"race_interleaves_families_250_ms_apart_IPv6_first",
     .script = "0 AAAA 2 | 0 start 6.0 | 5 A 3 | 250 start 4.0 | 500 start 6.1 | 750 start 4.1 | "
               "1000 start 4.2 | 1100 connect 6.0 | 1100 won 6.0"},
    {"race_starts_the_next_at_once_when_one_fails",
     .script = "0 A 2 | 0 AAAA 2 | 0 start 6.0 | 1 fail 6.0 | 1 start 4.0 | 251 start 6.1 | 251 fail 6.1 | "
               "251 start 4.1 | 260 connect 4.1 | 260 won 4.1"},
    {"race_starts_one_more_not_two_when_two_fail_together",
     .script =
         "0 AAAA 4 | 0 A 0 | 0 start 6.0 | 250 start 6.1 | 300 fail 6.0 | 300 fail 6.1 | 300 start 6.2 | "
         "550 start 6.3 | 560 connect 6.2 | 560 won 6.2"},
    {"race_uses_IPv4_after_250_ms_when_IPv6_is_unreachable",
     .script = "0 AAAA 1 | 0 start 6.0 | 1 A 1 | 250 start 4.0 | 251 connect 4.0 | 251 won 4.0"},
    {"race_is_won_by_the_first_that_connects_not_the_first_started",
     .script =
         "0 AAAA 1 | 0 start 6.0 | 0 A 1 | 250 start 4.0 | 300 connect 4.0 | 300 connect 6.0 | 300 won 4.0"},
    {"race_is_exhausted_when_every_attempt_has_failed",
     .script = "0 AAAA 1 | 0 A 1 | 0 start 6.0 | 0 fail 6.0 | 0 start 4.0 | 9 fail 4.0 | 9 exhausted"},
    {"race_is_exhausted_when_both_families_are_empty", .script = "5 A 0 | 9 AAAA 0 | 9 exhausted"},
    {"race_awaits_the_last_attempt_before_it_is_exhausted",
     .script = "0 AAAA 1 | 0 start 6.0 | 1 A 0 | 9000 fail 6.0 | 9000 exhausted"},
    {"race_times_out_when_no_answer_comes", .script = "10000 timed out"},
    {"race_times_out_when_one_answer_is_empty_and_the_other_missing", .script = "5 A 0 | 10000 timed out"},
    {"race_times_out_exactly_at_the_deadline",
     .script = "0 AAAA 1 | 0 A 1 | 0 start 6.0 | 250 start 4.0 | 10000 timed out"},
    {"race_is_won_even_at_the_deadline",
     .script = "0 AAAA 1 | 0 start 6.0 | 10000 connect 6.0 | 10000 won 6.0"},
    {"race_reports_the_last_failure_rather_than_a_timeout_at_the_deadline",
     .script = "0 AAAA 1 | 0 A 0 | 0 start 6.0 | 10000 fail 6.0 | 10000 exhausted"},
    {"race_starts_nothing_at_the_deadline", .script = "10000 AAAA 1 | 10000 timed out"},
    {"race_asks_for_IPv6_alone_without_waiting_for_A",
     .script = "0 AAAA 1 | 0 start 6.0 | 1 fail 6.0 | 1 exhausted", .only = AF_INET6},
    {"race_asks_for_IPv4_alone_without_holding_A_back",
     .script = "7 A 2 | 7 start 4.0 | 8 AAAA 1 | 257 start 4.1 | 258 connect 4.1 | 258 won 4.1",
     .only = AF_INET},
    {"race_keeps_the_attempt_delay_it_is_given",
     .script = "0 AAAA 3 | 0 start 6.0 | 100 start 6.1 | 200 start 6.2 | 10000 timed out",
     .config.attempt_delay_ms = 100},
    {"race_never_starts_closer_than_10_ms",
     .script = "0 AAAA 3 | 0 start 6.0 | 10 start 6.1 | 20 start 6.2 | 10000 timed out",
     .config.attempt_delay_ms = 1},
    {"race_never_sleeps_beyond_the_deadline",
     .script = "0 AAAA 3 | 0 start 6.0 | 10 start 6.1 | 15 timed out", .config.deadline_ms = 15},
    {"race_gives_every_address_a_turn_when_time_is_short",
     .script =
         "0 A 0 | 0 AAAA 4 | 0 start 6.0 | 100 start 6.1 | 200 start 6.2 | 300 start 6.3 | 400 timed out",
     .config.deadline_ms = 400},
    {"race_starts_sooner_when_a_late_answer_makes_time_short",
     .script = "0 AAAA 2 | 0 start 6.0 | 40 A 3 | 112 start 4.0 | 184 start 6.1 | 256 start 4.1 | "
               "328 start 4.2 | 400 timed out",
     .config.deadline_ms = 400},
    {"race_holds_A_back_for_less_when_time_is_short",
     .script = "10 A 2 | 20 start 4.0 | 30 start 4.1 | 40 timed out", .config.deadline_ms = 40},
};

static void answer(struct race *race, enum race_family family, size_t count, int64_t now_ms)
{
    struct endpoint endpoints[2 * RACE_ENDPOINTS_PER_FAMILY] = {0};
    assert_true(count <= sizeof endpoints / sizeof *endpoints);
    for (size_t i = 0; i < count; i++) {
        endpoints[i] = endpoint_wildcard(family == RACE_V6 ? AF_INET6 : AF_INET, 6000);
        if (family == RACE_V6)
            endpoints[i].address.v6.sin6_addr.s6_addr[15] = (uint8_t)i;
        else
            endpoints[i].address.v4.sin_addr.s_addr = htonl(0x7f000000 + (uint32_t)i);
    }
    race_answer(race, family, endpoints, count, now_ms);
}

static int attempt_of(enum race_family family, size_t index)
{
    return (int)family * RACE_ENDPOINTS_PER_FAMILY + (int)index;
}

static struct race begin(struct race_config config, int only)
{
    struct race race;
    if (config.attempt_delay_ms == 0)
        config.attempt_delay_ms = RACE_ATTEMPT_DELAY_MS;
    if (config.deadline_ms == 0)
        config.deadline_ms = 10000;
    config.want_v6 = only != AF_INET;
    config.want_v4 = only != AF_INET6;
    race_init(&race, &config);
    return race;
}

enum happening { ANSWER, FAIL, CONNECT, RACE_RESULTS };

struct item {
    int64_t at_ms;
    enum happening what;
    enum race_family family;
    size_t number; /* of addresses, or of the attempt within its family */
};

static struct item parse(const char *text)
{
    static const struct {
        const char *format;
        enum happening what;
        enum race_family family;
    } words[] = {
        {"%" SCNd64 " AAAA %zu", ANSWER, RACE_V6},       {"%" SCNd64 " A %zu", ANSWER, RACE_V4},
        {"%" SCNd64 " fail 6.%zu", FAIL, RACE_V6},       {"%" SCNd64 " fail 4.%zu", FAIL, RACE_V4},
        {"%" SCNd64 " connect 6.%zu", CONNECT, RACE_V6}, {"%" SCNd64 " connect 4.%zu", CONNECT, RACE_V4},
    };
    struct item item;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        item.what = words[i].what;
        item.family = words[i].family;
        if (sscanf(text, words[i].format, &item.at_ms, &item.number) == 2)
            return item;
    }
    return (struct item){.what = RACE_RESULTS};
}

static void report(struct race *race, const struct item *item)
{
    if (item->what == ANSWER)
        answer(race, item->family, item->number, item->at_ms);
    else if (item->what == FAIL)
        race_failed(race, attempt_of(item->family, item->number));
    else
        race_connected(race, attempt_of(item->family, item->number));
}

static void write_step(char *text, size_t room, int64_t now_ms, const struct race_step *step)
{
    static const char *const words[] = {"start", "sleep", "won", "exhausted", "timed out"};
    int length = snprintf(text, room, "%" PRId64 " %s", now_ms, words[step->verdict]);
    if (step->verdict == RACE_START || step->verdict == RACE_WON)
        snprintf(text + length, room - (size_t)length, " %c.%d",
                 "64"[step->attempt / RACE_ENDPOINTS_PER_FAMILY],
                 step -> attempt % RACE_ENDPOINTS_PER_FAMILY);
}

/* Lets the clock jump to what is next: the script's next input, or the time that the race asked for. */
static void plays_as_written(void **state)
{
    static const char bar[] = " | ";
    const struct play *play = *state;
    struct race race = begin(play->config, play->only);
    char played[1024] = "";
    int64_t now_ms = 0;
    bool woken = false; /* at the time that the race asked for, so it must have a step */
    for (const char *rest = play->script; rest != NULL;) {
        struct item item = parse(rest);
        const char *end = strstr(rest, bar);
        char text[64];
        if (item.what != RACE_RESULTS && item.at_ms <= now_ms) {
            report(&race, &item);
            snprintf(text, sizeof text, "%.*s", end != NULL ? (int)(end - rest) : (int)strlen(rest), rest);
        } else {
            struct race_step step = race_next(&race, now_ms);
            if (step.verdict == RACE_SLEEP) {
                assert_false(woken);
                assert_in_range(step.until_ms, now_ms + 1, race.config.deadline_ms);
                woken = item.what == RACE_RESULTS || step.until_ms < item.at_ms;
                now_ms = woken ? step.until_ms : item.at_ms;
                continue;
            }
            write_step(text, sizeof text, now_ms, &step);
        }
        woken = false;
        rest = end != NULL ? end + strlen(bar) : NULL;
        size_t length = strlen(played);
        snprintf(played + length, sizeof played - length, "%s%s", text, rest != NULL ? bar : "");
    }
    assert_string_equal(played, play->script);
}

struct record {
    int64_t at_ms[2 * RACE_ENDPOINTS_PER_FAMILY];
    int attempt[2 * RACE_ENDPOINTS_PER_FAMILY];
    size_t count;
    int64_t over_ms;
};

/* Every packet is dropped: no attempt ever succeeds or fails. */
static struct record drop_all(struct race *race, int64_t now_ms)
{
    struct record record = {0};
    for (;;) {
        struct race_step step = race_next(race, now_ms);
        if (step.verdict == RACE_SLEEP) {
            now_ms = step.until_ms;
        } else if (step.verdict == RACE_START) {
            record.at_ms[record.count] = now_ms;
            record.attempt[record.count++] = step.attempt;
        } else {
            assert_int_equal(step.verdict, RACE_TIMED_OUT);
            record.over_ms = now_ms;
            return record;
        }
    }
}

static void race_tries_each_of_100_unreachable_addresses_before_the_deadline(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    bool tried[2 * RACE_ENDPOINTS_PER_FAMILY] = {false};
    answer(&race, RACE_V6, 60, 0);
    answer(&race, RACE_V4, 40, 0);
    struct record record = drop_all(&race, 0);
    assert_int_equal(record.count, 100);
    assert_int_equal(record.over_ms, 10000);
    for (size_t i = 0; i < record.count; i++) {
        int expected = i >= 80      ? attempt_of(RACE_V6, i - 40)
                       : i % 2 == 0 ? attempt_of(RACE_V6, i / 2)
                                    : attempt_of(RACE_V4, i / 2);
        assert_int_equal(record.attempt[i], expected);
        assert_false(tried[record.attempt[i]]);
        tried[record.attempt[i]] = true;
        int64_t until_ms = i + 1 < record.count ? record.at_ms[i + 1] : record.over_ms;
        assert_in_range(until_ms - record.at_ms[i], 100, 101);
    }
}

static void race_keeps_10_ms_between_attempts_when_they_cannot_all_have_a_turn(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){.deadline_ms = 200}, 0);
    answer(&race, RACE_V6, 50, 0);
    answer(&race, RACE_V4, 50, 0);
    struct record record = drop_all(&race, 0);
    assert_int_equal(record.count, 20);
    assert_int_equal(record.over_ms, 200);
    for (size_t i = 0; i < record.count; i++)
        assert_int_equal(record.at_ms[i], 10 * (int64_t)i);
}

static void race_goes_through_100_refused_addresses_in_no_time(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    answer(&race, RACE_V6, 50, 3);
    answer(&race, RACE_V4, 50, 3);
    for (size_t i = 0; i < 100; i++) {
        struct race_step step = race_next(&race, 3);
        assert_int_equal(step.verdict, RACE_START);
        race_failed(&race, step.attempt);
    }
    assert_int_equal(race_next(&race, 3).verdict, RACE_EXHAUSTED);
}

static void race_drops_duplicates_and_keeps_the_order_of_the_others(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    struct endpoint one = endpoint_wildcard(AF_INET, 1), two = endpoint_wildcard(AF_INET, 2);
    race_answer(&race, RACE_V4, (struct endpoint[]){two, one, two, one, one}, 5, 0);
    assert_int_equal(race.count[RACE_V4], 2);
    assert_int_equal(race.ignored, 0);
    assert_true(endpoint_equal(race_endpoint(&race, attempt_of(RACE_V4, 0)), &two));
    assert_true(endpoint_equal(race_endpoint(&race, attempt_of(RACE_V4, 1)), &one));
}

static void race_counts_the_endpoints_it_has_no_room_for(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    answer(&race, RACE_V6, RACE_ENDPOINTS_PER_FAMILY + 5, 0);
    assert_int_equal(race.count[RACE_V6], RACE_ENDPOINTS_PER_FAMILY);
    assert_int_equal(race.ignored, 5);
    race_answer(&race, RACE_V4, race_endpoint(&race, 0), 1, 0);
    assert_int_equal(race.ignored, 5);
}

static void race_takes_one_answer_of_each_family(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    answer(&race, RACE_V6, 0, 0);
    answer(&race, RACE_V6, 3, 1);
    assert_int_equal(race.count[RACE_V6], 0);
}

static void race_ignores_the_outcome_of_what_is_not_pending(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    answer(&race, RACE_V6, 2, 0);
    race_connected(&race, attempt_of(RACE_V6, 0));
    race_failed(&race, attempt_of(RACE_V6, 1));
    race_connected(&race, -1);
    race_failed(&race, 2 * RACE_ENDPOINTS_PER_FAMILY);
    assert_int_equal(race.pending, 0);
    assert_int_equal(race.winner, -1);
    int first = race_next(&race, 0).attempt;
    race_failed(&race, first);
    race_failed(&race, first);
    race_connected(&race, first);
    assert_int_equal(race.pending, 0);
    assert_int_equal(race.winner, -1);
}

static void race_has_one_winner_when_two_connect_together(void **state)
{
    (void)state;
    struct race race = begin((struct race_config){0}, 0);
    answer(&race, RACE_V6, 2, 0);
    int first = race_next(&race, 0).attempt, second = race_next(&race, RACE_ATTEMPT_DELAY_MS).attempt;
    race_connected(&race, second);
    race_connected(&race, first);
    assert_int_equal(race_next(&race, RACE_ATTEMPT_DELAY_MS).attempt, second);
    assert_int_equal(race.states[RACE_V6][1], RACE_CONNECTED);
    assert_int_equal(race.states[RACE_V6][0], RACE_FAILED);
}

enum { PLAYS = sizeof plays / sizeof *plays };

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(race_tries_each_of_100_unreachable_addresses_before_the_deadline),
        cmocka_unit_test(race_keeps_10_ms_between_attempts_when_they_cannot_all_have_a_turn),
        cmocka_unit_test(race_goes_through_100_refused_addresses_in_no_time),
        cmocka_unit_test(race_drops_duplicates_and_keeps_the_order_of_the_others),
        cmocka_unit_test(race_counts_the_endpoints_it_has_no_room_for),
        cmocka_unit_test(race_takes_one_answer_of_each_family),
        cmocka_unit_test(race_has_one_winner_when_two_connect_together),
        cmocka_unit_test(race_ignores_the_outcome_of_what_is_not_pending),
    };
    enum { OTHERS = sizeof others / sizeof *others };
    struct CMUnitTest race[PLAYS + OTHERS];
    for (size_t i = 0; i < PLAYS; i++)
        race[i] = (struct CMUnitTest){
            .name = plays[i].name, .test_func = plays_as_written, .initial_state = (void *)&plays[i]};
    memcpy(&race[PLAYS], others, sizeof others);
    return cmocka_run_group_tests(race, NULL, NULL);
}
