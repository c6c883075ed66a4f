#include "session_private.h"

#include <assert.h>
#include <string.h>

#define BIT(state) (1u << (state))
#define OVER BIT(SESSION_ENDED)

/* Each state's name and what it may turn into. What each accepts and waits for: docs/architecture.md. */
static const struct {
    const char *name;
    unsigned successors;
} states[SESSION_STATES] = {
    [SESSION_ASKING] = {"asking",
                        BIT(SESSION_ASKING) | BIT(SESSION_LISTENING) | BIT(SESSION_DISCARDING) | OVER},
    [SESSION_LISTENING] = {"listening", BIT(SESSION_ASKING) | BIT(SESSION_DISCARDING) | OVER},
    [SESSION_DISCARDING] = {"discarding", BIT(SESSION_ASKING) | OVER},
    [SESSION_GREETED] = {"greeted", BIT(SESSION_READY) | OVER},
    [SESSION_READY] = {"ready", BIT(SESSION_AWAITING) | BIT(SESSION_LEAVING) | OVER},
    [SESSION_AWAITING] = {"awaiting", BIT(SESSION_READY) | OVER},
    [SESSION_LEAVING] = {"leaving", BIT(SESSION_LEAVING) | BIT(SESSION_PARTED) | OVER},
    [SESSION_PARTED] = {"parted", OVER},
    [SESSION_ENDED] = {"ended", 0},
};

static const char *const ends[SESSION_ENDS] = {
    [SESSION_END_NONE] = "still open",
    [SESSION_END_EXIT] = "exit",
    [SESSION_END_PEER] = "the peer ended",
    [SESSION_END_IDLE] = "silent for too long",
    [SESSION_END_NAME_TIMEOUT] = "a name begun and not ended",
    [SESSION_END_STOPPED] = "the server stops",
    [SESSION_END_TLS_CLIENT] = "a TLS client at a plain port",
    [SESSION_END_HTTP_CLIENT] = "an HTTP client",
    [SESSION_END_EARLY] = "an early end",
    [SESSION_END_TOO_MANY] = "too many guests",
    [SESSION_END_WRONG_ANSWER] = "a wrong answer",
    [SESSION_END_TIMEOUT] = "no answer in time",
};

void session_enter(struct session *session, enum session_state next)
{
    assert((states[session->state].successors & BIT(next)) != 0);
    session->state = (uint8_t)next;
}

void session_finish(struct session *session, enum session_end end)
{
    session_enter(session, SESSION_ENDED);
    session->end = (uint8_t)end;
    session->deadline_ms = SESSION_NEVER;
}

void session_serve(struct session *session, const struct session_policy *policy, struct sink *out,
                   int64_t now_ms)
{
    *session = (struct session){.policy = policy,
                                .state = SESSION_ASKING,
                                .deadline_ms = now_ms + policy->idle_ms,
                                .name_deadline_ms = SESSION_NEVER};
    greeting_put_welcome(out);
}

void session_refuse(struct session *session, struct sink *out)
{
    *session =
        (struct session){.state = SESSION_ENDED, .end = SESSION_END_TOO_MANY, .deadline_ms = SESSION_NEVER};
    greeting_put_too_many(out);
}

/* A name has begun: from now on it has limited time. */
static void begin_name(struct session *session, enum session_state next, int64_t now_ms)
{
    if (session->state == SESSION_ASKING)
        session->name_deadline_ms = now_ms + session->policy->name_ms;
    session_enter(session, next);
}

/* Answers a name whose end is known. Returns: false where the answer does not fit. */
static bool answer(struct session *session, enum greeting_cut cut, struct bytes name, struct sink *out)
{
    bool fits = cut == GREETING_NAME ? greeting_put_answer(out, name) : greeting_put_too_long(out);
    session->stalled = !fits;
    if (!fits)
        return false;

    session->heard = true;
    session->scanned = 0;
    session->name_deadline_ms = SESSION_NEVER;
    if (cut == GREETING_NAME && greeting_is_exit(name)) {
        session_finish(session, SESSION_END_EXIT);
        return true;
    }
    session->names += cut == GREETING_NAME && name.length > 0;
    session_enter(session, SESSION_ASKING);
    return true;
}

/* Throws away what belongs to a name that is too long. Returns: how much it took. */
static size_t discard(struct session *session, struct bytes in, struct sink *out)
{
    const char *lf = memchr(in.data, '\n', in.length);
    if (lf == NULL)
        return in.length;
    size_t before = (size_t)(lf - in.data);
    if (!answer(session, GREETING_TOO_LONG_NAME, in, out))
        return before;
    session->ends_names = true;
    return before + 1;
}

