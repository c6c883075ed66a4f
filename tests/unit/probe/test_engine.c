#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/clock.h"
#include "support/hole.h"
#include "support/names_known.h"
#include "support/prober.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/probe/engine.h"

enum { LIMIT = 3, TARGETS = 12, LONG_MS = 1000 * 1000, SHORT_MS = 50 };

static const struct known_name names[] = {
    {.name = "good.example", .v4 = {"127.0.0.1"}},
    {.name = "slow.example", .v4 = {"127.0.0.1"}, .slow_v6 = true, .slow_v4 = true},
    {0},
};

/* One probe of a test. */
struct order {
    struct fixture *fixture;
    struct probe_config config;
    struct probe_job *job;
    struct probe_result *result;
    bool is_submitting;
};

struct fixture {
    struct watched watched;
    struct probe_engine *engine;
    struct order orders[TARGETS];
    size_t done_count;
    size_t next; /* the order that is submitted when one is done */
    size_t total;
    size_t most; /* in flight at a time */
    bool is_over;
};

static int set_up(void **state)
{
    static const struct probe_engine_config config = {.limit = LIMIT};
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    struct err err = {0};

    names_know(names);
    watched_open(&fixture->watched);
    fixture->engine = probe_engine_open(&fixture->watched.loop, &config, &err);
    assert_non_null(fixture->engine);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    probe_engine_close(fixture->engine);
    watched_close(&fixture->watched);
    names_await_end();
    for (size_t i = 0; i < TARGETS; i++)
        probe_result_free(fixture->orders[i].result);
    test_free(fixture);
    return 0;
}

static struct order *prepare(struct fixture *fixture, size_t index, const char *host, unsigned port)
{
    struct order *order = &fixture->orders[index];
    struct err err = {0};
    char service[8];

    *order = (struct order){.fixture = fixture,
                            .config = {.until = PROBE_UNTIL_DIALOGUE,
                                       .framing = SESSION_FRAMING_AUTO,
                                       .attempt_delay_ms = RACE_ATTEMPT_DELAY_MS,
                                       .connect_timeout_ms = LONG_MS,
                                       .answer_timeout_ms = LONG_MS}};
    snprintf(service, sizeof service, "%u", port);
    if (target_parse(&order->config.target, host, service, &err) < 0)
        fail_msg("%s", err.text);
    return order;
}

static void submit(struct order *order);

static void on_done(void *context, struct probe_result *result)
{
    struct order *order = context;
    struct fixture *fixture = order->fixture;

    assert_false(order->is_submitting);
    assert_null(order->result);
    order->result = result;
    order->job = NULL;
    fixture->done_count++;
    if (fixture->next < fixture->total)
        submit(&fixture->orders[fixture->next++]);
    fixture->is_over = fixture->done_count == fixture->total;
}

static void submit(struct order *order)
{
    struct fixture *fixture = order->fixture;
    struct err err = {0};

    assert_false(probe_engine_is_full(fixture->engine));
    order->is_submitting = true;
    order->job = probe_engine_submit(fixture->engine, &order->config, on_done, order, &err);
    order->is_submitting = false;
    if (order->job == NULL)
        fail_msg("%s", err.text);
    if (probe_engine_in_flight(fixture->engine) > fixture->most)
        fixture->most = probe_engine_in_flight(fixture->engine);
}

static void submit_until_full(struct fixture *fixture)
{
    while (fixture->next < fixture->total && !probe_engine_is_full(fixture->engine))
        submit(&fixture->orders[fixture->next++]);
}

static enum err_reason reason_of(const struct order *order)
{
    assert_non_null(order->result);
    return probe_result_brief(order->result).reason;
}

