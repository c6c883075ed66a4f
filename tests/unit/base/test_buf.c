#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void *scarce_malloc(size_t size);

/* The module is compiled into this program, with a malloc that can fail on request. */
#define malloc scarce_malloc
#include "base/buf.c"
#undef malloc

static size_t mallocs_left = SIZE_MAX;

static void *scarce_malloc(size_t size)
{
    if (mallocs_left == 0)
        return NULL;
    mallocs_left--;
    return malloc(size);
}

static struct bytes text(const char *literal)
{
    return (struct bytes){literal, strlen(literal)};
}

static void assert_holds(const struct buf *buf, const char *expected)
{
    assert_true(bytes_equal(buf_bytes(buf), text(expected)));
    const struct buf_block *block = buf->block;
    assert_true(block == NULL || (block->length > 0 && block->offset + block->length <= block->capacity));
}

static void views_are_skipped_and_compared(void **state)
{
    (void)state;
    assert_true(bytes_equal(bytes_skip(text("abc"), 1), text("bc")));
    assert_int_equal(bytes_skip(text("abc"), 3).length, 0);
    assert_true(bytes_equal((struct bytes){0}, bytes_skip((struct bytes){0}, 0)));
    assert_true(bytes_equal((struct bytes){"a\0b", 3}, BYTES_LITERAL("a\0b")));
    assert_false(bytes_equal((struct bytes){"a\0b", 3}, BYTES_LITERAL("a\0c")));
    assert_false(bytes_equal(text("ab"), text("abc")));
}

static void sink_takes_all_of_a_view_or_nothing(void **state)
{
    (void)state;
    char data[5] = "....";
    struct sink sink = {data, 0, 4};
    assert_true(sink_put(&sink, text("abc")));
    assert_int_equal(sink_room(&sink), 1);
    assert_false(sink_put(&sink, text("de")));
    assert_int_equal(sink.length, 3);
    assert_string_equal(data, "abc.");
    assert_true(sink_put(&sink, text("d")));
    assert_true(sink_put(&sink, (struct bytes){0}));
    assert_false(sink_put(&sink, text("e")));
    assert_string_equal(data, "abcd");
}

static void buffer_gives_back_bytes_in_order_however_they_come_and_go(void **state)
{
    (void)state;
    struct buf buf = {0};
    unsigned char next_in = 0;
    unsigned char next_out = 0;
    for (size_t round = 1; round < 600; round++) {
        char piece[700];
        size_t in = round * 7 % 613;
        for (size_t i = 0; i < in; i++)
            piece[i] = (char)next_in++;
        assert_int_equal(buf_append(&buf, (struct bytes){piece, in}), 0);
        struct bytes held = buf_bytes(&buf);
        size_t out = round * 11 % 617;
        if (out > held.length)
            out = held.length;
        for (size_t i = 0; i < out; i++)
            assert_int_equal((unsigned char)held.data[i], next_out++);
        buf_consume(&buf, out);
        assert_true((buf_length(&buf) == 0) == (buf.block == NULL));
    }
    buf_fini(&buf);
}

static void buffer_holds_no_memory_while_it_is_empty(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, (struct bytes){0}), 0);
    assert_null(buf.block);
    assert_int_equal(buf_append(&buf, text("Michael")), 0);
    buf_consume(&buf, 3);
    assert_holds(&buf, "hael");
    assert_non_null(buf.block);
    buf_consume(&buf, 4);
    assert_holds(&buf, "");
    assert_null(buf.block);
    buf_consume(&buf, 0);
    assert_int_equal(buf_append(&buf, text("again")), 0);
    assert_holds(&buf, "again");
    buf_fini(&buf);
    assert_holds(&buf, "");
    buf_fini(&buf);
}

static void buffer_moves_its_bytes_up_where_that_is_room_enough(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, text("front")), 0);
    size_t capacity = buf.block->capacity;
    mallocs_left = 0;
    for (size_t i = 0; i < 10 * capacity; i++) {
        assert_int_equal(buf_append(&buf, text("12345")), 0);
        buf_consume(&buf, 5);
    }
    assert_holds(&buf, "12345");
    assert_int_equal(buf.block->capacity, capacity);
    mallocs_left = SIZE_MAX;
    buf_fini(&buf);
}

static void buffer_grows_in_proportion_to_its_size(void **state)
{
    (void)state;
    struct buf buf = {0};
    size_t before = SIZE_MAX;
    mallocs_left = before;
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal(buf_append(&buf, text("x")), 0);
    assert_in_range(before - mallocs_left, 1, 20);
    assert_int_equal(buf_length(&buf), 1 << 20);
    assert_in_range(buf.block->capacity, 1 << 20, 2 << 20);
    buf_fini(&buf);
}

static void buffer_is_unchanged_where_memory_is_exhausted(void **state)
{
    (void)state;
    struct buf buf = {0};
    char big[1024] = {0};
    mallocs_left = 0;
    assert_int_equal(buf_append(&buf, text("x")), -1);
    assert_holds(&buf, "");
    mallocs_left = 1;
    assert_int_equal(buf_append(&buf, text("xMichael")), 0);
    buf_consume(&buf, 1);
    assert_int_equal(buf_append(&buf, (struct bytes){big, sizeof(big)}), -1);
    assert_holds(&buf, "Michael");
    mallocs_left = SIZE_MAX;
    assert_int_equal(buf_append(&buf, text("!")), 0);
    assert_holds(&buf, "Michael!");
    buf_fini(&buf);
}

static void buffer_refuses_lengths_that_overflow(void **state)
{
    (void)state;
    struct buf buf = {0};
    assert_int_equal(buf_append(&buf, text("x")), 0);
    mallocs_left = 0;
    assert_int_equal(buf_append(&buf, (struct bytes){"", SIZE_MAX}), -1);
    assert_int_equal(buf_append(&buf, (struct bytes){"", SIZE_MAX - 1}), -1);
    assert_int_equal(buf_append(&buf, (struct bytes){"", SIZE_MAX / 2 + 1}), -1);
    mallocs_left = SIZE_MAX;
    assert_holds(&buf, "x");
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_skipped_and_compared),
        cmocka_unit_test(sink_takes_all_of_a_view_or_nothing),
        cmocka_unit_test(buffer_gives_back_bytes_in_order_however_they_come_and_go),
        cmocka_unit_test(buffer_holds_no_memory_while_it_is_empty),
        cmocka_unit_test(buffer_moves_its_bytes_up_where_that_is_room_enough),
        cmocka_unit_test(buffer_grows_in_proportion_to_its_size),
        cmocka_unit_test(buffer_is_unchanged_where_memory_is_exhausted),
        cmocka_unit_test(buffer_refuses_lengths_that_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
