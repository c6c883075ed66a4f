#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/stream_contract.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/guard.h"
#include "support/skip.h"
#include "tcpgreet/base/buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { IDLE_TURNS = 1000, PLENTY = 70 * 1000, TURN_BYTES = 64 * 1024, ENDLESS = 64 << 20 };

struct context {
    const struct stream_factory *factory;
    struct stream_pair pair;
};

/* Returns: how much is to move where a test moves much. */
static size_t plenty(const struct context *context)
{
    return context->factory->plenty > 0 ? context->factory->plenty : PLENTY;
}

static bool is_wait(enum stream_result result)
{
    return result == STREAM_WANT_READ || result == STREAM_WANT_WRITE;
}

static void turn(struct context *context)
{
    if (context->factory->pump != NULL)
        context->factory->pump(&context->pair);
}

/* Fails where nothing has moved for too long; what comes from another side of the kernel may take a while. */
static void count_idle(struct context *context, unsigned *idle, bool moved)
{
    struct stream *ends[2] = {context->pair.near, context->pair.far};
    struct pollfd fds[2];

    *idle = moved ? 0 : *idle + 1;
    if (*idle == IDLE_TURNS)
        fail_msg("nothing moves any more");
    if (*idle < 4)
        return;
    for (size_t i = 0; i < 2; i++)
        fds[i] = (struct pollfd){.fd = ends[i] != NULL ? stream_fd(ends[i]) : -1, .events = POLLIN};
    if (fds[0].fd >= 0 || fds[1].fd >= 0)
        poll(fds, 2, 5);
}

/* One read, with what the interface guarantees for every read. Returns: as stream_read; *count is 0 unless
 * STREAM_OK.
 */
static enum stream_result read_some(struct stream *stream, char *data, size_t room, size_t *count)
{
    struct err err = {0};
    size_t n = 0;
    enum stream_result result = stream_read(stream, data, room, &n, &err);

    *count = result == STREAM_OK ? n : 0;
    assert_true(result != STREAM_OK || (n > 0 && n <= room));
    assert_int_equal(result == STREAM_FAILED, err.reason != ERR_OK);
    return result;
}

/* One write from memory that moves, and that ends where the bytes end. */
static enum stream_result write_some(struct stream *stream, struct bytes bytes, size_t *count)
{
    struct err err = {0};
    size_t n = 0;
    const char *moved = guard_bytes(bytes.data, bytes.length);
    enum stream_result result = stream_write(stream, moved, bytes.length, &n, &err);

    guard_free(moved, bytes.length);
    *count = result == STREAM_OK ? n : 0;
    assert_true(result != STREAM_EOF);
    assert_true(result != STREAM_OK || (n > 0 && n <= bytes.length));
    assert_int_equal(result == STREAM_FAILED, err.reason != ERR_OK);
    return result;
}

/* One direction of a conversation: bytes that go in at one end and must come out at the other. */
struct flow {
    struct stream *from, *to;
    size_t length; /* in all */
    size_t piece;  /* offered to a write */
    size_t room;   /* offered to a read */
    unsigned char seed;
    size_t sent;
    size_t received;
};

/* Every value of a byte, in a sequence that no shift, loss or repetition leaves as it is. */
static char byte_at(const struct flow *flow, size_t at)
{
    return (char)(at * 31 + (at >> 8) * 7 + (at >> 16) + flow->seed);
}