static void as_many_as_the_limit_are_in_flight_and_all_are_done(void **state)
{
    struct fixture *fixture = *state;
    struct prober_server server;
    struct listener listener = prober_listen("127.0.0.1", 0);
    unsigned port = endpoint_port(&listener.at);

    prober_server_open(&server, listener, NULL);
    for (size_t i = 0; i < TARGETS; i++)
        prepare(fixture, i, i % 2 == 0 ? "127.0.0.1" : "good.example", port);
    fixture->total = TARGETS;
    submit_until_full(fixture);
    assert_int_equal(fixture->next, LIMIT);
    watched_run(&fixture->watched, &fixture->is_over);
    prober_server_close(&server);

    assert_int_equal(fixture->most, LIMIT);
    assert_int_equal(probe_engine_in_flight(fixture->engine), 0);
    for (size_t i = 0; i < TARGETS; i++) {
        struct probe_brief brief = probe_result_brief(fixture->orders[i].result);
        assert_int_equal(brief.reason, ERR_OK);
        assert_string_equal(brief.verified, "dialogue");
        assert_string_equal(brief.sentence, "");
        assert_true(brief.total_ns > 0);
    }
}

static void a_silent_target_and_a_slow_name_hold_only_their_own_places(void **state)
{
    struct fixture *fixture = *state;
    struct prober_server server;
    struct listener silent = prober_listen("127.0.0.1", 0), listener = prober_listen("127.0.0.1", 0);
    unsigned port = endpoint_port(&listener.at);

    prober_server_open(&server, listener, NULL);
    prepare(fixture, 0, "127.0.0.1", endpoint_port(&silent.at)); /* never accepts */
    prepare(fixture, 1, "slow.example", port);
    for (size_t i = 2; i < TARGETS; i++)
        prepare(fixture, i, "good.example", port);
    fixture->total = TARGETS;
    submit_until_full(fixture);
    while (fixture->done_count < TARGETS - 2)
        uv_run(&fixture->watched.loop, UV_RUN_ONCE);
    assert_null(fixture->orders[0].result);
    assert_null(fixture->orders[1].result);
    for (size_t i = 2; i < TARGETS; i++)
        assert_int_equal(reason_of(&fixture->orders[i]), ERR_OK);

    names_let_go(2);
    while (fixture->done_count < TARGETS - 1)
        uv_run(&fixture->watched.loop, UV_RUN_ONCE);
    assert_int_equal(reason_of(&fixture->orders[1]), ERR_OK);
    fixture->orders[0].result = probe_job_cancel(fixture->orders[0].job);
    assert_int_equal(reason_of(&fixture->orders[0]), ERR_INTERRUPTED);
    prober_server_close(&server);
    listener_close(&silent);
}

static void a_probe_ends_when_its_own_time_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct listener silent = prober_listen("127.0.0.1", 0);
    unsigned port = endpoint_port(&silent.at);

    prepare(fixture, 0, "127.0.0.1", port)->config.timeout_ms = SHORT_MS;
    prepare(fixture, 1, "slow.example", port)->config.timeout_ms = SHORT_MS;
    fixture->total = 2;
    (void)clock_freeze(); /* for a machine that is busy */
    submit_until_full(fixture);
    watched_run(&fixture->watched, &fixture->is_over);
    clock_thaw();
    names_let_go(2);
    assert_int_equal(reason_of(&fixture->orders[0]), ERR_DIALOGUE_TIMEOUT);
    assert_non_null(
        strstr(probe_result_brief(fixture->orders[0].result).sentence, "--timeout (0.05 s) expired"));
    assert_int_equal(reason_of(&fixture->orders[1]), ERR_RESOLVE_TEMPORARY);
    listener_close(&silent);
}

static void what_keeps_a_probe_from_beginning_is_its_result(void **state)
{
    struct fixture *fixture = *state;

    prepare(fixture, 0, "::1", 6000)->config.source = "127.0.0.1"; /* of another family */
    prepare(fixture, 1, "127.0.0.1", 6000)->config.use_tls = true;
    fixture->orders[1].config.tls.ca = "/nonexistent/ca.pem";
    fixture->total = 2;
    submit_until_full(fixture);
    assert_int_equal(probe_engine_in_flight(fixture->engine), 2);
    watched_run(&fixture->watched, &fixture->is_over);
    assert_int_equal(reason_of(&fixture->orders[0]), ERR_USAGE);
    assert_int_equal(reason_of(&fixture->orders[1]), tls_available(NULL) == 0 ? ERR_SYSTEM_FILE : ERR_USAGE);
    assert_string_equal(probe_result_brief(fixture->orders[1].result).target, "127.0.0.1:6000");
    assert_int_equal(probe_engine_in_flight(fixture->engine), 0);
}

