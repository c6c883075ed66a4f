#include "tcpgreet/link/stream_preamble.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/secret.h"
#include "tcpgreet/base/trace.h"

enum { PIECE_BYTES = 4 * 1024 };

/* Invariants: dialogue == NULL: it is over; out is empty then; in holds at most one piece beyond
 * DIALOGUE_KEEP_BYTES. */
struct preamble {
    struct stream base;
    struct stream *lower;
    struct dialogue *dialogue; /* heap */
    struct buf in;             /* received, and not consumed: by the dialogue, then by the first reads */
    struct buf out;            /* of the dialogue, to be sent */
    struct stream_preamble_facts facts;
    bool is_secret;
};

static struct preamble *of(struct stream *stream)
{
    return (struct preamble *)stream;
}

static enum stream_result settle(struct preamble *preamble, enum stream_result result)
{
    preamble->base.more = buf_length(&preamble->in) > 0 || preamble->lower->more;
    return result;
}

static enum stream_result finish(struct preamble *preamble, enum stream_result result)
{
    preamble->facts.end_ns = result == STREAM_OK ? uv_hrtime() : 0;
    if (result == STREAM_OK && preamble->base.ops->layer == STREAM_LAYER_STARTTLS)
        trace(.step = TRACE_STARTTLS, .fd = stream_fd(preamble->lower), .begin_ns = preamble->facts.begin_ns);
    free(preamble->dialogue);
    preamble->dialogue = NULL;
    return settle(preamble, result);
}

static enum stream_result fail(struct preamble *preamble, struct err *err)
{
    dialogue_failure(preamble->dialogue, buf_bytes(&preamble->in), err);
    return finish(preamble, STREAM_FAILED);
}

static enum stream_result fail_memory(struct preamble *preamble, struct err *err)
{
    err_set(err, ERR_INTERNAL, 0, "no memory for a connection");
    return finish(preamble, STREAM_FAILED);
}

enum cause { BEGIN, BYTES, END, EXPIRED };

/* Calls the dialogue. Returns: false where memory is exhausted. */
static bool advance(struct preamble *preamble, enum cause cause)
{
    char room[DIALOGUE_OUT_BYTES];
    struct dialogue *dialogue = preamble->dialogue;
    struct sink out = {room, 0, sizeof room};
    struct bytes in = buf_bytes(&preamble->in);
    size_t consumed = 0;

    if (cause == BEGIN)
        dialogue_begin(dialogue, &out, 0);
    else if (cause == BYTES)
        consumed = dialogue_receive(dialogue, in, &out, 0);
    else if (cause == END)
        consumed = dialogue_eof(dialogue, in, &out, 0);
    else
        consumed = dialogue_expire(dialogue, in, &out, DIALOGUE_NEVER);
    if (consumed > 0)
        buf_consume(&preamble->in, consumed);
    bool is_kept = buf_append(&preamble->out, (struct bytes){room, out.length}) == 0;
    secret_wipe(room, out.length); /* it may have been a password */
    return is_kept;
}

static enum stream_result end_dialogue(struct preamble *preamble, enum cause cause, struct err *err)
{
    if (!advance(preamble, cause))
        return fail_memory(preamble, err);
    assert(preamble->dialogue->state == DIALOGUE_FAILED);
    return fail(preamble, err);
}

/* The stream below has failed. Where that is no reset, its text is why; what it means, the dialogue knows. */
static enum stream_result fail_below(struct preamble *preamble, struct err *err)
{
    const struct err why = *err;
    struct err ended = {0};

    if (why.reason != ERR_DIALOGUE_RESET)
        return finish(preamble, STREAM_FAILED);
    preamble->dialogue->is_reset = err_is_of_reset(why.native);
    bool is_reset = preamble->dialogue->is_reset;
    end_dialogue(preamble, END, &ended);
    err_clear(err);
    err_set_from(err, &ended, "%s", is_reset ? ended.text : why.text);
    err->native = why.native;
    return STREAM_FAILED;
}

/* Returns: STREAM_OK: nothing is left to be sent. */
static enum stream_result flush(struct preamble *preamble, struct err *err)
{
    while (buf_length(&preamble->out) > 0) {
        struct bytes left = buf_bytes(&preamble->out);
        size_t count = 0;
        trace_bytes_are(preamble->is_secret ? TRACE_BYTES_SECRET : TRACE_BYTES_PLAIN);
        enum stream_result result = stream_write(preamble->lower, left.data, left.length, &count, err);
        trace_bytes_are(TRACE_BYTES_PLAIN);
        if (result == STREAM_FAILED)
            return fail_below(preamble, err);
        if (result != STREAM_OK)
            return result;
        secret_wipe((char *)left.data, count);
        buf_consume(&preamble->out, count);
    }
    return STREAM_OK;
}

/* Returns: STREAM_OK: the dialogue has been given what came. */
static enum stream_result receive(struct preamble *preamble, struct err *err)
{
    char piece[PIECE_BYTES];
    size_t count = 0;
    enum stream_result result = stream_read(preamble->lower, piece, sizeof piece, &count, err);

    if (result == STREAM_FAILED)
        return fail_below(preamble, err);
    if (result == STREAM_EOF)
        return end_dialogue(preamble, END, err);
    if (result != STREAM_OK)
        return result;
    if (buf_append(&preamble->in, (struct bytes){piece, count}) < 0 || !advance(preamble, BYTES))
        return fail_memory(preamble, err);
    return STREAM_OK;
}

