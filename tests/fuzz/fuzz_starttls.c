/* Input: the protocol, the length of the pieces (0: all in one), then what the peer sends before it ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/base/buf.h"
#include "tcpgreet/core/starttls.h"

enum { HOLD_AT_ONCE_MAX = 1 << 20 };

struct run {
    struct starttls starttls;
    struct buf in, sent;
};

static void keep(struct buf *buf, struct bytes bytes)
{
    CHECK(buf_append(buf, bytes) == 0);
}

/* One call of the dialogue; what is in goes to it in a block of exactly its size. */
static void call(struct run *run, bool ends)
{
    static char room[DIALOGUE_OUT_BYTES];
    struct dialogue *dialogue = &run->starttls.dialogue;
    struct sink out = {room, 0, sizeof room};
    size_t length = buf_length(&run->in);
    char *copy = malloc(length > 0 ? length : 1);
    CHECK(copy != NULL);
    if (length > 0)
        memcpy(copy, buf_bytes(&run->in).data, length);
    size_t consumed = ends ? dialogue_eof(dialogue, (struct bytes){copy, length}, &out, 0)
                           : dialogue_receive(dialogue, (struct bytes){copy, length}, &out, 0);
    free(copy);
    CHECK(consumed <= length);
    buf_consume(&run->in, consumed);
    keep(&run->sent, (struct bytes){room, out.length});
    CHECK(dialogue->state != DIALOGUE_RUNNING || buf_length(&run->in) <= DIALOGUE_KEEP_BYTES);
}

static bool is_over(const struct run *run)
{
    return run->starttls.dialogue.state == DIALOGUE_OVER || run->starttls.dialogue.state == DIALOGUE_FAILED;
}

static void hold(struct run *run, enum starttls_protocol protocol, struct bytes received, size_t step)
{
    static char room[DIALOGUE_OUT_BYTES];
    struct sink out = {room, 0, sizeof room};
    *run = (struct run){0};
    starttls_init(&run->starttls, &(struct starttls_config){.protocol = protocol}, "example.org", NULL);
    dialogue_begin(&run->starttls.dialogue, &out, 0);
    keep(&run->sent, (struct bytes){room, out.length});
    while (received.length > 0 && !is_over(run)) {
        size_t piece = step > 0 && step < received.length ? step : received.length;
        keep(&run->in, (struct bytes){received.data, piece});
        received = bytes_skip(received, piece);
        call(run, false);
        while (run->starttls.dialogue.state == DIALOGUE_SENDING)
            call(run, false);
    }
    if (!is_over(run))
        call(run, true);
    CHECK(is_over(run));
}

/* How it ended; data behind the go-ahead is seen where it is in the same piece. */
static enum starttls_end end_of(const struct run *run)
{
    return run->starttls.end == STARTTLS_INJECTED ? STARTTLS_GOES_ON : run->starttls.end;
}

/* What is refused as injected is refused before the next step is sent, where it is in the same piece. */
static void check_sent(const struct run *whole, const struct run *cut)
{
    struct bytes sent = buf_bytes(&whole->sent), all = buf_bytes(&cut->sent);
    if (whole->starttls.end == STARTTLS_INJECTED && sent.length < all.length)
        all.length = sent.length;
    CHECK(bytes_equal(sent, all));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole, cut;
    struct err err = {0};
    if (size < 2 || size > HOLD_AT_ONCE_MAX)
        return 0;
    struct bytes received = {(const char *)data + 2, size - 2};
    enum starttls_protocol protocol =
        (enum starttls_protocol)(STARTTLS_NONE + 1 + data[0] % (STARTTLS_PROTOCOLS - 1));

    hold(&whole, protocol, received, 0);
    hold(&cut, protocol, received, data[1]);
    CHECK(end_of(&whole) == end_of(&cut));
    check_sent(&whole, &cut);
    if (whole.starttls.dialogue.state == DIALOGUE_FAILED) {
        dialogue_failure(&whole.starttls.dialogue, buf_bytes(&whole.in), &err);
        CHECK(err.reason != ERR_OK);
    }
    buf_fini(&whole.in);
    buf_fini(&whole.sent);
    buf_fini(&cut.in);
    buf_fini(&cut.sent);
    return 0;
}