/* Takes one name, if it is whole and its answer fits. Returns: how much it took. */
static size_t take_name(struct session *session, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct bytes name;
    size_t taken = 0;
    enum greeting_cut cut = greeting_cut(in, session->scanned, &name, &taken);

    switch (cut) {
    case GREETING_PARTIAL:
        if (session->state == SESSION_ASKING)
            begin_name(session, SESSION_LISTENING, now_ms);
        session->scanned = (uint32_t)in.length;
        return 0;
    case GREETING_OVERFLOW:
        begin_name(session, SESSION_DISCARDING, now_ms);
        session->scanned = 0;
        return in.length;
    case GREETING_NAME:
    case GREETING_TOO_LONG_NAME:
        break;
    }
    if (!answer(session, cut, name, out))
        return 0;
    session->ends_names = true;
    return taken;
}

static void set_deadline(struct session *session, int64_t now_ms)
{
    const struct session_policy *policy = session->policy;

    if (session->state == SESSION_ENDED || session->stalled) {
        session->deadline_ms = SESSION_NEVER;
    } else if (session->state == SESSION_ASKING) {
        session->deadline_ms = now_ms + policy->idle_ms;
    } else {
        bool pause_counts = policy->pause_ms > 0 && !session->ends_names;
        int64_t pause_over = pause_counts ? now_ms + policy->pause_ms : SESSION_NEVER;
        int64_t name_over = session->name_deadline_ms;
        session->deadline_ms = pause_over < name_over ? pause_over : name_over;
    }
}

static bool is_client(const struct session *session)
{
    return session->state >= SESSION_GREETED && session->state <= SESSION_PARTED;
}

static bool meets_stranger(struct session *session, struct bytes in)
{
    enum greeting_stranger stranger = session->heard ? GREETING_NO_STRANGER : greeting_stranger(in);
    if (stranger == GREETING_NO_STRANGER)
        return false;
    session_finish(session,
                   stranger == GREETING_TLS_CLIENT ? SESSION_END_TLS_CLIENT : SESSION_END_HTTP_CLIENT);
    return true;
}

size_t session_receive(struct session *session, struct bytes in, struct sink *out, int64_t now_ms)
{
    if (is_client(session))
        return session_client_receive(session, in, out, now_ms);
    if (session->state == SESSION_ENDED ||
        (session->state != SESSION_DISCARDING && meets_stranger(session, in)))
        return in.length;

    size_t taken = 0;
    session->stalled = false;
    while (taken < in.length && session->state != SESSION_ENDED) {
        struct bytes rest = bytes_skip(in, taken);
        size_t step = session->state == SESSION_DISCARDING ? discard(session, rest, out)
                                                           : take_name(session, rest, out, now_ms);
        taken += step;
        if (step == 0 || session->stalled)
            break;
    }
    set_deadline(session, now_ms);
    return session->state == SESSION_ENDED ? in.length : taken;
}

void session_eof(struct session *session, struct bytes in, struct sink *out)
{
    if (is_client(session)) {
        session_client_eof(session);
        return;
    }
    struct bytes name = in;
    if (session->state == SESSION_LISTENING)
        answer(session, greeting_cut_all(in, &name), name, out);
    else if (session->state == SESSION_DISCARDING)
        answer(session, GREETING_TOO_LONG_NAME, name, out);
    if (session->state != SESSION_ENDED)
        session_finish(session, SESSION_END_PEER);
}

int64_t session_deadline(const struct session *session)
{
    return session->deadline_ms;
}

static void part(struct session *session, enum session_end end, struct sink *out)
{
    greeting_put_goodbye(out);
    session_finish(session, end);
}

/* A pause ended the name. */
static size_t end_by_pause(struct session *session, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct bytes name = in;
    enum greeting_cut cut = GREETING_TOO_LONG_NAME;
    if (session->state == SESSION_LISTENING)
        cut = greeting_cut_all(in, &name);
    bool answered = answer(session, cut, name, out);
    set_deadline(session, now_ms);
    return answered ? in.length : 0;
}

size_t session_expire(struct session *session, struct bytes in, struct sink *out, int64_t now_ms)
{
    if (now_ms < session->deadline_ms)
        return 0;
    if (is_client(session))
        session_client_expire(session, out, now_ms);
    else if (session->state == SESSION_ASKING)
        part(session, SESSION_END_IDLE, out);
    else if (session->deadline_ms == session->name_deadline_ms)
        part(session, SESSION_END_NAME_TIMEOUT, out);
    else
        return end_by_pause(session, in, out, now_ms);
    return 0;
}

void session_farewell(struct session *session, struct sink *out)
{
    if (session->state != SESSION_ENDED)
        part(session, SESSION_END_STOPPED, out);
}

const char *session_end_text(enum session_end end)
{
    return end < SESSION_ENDS ? ends[end] : "unknown";
}

const char *session_state_name(enum session_state state)
{
    return state < SESSION_STATES ? states[state].name : "unknown";
}
