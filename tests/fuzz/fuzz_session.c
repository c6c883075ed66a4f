/* Input: mode, room (2), drain, number of cuts (0 to 15), their lengths, then what the mode reads:
 * 0: what a peer sends to a server; 1: the names that a client sends to a server; 2: what a server sends to a
 * client. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/script.h"

#define WHOAMI_LINES "Server: peer: p\nServer: connection: 1\n"

static bool answer_whoami(const struct session *session, struct sink *out)
{
    static const char *const values[WHOAMI_KEY_COUNT] = {"p", "", "", "", "", "", "", "", "", "1"};
    (void)session;
    return whoami_put(values, out);
}

static const struct session_policy defaults = {
    .idle_ms = 300000, .name_ms = 30000, .pause_ms = 300, .answer_ms = 10000, .whoami = answer_whoami};

struct cuts {
    const uint8_t *lengths;
    size_t count, next;
};

struct input {
    unsigned mode, variant;
    size_t room, drain;
    struct cuts cuts;
    struct bytes rest;
};

static bool read_input(struct input *input, const uint8_t *data, size_t size)
{
    enum { HEAD = 5 };
    if (size < HEAD || size < HEAD + (size_t)(data[4] % 16))
        return false;
    size_t count = data[4] % 16;
    *input =
        (struct input){.mode = data[0] % 3,
                       .variant = data[0] / 3,
                       .room = WHOAMI_BYTES + GREETING_ANSWER_MAX + ((size_t)data[1] << 8 | data[2]) % 4096,
                       .drain = data[3],
                       .cuts = {data + HEAD, count, 0},
                       .rest = {(const char *)data + HEAD + count, size - HEAD - count}};
    return true;
}

/* Returns: the length of the next piece, at most limit; 0 stands for all. */
static size_t next_cut(struct cuts *cuts, size_t limit)
{
    size_t length = cuts->count > 0 ? cuts->lengths[cuts->next++ % cuts->count] : 0;
    return length == 0 || length > limit ? limit : length;
}

static void feed(struct script *script, struct bytes bytes, struct cuts cuts)
{
    while (bytes.length > 0) {
        size_t length = next_cut(&cuts, bytes.length);
        script_feed(script, (struct bytes){bytes.data, length});
        bytes = bytes_skip(bytes, length);
    }
}

/* docs/protocol.md once more, over all of the input at once, without pauses and without thought for speed. */
struct model {
    struct buf sent;
    enum session_end end;
    uint32_t names;
};

static void model_send(struct model *model, struct bytes words)
{
    CHECK(buf_append(&model->sent, words) == 0);
}

#define SEND(model, words) model_send(model, BYTES_LITERAL(words))

static bool model_http(struct bytes line)
{
    const char *end = line.data + line.length;
    const char *method_end = memchr(line.data, ' ', line.length);
    if (line.length > 1024 || method_end == NULL || method_end - line.data < 3)
        return false;
    for (const char *c = line.data; c < method_end; c++)
        if (*c < 'A' || *c > 'Z')
            return false;
    const char *target = method_end + 1;
    const char *target_end = memchr(target, ' ', (size_t)(end - target));
    return target_end != NULL && target_end > target && end - target_end >= 6 &&
           memcmp(target_end, " HTTP/", 6) == 0;
}

/* A line that is longer than a name may be. */
static bool model_http_begun(struct bytes line)
{
    size_t method = 0;
    while (method < line.length && line.data[method] >= 'A' && line.data[method] <= 'Z')
        method++;
    struct bytes target = bytes_skip(line, method);
    return method >= 3 && target.length >= 9 &&
           (memcmp(target.data, " /", 2) == 0 || memcmp(target.data, " http://", 8) == 0 ||
            memcmp(target.data, " https://", 9) == 0);
}

/* Returns: whether the peer came for another protocol. */
static bool model_foreign(struct model *model, struct bytes in)
{
    if (in.length >= 3 && in.data[0] == 0x16 && in.data[1] == 3 && (unsigned char)in.data[2] <= 4)
        model->end = SESSION_END_TLS_CLIENT;
    const char *lf = in.length > 0 ? memchr(in.data, '\n', in.length) : NULL;
    size_t length = lf != NULL ? (size_t)(lf - in.data) : in.length;
    length -= length > 0 && in.data[length - 1] == '\r';
    struct bytes line = {in.data, length};
    if (length > 1024 ? model_http_begun(line) : lf != NULL && length > 0 && model_http(line))
        model->end = SESSION_END_HTTP_CLIENT;
    return model->end != SESSION_END_NONE;
}

static void model_answer(struct model *model, struct bytes name)
{
    if (name.length > 1024) {
        SEND(model, "Server: Sorry, a name has at most 1024 bytes.\n");
    } else if (name.length == 4 && memcmp(name.data, "exit", 4) == 0) {
        SEND(model, "Server: Good bye!\n");
        model->end = SESSION_END_EXIT;
        return;
    } else if (name.length == 6 && memcmp(name.data, "whoami", 6) == 0) {
        SEND(model, WHOAMI_LINES);
    } else if (name.length > 0) {
        SEND(model, "Server: Hello ");
        model_send(model, name);
        SEND(model, "!\n");
        model->names++;
    }
    SEND(model, "Server: What's your name?");
}