/* Goes on with the dialogue as far as the stream below lets it. */
static enum stream_result hold(struct preamble *preamble, struct err *err)
{
    for (;;) {
        enum dialogue_state state = preamble->dialogue->state;
        if (state == DIALOGUE_FAILED)
            return fail(preamble, err);
        enum stream_result result = flush(preamble, err);
        if (result != STREAM_OK)
            return result;
        if (state == DIALOGUE_OVER)
            return finish(preamble, STREAM_OK);
        if (state != DIALOGUE_SENDING)
            result = receive(preamble, err);
        else if (!advance(preamble, BYTES))
            result = fail_memory(preamble, err);
        if (result != STREAM_OK)
            return result;
    }
}

static enum stream_result begin(struct preamble *preamble, struct err *err)
{
    enum stream_result result = stream_handshake(preamble->lower, err);
    if (result != STREAM_OK)
        return settle(preamble, result);
    preamble->facts.begin_ns = uv_hrtime();
    return advance(preamble, BEGIN) ? STREAM_OK : fail_memory(preamble, err);
}

static enum stream_result preamble_handshake(struct stream *stream, bool expired, struct err *err)
{
    struct preamble *preamble = of(stream);
    bool is_begun = preamble->facts.begin_ns > 0;

    if (preamble->dialogue == NULL)
        return STREAM_OK;
    if (expired && !is_begun) {
        enum stream_result lower = stream_handshake_expire(preamble->lower, err);
        if (lower != STREAM_OK)
            return lower;
        preamble->facts.begin_ns = uv_hrtime(); /* it is up, and there was no time for more */
        advance(preamble, BEGIN);
    }
    if (expired)
        return end_dialogue(preamble, EXPIRED, err);
    enum stream_result result = is_begun ? STREAM_OK : begin(preamble, err);
    return result == STREAM_OK ? settle(preamble, hold(preamble, err)) : result;
}

static enum stream_result preamble_read(struct stream *stream, void *data, size_t room, size_t *count,
                                        struct err *err)
{
    struct preamble *preamble = of(stream);
    struct bytes left = buf_bytes(&preamble->in);

    if (left.length == 0)
        return settle(preamble, stream_read(preamble->lower, data, room, count, err));
    *count = left.length < room ? left.length : room;
    memcpy(data, left.data, *count);
    buf_consume(&preamble->in, *count);
    return settle(preamble, STREAM_OK);
}

static enum stream_result preamble_write(struct stream *stream, const void *data, size_t length,
                                         size_t *count, struct err *err)
{
    struct preamble *preamble = of(stream);
    preamble->lower->corked = stream->corked;
    return settle(preamble, stream_write(preamble->lower, data, length, count, err));
}

static enum stream_result preamble_shutdown(struct stream *stream, struct err *err)
{
    return settle(of(stream), stream_shutdown(of(stream)->lower, err));
}

static int preamble_fd(const struct stream *stream)
{
    return stream_fd(((const struct preamble *)stream)->lower);
}

static void preamble_free(struct stream *stream)
{
    struct preamble *preamble = of(stream);
    stream_free(preamble->lower);
    free(preamble->dialogue);
    buf_fini(&preamble->in);
    buf_fini(&preamble->out);
    free(preamble);
}

static struct stream *preamble_lower(const struct stream *stream)
{
    return ((const struct preamble *)stream)->lower;
}

#define PREAMBLE(name)                                                                                       \
    [name] = {                                                                                               \
        .layer = (name),                                                                                     \
        .handshake = preamble_handshake,                                                                     \
        .read = preamble_read,                                                                               \
        .write = preamble_write,                                                                             \
        .shutdown = preamble_shutdown,                                                                       \
        .fd = preamble_fd,                                                                                   \
        .free = preamble_free,                                                                               \
        .lower = preamble_lower,                                                                             \
    }

/* Indexed by layer. */
static const struct stream_ops preamble_ops[] = {
    PREAMBLE(STREAM_LAYER_PROXY), PREAMBLE(STREAM_LAYER_PROXY_HEADER), PREAMBLE(STREAM_LAYER_STARTTLS)};

struct stream *stream_preamble_new(struct stream *lower, const struct stream_preamble_config *config,
                                   struct err *err)
{
    struct preamble *preamble = calloc(1, sizeof *preamble);
    struct dialogue *dialogue = malloc(config->size);

    if (preamble == NULL || dialogue == NULL) {
        err_set(err, ERR_INTERNAL, 0, "no memory for a connection");
        stream_free(lower);
        free(preamble);
        free(dialogue);
        return NULL;
    }
    memcpy(dialogue, config->dialogue, config->size);
    *preamble = (struct preamble){.base.ops = &preamble_ops[config->layer],
                                  .lower = lower,
                                  .dialogue = dialogue,
                                  .is_secret = config->is_secret};
    return &preamble->base;
}

bool stream_preamble_facts(const struct stream *stream, enum stream_layer layer,
                           struct stream_preamble_facts *facts)
{
    const struct stream *found = stream_find(stream, layer);
    *facts = found != NULL ? ((const struct preamble *)found)->facts : (struct stream_preamble_facts){0};
    return found != NULL;
}
