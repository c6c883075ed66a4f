#include "support/stream_fault.h"

#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/buf.h"

enum kind { HANDSHAKE, READ, WRITE, SHUTDOWN, KINDS };

struct fault {
    struct stream base;
    struct stream *lower;
    struct stream_faults *faults;
    struct buf hoard;
    bool wanted[KINDS]; /* the last operation of this kind did */
};

static struct fault *of(struct stream *stream)
{
    return (struct fault *)stream;
}

/* What this operation does instead of its work. Returns: STREAM_OK: nothing, go on. */
static enum stream_result intercept(struct fault *fault, enum kind kind, struct err *err)
{
    struct stream_faults *faults = fault->faults;
    unsigned number = ++faults->operations;

    if (faults->fail_at > 0 && number >= faults->fail_at) {
        err_set(err, faults->exhausted && number == faults->fail_at ? ERR_INTERNAL : ERR_DIALOGUE_RESET, 0,
                "operation %u fails, as configured", faults->fail_at);
        return STREAM_FAILED;
    }
    fault->wanted[kind] = faults->want_every > 0 && number % faults->want_every == 0 && !fault->wanted[kind];
    if (!fault->wanted[kind])
        return STREAM_OK;
    return kind == READ && !faults->contrary ? STREAM_WANT_READ : STREAM_WANT_WRITE;
}

static size_t limit(const struct fault *fault, size_t bytes)
{
    size_t piece = fault->faults->piece;
    return piece > 0 && piece < bytes ? piece : bytes;
}

/* After each operation that has reached the stream below. */
static enum stream_result settle(struct fault *fault, enum stream_result result)
{
    fault->base.more = buf_length(&fault->hoard) > 0 || fault->lower->more;
    return result;
}

static enum stream_result expire(struct fault *fault, struct err *err)
{
    if (!fault->faults->mute)
        return stream_handshake_expire(fault->lower, err);
    err_set(err, ERR_DIALOGUE_TIMEOUT, 0, "the handshake never ends, as configured");
    return STREAM_FAILED;
}

static enum stream_result fault_handshake(struct stream *stream, bool expired, struct err *err)
{
    struct fault *fault = of(stream);
    if (expired)
        return expire(fault, err);
    enum stream_result instead = intercept(fault, HANDSHAKE, err);
    if (instead != STREAM_OK)
        return instead;
    return fault->faults->mute ? STREAM_WANT_READ : settle(fault, stream_handshake(fault->lower, err));
}

static void take_all(struct fault *fault)
{
    char data[4096];
    size_t count;
    struct err ignored = {0};
    while (stream_read(fault->lower, data, sizeof data, &count, &ignored) == STREAM_OK)
        if (buf_append(&fault->hoard, (struct bytes){data, count}) < 0)
            abort();
}

static enum stream_result read_below(struct fault *fault, void *data, size_t room, size_t *count,
                                     struct err *err)
{
    if (fault->faults->hoard)
        take_all(fault);
    if (buf_length(&fault->hoard) == 0)
        return stream_read(fault->lower, data, room, count, err);
    *count = buf_length(&fault->hoard) < room ? buf_length(&fault->hoard) : room;
    memcpy(data, buf_bytes(&fault->hoard).data, *count);
    buf_consume(&fault->hoard, *count);
    return STREAM_OK;
}

static enum stream_result fault_read(struct stream *stream, void *data, size_t room, size_t *count,
                                     struct err *err)
{
    struct fault *fault = of(stream);
    const struct stream_faults *faults = fault->faults;
    enum stream_result instead = intercept(fault, READ, err);

    if (instead != STREAM_OK)
        return instead;
    if (faults->end_at > 0 && faults->operations >= faults->end_at)
        return STREAM_EOF;
    return settle(fault, read_below(fault, data, limit(fault, room), count, err));
}

static enum stream_result fault_write(struct stream *stream, const void *data, size_t length, size_t *count,
                                      struct err *err)
{
    struct fault *fault = of(stream);
    enum stream_result instead = intercept(fault, WRITE, err);
    if (instead != STREAM_OK)
        return instead;
    return settle(fault, stream_write(fault->lower, data, limit(fault, length), count, err));
}

static enum stream_result fault_shutdown(struct stream *stream, struct err *err)
{
    struct fault *fault = of(stream);
    enum stream_result instead = intercept(fault, SHUTDOWN, err);
    if (instead != STREAM_OK)
        return instead;
    return fault->faults->stuck ? STREAM_WANT_READ : settle(fault, stream_shutdown(fault->lower, err));
}

static int fault_fd(const struct stream *stream)
{
    return stream_fd(((const struct fault *)stream)->lower);
}

static void fault_free(struct stream *stream)
{
    struct fault *fault = of(stream);
    fault->faults->frees++;
    stream_free(fault->lower);
    buf_fini(&fault->hoard);
    free(fault);
}

static struct stream *fault_lower(const struct stream *stream)
{
    return ((const struct fault *)stream)->lower;
}

static const struct stream_ops fault_ops = {
    .handshake = fault_handshake,
    .read = fault_read,
    .write = fault_write,
    .shutdown = fault_shutdown,
    .fd = fault_fd,
    .free = fault_free,
    .lower = fault_lower,
};

struct stream *stream_fault_new(struct stream *lower, struct stream_faults *faults)
{
    struct fault *fault = malloc(sizeof *fault);
    if (fault == NULL)
        abort();
    *fault = (struct fault){.base.ops = &fault_ops, .lower = lower, .faults = faults};
    return &fault->base;
}