static void model_serve(struct model *model, struct bytes in)
{
    SEND(model, "Server: Welcome!\nServer: What's your name?");
    if (model_foreign(model, in))
        return;
    while (in.length > 0 && model->end == SESSION_END_NONE) {
        size_t length = 0;
        while (length < in.length && in.data[length] != '\n')
            length++;
        bool ended = length < in.length;
        size_t letters = ended && length > 0 && in.data[length - 1] == '\r' ? length - 1 : length;
        model_answer(model, (struct bytes){in.data, letters});
        in = bytes_skip(in, ended ? length + 1 : length);
    }
    if (model->end == SESSION_END_NONE)
        model->end = SESSION_END_PEER;
}

static void serve(const struct input *input)
{
    struct script script = {.policy = defaults, .room = input->room, .drain = input->drain};
    struct model model = {0};
    script_serve(&script);
    feed(&script, input->rest, input->cuts);
    script_eof(&script);
    model_serve(&model, input->rest);
    CHECK(bytes_equal(script_output(&script), buf_bytes(&model.sent)));
    CHECK(script.session.end == model.end && script.session.names == model.names);
    script_fini(&script);
    buf_fini(&model.sent);
}

/* Moves what one side sent towards the other. Returns: whether a piece arrived. */
static bool carry(struct script *from, struct buf *way, struct script *to, struct cuts *cuts)
{
    CHECK(buf_append(way, script_output(from)) == 0);
    script_hush(from);
    if (buf_length(way) == 0)
        return false;
    size_t length = next_cut(cuts, buf_length(way));
    script_feed(to, (struct bytes){buf_bytes(way).data, length});
    buf_consume(way, length);
    return true;
}

/* Returns: the next name, exit at the last. The first one is of no other protocol. */
static struct bytes next_name(struct bytes *names, bool first)
{
    if (first)
        return BYTES_LITERAL("peer");
    if (names->length == 0)
        return BYTES_LITERAL("exit");
    size_t length = 0;
    while (length < names->length && length < 1024 && names->data[length] != '\n')
        length++;
    struct bytes name = {names->data, length};
    *names = bytes_skip(*names, length < names->length && names->data[length] == '\n' ? length + 1 : length);
    return name;
}

static void meet(struct input *input)
{
    struct script server = {.policy = defaults, .room = input->room, .drain = input->drain}, client = server;
    struct buf up = {0}, down = {0};
    uint32_t sent = 0;
    bool first = true;
    client.policy.framing = (enum session_framing)(input->variant % 3);
    script_serve(&server);
    script_visit(&client);
    while (client.session.state != SESSION_PARTED) {
        if (carry(&client, &up, &server, &input->cuts) || carry(&server, &down, &client, &input->cuts))
            continue;
        if (client.session.state == SESSION_READY) {
            struct bytes name = next_name(&input->rest, first);
            first = false;
            CHECK(session_name_fits(client.policy.framing, name, NULL) == 0);
            sent +=
                name.length > 0 && !greeting_is_exit(name) && !bytes_equal(name, BYTES_LITERAL(WHOAMI_NAME));
            script_send(&client, name);
        } else { /* a bare name, which a pause ends */
            CHECK(client.policy.framing == SESSION_FRAMING_BARE);
            CHECK(server.session.state == SESSION_LISTENING);
            script_expire(&server);
        }
    }
    script_eof(&client);
    CHECK(client.session.end == SESSION_END_EXIT && server.session.end == SESSION_END_EXIT);
    CHECK(client.session.names == sent && server.session.names == sent);
    script_fini(&server);
    script_fini(&client);
    buf_fini(&up);
    buf_fini(&down);
}

/* Brings a client into one of its states. */
static void begin_visit(struct script *script, unsigned variant)
{
    static const struct bytes welcome = BYTES_LITERAL("Server: Welcome!\nServer: What's your name?");
    *script = (struct script){.policy = defaults, .room = GREETING_ANSWER_MAX};
    script->policy.framing = (enum session_framing)(variant % 3);
    script_visit(script);
    variant = variant / 3 % 6;
    if (variant >= 1)
        script_feed(script, welcome);
    if (variant >= 2)
        script_send(script, variant == 2   ? BYTES_LITERAL("Ann")
                            : variant == 5 ? BYTES_LITERAL(WHOAMI_NAME)
                                           : BYTES_LITERAL("exit"));
    if (variant == 4)
        script_feed(script, BYTES_LITERAL("Server: Good bye!\n"));
}

static void check_sentence(struct script *script)
{
    struct err err = {0};
    bool failed = script_failed(script, &err);
    CHECK(failed == (script->session.end != SESSION_END_EXIT) && failed == (err.text[0] != '\0'));
    for (const char *c = err.text; *c != '\0'; c++)
        CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void visit(const struct input *input)
{
    struct script whole, cut;
    begin_visit(&whole, input->variant);
    begin_visit(&cut, input->variant);
    script_feed(&whole, input->rest);
    feed(&cut, input->rest, input->cuts);
    CHECK(script_outcome_equal(script_outcome(&whole), script_outcome(&cut)));
    script_eof(&whole);
    script_eof(&cut);
    CHECK(script_outcome_equal(script_outcome(&whole), script_outcome(&cut)));
    CHECK(bytes_equal(script_output(&whole), script_output(&cut)));
    check_sentence(&whole);
    check_sentence(&cut);
    script_fini(&whole);
    script_fini(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (!read_input(&input, data, size))
        return 0;
    if (input.mode == 0)
        serve(&input);
    else if (input.mode == 1)
        meet(&input);
    else
        visit(&input);
    return 0;
}
