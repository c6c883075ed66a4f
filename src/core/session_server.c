#include <string.h>

#include "session_states.h"

static struct session *of(struct dialogue *dialogue)
{
    return (struct session *)dialogue;
}

/* A name has begun: from now on it has limited time. */
static void begin_name(struct session *session, enum session_state next, int64_t now_ms)
{
    if (session->state == SESSION_ASKING)
        session->name_deadline_ms = now_ms + session->policy->name_ms;
    session_enter(session, next);
}

static bool is_whoami(const struct session *session, enum greeting_cut cut, struct bytes name)
{
    return cut == GREETING_NAME && session->policy->whoami != NULL &&
           bytes_equal(name, BYTES_LITERAL(WHOAMI_NAME));
}

/* Returns: false where it does not fit. */
static bool put_answer(struct session *session, enum greeting_cut cut, struct bytes name, struct sink *out)
{
    if (is_whoami(session, cut, name))
        return sink_room(out) >= WHOAMI_BYTES && session->policy->whoami(session, out) &&
               sink_put(out, BYTES_LITERAL(GREETING_QUESTION));
    return cut == GREETING_NAME ? greeting_put_answer(out, name) : greeting_put_too_long(out);
}

/* Answers a name whose end is known. Returns: false where the answer does not fit. */
static bool answer(struct session *session, enum greeting_cut cut, struct bytes name, struct sink *out)
{
    bool fits = put_answer(session, cut, name, out);
    session->dialogue.state = fits ? DIALOGUE_RUNNING : DIALOGUE_SENDING;
    if (!fits)
        return false;

    session->answered = true;
    session->scanned = 0;
    session->name_deadline_ms = DIALOGUE_NEVER;
    if (cut == GREETING_NAME && greeting_is_exit(name)) {
        session_finish(session, SESSION_END_EXIT);
        return true;
    }
    session->names += cut == GREETING_NAME && name.length > 0 && !is_whoami(session, cut, name);
    session_enter(session, SESSION_ASKING);
    return true;
}

/* Throws away what belongs to a name that is too long. Returns: how much it consumed. */
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

/* Consumes one name, if it is whole and its answer fits. Returns: how much it consumed. */
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
        session->http_begun = !session->answered && greeting_is_http_begun(in);
        return 0;
    case GREETING_OVERFLOW:
        begin_name(session, SESSION_DISCARDING, now_ms);
        session->http_begun = false;
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
    int64_t *deadline_ms = &session->dialogue.deadline_ms;

    if (session->dialogue.state != DIALOGUE_RUNNING) {
        *deadline_ms = DIALOGUE_NEVER;
    } else if (session->state == SESSION_ASKING) {
        *deadline_ms = now_ms + policy->idle_ms;
    } else {
        bool pause_counts = policy->pause_ms > 0 && !session->ends_names && !session->http_begun;
        int64_t pause_over = pause_counts ? now_ms + policy->pause_ms : DIALOGUE_NEVER;
        int64_t name_over = session->name_deadline_ms;
        *deadline_ms = pause_over < name_over ? pause_over : name_over;
    }
}

/* Returns: whether the peer uses another protocol. */
static bool is_foreign(struct session *session, struct bytes in)
{
    enum greeting_foreign foreign = session->answered || session->state == SESSION_DISCARDING
                                        ? GREETING_NOT_FOREIGN
                                        : greeting_foreign(in);
    if (foreign == GREETING_NOT_FOREIGN)
        return false;
    session_finish(session,
                   foreign == GREETING_TLS_CLIENT ? SESSION_END_TLS_CLIENT : SESSION_END_HTTP_CLIENT);
    return true;
}

static void welcome(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    dialogue->deadline_ms = now_ms + of(dialogue)->policy->idle_ms;
    greeting_put_welcome(out);
}

static void refuse(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    (void)now_ms;
    greeting_put_too_many(out);
    session_finish(of(dialogue), SESSION_END_TOO_MANY);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct session *session = of(dialogue);
    size_t taken = 0;

    if (session->state == SESSION_ENDED || is_foreign(session, in))
        return in.length;
    dialogue->state = DIALOGUE_RUNNING;
    while (taken < in.length && session->state != SESSION_ENDED) {
        struct bytes rest = bytes_skip(in, taken);
        size_t step = session->state == SESSION_DISCARDING ? discard(session, rest, out)
                                                           : take_name(session, rest, out, now_ms);
        taken += step;
        if (step == 0 || dialogue->state == DIALOGUE_SENDING)
            break;
    }
    set_deadline(session, now_ms);
    return session->state == SESSION_ENDED ? in.length : taken;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct session *session = of(dialogue);
    struct bytes name = in;
    (void)now_ms;

    if (session->state == SESSION_LISTENING)
        answer(session, greeting_cut_all(in, &name), name, out);
    else if (session->state == SESSION_DISCARDING)
        answer(session, GREETING_TOO_LONG_NAME, name, out);
    if (session->state != SESSION_ENDED)
        session_finish(session, SESSION_END_PEER);
    return in.length;
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

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct session *session = of(dialogue);

    if (now_ms < dialogue->deadline_ms)
        return 0;
    if (session->state == SESSION_ASKING)
        part(session, session->policy->is_stopping ? SESSION_END_STOPPED : SESSION_END_IDLE, out);
    else if (dialogue->deadline_ms == session->name_deadline_ms)
        part(session, SESSION_END_NAME_TIMEOUT, out);
    else
        return end_by_pause(session, in, out, now_ms);
    return 0;
}

static void shut_down(struct dialogue *dialogue, struct sink *out)
{
    if (of(dialogue)->state != SESSION_ENDED)
        part(of(dialogue), SESSION_END_STOPPED, out);
}

#define SERVER(begin_)                                                                                       \
    {                                                                                                        \
        .begin = (begin_), .receive = receive, .eof = end_with_peer, .expire = expire,                       \
        .shut_down = shut_down,                                                                              \
    }

static const struct dialogue_ops server_ops = SERVER(welcome);
static const struct dialogue_ops refusal_ops = SERVER(refuse);

void session_init_server(struct session *session, const struct session_policy *policy)
{
    *session = (struct session){
        .dialogue = {.ops = &server_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .policy = policy,
        .state = SESSION_ASKING,
        .name_deadline_ms = DIALOGUE_NEVER};
}

void session_init_refusal(struct session *session)
{
    *session = (struct session){
        .dialogue = {.ops = &refusal_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .state = SESSION_ASKING};
}

void session_set_policy(struct session *session, const struct session_policy *policy)
{
    int64_t *deadline_ms = &session->dialogue.deadline_ms;

    if (session->policy == NULL)
        return;
    if (session->state == SESSION_ASKING && *deadline_ms != DIALOGUE_NEVER)
        *deadline_ms += policy->idle_ms - session->policy->idle_ms;
    session->policy = policy;
}
