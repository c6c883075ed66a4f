#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <uv.h>

#include "support/preamble_turns.h"
#include "support/stream_fault.h"
#include "support/stream_memory.h"
#include "tcpgreet/link/stream_preamble.h"

enum { CAPACITY = 64 * 1024 };

/* The peer is plain: the test plays its turns. */
struct context {
    struct stream *near, *far;
    struct stream_faults faults; /* below the near side's dialogue */
};

static const struct preamble_turn short_turns[] = {{true, {"May we?", 7}}, {false, {"Yes", 3}}};

static struct stream *above(struct stream *lower, const struct preamble_turn *turns, size_t count)
{
    struct preamble_turns machine;
    struct err err = {0};
    preamble_turns_init(&machine, turns, count);
    struct stream *stream = stream_preamble_new(
        lower, &(struct stream_preamble_config){STREAM_LAYER_PROXY, &machine.dialogue, sizeof machine, false},
        &err);
    assert_non_null(stream);
    return stream;
}

static void connect_with(struct context *context, const struct preamble_turn *turns, size_t count)
{
    struct stream *ends[2];
    stream_memory_pair(ends, CAPACITY);
    context->near = above(stream_fault_new(ends[0], &context->faults), turns, count);
    context->far = ends[1];
}

static void connect_short(struct context *context)
{
    connect_with(context, short_turns, 2);
}

static void disconnect(struct context *context)
{
    stream_free(context->near);
    stream_free(context->far);
    assert_int_equal(context->faults.frees, 1);
}

static void expect_want(struct context *context, enum stream_result want)
{
    struct err err = {0};
    assert_int_equal(stream_handshake(context->near, &err), want);
    assert_int_equal(err.reason, ERR_OK);
}

static void expect_up(struct context *context)
{
    expect_want(context, STREAM_OK);
}

static void expect_failure(struct context *context, enum err_reason reason)
{
    struct err err = {0};
    assert_int_equal(stream_handshake(context->near, &err), STREAM_FAILED);
    assert_int_equal(err.reason, reason);
}

static void peer_sends(struct context *context, const char *data, size_t length)
{
    struct err err = {0};
    size_t count = 0;
    if (length == 0)
        return;
    assert_int_equal(stream_write(context->far, data, length, &count, &err), STREAM_OK);
    assert_int_equal(count, length);
}

static void peer_gets(struct context *context, const char *text)
{
    char data[64];
    struct err err = {0};
    size_t count = 0;
    assert_int_equal(stream_read(context->far, data, sizeof data, &count, &err), STREAM_OK);
    assert_int_equal(count, strlen(text));
    assert_memory_equal(data, text, count);
}

static void expect_read(struct context *context, size_t room, const char *text)
{
    char data[64];
    struct err err = {0};
    size_t count = 0;
    assert_int_equal(stream_read(context->near, data, room, &count, &err), STREAM_OK);
    assert_int_equal(count, strlen(text));
    assert_memory_equal(data, text, count);
}

static void the_dialogue_is_held_before_the_stream_is_up(void **state)
{
    struct context context = {0};
    (void)state;
    connect_short(&context);
    expect_want(&context, STREAM_WANT_READ);
    peer_gets(&context, "May we?");
    expect_want(&context, STREAM_WANT_READ);
    peer_sends(&context, "Yes", 3);
    expect_up(&context);
    expect_up(&context);
    assert_false(context.near->more);
    disconnect(&context);
}

/* A server's first bytes may be in the same segment as a proxy's answer. */
static void what_follows_the_dialogue_is_what_the_first_reads_return(void **state)
{
    struct context context = {0};
    (void)state;
    connect_short(&context);
    peer_sends(&context, "Yes220 hi", 9);
    expect_up(&context);
    assert_true(context.near->more);
    expect_read(&context, 2, "22");
    assert_true(context.near->more);
    peer_sends(&context, " there", 6);
    expect_read(&context, 60, "0 hi");
    expect_read(&context, 60, " there");
    assert_false(context.near->more);
    disconnect(&context);
}

static void bytes_that_the_stream_below_holds_are_more_too(void **state)
{
    struct context context = {.faults = {.piece = 3, .hoard = true}};
    (void)state;
    connect_short(&context);
    peer_sends(&context, "YesAbcd", 7);
    expect_up(&context);
    assert_true(context.near->more);
    expect_read(&context, 60, "Abc");
    assert_true(context.near->more);
    expect_read(&context, 60, "d");
    assert_false(context.near->more);
    disconnect(&context);
}

static void a_peer_that_ends_gives_the_dialogues_reason(void **state)
{
    (void)state;
    for (size_t length = 0; length < 3; length++) {
        struct context context = {0};
        struct err err = {0};
        connect_short(&context);
        expect_want(&context, STREAM_WANT_READ);
        peer_sends(&context, "Yes", length);
        assert_int_equal(stream_shutdown(context.far, &err), STREAM_OK);
        expect_failure(&context, ERR_DIALOGUE_EARLY_END);
        disconnect(&context);
    }
}

static void an_end_behind_the_dialogue_is_the_readers(void **state)
{
    struct context context = {0};
    struct err err = {0};
    char data[8];
    size_t count = 0;
    (void)state;
    connect_short(&context);
    peer_sends(&context, "Yesx", 4);
    assert_int_equal(stream_shutdown(context.far, &err), STREAM_OK);
    expect_up(&context);
    expect_read(&context, 8, "x");
    assert_int_equal(stream_read(context.near, data, sizeof data, &count, &err), STREAM_EOF);
    disconnect(&context);
}