static bool flow_write(struct flow *flow)
{
    char data[TURN_BYTES];
    size_t left = flow->length - flow->sent;
    size_t n = flow->piece < left ? flow->piece : left;
    size_t count = 0;

    if (left == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        data[i] = byte_at(flow, flow->sent + i);
    enum stream_result result = write_some(flow->from, (struct bytes){data, n}, &count);
    assert_true(result == STREAM_OK || is_wait(result));
    flow->sent += count;
    return count > 0;
}

static bool flow_read(struct flow *flow)
{
    char data[TURN_BYTES];
    size_t count = 0;
    enum stream_result result = read_some(flow->to, data, flow->room, &count);

    assert_true(result == STREAM_OK || is_wait(result));
    assert_true(flow->received + count <= flow->sent);
    for (size_t i = 0; i < count; i++)
        if (data[i] != byte_at(flow, flow->received + i))
            fail_msg("byte %zu is not the one that was sent", flow->received + i);
    flow->received += count;
    return count > 0;
}

/* Moves all bytes of both flows. */
static void flow_through(struct context *context, struct flow *flows, size_t count)
{
    unsigned idle = 0;
    bool whole = false;

    while (!whole) {
        bool moved = false;
        whole = true;
        for (size_t i = 0; i < count; i++)
            moved = flow_write(&flows[i]) || moved;
        turn(context);
        for (size_t i = 0; i < count; i++) {
            moved = flow_read(&flows[i]) || moved;
            whole = whole && flows[i].received == flows[i].length;
        }
        count_idle(context, &idle, moved);
    }
}

static void send_text(struct context *context, struct stream *from, struct bytes bytes)
{
    unsigned idle = 0;
    while (bytes.length > 0) {
        size_t count = 0;
        enum stream_result result = write_some(from, bytes, &count);
        assert_true(result == STREAM_OK || is_wait(result));
        bytes = bytes_skip(bytes, count);
        turn(context);
        count_idle(context, &idle, count > 0);
    }
}

/* Reads until something else than bytes or a wait comes, or `length` bytes are there. */
static enum stream_result receive(struct context *context, struct stream *to, char *data, size_t length,
                                  size_t *received)
{
    unsigned idle = 0;
    *received = 0;
    for (;;) {
        size_t count = 0;
        if (*received == length)
            return STREAM_OK;
        enum stream_result result = read_some(to, data + *received, length - *received, &count);
        if (result != STREAM_OK && !is_wait(result))
            return result;
        *received += count;
        turn(context);
        count_idle(context, &idle, count > 0);
    }
}

static void expect_text(struct context *context, struct stream *to, const char *words)
{
    char data[64];
    size_t received = 0;
    assert_int_equal(receive(context, to, data, strlen(words), &received), STREAM_OK);
    assert_memory_equal(data, words, received);
}

static void end_side(struct context *context, struct stream *stream)
{
    unsigned idle = 0;
    enum stream_result result;
    do {
        struct err err = {0};
        result = stream_shutdown(stream, &err);
        assert_true(result == STREAM_OK || is_wait(result));
        turn(context);
        count_idle(context, &idle, false);
    } while (result != STREAM_OK);
}

static void expect_end(struct context *context, struct stream *stream)
{
    char data[16];
    size_t received = 0;
    assert_int_equal(receive(context, stream, data, sizeof data, &received), STREAM_EOF);
    assert_int_equal(received, 0);
}

/* Both shake hands. */
static void bring_up(struct context *context)
{
    struct stream *ends[2] = {context->pair.near, context->pair.far};
    bool up[2] = {false, false};
    unsigned idle = 0;

    while (!up[0] || !up[1]) {
        for (size_t i = 0; i < 2; i++) {
            struct err err = {0};
            enum stream_result result = up[i] ? STREAM_OK : stream_handshake(ends[i], &err);
            if (result != STREAM_OK && !is_wait(result))
                fail_msg("the handshake fails: %s", err.text);
            up[i] = result == STREAM_OK;
            turn(context);
        }
        count_idle(context, &idle, false);
    }
}

static int set_up(void **state)
{
    const struct stream_factory *factory = *state;
    struct context *context = test_calloc(1, sizeof *context);
    context->factory = factory;
    factory->make(&context->pair, factory->config);
    *state = context;
    return 0;
}

static int tear_down(void **state)
{
    struct context *context = *state;
    stream_free(context->pair.near);
    stream_free(context->pair.far);
    if (context->factory->fini != NULL)
        context->factory->fini(&context->pair);
    test_free(context);
    return 0;
}

/* An end that is gone before the test is over. */
static void drop(struct stream **end)
{
    stream_free(*end);
    *end = NULL;
}

static void a_handshake_that_is_over_stays_over(void **state)
{
    struct context *context = *state;
    struct stream *ends[2] = {context->pair.near, context->pair.far};

    bring_up(context);
    for (size_t i = 0; i < 2; i++) {
        struct err err = {0};
        enum stream_result result;
        unsigned idle = 0;
        do {
            result = stream_handshake(ends[i], &err);
            count_idle(context, &idle, false);
        } while (is_wait(result));
        assert_int_equal(result, STREAM_OK);
        assert_int_equal(err.reason, ERR_OK);
    }
}

static void a_handshake_that_is_over_cannot_expire(void **state)
{
    struct context *context = *state;
    struct err err = {0};

    bring_up(context);
    assert_int_equal(stream_handshake_expire(context->pair.near, &err), STREAM_OK);
    assert_int_equal(stream_handshake_expire(context->pair.far, &err), STREAM_OK);
    assert_int_equal(err.reason, ERR_OK);
}

/* Each stream below is used, and has the descriptor. */
static void the_streams_below_end_somewhere(void **state)
{
    struct context *context = *state;
    unsigned layers = 0;

    for (const struct stream *stream = context->pair.near; stream != NULL; stream = stream_lower(stream)) {
        assert_int_equal(stream_fd(stream), stream_fd(context->pair.near));
        assert_ptr_equal(stream_find(stream, stream->ops->layer), stream);
        layers++;
    }
    assert_in_range(layers, 1, 4);
}

static void ends_can_be_freed_before_the_handshake(void **state)
{
    struct context *context = *state;
    drop(&context->pair.near);
    drop(&context->pair.far);
    stream_free(NULL);
}

static void bytes_arrive_as_they_were_sent(void **state)
{
    static const size_t sizes[] = {1, 7, 1024, 16 * 1024, TURN_BYTES};
    struct context *context = *state;

    bring_up(context);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t j = 0; j < COUNT(sizes); j++) {
            size_t length = sizes[i] < 100 || sizes[j] < 100 ? 600 : plenty(context);
            struct flow flow = {.from = context->pair.near,
                                .to = context->pair.far,
                                .length = length,
                                .piece = sizes[i],
                                .room = sizes[j],
                                .seed = (unsigned char)(i * 16 + j)};
            flow_through(context, &flow, 1);
        }
    }
}