static void the_faces_show_a_probe_that_never_began(void **state)
{
    struct fixture *fixture = *state;
    char line[PROBE_LINE_BYTES], *text = NULL;
    size_t length = 0;

    prepare(fixture, 0, "::1", 6000)->config.source = "127.0.0.1";
    fixture->total = 1;
    submit_until_full(fixture);
    watched_run(&fixture->watched, &fixture->is_over);
    assert_string_equal(probe_result_line(fixture->orders[0].result, line), "usage, no address, 0 ms");
    FILE *out = open_memstream(&text, &length);
    probe_report_json(fixture->orders[0].result, out);
    probe_report_prometheus(fixture->orders[0].result, out);
    probe_report_plot(fixture->orders[0].result, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "\"usage\""));
    assert_non_null(strstr(text, "tcpgreet_probe_success{target=\"[::1]:6000\"} 0\n"));
    assert_non_null(strstr(text, "</svg>"));
    free(text);
}

static void a_limit_that_is_broken_is_the_verdict(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener = prober_listen("127.0.0.1", 0);
    struct order *order = prepare(fixture, 0, "127.0.0.1", endpoint_port(&listener.at));
    struct err err = {0};

    order->config.until = PROBE_UNTIL_CONNECT;
    assert_int_equal(threshold_parse(&order->config.limits.crit, "--crit", "connect=1000:", &err), 0);
    fixture->total = 1;
    submit_until_full(fixture);
    watched_run(&fixture->watched, &fixture->is_over);
    assert_int_equal(reason_of(order), ERR_THRESHOLD);
    listener_close(&listener);
}

static void a_probe_is_given_up_in_every_stage(void **state)
{
    struct fixture *fixture = *state;
    struct prober_server server;
    struct listener listener = prober_listen("127.0.0.1", 0);
    unsigned port = endpoint_port(&listener.at);

    prober_server_open(&server, listener, NULL);
    for (unsigned turns = 0, is_done = 0; !is_done; turns++) { /* of the loop */
        struct order *order = prepare(fixture, 0, "good.example", port);
        fixture->total = fixture->next = 1;
        fixture->done_count = 0;
        submit(order);
        for (unsigned i = 0; i < turns && order->result == NULL; i++)
            uv_run(&fixture->watched.loop, UV_RUN_ONCE);
        is_done = order->result != NULL;
        if (!is_done)
            order->result = probe_job_cancel(order->job);
        if (is_done)
            assert_int_equal(reason_of(order), ERR_OK);
        assert_int_equal(probe_engine_in_flight(fixture->engine), 0);
        probe_result_free(order->result);
        order->result = NULL;
        watched_run(&fixture->watched, NULL);
    }
    prober_server_close(&server);
}

static void on_done_close(void *context, struct probe_result *result)
{
    struct fixture *fixture = context;

    probe_result_free(result);
    probe_engine_close(fixture->engine);
    fixture->engine = NULL;
}

static void the_engine_may_be_closed_by_what_is_done(void **state)
{
    struct fixture *fixture = *state;
    struct listener silent = prober_listen("127.0.0.1", 0);
    struct err err = {0};

    submit(prepare(fixture, 0, "127.0.0.1", endpoint_port(&silent.at)));
    prepare(fixture, 1, "127.0.0.1", endpoint_port(&silent.at))->config.until = PROBE_UNTIL_CONNECT;
    assert_non_null(
        probe_engine_submit(fixture->engine, &fixture->orders[1].config, on_done_close, fixture, &err));
    watched_run(&fixture->watched, NULL);
    assert_null(fixture->engine);
    listener_close(&silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_many_as_the_limit_are_in_flight_and_all_are_done, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_silent_target_and_a_slow_name_hold_only_their_own_places, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_probe_ends_when_its_own_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_keeps_a_probe_from_beginning_is_its_result, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_faces_show_a_probe_that_never_began, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_that_is_broken_is_the_verdict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_probe_is_given_up_in_every_stage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_engine_may_be_closed_by_what_is_done, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, hole_prepare, NULL);
}