/* Operations below: handshake, write, read. */
static void a_reset_gives_the_dialogues_reason(void **state)
{
    (void)state;
    for (unsigned operation = 1; operation <= 3; operation++) {
        struct context context = {.faults = {.fail_at = operation}};
        connect_short(&context);
        expect_failure(&context, operation == 1 ? ERR_DIALOGUE_RESET : ERR_DIALOGUE_EARLY_END);
        disconnect(&context);
    }
}

static void a_wrong_byte_fails_with_what_was_received(void **state)
{
    struct context context = {0};
    struct err err = {0};
    (void)state;
    connect_short(&context);
    peer_sends(&context, "Yo", 2);
    assert_int_equal(stream_handshake(context.near, &err), STREAM_FAILED);
    assert_int_equal(err.reason, ERR_DIALOGUE_WRONG_ANSWER);
    assert_true(bytes_equal(err_received(&err), BYTES_LITERAL("Yo")));
    disconnect(&context);
}

static void expect_expiry(struct context *context, enum err_reason reason)
{
    struct err err = {0};
    assert_int_equal(stream_handshake_expire(context->near, &err), STREAM_FAILED);
    assert_int_equal(err.reason, reason);
}

static void the_time_may_be_over_behind_any_byte(void **state)
{
    (void)state;
    for (size_t length = 0; length < 3; length++) {
        struct context context = {0};
        connect_short(&context);
        peer_sends(&context, "Yes", length);
        expect_want(&context, STREAM_WANT_READ);
        expect_expiry(&context, ERR_DIALOGUE_TIMEOUT);
        disconnect(&context);
    }
}

static void the_time_may_be_over_before_the_first_step(void **state)
{
    struct context context = {0};
    (void)state;
    connect_short(&context);
    expect_expiry(&context, ERR_DIALOGUE_TIMEOUT);
    disconnect(&context);
}

/* The stand-in's reason differs from the dialogue's in its text alone. */
static void the_time_below_is_over_with_its_own_reason(void **state)
{
    struct context context = {.faults = {.mute = true}};
    struct err err = {0};
    (void)state;
    connect_short(&context);
    expect_want(&context, STREAM_WANT_READ);
    assert_int_equal(stream_handshake_expire(context.near, &err), STREAM_FAILED);
    assert_non_null(strstr(err.text, "the handshake never ends"));
    disconnect(&context);
}

static void a_peer_that_does_not_read_is_waited_for(void **state)
{
    struct context context = {0};
    struct stream *ends[2];
    struct err err = {0};
    char data[8];
    size_t count = 0;
    (void)state;
    stream_memory_pair(ends, 4);
    context.near = above(stream_fault_new(ends[0], &context.faults), short_turns, 2);
    context.far = ends[1];
    expect_want(&context, STREAM_WANT_WRITE);
    assert_int_equal(stream_read(context.far, data, sizeof data, &count, &err), STREAM_OK);
    assert_int_equal(count, 4);
    expect_want(&context, STREAM_WANT_READ);
    peer_gets(&context, "we?");
    disconnect(&context);
}

static void preambles_stack_and_their_times_follow_each_other(void **state)
{
    struct context context = {0};
    struct stream_preamble_facts first, second;
    uint64_t before_ns = uv_hrtime();
    (void)state;
    connect_short(&context);
    struct preamble_turns machine;
    struct err err = {0};
    preamble_turns_init(&machine, short_turns, 2);
    context.near = stream_preamble_new(
        context.near,
        &(struct stream_preamble_config){STREAM_LAYER_STARTTLS, &machine.dialogue, sizeof machine, false},
        &err);
    assert_true(stream_preamble_facts(context.near, STREAM_LAYER_PROXY, &first));
    assert_int_equal(first.begin_ns, 0);
    peer_sends(&context, "YesYe", 5);
    expect_want(&context, STREAM_WANT_READ);
    assert_true(stream_preamble_facts(context.near, STREAM_LAYER_STARTTLS, &second));
    assert_int_equal(second.end_ns, 0);
    peer_sends(&context, "s", 1);
    expect_up(&context);
    assert_true(stream_preamble_facts(context.near, STREAM_LAYER_PROXY, &first));
    assert_true(stream_preamble_facts(context.near, STREAM_LAYER_STARTTLS, &second));
    assert_true(before_ns <= first.begin_ns && first.begin_ns <= first.end_ns);
    assert_true(first.end_ns <= second.begin_ns && second.begin_ns <= second.end_ns);
    disconnect(&context);
}

static void a_stack_without_a_preamble_has_no_facts(void **state)
{
    struct context context = {0};
    struct stream_preamble_facts facts;
    (void)state;
    connect_short(&context);
    assert_false(stream_preamble_facts(context.near, STREAM_LAYER_STARTTLS, &facts));
    assert_false(stream_preamble_facts(context.far, STREAM_LAYER_PROXY, &facts));
    assert_int_equal(facts.begin_ns, 0);
    disconnect(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dialogue_is_held_before_the_stream_is_up),
        cmocka_unit_test(what_follows_the_dialogue_is_what_the_first_reads_return),
        cmocka_unit_test(bytes_that_the_stream_below_holds_are_more_too),
        cmocka_unit_test(a_peer_that_ends_gives_the_dialogues_reason),
        cmocka_unit_test(an_end_behind_the_dialogue_is_the_readers),
        cmocka_unit_test(a_reset_gives_the_dialogues_reason),
        cmocka_unit_test(a_wrong_byte_fails_with_what_was_received),
        cmocka_unit_test(the_time_may_be_over_behind_any_byte),
        cmocka_unit_test(the_time_may_be_over_before_the_first_step),
        cmocka_unit_test(the_time_below_is_over_with_its_own_reason),
        cmocka_unit_test(a_peer_that_does_not_read_is_waited_for),
        cmocka_unit_test(preambles_stack_and_their_times_follow_each_other),
        cmocka_unit_test(a_stack_without_a_preamble_has_no_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