static void both_directions_flow_at_once(void **state)
{
    struct context *context = *state;
    bring_up(context);
    struct flow flows[2] = {
        {context->pair.near, context->pair.far, plenty(context), 5000, 3000, 1, 0, 0},
        {context->pair.far, context->pair.near, plenty(context), 3000, TURN_BYTES, 2, 0, 0},
    };
    flow_through(context, flows, 2);
}

static void reading_where_nothing_is_waits(void **state)
{
    struct context *context = *state;
    bring_up(context);
    for (int i = 0; i < 3; i++) {
        char data[16];
        size_t count;
        assert_true(is_wait(read_some(context->pair.near, data, sizeof data, &count)));
        turn(context);
    }
    send_text(context, context->pair.far, BYTES_LITERAL("after all"));
    expect_text(context, context->pair.near, "after all");
}

/* Writes until the stream wants, the third time in a row. Returns: how much it took. */
static size_t fill(struct context *context, struct flow *flow)
{
    unsigned wants = 0;
    while (wants < 3) {
        assert_true(flow->sent < flow->length);
        wants = flow_write(flow) ? 0 : wants + 1;
        turn(context);
    }
    return flow->sent;
}

static void writing_to_one_that_does_not_read_waits_and_loses_nothing(void **state)
{
    struct context *context = *state;
    bring_up(context);
    struct flow flow = {context->pair.near, context->pair.far, ENDLESS, TURN_BYTES, TURN_BYTES, 3, 0, 0};
    flow.length = fill(context, &flow);
    for (unsigned idle = 0; flow.received < flow.length; turn(context))
        count_idle(context, &idle, flow_read(&flow));
    flow.length += plenty(context);
    flow_through(context, &flow, 1);
}

