/* Input: what happens at the end (0: the peer ends, else the deadlines come), number of steps (1 to 6), then
 * a byte for each: its kind and its text from the lists below, number of cuts (0 to 15), their lengths, then
 * what the peer sends. A text that stands behind a line of `=` at the end of the input is a step of its own,
 * whatever it is: the run must only not fail in another way. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/core/script_run.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { ANSWER_MS = 10000, OUT_BYTES = 4096, HEAD = 2, KINDS = 3, EXPIRATIONS = 40 };

static const char *const sends[] = {"a", "EHLO x\\r\\n", "\\0\\xff"};
static const char *const patterns[] = {"^220 ",    "a+$",         "^2.*",    "a(?!b)",  "(?<=\\n)a",
                                       "^a$",      "b(?=[^c]*c)", "\\Ga|b$", "(a|b)*c", "[\\s\\S]a",
                                       "a\\r?\\n", "\\bab?\\b",   "(?i)A.B", "(a+)+c$", "a\\Z",
                                       "\\Aa",     "(?>a*)b",     "(.)\\1",  "a\\Kb"};

struct input {
    bool expires;
    struct script script;
    const uint8_t *cuts;
    size_t cut_count;
    struct bytes received;
};

/* One execution and what came of it. */
struct run {
    struct script_run script;
    struct buf in, sent;
    char room[OUT_BYTES];
    int64_t now_ms;
    size_t consumed;
};

/* The step behind the last line of its own. Returns: false where it is none. */
static bool add_free_step(struct input *input)
{
    static const char mark[] = "\n=\n";
    struct bytes *all = &input->received;
    char text[256];

    for (size_t at = all->length; at >= sizeof mark; at--) {
        const char *found = all->data + at - (sizeof mark - 1);
        size_t length = all->length - at;
        if (memcmp(found, mark, sizeof mark - 1) != 0 || length == 0 || length >= sizeof text)
            continue;
        memcpy(text, all->data + at, length);
        text[length] = '\0';
        all->length = at - (sizeof mark - 1);
        struct err err = {0};
        enum script_kind kind = strchr(text, 'R') != NULL ? SCRIPT_REJECT : SCRIPT_EXPECT;
        return script_add(&input->script, kind, text, &err) == 0;
    }
    return true;
}

static bool read_input(struct input *input, const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return false;
    size_t steps = 1 + data[1] % 6;
    if (size < HEAD + steps + 1 || size < HEAD + steps + 1 + data[HEAD + steps] % 16)
        return false;
    input->expires = data[0] != 0;
    for (size_t i = 0; i < steps; i++) {
        uint8_t which = data[HEAD + i];
        enum script_kind kind = (enum script_kind)(which % KINDS);
        const char *text = kind == SCRIPT_SEND ? sends[which / KINDS % COUNT(sends)]
                                               : patterns[which / KINDS % COUNT(patterns)];
        struct err err = {0};
        CHECK(script_add(&input->script, kind, text, &err) == 0);
    }
    input->cut_count = data[HEAD + steps] % 16;
    input->cuts = data + HEAD + steps + 1;
    size_t head = HEAD + steps + 1 + input->cut_count;
    input->received = (struct bytes){(const char *)data + head, size - head};
    return true;
}

static bool is_over(const struct run *run)
{
    enum dialogue_state state = run->script.dialogue.state;
    return state == DIALOGUE_OVER || state == DIALOGUE_FAILED;
}

/* Calls one operation on what is there, and takes what it sends. */
static void call(struct run *run,
                 size_t (*operation)(struct dialogue *, struct bytes, struct sink *, int64_t))
{
    struct sink out = {run->room, 0, sizeof run->room};
    size_t consumed = operation(&run->script.dialogue, buf_bytes(&run->in), &out, run->now_ms);
    CHECK(consumed <= buf_length(&run->in));
    buf_consume(&run->in, consumed);
    run->consumed += consumed;
    CHECK(buf_append(&run->sent, (struct bytes){out.data, out.length}) == 0);
    CHECK(run->script.dialogue.state != DIALOGUE_RUNNING || buf_length(&run->in) <= DIALOGUE_KEEP_BYTES);
}

static void end(struct run *run, bool expires)
{
    for (int i = 0; expires && !is_over(run) && run->script.dialogue.deadline_ms != DIALOGUE_NEVER; i++) {
        CHECK(i < EXPIRATIONS && run->script.dialogue.deadline_ms > run->now_ms);
        run->now_ms = run->script.dialogue.deadline_ms;
        call(run, dialogue_expire);
    }
    if (!is_over(run))
        call(run, dialogue_eof);
    CHECK(is_over(run));
}

static void execute(struct run *run, const struct input *input, bool cut)
{
    struct bytes rest = input->received;
    struct sink out = {run->room, 0, sizeof run->room};

    script_run_init(&run->script, &input->script, ANSWER_MS);
    dialogue_begin(&run->script.dialogue, &out, run->now_ms);
    CHECK(buf_append(&run->sent, (struct bytes){out.data, out.length}) == 0);
    for (size_t i = 0; rest.length > 0 && !is_over(run); i++) {
        size_t length = cut && input->cut_count > 0 ? input->cuts[i % input->cut_count] + 1U : rest.length;
        length = length < rest.length ? length : rest.length;
        CHECK(buf_append(&run->in, (struct bytes){rest.data, length}) == 0);
        call(run, dialogue_receive);
        rest = bytes_skip(rest, length);
    }
    end(run, input->expires);
}

static void check_sentence(const struct run *run, struct err *err)
{
    if (run->script.dialogue.state != DIALOGUE_FAILED)
        return;
    dialogue_failure(&run->script.dialogue, buf_bytes(&run->in), err);
    CHECK(err->reason != ERR_OK && err->text[0] != '\0');
    for (const char *c = err->text; *c != '\0'; c++)
        CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void fini(struct run *run)
{
    buf_fini(&run->in);
    buf_fini(&run->sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {0};
    struct err why = {0};
    if (script_check_built(&why) < 0 || !read_input(&input, data, size)) {
        script_free(&input.script);
        return 0;
    }
    size_t known = input.script.count;
    if (add_free_step(&input)) {
        struct run whole = {0}, cut = {0};
        struct err whole_err = {0}, cut_err = {0};
        execute(&whole, &input, false);
        execute(&cut, &input, true);
        check_sentence(&whole, &whole_err);
        check_sentence(&cut, &cut_err);
        CHECK(known < input.script.count || bytes_equal(buf_bytes(&whole.sent), buf_bytes(&cut.sent)));
        CHECK(known < input.script.count || whole_err.reason == cut_err.reason);
        CHECK(known < input.script.count || whole.script.end == cut.script.end);
        fini(&whole);
        fini(&cut);
    }
    script_free(&input.script);
    return 0;
}
