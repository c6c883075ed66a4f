#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/dialogue_contract.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/guard.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { START_MS = 1000, EXPIRATIONS = 20 };

/* What is to be done with a dialogue. */
struct plan {
    size_t limit; /* of the peer's bytes; then it is silent */
    size_t at;    /* the first piece of them; then pieces of `step` */
    size_t step;  /* 0: all that is there */
    size_t room;  /* of out at each call; 0: DIALOGUE_OUT_BYTES */
    size_t drain; /* how much leaves it between two calls; 0: all */
    bool starve;  /* there is no room at every other call of receive */
    bool slow;    /* what the peer sends comes before all is sent that could be */
};

/* One dialogue under way. */
struct run {
    const struct dialogue_factory *factory;
    struct plan plan;
    void *storage;
    struct dialogue *dialogue;
    struct sink out;
    struct buf pending; /* received and not consumed */
    struct buf sent;    /* all that has left out */
    size_t given;       /* of the peer's bytes */
    size_t consumed;
    unsigned turns, calls;
    int64_t now_ms;
};

static bool is_over(const struct run *run)
{
    enum dialogue_state state = run->dialogue->state;
    return state == DIALOGUE_OVER || state == DIALOGUE_FAILED;
}

static void drain(struct run *run, size_t length)
{
    struct sink *out = &run->out;
    length = length < out->length ? length : out->length;
    assert_int_equal(buf_append(&run->sent, (struct bytes){out->data, length}), 0);
    memmove(out->data, out->data + length, out->length - length);
    out->length -= length;
}

static void check(const struct run *run)
{
    assert_true(run->out.length <= run->out.capacity);
    if (is_over(run))
        assert_int_equal(run->dialogue->deadline_ms, DIALOGUE_NEVER);
    if (run->dialogue->state == DIALOGUE_RUNNING)
        assert_true(buf_length(&run->pending) <= DIALOGUE_KEEP_BYTES);
}

static void consume(struct run *run, size_t consumed)
{
    assert_true(consumed <= buf_length(&run->pending));
    buf_consume(&run->pending, consumed);
    run->consumed += consumed;
    check(run);
    drain(run, run->plan.drain > 0 ? run->plan.drain : SIZE_MAX);
}

static struct bytes pending(const struct run *run)
{
    return guard_edge(buf_bytes(&run->pending));
}

static void receive(struct run *run)
{
    struct sink none = {run->out.data, 0, 0};
    bool starve = run->plan.starve && run->calls++ % 2 == 0;
    struct sink *out = starve ? &none : &run->out;
    consume(run, dialogue_receive(run->dialogue, pending(run), out, run->now_ms));
}

/* Returns: whether the dialogue went on without its peer. */
static bool go_on(struct run *run)
{
    enum dialogue_state state = run->dialogue->state;
    if (state == DIALOGUE_READY && run->factory->turn != NULL)
        run->factory->turn(run->dialogue, run->factory->config, run->turns++, run->now_ms);
    else if (state == DIALOGUE_SENDING)
        receive(run);
    else
        return false;
    return state == DIALOGUE_SENDING || run->dialogue->state == DIALOGUE_SENDING;
}

static void go_on_as_far_as_it_can(struct run *run)
{
    while (go_on(run))
        ;
}

static void make(struct run *run, const struct dialogue_factory *factory, struct plan plan)
{
    size_t room = plan.room > 0 ? plan.room : DIALOGUE_OUT_BYTES;
    *run = (struct run){.factory = factory, .plan = plan, .now_ms = START_MS};
    run->storage = test_malloc(factory->size);
    run->out = (struct sink){test_malloc(room), 0, room};
    run->dialogue = factory->make(run->storage, factory->config);
    assert_ptr_equal(run->dialogue, run->storage);
}

static void fini(struct run *run)
{
    test_free(run->out.data);
    test_free(run->storage);
    buf_fini(&run->pending);
    buf_fini(&run->sent);
}

/* Returns: how many bytes the peer has sent by now. */
static size_t available(const struct run *run)
{
    const struct dialogue_factory *factory = run->factory;
    size_t sent = buf_length(&run->sent) + run->out.length;
    size_t count = factory->steps == NULL ? factory->received.length : 0;
    for (size_t i = 0; i < factory->step_count && factory->steps[i].sent <= sent; i++)
        count = factory->steps[i].received;
    return count < run->plan.limit ? count : run->plan.limit;
}

static size_t next_piece(const struct run *run)
{
    size_t limit = run->given < run->plan.at ? run->plan.at - run->given : run->plan.step;
    size_t there = available(run) - run->given;
    return limit > 0 && limit < there ? limit : there;
}

