#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/name_input.h"
#include "support/watched.h"

enum { NEVER_OPEN = 1 << 20 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LITERAL(text)                                                                                        \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

/* Names that are read while they are written piece by piece. */
struct source {
    struct watched watched;
    struct name_input names;
    bool more;
    int writer; /* -1: all is there */
    struct bytes unwritten;
    size_t piece;
    struct buf results; /* of name_input_next: [name], !message! where one is refused, . at the end */
};

static void on_more(void *context)
{
    struct source *source = context;
    source->more = true;
}

static void source_open(struct source *source, int fd, enum session_framing framing)
{
    struct err err = {0};
    watched_open(&source->watched);
    source->names.framing = framing;
    source->names.input.more = on_more;
    source->names.input.context = source;
    if (name_input_open(&source->names, &source->watched.loop, fd, &err) < 0)
        fail_msg("%s", err.text);
}

static void source_close(struct source *source)
{
    name_input_close(&source->names);
    watched_close(&source->watched);
    buf_fini(&source->results);
}

static void record(struct source *source, const char *before, struct bytes bytes, const char *after)
{
    if (buf_append(&source->results, (struct bytes){before, strlen(before)}) < 0 ||
        buf_append(&source->results, bytes) < 0 ||
        buf_append(&source->results, (struct bytes){after, strlen(after)}) < 0)
        abort();
}

/* The next piece is written only when it is waited for. */
static void wait_for_more(struct source *source)
{
    struct bytes piece = source->unwritten;
    source->more = false;
    if (source->writer >= 0) {
        piece.length = piece.length < source->piece ? piece.length : source->piece;
        assert_int_equal(write(source->writer, piece.data, piece.length), piece.length);
        source->unwritten = bytes_skip(source->unwritten, piece.length);
        if (source->unwritten.length == 0) {
            close(source->writer);
            source->writer = -1;
        }
    }
    watched_run(&source->watched, &source->more);
}

static void record_all(struct source *source)
{
    for (;;) {
        struct bytes name = {0};
        struct err err = {0};
        switch (name_input_next(&source->names, &name, &err)) {
        case NAME_INPUT_NEXT:
            assert_int_equal(err.reason, ERR_OK);
            record(source, "[", name, "]");
            break;
        case NAME_INPUT_REFUSED:
            assert_int_equal(err.reason, ERR_USAGE);
            record(source, "!", (struct bytes){err.text, strlen(err.text)}, "!");
            break;
        case NAME_INPUT_WAIT:
            wait_for_more(source);
            break;
        case NAME_INPUT_FAILED:
            record(source, "?", (struct bytes){err.text, strlen(err.text)}, "?");
            return;
        case NAME_INPUT_END:
            record(source, ".", (struct bytes){0}, "");
            return;
        }
    }
}

static void expect_recorded(struct source *source, const char *about, const char *due, size_t length)
{
    struct bytes results = buf_bytes(&source->results);
    if (!bytes_equal(results, (struct bytes){due, length}))
        fail_msg("%s: recorded \"%.*s\", not \"%s\"", about, (int)results.length, results.data, due);
}

static int temporary_file(struct bytes content)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(content.data, 1, content.length, file), content.length);
    rewind(file);
    int fd = dup(fileno(file));
    fclose(file);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

enum kind { PIPE, SOCKET, FILE_ON_DISK, KINDS };

static void read_through(enum kind kind, struct bytes in, size_t piece, enum session_framing framing,
                         struct bytes due)
{
    static const char *const kinds[KINDS] = {"pipe", "socket", "file"};
    struct source source = {.writer = -1, .unwritten = in, .piece = piece};
    int fds[2];

    if (kind == FILE_ON_DISK) {
        fds[0] = temporary_file(in);
    } else {
        assert_int_equal(kind == PIPE ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        source.writer = fds[1];
    }
    int flags = fcntl(fds[0], F_GETFL);
    source_open(&source, fds[0], framing);
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);
    record_all(&source);
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);
    expect_recorded(&source, kinds[kind], due.data, due.length);
    source_close(&source);
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);
    close(fds[0]);
}

