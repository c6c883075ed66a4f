/* Input: flags (1: bare framing, 2: from a file, else from a pipe), the length of the pieces that the pipe
 * gets (0: all in one), then what stands in it: lines with names. */
#include "fuzz/fuzz.h"

#include <unistd.h>
#include <uv.h>

#include "client/name_input.h"

enum { HEAD = 2, INPUT_MAX = 32 * 1024 /* fits into a pipe */ };

struct source {
    uv_loop_t loop;
    struct name_input names;
    bool more;
    int reader, writer; /* -1: all is there */
    struct bytes unwritten;
    size_t piece;
};

/* What is to come: the lines once more, without thought for pieces. */
struct model {
    struct bytes left;
    enum session_framing framing;
};

/* Returns: whether there is a name; *fits: whether it can be sent. */
static bool model_next(struct model *model, struct bytes *name, bool *fits)
{
    struct err err = {0};
    if (model->left.length == 0)
        return false;
    const char *lf = memchr(model->left.data, '\n', model->left.length);
    size_t length = lf != NULL ? (size_t)(lf - model->left.data) : model->left.length;
    *name = (struct bytes){model->left.data, length};
    if (lf != NULL && length > 0 && model->left.data[length - 1] == '\r')
        name->length--;
    model->left = bytes_skip(model->left, lf != NULL ? length + 1 : length);
    *fits = session_name_fits(model->framing, *name, &err) == 0;
    return true;
}

static void on_more(void *context)
{
    struct source *source = context;
    source->more = true;
}

static void put(struct source *source)
{
    struct bytes piece = source->unwritten;
    if (source->writer < 0)
        return;
    if (source->piece > 0 && source->piece < piece.length)
        piece.length = source->piece;
    if (piece.length > 0)
        CHECK(write(source->writer, piece.data, piece.length) == (ssize_t)piece.length);
    source->unwritten = bytes_skip(source->unwritten, piece.length);
    if (source->unwritten.length == 0) {
        close(source->writer);
        source->writer = -1;
    }
}

/* The next piece is written only when it is waited for. */
static void wait_for_more(struct source *source)
{
    source->more = false;
    put(source);
    while (!source->more)
        CHECK(uv_run(&source->loop, UV_RUN_ONCE) != 0 || source->more);
}

static void source_open(struct source *source, bool is_file)
{
    struct err err = {0};
    int fds[2] = {-1, -1};
    if (is_file) {
        fds[0] = fuzz_file(source->unwritten.data, source->unwritten.length);
    } else {
        CHECK(pipe(fds) == 0);
    }
    source->reader = fds[0];
    source->writer = fds[1];
    source->names.input.more = on_more;
    source->names.input.context = source;
    CHECK(uv_loop_init(&source->loop) == 0);
    CHECK(name_input_open(&source->names, &source->loop, source->reader, &err) == 0);
}

static void source_close(struct source *source)
{
    name_input_close(&source->names);
    (void)uv_run(&source->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&source->loop) == 0);
    close(source->reader);
    CHECK(source->writer < 0);
}

/* Returns: whether there was one more. */
static bool check_next(struct source *source, struct model *model)
{
    struct bytes name = {0}, due;
    struct err err = {0};
    bool fits = true;
    enum name_input_result result = name_input_next(&source->names, &name, &err);

    if (result == NAME_INPUT_WAIT) {
        wait_for_more(source);
        return true;
    }
    if (!model_next(model, &due, &fits)) {
        CHECK(result == NAME_INPUT_END);
        return false;
    }
    CHECK(result == (fits ? NAME_INPUT_NEXT : NAME_INPUT_REFUSED));
    CHECK(!fits || bytes_equal(name, due));
    CHECK(fits == (err.reason == ERR_OK) && (fits || err.reason == ERR_USAGE));
    fuzz_check_printable(err.text);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {0};

    if (size < HEAD || size > INPUT_MAX)
        return 0;
    struct bytes lines = {(const char *)data + HEAD, size - HEAD};
    struct model model = {lines, (data[0] & 1) != 0 ? SESSION_FRAMING_BARE : SESSION_FRAMING_LINE};
    source.names.framing = model.framing;
    source.unwritten = lines;
    source.piece = data[1];
    source_open(&source, (data[0] & 2) != 0);
    while (check_next(&source, &model)) {
    }
    source_close(&source);
    return 0;
}