/* Begins, and goes on until the peer has sent what it sends. */
static void play(struct run *run)
{
    dialogue_begin(run->dialogue, &run->out, run->now_ms);
    check(run);
    drain(run, SIZE_MAX);
    bool moves = true;
    while (!is_over(run) && moves) {
        struct bytes piece = {run->factory->received.data + run->given, next_piece(run)};
        moves = piece.length > 0;
        if (moves) {
            run->given += piece.length;
            assert_int_equal(buf_append(&run->pending, piece), 0);
            receive(run);
        }
        if (run->plan.slow && run->given == run->plan.limit)
            break;
        moves = go_on(run) || moves;
        if (!run->plan.slow)
            go_on_as_far_as_it_can(run);
    }
    drain(run, SIZE_MAX);
}

static void end(struct run *run)
{
    if (is_over(run))
        return;
    assert_true(run->factory->room <= sink_room(&run->out));
    consume(run, dialogue_eof(run->dialogue, pending(run), &run->out, run->now_ms));
    if (run->dialogue->ops->duplex)
        go_on_as_far_as_it_can(run); /* its peer may still read */
    drain(run, SIZE_MAX);
}

static enum err_reason reason_of(const struct run *run)
{
    struct err err = {0};
    if (run->dialogue->state == DIALOGUE_FAILED) {
        dialogue_failure(run->dialogue, pending(run), &err);
        assert_true(err.reason != ERR_OK && strlen(err.text) > 0);
    }
    return err.reason;
}

/* Two runs of the same bytes have come to the same. */
static void expect_same(const struct run *a, const struct run *b)
{
    if (!bytes_equal(buf_bytes(&a->sent), buf_bytes(&b->sent)))
        fail_msg("sent \"%.*s\", not \"%.*s\"", (int)buf_length(&b->sent), buf_bytes(&b->sent).data,
                 (int)buf_length(&a->sent), buf_bytes(&a->sent).data);
    assert_int_equal(a->dialogue->state, b->dialogue->state);
    assert_int_equal(reason_of(a), reason_of(b));
    if (is_over(a))
        return;
    assert_int_equal(a->consumed, b->consumed);
    assert_int_equal(a->dialogue->deadline_ms, b->dialogue->deadline_ms);
}

/* The whole dialogue, as it must be. */
static void expect_whole(const struct dialogue_factory *factory, struct plan plan)
{
    struct run run;
    make(&run, factory, plan);
    play(&run);
    end(&run);
    if (!bytes_equal(buf_bytes(&run.sent), factory->sent))
        fail_msg("cut at %zu by %zu, room %zu drained by %zu: sent \"%.*s\"", plan.at, plan.step, plan.room,
                 plan.drain, (int)buf_length(&run.sent), buf_bytes(&run.sent).data);
    assert_int_equal(run.dialogue->state, factory->ends);
    assert_int_equal(reason_of(&run), factory->reason);
    fini(&run);
}

static void any_cut_of_what_comes_gives_the_same_dialogue(void **state)
{
    const struct dialogue_factory *factory = *state;
    for (size_t at = 0; at <= factory->received.length; at++) {
        expect_whole(factory, (struct plan){.limit = SIZE_MAX, .at = at});
        expect_whole(factory, (struct plan){.limit = SIZE_MAX, .at = at, .step = 1});
    }
    for (size_t step = 2; step < factory->received.length; step++)
        expect_whole(factory, (struct plan){.limit = SIZE_MAX, .step = step});
}

static void any_room_for_what_is_sent_gives_the_same_dialogue(void **state)
{
    static const size_t drains[] = {0, 1, 100};
    static const size_t steps[] = {0, 1, 50};
    const struct dialogue_factory *factory = *state;
    for (size_t i = 0; i < COUNT(drains) * COUNT(steps); i++) {
        struct plan plan = {
            .limit = SIZE_MAX, .step = steps[i / COUNT(drains)], .drain = drains[i % COUNT(drains)]};
        size_t most = factory->room + factory->sent.length;
        for (plan.room = factory->room; plan.room <= most; plan.room += 1 + (most - factory->room) / 100) {
            plan.starve = !plan.starve;
            expect_whole(factory, plan);
        }
    }
}

/* The event comes behind each byte in turn: the dialogue is the same, however the bytes before it are cut. */
static void expect_same_behind_any_byte(const struct dialogue_factory *factory,
                                        void (*event)(struct run *run))
{
    for (size_t limit = 0; limit <= factory->received.length; limit++) {
        struct run whole, cut;
        make(&whole, factory, (struct plan){.limit = limit});
        make(&cut, factory, (struct plan){.limit = limit, .step = 1});
        play(&whole);
        play(&cut);
        event(&whole);
        event(&cut);
        expect_same(&whole, &cut);
        fini(&whole);
        fini(&cut);
    }
}

