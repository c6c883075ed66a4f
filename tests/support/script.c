#include "support/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/guard.h"

enum { PLENTY = 1 << 16 };

static bool is_server(const struct session *session)
{
    return session->state <= SESSION_DISCARDING;
}

static struct dialogue *dialogue_of(struct script *script)
{
    return &script->session.dialogue;
}

static void check_invariants(struct script *script)
{
    const struct session *session = &script->session;
    struct bytes left = buf_bytes(&script->pending);

    script->seen |= 1u << session->state;
    CHECK(session->state < SESSION_STATES && session->end < SESSION_ENDS);
    CHECK((session->end == SESSION_END_NONE) == (session->state != SESSION_ENDED));
    CHECK(script->out.length <= script->out.capacity);
    if (session->state == SESSION_ENDED) {
        CHECK(session->dialogue.deadline_ms == DIALOGUE_NEVER);
        return;
    }
    if (!is_server(session)) {
        CHECK(left.length == 0 || session->other);
        return;
    }
    if (session->dialogue.state == DIALOGUE_SENDING) {
        size_t most = session->policy->whoami != NULL ? WHOAMI_BYTES : GREETING_ANSWER_MAX;
        CHECK(left.length > 0 && sink_room(&script->out) < most);
        CHECK(session->dialogue.deadline_ms == DIALOGUE_NEVER);
        return;
    }
    CHECK(left.length <= GREETING_NAME_MAX + 1 && session->scanned == left.length);
    CHECK(left.length == 0 || memchr(left.data, '\n', left.length) == NULL);
    CHECK((left.length > 0) == (session->state == SESSION_LISTENING));
    CHECK(session->dialogue.deadline_ms != DIALOGUE_NEVER);
}

static void drain(struct script *script, size_t length)
{
    struct sink *out = &script->out;
    length = length < out->length ? length : out->length;
    CHECK(buf_append(&script->sent, (struct bytes){out->data, length}) == 0);
    memmove(out->data, out->data + length, out->length - length);
    out->length -= length;
}

/* After each call: the invariants, then what a connection that can write does. */
static void settle(struct script *script)
{
    check_invariants(script);
    drain(script, script->drain > 0 ? script->drain : SIZE_MAX);
}

static void make_room(struct script *script)
{
    if (sink_room(&script->out) < GREETING_ANSWER_MAX)
        drain(script, SIZE_MAX);
}

static void begin(struct script *script)
{
    size_t room = script->room > 0 ? script->room : PLENTY;
    CHECK(script->out.data == NULL && room >= GREETING_ANSWER_MAX);
    script->out = (struct sink){malloc(room), 0, room};
    CHECK(script->out.data != NULL);
}

void script_serve(struct script *script)
{
    begin(script);
    session_init_server(&script->session, &script->policy);
    dialogue_begin(dialogue_of(script), &script->out, script->now_ms);
    settle(script);
}

void script_visit(struct script *script)
{
    begin(script);
    session_init_client(&script->session, &script->policy);
    dialogue_begin(dialogue_of(script), &script->out, script->now_ms);
    settle(script);
}

static void consume(struct script *script, size_t taken)
{
    CHECK(taken <= buf_length(&script->pending));
    buf_consume(&script->pending, taken);
    script->taken += taken;
}

/* What follows the end is discarded. */
static void feed_ended(struct script *script, struct bytes piece)
{
    size_t before = script->out.length;
    dialogue_receive(dialogue_of(script), guard_edge(piece), &script->out, script->now_ms);
    CHECK(script->out.length == before);
    settle(script);
}

void script_feed(struct script *script, struct bytes piece)
{
    if (script->session.state == SESSION_ENDED) {
        feed_ended(script, piece);
        return;
    }
    CHECK(buf_append(&script->pending, piece) == 0);
    do {
        struct bytes in = guard_edge(buf_bytes(&script->pending));
        if (!is_server(&script->session))
            make_room(script);
        consume(script, dialogue_receive(dialogue_of(script), in, &script->out, script->now_ms));
        settle(script);
    } while (dialogue_of(script)->state == DIALOGUE_SENDING);
}

void script_feed_cut(struct script *script, struct bytes bytes, struct script_cut cut)
{
    size_t length = cut.at < bytes.length ? cut.at : bytes.length;
    if (length > 0)
        script_feed(script, (struct bytes){bytes.data, length});
    while (length < bytes.length) {
        struct bytes piece = bytes_skip(bytes, length);
        if (cut.step > 0 && cut.step < piece.length)
            piece.length = cut.step;
        script_feed(script, piece);
        length += piece.length;
    }
}

void script_send(struct script *script, struct bytes name)
{
    make_room(script);
    session_send(&script->session, name, script->now_ms);
    consume(script, dialogue_receive(dialogue_of(script), (struct bytes){0}, &script->out, script->now_ms));
    settle(script);
}

void script_eof(struct script *script)
{
    make_room(script);
    if (script->session.state != SESSION_ENDED)
        dialogue_eof(dialogue_of(script), guard_edge(buf_bytes(&script->pending)), &script->out,
                     script->now_ms);
    CHECK(script->session.state == SESSION_ENDED);
    settle(script);
}

void script_shut_down(struct script *script)
{
    make_room(script);
    dialogue_shut_down(dialogue_of(script), &script->out);
    settle(script);
}

void script_expire_at(struct script *script, int64_t when_ms)
{
    CHECK(when_ms >= script->now_ms);
    script->now_ms = when_ms;
    make_room(script);
    struct bytes in = guard_edge(buf_bytes(&script->pending));
    consume(script, dialogue_expire(dialogue_of(script), in, &script->out, when_ms));
    settle(script);
}

void script_expire(struct script *script)
{
    CHECK(script->session.dialogue.deadline_ms != DIALOGUE_NEVER);
    script_expire_at(script, script->session.dialogue.deadline_ms);
}

bool script_failed(const struct script *script, struct err *err)
{
    const struct dialogue *dialogue = &script->session.dialogue;
    bool failed = dialogue->state == DIALOGUE_FAILED;
    if (failed)
        dialogue_failure(dialogue, buf_bytes(&script->pending), err);
    return failed;
}

struct script_outcome script_outcome(const struct script *script)
{
    const struct session *session = &script->session;
    return (struct script_outcome){(enum session_state)session->state, (enum session_end)session->end,
                                   session->names, script->taken};
}

bool script_outcome_equal(struct script_outcome a, struct script_outcome b)
{
    return a.state == b.state && a.end == b.end && a.names == b.names && a.taken == b.taken;
}

struct bytes script_output(struct script *script)
{
    drain(script, SIZE_MAX);
    return buf_bytes(&script->sent);
}

void script_hush(struct script *script)
{
    drain(script, SIZE_MAX);
    buf_fini(&script->sent);
}

void script_fini(struct script *script)
{
    free(script->out.data);
    buf_fini(&script->pending);
    buf_fini(&script->sent);
}
