#include "tcpgreet/core/pipe.h"

static struct pipe *of(struct dialogue *dialogue)
{
    return (struct pipe *)dialogue;
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    (void)dialogue;
    (void)out;
    (void)now_ms;
}

static void set_state(struct pipe *pipe, enum dialogue_state state, int64_t deadline_ms)
{
    pipe->dialogue.state = state;
    pipe->dialogue.deadline_ms = deadline_ms;
}

static void settle(struct pipe *pipe, int64_t now_ms)
{
    bool is_last = pipe->dialogue.half_closed || pipe->linger_ms == 0;

    if (pipe->unsent.length > 0)
        set_state(pipe, DIALOGUE_SENDING, DIALOGUE_NEVER);
    else if (pipe->peer_ended && is_last)
        set_state(pipe, DIALOGUE_OVER, DIALOGUE_NEVER);
    else if (pipe->dialogue.half_closed)
        set_state(pipe, DIALOGUE_RUNNING, DIALOGUE_NEVER);
    else
        set_state(pipe, DIALOGUE_READY, pipe->peer_ended ? now_ms + pipe->linger_ms : DIALOGUE_NEVER);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct pipe *pipe = of(dialogue);
    size_t room = sink_room(out);
    size_t count = pipe->unsent.length < room ? pipe->unsent.length : room;

    (void)sink_put(out, (struct bytes){pipe->unsent.data, count});
    pipe->unsent = bytes_skip(pipe->unsent, count);
    pipe->sent_bytes += count;
    pipe->received_bytes += in.length;
    settle(pipe, now_ms);
    return in.length;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)out;
    of(dialogue)->peer_ended = true;
    settle(of(dialogue), now_ms);
    return in.length;
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    if (now_ms >= dialogue->deadline_ms)
        set_state(of(dialogue), DIALOGUE_OVER, DIALOGUE_NEVER);
    return 0;
}

static const struct dialogue_ops pipe_ops = {
    .begin = begin,
    .receive = receive,
    .eof = end_with_peer,
    .expire = expire,
    .duplex = true,
};

void pipe_init(struct pipe *pipe, int64_t linger_ms)
{
    *pipe =
        (struct pipe){.dialogue = {.ops = &pipe_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_READY},
                      .linger_ms = linger_ms};
}

void pipe_send(struct pipe *pipe, struct bytes bytes)
{
    pipe->unsent = bytes;
    set_state(pipe, DIALOGUE_SENDING, DIALOGUE_NEVER);
}

void pipe_end(struct pipe *pipe)
{
    pipe->dialogue.half_closed = true;
    set_state(pipe, DIALOGUE_SENDING, DIALOGUE_NEVER); /* which ends with the next call */
}