/* After STREAM_WANT_READ nothing may wait where a poll does not see it. */
static void a_read_that_waits_has_given_everything(void **state)
{
    struct context *context = *state;
    bring_up(context);
    struct flow flow = {context->pair.far, context->pair.near, ENDLESS, TURN_BYTES, 1000, 4, 0, 0};
    flow.length = fill(context, &flow);

    struct pollfd poll_near = {.fd = stream_fd(context->pair.near), .events = POLLIN};
    enum stream_result result;
    do {
        char data[1000];
        size_t count;
        while ((result = read_some(context->pair.near, data, sizeof data, &count)) == STREAM_OK)
            flow.received += count;
        assert_true(is_wait(result));
        turn(context);
    } while (result == STREAM_WANT_WRITE ||
             (poll_near.fd < 0 ? flow.received < flow.length : poll(&poll_near, 1, 0) > 0));
    assert_int_equal(flow.received, flow.length);
}

static bool is_readable(const struct stream *stream)
{
    struct pollfd readable = {.fd = stream_fd(stream), .events = POLLIN};
    return readable.fd < 0 || poll(&readable, 1, 0) > 0; /* memory has no descriptor to wait for */
}

/* Read only where a poll wakes for it or the stream has more, everything comes, also what is sent as
 * soon as the far side has shaken hands. */
static void a_stream_without_more_holds_nothing_back_from_a_poll(void **state)
{
    struct context *context = *state;
    struct stream *near = context->pair.near, *far = context->pair.far;
    struct flow flow = {far, near, 5000, 1000, 300, 4, 0, 0};
    bool near_up = false, far_up = false;
    unsigned idle = 0;

    while (flow.received < flow.length) {
        struct err err = {0};
        bool moved = false;
        near_up = near_up || stream_handshake(near, &err) == STREAM_OK;
        turn(context);
        far_up = far_up || stream_handshake(far, &err) == STREAM_OK;
        moved = far_up && flow_write(&flow);
        turn(context);
        while (near_up && (near->more || is_readable(near)) && flow_read(&flow))
            moved = true;
        count_idle(context, &idle, moved);
    }
}

static void the_descriptor_becomes_readable_when_bytes_come(void **state)
{
    struct context *context = *state;
    struct pollfd poll_near = {.fd = stream_fd(context->pair.near), .events = POLLIN};
    char data[16];
    size_t count;

    if (poll_near.fd < 0)
        skip_because("this stream has no descriptor");
    bring_up(context);
    for (int i = 0; i < 4; i++) /* what the handshake may have left */
        assert_true(is_wait(read_some(context->pair.near, data, sizeof data, &count)));
    assert_int_equal(poll(&poll_near, 1, 0), 0);
    send_text(context, context->pair.far, BYTES_LITERAL("x"));
    assert_int_equal(poll(&poll_near, 1, 10 * 1000), 1);
    expect_text(context, context->pair.near, "x");
}

static void an_end_comes_after_the_last_byte_and_stays(void **state)
{
    struct context *context = *state;
    char data[64];
    size_t received;

    bring_up(context);
    send_text(context, context->pair.near, BYTES_LITERAL("last words"));
    end_side(context, context->pair.near);
    assert_int_equal(receive(context, context->pair.far, data, sizeof data, &received), STREAM_EOF);
    assert_int_equal(received, strlen("last words"));
    assert_memory_equal(data, "last words", received);
    for (int i = 0; i < 3; i++)
        expect_end(context, context->pair.far);
}

static void a_half_closed_side_still_receives_and_ends_afterwards(void **state)
{
    struct context *context = *state;

    bring_up(context);
    send_text(context, context->pair.near, BYTES_LITERAL("question"));
    context->pair.near->half_close = true;
    end_side(context, context->pair.near);
    expect_text(context, context->pair.far, "question");
    expect_end(context, context->pair.far);
    send_text(context, context->pair.far, BYTES_LITERAL("answer"));
    end_side(context, context->pair.far);
    expect_text(context, context->pair.near, "answer");
    expect_end(context, context->pair.near);
}