static void lines_become_names(void **state)
{
    static const struct {
        struct bytes in, due;
    } cases[] = {
        {LITERAL(""), LITERAL(".")},
        {LITERAL("Ann\nBob\n"), LITERAL("[Ann][Bob].")},
        {LITERAL("Ann\nBob"), LITERAL("[Ann][Bob].")},
        {LITERAL("Ann\r\nBob\r\n"), LITERAL("[Ann][Bob].")},
        {LITERAL("Ann\r\r\nB\rob\n"), LITERAL("[Ann\r][B\rob].")},
        {LITERAL("Ann\r"), LITERAL("[Ann\r].")},
        {LITERAL("\n\r\n\n"), LITERAL("[][][].")},
        {LITERAL("A\0n\n\xff\n"), LITERAL("[A\0n][\xff].")},
        {LITERAL(" exit \nexit\n"), LITERAL("[ exit ][exit].")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int kind = 0; kind < KINDS; kind++)
            for (size_t piece = 1; piece < 10; piece += 4)
                read_through((enum kind)kind, cases[i].in, piece, SESSION_FRAMING_AUTO, cases[i].due);
}

static void append(struct buf *buf, const char *text, size_t repeat)
{
    for (size_t i = 0; i < repeat; i++)
        if (buf_append(buf, (struct bytes){text, strlen(text)}) < 0)
            abort();
}

/* The line before, one of `length` bytes and its end, the line after. */
static void read_long_line(size_t length, const char *end, bool fits)
{
    struct buf in = {0}, due = {0};
    append(&in, "before\n", 1);
    append(&in, "x", length);
    append(&in, end, 1);
    append(&in, "after\n", 1);
    append(&due, "[before]", 1);
    if (fits) {
        append(&due, "[", 1);
        append(&due, "x", length);
        append(&due, "]", 1);
    } else {
        char sentence[200];
        snprintf(sentence, sizeof sentence, "!line 2 of standard input: the name of %zu bytes is too long",
                 length);
        append(&due, sentence, 1);
    }
    for (int kind = 0; kind < KINDS; kind++) {
        static const size_t pieces[] = {100, 1032, 5000}; /* 1032: between CR and LF */
        for (size_t i = 0; i < COUNT(pieces); i++) {
            struct source source = {.writer = -1, .unwritten = buf_bytes(&in), .piece = pieces[i]};
            int fds[2] = {-1, -1};
            if (kind == FILE_ON_DISK)
                fds[0] = temporary_file(buf_bytes(&in));
            else
                assert_int_equal(pipe(fds), 0);
            source.writer = fds[1];
            source_open(&source, fds[0], SESSION_FRAMING_AUTO);
            record_all(&source);
            struct bytes results = buf_bytes(&source.results);
            const char *refusal = "!line 2 of standard input: the name ";
            size_t common = fits ? buf_length(&due) : strlen("[before]") + strlen(refusal);
            assert_true(results.length >= common);
            assert_memory_equal(results.data, buf_bytes(&due).data, common);
            assert_memory_equal(results.data + results.length - 9,
                                fits ? "]"
                                       "[after]."
                                     : "!"
                                       "[after].",
                                9);
            unsigned refusals = 0;
            for (size_t j = 0; j < results.length; j++)
                refusals += results.data[j] == '!';
            assert_int_equal(refusals, fits ? 0 : 2); /* around one sentence */
            source_close(&source);
            close(fds[0]);
        }
    }
    buf_fini(&in);
    buf_fini(&due);
}

static void a_line_that_is_too_long_is_refused_once(void **state)
{
    (void)state;
    read_long_line(1024, "\n", true);
    read_long_line(1024, "\r\n", true);
    read_long_line(1025, "\n", false);
    read_long_line(1025, "\r\n", false);
    read_long_line(1026, "\n", false);
    read_long_line(4096, "\n", false);
    read_long_line(5000, "\n", false);
    read_long_line(100 * 1000, "\n", false);
}

static void a_last_line_that_is_too_long_is_refused_once(void **state)
{
    (void)state;
    for (size_t length = 1025; length < 20000; length *= 2) {
        struct buf in = {0};
        struct source source = {.writer = -1};
        append(&in, "x", length);
        int fd = temporary_file(buf_bytes(&in));
        source_open(&source, fd, SESSION_FRAMING_AUTO);
        record_all(&source);
        struct bytes results = buf_bytes(&source.results);
        assert_memory_equal(results.data, "!line 1 of standard input: the name ", 36);
        assert_ptr_equal(memchr(results.data + 1, '!', results.length - 1),
                         results.data + results.length - 2);
        source_close(&source);
        buf_fini(&in);
        close(fd);
    }
}

static void operands_come_first_and_only(void **state)
{
    static const char *const operands[] = {"Ann", "", "B b"};
    struct source source = {.writer = -1, .names = {.operands = operands, .operand_count = 3}};
    int fd = temporary_file(BYTES_LITERAL("not these\n"));
    (void)state;
    source_open(&source, fd, SESSION_FRAMING_AUTO);
    record_all(&source);
    expect_recorded(&source, "operands", "[Ann][][B b].", 13);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    source_close(&source);
    close(fd);
}

/* A long file of names must leave the loop time for its other work. */
static void a_long_file_lets_the_loop_have_its_turn(void **state)
{
    struct buf in = {0};
    struct source source = {.writer = -1};
    unsigned waits = 0;
    size_t count = 0;
    (void)state;

    append(&in, "a name of some\n", 1 << 16);
    int fd = temporary_file(buf_bytes(&in));
    source_open(&source, fd, SESSION_FRAMING_AUTO);
    for (bool end = false; !end;) {
        struct bytes name;
        struct err err = {0};
        enum name_input_result result = name_input_next(&source.names, &name, &err);
        end = result == NAME_INPUT_END;
        count += result == NAME_INPUT_NEXT;
        if (result == NAME_INPUT_WAIT) {
            waits++;
            wait_for_more(&source);
        }
    }
    assert_int_equal(count, 1 << 16);
    assert_in_range(waits, 1, 16);
    source_close(&source);
    buf_fini(&in);
    close(fd);
}

/* Another process may read what made the descriptor readable. */
static void a_false_alarm_is_waited_out(void **state)
{
    struct source source = {.writer = -1};
    struct bytes name;
    struct err err = {0};
    int fds[2];
    (void)state;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    source_open(&source, fds[0], SESSION_FRAMING_AUTO);
    assert_int_equal(name_input_next(&source.names, &name, &err), NAME_INPUT_WAIT);
    assert_int_equal(write(fds[1], "x", 1), 1);
    watched_run(&source.watched, &source.more);
    assert_int_equal(read(fds[0], &(char){0}, 1), 1);
    assert_int_equal(name_input_next(&source.names, &name, &err), NAME_INPUT_WAIT);
    assert_int_equal(write(fds[1], "Ann\n", 4), 4);
    close(fds[1]);
    record_all(&source);
    expect_recorded(&source, "pipe", "[Ann].", 6);
    source_close(&source);
    close(fds[0]);
}

static void what_cannot_be_read_is_an_error(void **state)
{
    struct source closed = {.writer = -1}, folder = {.writer = -1};
    struct err err = {0};
    (void)state;

    watched_open(&closed.watched);
    assert_int_equal(name_input_open(&closed.names, &closed.watched.loop, NEVER_OPEN, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_int_equal(err.native, EBADF);
    source_close(&closed);

    int fd = open("/", O_RDONLY);
    source_open(&folder, fd, SESSION_FRAMING_AUTO);
    record_all(&folder);
    assert_memory_equal(buf_bytes(&folder.results).data, "?cannot read standard input: ", 29);
    source_close(&folder);
    close(fd);
}

static void names_can_be_closed_while_they_are_waited_for(void **state)
{
    struct source source = {.writer = -1};
    struct bytes name;
    struct err err = {0};
    int fds[2];
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "unfinished", 10), 10);
    source_open(&source, fds[0], SESSION_FRAMING_AUTO);
    assert_int_equal(name_input_next(&source.names, &name, &err), NAME_INPUT_WAIT);
    watched_run(&source.watched, &source.more);
    assert_int_equal(name_input_next(&source.names, &name, &err), NAME_INPUT_WAIT);
    source_close(&source);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_names),
        cmocka_unit_test(a_line_that_is_too_long_is_refused_once),
        cmocka_unit_test(a_last_line_that_is_too_long_is_refused_once),
        cmocka_unit_test(operands_come_first_and_only),
        cmocka_unit_test(a_long_file_lets_the_loop_have_its_turn),
        cmocka_unit_test(a_false_alarm_is_waited_out),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
        cmocka_unit_test(names_can_be_closed_while_they_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