static void the_peer_may_end_behind_any_byte(void **state)
{
    expect_same_behind_any_byte(*state, end);
}

static void the_peer_of_a_duplex_dialogue_may_end_before_all_is_sent(void **state)
{
    const struct dialogue_factory *factory = *state;
    for (size_t limit = 0; limit <= factory->received.length; limit++) {
        struct run whole, slow;
        make(&whole, factory, (struct plan){.limit = limit});
        make(&slow, factory, (struct plan){.limit = limit, .slow = true});
        play(&whole);
        play(&slow);
        if (whole.dialogue->ops->duplex) {
            end(&whole);
            end(&slow);
            assert_int_equal(slow.dialogue->state, whole.dialogue->state);
            assert_int_equal(reason_of(&slow), reason_of(&whole));
        }
        fini(&whole);
        fini(&slow);
    }
}

/* Lets the time of every deadline come, without data from the peer. */
static void expire(struct run *run)
{
    for (unsigned i = 0; !is_over(run) && run->dialogue->deadline_ms != DIALOGUE_NEVER; i++) {
        int64_t due_ms = run->dialogue->deadline_ms;
        size_t left = buf_length(&run->pending);
        enum dialogue_state before = run->dialogue->state;

        assert_true(i < EXPIRATIONS && due_ms > run->now_ms);
        assert_int_equal(dialogue_expire(run->dialogue, pending(run), &run->out, due_ms - 1), 0);
        assert_int_equal(run->out.length, 0);
        assert_int_equal(run->dialogue->state, before);
        assert_int_equal(run->dialogue->deadline_ms, due_ms);
        run->now_ms = due_ms;
        size_t consumed = dialogue_expire(run->dialogue, pending(run), &run->out, due_ms);
        assert_true(consumed == 0 || consumed == left);
        assert_true(is_over(run) || run->dialogue->deadline_ms > due_ms);
        consume(run, consumed);
        go_on_as_far_as_it_can(run);
    }
}

static void a_deadline_may_come_behind_any_byte(void **state)
{
    expect_same_behind_any_byte(*state, expire);
}

static void a_stop_behind_any_byte_sends_the_final_message(void **state)
{
    const struct dialogue_factory *factory = *state;
    for (size_t limit = 0; limit <= factory->received.length; limit++) {
        struct run run;
        make(&run, factory, (struct plan){.limit = limit});
        play(&run);
        enum dialogue_state before = run.dialogue->state;
        bool is_sent = !is_over(&run) && run.dialogue->ops->shut_down != NULL;
        dialogue_shut_down(run.dialogue, &run.out);
        assert_int_equal(run.dialogue->state, is_sent ? DIALOGUE_OVER : before);
        assert_int_equal(run.out.length, is_sent ? factory->last.length : 0);
        if (is_sent)
            assert_memory_equal(run.out.data, factory->last.data, factory->last.length);
        check(&run);
        fini(&run);
    }
}

/* The stream's handshake is still under way. */
static void a_stop_before_the_begin_is_an_end_too(void **state)
{
    const struct dialogue_factory *factory = *state;
    struct run run;
    make(&run, factory, (struct plan){0});
    assert_int_equal(run.dialogue->deadline_ms, DIALOGUE_NEVER);
    dialogue_shut_down(run.dialogue, &run.out);
    assert_int_equal(is_over(&run), run.dialogue->ops->shut_down != NULL);
    fini(&run);
}

int dialogue_contract_run(const struct dialogue_factory *factory)
{
#define PROMISE(test) cmocka_unit_test_prestate(test, (void *)(uintptr_t)factory)
    const struct CMUnitTest tests[] = {
        PROMISE(any_cut_of_what_comes_gives_the_same_dialogue),
        PROMISE(any_room_for_what_is_sent_gives_the_same_dialogue),
        PROMISE(the_peer_may_end_behind_any_byte),
        PROMISE(the_peer_of_a_duplex_dialogue_may_end_before_all_is_sent),
        PROMISE(a_deadline_may_come_behind_any_byte),
        PROMISE(a_stop_behind_any_byte_sends_the_final_message),
        PROMISE(a_stop_before_the_begin_is_an_end_too),
    };
#undef PROMISE
    return cmocka_run_group_tests_name(factory->name, tests, NULL, NULL);
}