static void the_other_side_goes_on_after_an_end(void **state)
{
    struct context *context = *state;
    bring_up(context);
    end_side(context, context->pair.near);
    expect_end(context, context->pair.far);

    struct flow answer = {context->pair.far, context->pair.near, plenty(context), 1000, 1000, 5, 0, 0};
    flow_through(context, &answer, 1);
    end_side(context, context->pair.far);
    expect_end(context, context->pair.near);
}

static void both_sides_may_end_at_once(void **state)
{
    struct context *context = *state;
    bring_up(context);
    end_side(context, context->pair.near);
    end_side(context, context->pair.far);
    expect_end(context, context->pair.near);
    expect_end(context, context->pair.far);
}

static void text_is_read_before_an_abandoned_stream_fails(void **state)
{
    struct context *context = *state;
    enum err_reason abandoned = context->factory->abandoned;
    char data[64];
    size_t received = 0, count = 0;
    struct err err = {0};
    enum stream_result result = STREAM_OK;

    bring_up(context);
    send_text(context, context->pair.far, BYTES_LITERAL("cut off"));
    drop(&context->pair.far);
    for (unsigned idle = 0; result == STREAM_OK || is_wait(result); count_idle(context, &idle, count > 0)) {
        count = 0;
        result = stream_read(context->pair.near, data + received, sizeof data - received, &count, &err);
        count = result == STREAM_OK ? count : 0;
        received += count;
        turn(context);
    }
    assert_int_equal(received, strlen("cut off"));
    assert_memory_equal(data, "cut off", received);
    assert_int_equal(err.reason, abandoned);
    assert_int_equal(result, abandoned == ERR_OK ? STREAM_EOF : STREAM_FAILED);
}

/* SIGPIPE is left as it is: it would end the test. */
static void writing_to_one_that_is_gone_fails_in_words(void **state)
{
    struct context *context = *state;
    struct err err = {0};
    enum stream_result result;
    unsigned idle = 0;

    bring_up(context);
    drop(&context->pair.far);
    do {
        size_t count = 0;
        result = stream_write(context->pair.near, "hello?", 6, &count, &err);
        turn(context);
        count_idle(context, &idle, false);
    } while (result == STREAM_OK || is_wait(result));
    assert_int_equal(result, STREAM_FAILED);
    assert_int_equal(err.reason, ERR_DIALOGUE_RESET);
    assert_true(strlen(err.text) > 0);
}

int stream_contract_run(const struct stream_factory *factory)
{
#define PROMISE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    struct CMUnitTest tests[] = {
        PROMISE(a_handshake_that_is_over_stays_over),
        PROMISE(a_handshake_that_is_over_cannot_expire),
        PROMISE(the_streams_below_end_somewhere),
        PROMISE(ends_can_be_freed_before_the_handshake),
        PROMISE(bytes_arrive_as_they_were_sent),
        PROMISE(both_directions_flow_at_once),
        PROMISE(reading_where_nothing_is_waits),
        PROMISE(writing_to_one_that_does_not_read_waits_and_loses_nothing),
        PROMISE(a_read_that_waits_has_given_everything),
        PROMISE(a_stream_without_more_holds_nothing_back_from_a_poll),
        PROMISE(the_descriptor_becomes_readable_when_bytes_come),
        PROMISE(an_end_comes_after_the_last_byte_and_stays),
        PROMISE(a_half_closed_side_still_receives_and_ends_afterwards),
        PROMISE(the_other_side_goes_on_after_an_end),
        PROMISE(both_sides_may_end_at_once),
        PROMISE(text_is_read_before_an_abandoned_stream_fails),
        PROMISE(writing_to_one_that_is_gone_fails_in_words),
    };
#undef PROMISE
    for (size_t i = 0; i < COUNT(tests); i++)
        tests[i].initial_state = (void *)(uintptr_t)factory;
    signal(SIGPIPE, SIG_DFL);
    return cmocka_run_group_tests_name(factory->name, tests, NULL, NULL);
}
