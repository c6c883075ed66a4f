#include <stdio.h>
#include <string.h>

#include "session_states.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/service.h"

/* What the server may send next. Several are possible at once until a byte distinguishes them; none begins
 * another. From WHOAMI on: the keys of a line that answers "whoami". */
enum candidate {
    WELCOME,
    HELLO,
    HELLO_BARE,
    QUESTION,
    GOODBYE,
    TOO_MANY,
    WHOAMI,
    CANDIDATES = (int)WHOAMI + (int)WHOAMI_KEY_COUNT
};

#define CANDIDATE(which) (1u << (which))

static_assert((int)CANDIDATES <= 16, "each has a bit of session.candidates");

/* A candidate's text, in the order of the wire. */
struct parts {
    struct bytes part[4];
};

static struct session *of(struct dialogue *dialogue)
{
    return (struct session *)dialogue;
}

static struct bytes terminator(const struct session *session)
{
    if (session->framing == SESSION_FRAMING_BARE)
        return (struct bytes){NULL, 0};
    return session->crlf ? BYTES_LITERAL("\r\n") : BYTES_LITERAL("\n");
}

static struct parts candidate_text(const struct session *session, enum candidate candidate)
{
    static const struct bytes hello_end = BYTES_LITERAL(GREETING_HELLO_END GREETING_QUESTION);

    if (candidate >= WHOAMI)
        return (struct parts){{whoami_head((enum whoami_key)(candidate - WHOAMI))}};
    switch (candidate) {
    case WELCOME:
        return (struct parts){{BYTES_LITERAL(GREETING_WELCOME GREETING_QUESTION)}};
    case HELLO:
        return (struct parts){{BYTES_LITERAL(GREETING_HELLO), session->name, hello_end}};
    case HELLO_BARE:
        return (struct parts){{BYTES_LITERAL(GREETING_HELLO), session->name, terminator(session), hello_end}};
    case QUESTION:
        return (struct parts){{BYTES_LITERAL(GREETING_QUESTION)}};
    case GOODBYE:
        return (struct parts){{BYTES_LITERAL(GREETING_GOODBYE)}};
    default:
        return (struct parts){{BYTES_LITERAL(GREETING_TOO_MANY)}};
    }
}

static size_t common_prefix(struct bytes a, struct bytes b)
{
    size_t limit = a.length < b.length ? a.length : b.length;
    if (limit == 0 || memcmp(a.data, b.data, limit) == 0)
        return limit;
    size_t n = 0;
    while (a.data[n] == b.data[n])
        n++;
    return n;
}

/* Returns: how many bytes of in continue the candidate from offset on; *whole: that was all of it. */
static size_t match(const struct session *session, enum candidate candidate, size_t offset, struct bytes in,
                    bool *whole)
{
    struct parts text = candidate_text(session, candidate);
    size_t matched = 0;

    *whole = false;
    for (size_t i = 0; i < sizeof text.part / sizeof text.part[0]; i++) {
        struct bytes part = text.part[i];
        if (offset >= part.length) {
            offset -= part.length;
            continue;
        }
        part = bytes_skip(part, offset);
        offset = 0;
        size_t same = common_prefix(part, bytes_skip(in, matched));
        matched += same;
        if (same < part.length)
            return matched;
    }
    *whole = true;
    return matched;
}

static void await(struct session *session, enum session_state next, unsigned candidates, int64_t deadline_ms)
{
    session_enter(session, next);
    session->candidates = (uint16_t)candidates;
    session->scanned = 0;
    session->dialogue.deadline_ms = deadline_ms;
    session->dialogue.state = next == SESSION_READY ? DIALOGUE_READY : DIALOGUE_RUNNING;
}

/* Prepares a name for the output, and what may come in answer to it. */
static void prepare(struct session *session, struct bytes name, int64_t now_ms)
{
    bool leaving = greeting_is_exit(name);
    unsigned candidates = CANDIDATE(GOODBYE);
    size_t begun = session->state == SESSION_READY ? session->scanned : 0;

    session->name = name;
    session->crlf = name.length > 0 && name.data[name.length - 1] == '\r';
    if (!leaving)
        candidates |= name.length == 0 ? CANDIDATE(QUESTION) : CANDIDATE(HELLO);
    if (session->framing == SESSION_FRAMING_AUTO)
        candidates |= CANDIDATE(HELLO_BARE);
    if (bytes_equal(name, BYTES_LITERAL(WHOAMI_NAME)))
        candidates |= CANDIDATE(WHOAMI);
    if (begun > 0) /* unasked, and so not the answer to this */
        candidates = CANDIDATE(GOODBYE);
    await(session, leaving ? SESSION_LEAVING : SESSION_AWAITING, candidates,
          now_ms + session->policy->answer_ms);
    session->scanned = (uint32_t)begun;
    session->dialogue.state = DIALOGUE_SENDING;
}

void session_send(struct session *session, struct bytes name, int64_t now_ms)
{
    bool is_nothing = name.length == 0 && session->framing == SESSION_FRAMING_BARE;
    if (session->state == SESSION_READY && !is_nothing)
        prepare(session, name, now_ms);
}

/* Returns: whether no name waits for room any more. */
static bool put_name(struct session *session, struct sink *out)
{
    struct bytes end = terminator(session);
    if (session->dialogue.state == DIALOGUE_SENDING && session->name.length + end.length <= sink_room(out)) {
        sink_put(out, session->name);
        sink_put(out, end);
        session->dialogue.state = DIALOGUE_RUNNING;
    }
    return session->dialogue.state != DIALOGUE_SENDING;
}

static void finish(struct session *session, enum session_end end)
{
    session_finish(session, end);
    if (end != SESSION_END_EXIT)
        session->dialogue.state = DIALOGUE_FAILED;
}

/* A server that has sent good bye is none that waits for a TLS handshake. */
static void finish_early(struct session *session)
{
    session->asked = false;
    finish(session, SESSION_END_EARLY);
}

/* A line of an answer to "whoami": its value, then one of the keys behind it, or the question. */
static void begin_value(struct session *session, enum candidate key)
{
    unsigned up_to = CANDIDATE(key + 1) - 1;

    session->in_value = true;
    session->scanned = 0;
    session->candidates = (uint16_t)(((CANDIDATE(CANDIDATES) - 1) & ~up_to) | CANDIDATE(QUESTION));
}

/* Returns: how many bytes belong to the value. */
static size_t take_value(struct session *session, struct bytes in)
{
    const char *lf = memchr(in.data, '\n', in.length);

    session->in_value = lf == NULL;
    return lf != NULL ? (size_t)(lf - in.data) + 1 : in.length;
}

/* All of a candidate has come. */
static void complete(struct session *session, enum candidate candidate, int64_t now_ms)
{
    bool leaving = session->state == SESSION_LEAVING;

    if (candidate >= WHOAMI) {
        begin_value(session, candidate);
        return;
    }
    switch (candidate) {
    case HELLO:
    case HELLO_BARE:
        session->framing = candidate == HELLO_BARE ? SESSION_FRAMING_BARE : session->framing;
        if (session->framing == SESSION_FRAMING_AUTO)
            session->framing = SESSION_FRAMING_LINE;
        if (leaving) {
            prepare(session, BYTES_LITERAL(GREETING_EXIT), now_ms); /* the first one was a name to it */
            return;
        }
        session->names++;
        break;
    case GOODBYE:
        if (leaving)
            await(session, SESSION_PARTED, 0, now_ms + session->policy->answer_ms);
        else
            finish_early(session);
        return;
    case TOO_MANY:
        finish(session, SESSION_END_TOO_MANY);
        return;
    case WELCOME:
        if (session->asked) {
            finish(session, SESSION_END_TIMEOUT);
            return;
        }
        break;
    default: /* QUESTION */
        break;
    }
    await(session, SESSION_READY, CANDIDATE(GOODBYE), DIALOGUE_NEVER);
}

static bool is_listening(const struct session *session)
{
    return session->state == SESSION_GREETED && session->policy->listen_ms > 0;
}

/* A byte is not what was awaited. The rest of its line is waited for, to be quoted: a peer may send one byte
 * at a time. In SESSION_READY nothing more is read. */
static void refuse(struct session *session, int64_t now_ms)
{
    enum { QUOTE_MS = 300 }; /* more than a retransmission takes */
    int64_t limit_ms = now_ms + (is_listening(session) ? session->policy->listen_ms : QUOTE_MS);

    if (session->state == SESSION_READY) {
        finish(session, SESSION_END_WRONG_ANSWER);
        return;
    }
    session->other = true;
    if (session->dialogue.deadline_ms > limit_ms)
        session->dialogue.deadline_ms = limit_ms;
}

/* Consumes the bytes that settle or continue what is awaited. Returns: how many. */
static size_t take(struct session *session, struct bytes in, int64_t now_ms)
{
    unsigned possible = 0;
    size_t longest = 0;

    for (unsigned c = 0; session->candidates >> c != 0; c++) {
        if ((session->candidates & CANDIDATE(c)) == 0)
            continue;
        bool whole;
        size_t matched = match(session, (enum candidate)c, session->scanned, in, &whole);
        if (whole) {
            complete(session, (enum candidate)c, now_ms);
            return matched;
        }
        if (matched > longest) {
            longest = matched;
            possible = 0;
        }
        if (matched == longest)
            possible |= CANDIDATE(c);
    }
    if (is_listening(session) && session->scanned == 0 && longest == in.length)
        session->dialogue.deadline_ms = now_ms + session->policy->answer_ms; /* for the rest of the welcome */
    session->candidates = (uint16_t)possible;
    session->scanned += (uint32_t)longest;
    if (longest < in.length)
        refuse(session, now_ms);
    return longest;
}

/* An alert or a handshake record (RFC 8446 section 5.1). No message of this dialogue begins so: the first
 * byte is enough where no more has come. */
static bool looks_like_tls(struct bytes wrong)
{
    enum { ALERT = 0x15, HANDSHAKE = 0x16, MAJOR = 3 };
    return wrong.length > 0 && (wrong.data[0] == ALERT || wrong.data[0] == HANDSHAKE) &&
           (wrong.length == 1 || wrong.data[1] == MAJOR);
}

/* What is not awaited is complete with its line, or when there is enough of it to identify its service. */
static void listen_on(struct session *session, struct bytes rest)
{
    bool is_tls = session->scanned == 0 && rest.length > 1 && looks_like_tls(rest);

    if (is_tls || rest.length >= SERVICE_FIRST_BYTES || memchr(rest.data, '\n', rest.length) != NULL)
        finish(session, SESSION_END_WRONG_ANSWER);
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    const struct session_policy *policy = of(dialogue)->policy;
    bool listens = policy->listen_ms > 0 && policy->listen_ms < policy->answer_ms;
    (void)out;
    dialogue->deadline_ms = now_ms + (listens ? policy->listen_ms : policy->answer_ms);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct session *session = of(dialogue);
    size_t taken = 0;

    while (put_name(session, out) && taken < in.length && session->state != SESSION_ENDED && !session->other)
        taken += session->in_value ? take_value(session, bytes_skip(in, taken))
                                   : take(session, bytes_skip(in, taken), now_ms);
    if (session->other && session->state != SESSION_ENDED)
        listen_on(session, bytes_skip(in, taken));
    return taken;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct session *session = of(dialogue);
    (void)out;
    (void)now_ms;
    if (session->other) {
        finish(session, SESSION_END_WRONG_ANSWER);
        return 0; /* it is quoted */
    }
    finish(session, session->state == SESSION_PARTED ? SESSION_END_EXIT : SESSION_END_EARLY);
    return in.length;
}

/* Without a welcome. A TLS server waits for the client to begin, and answers anything but a handshake with an
 * alert: so something is sent, where TLS is not used yet, and the answer is judged. It is "exit", which does
 * no harm to a server of this dialogue. */
static bool ask_for_tls(struct session *session, struct sink *out)
{
    if (session->state != SESSION_GREETED || session->scanned > 0 || session->asked ||
        session->policy->over_tls || session->policy->listen_ms > 0)
        return false;
    session->asked = sink_put(out, BYTES_LITERAL(GREETING_EXIT "\n"));
    return session->asked;
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    enum { ASK_MS = 1000 };
    (void)in;

    if (now_ms < dialogue->deadline_ms)
        return 0;
    if (of(dialogue)->other)
        finish(of(dialogue), SESSION_END_WRONG_ANSWER);
    else if (ask_for_tls(of(dialogue), out))
        dialogue->deadline_ms = now_ms + ASK_MS;
    else
        finish(of(dialogue), SESSION_END_TIMEOUT);
    return 0;
}

int session_name_fits(enum session_framing framing, struct bytes name, struct err *err)
{
    if (name.length > GREETING_NAME_MAX)
        return err_set(err, ERR_USAGE, 0, "the name of %zu bytes is too long: a name has at most %d bytes",
                       name.length, GREETING_NAME_MAX);
    if (framing != SESSION_FRAMING_BARE && name.length > 0 && memchr(name.data, '\n', name.length) != NULL)
        return err_set(err, ERR_USAGE, 0,
                       "a name cannot hold a newline, which ends it: leave it out, or use --framing bare");
    return 0;
}

/* Appends the candidate's first `length` bytes, at most what fits. */
static void put_prefix(const struct session *session, enum candidate candidate, size_t length,
                       struct sink *out)
{
    struct parts text = candidate_text(session, candidate);
    for (size_t i = 0; i < sizeof text.part / sizeof text.part[0]; i++) {
        struct bytes part = text.part[i];
        part.length = part.length < length ? part.length : length;
        length -= part.length;
        if (!sink_put(out, part))
            return;
    }
}

static enum candidate first_candidate(const struct session *session)
{
    for (unsigned c = 0; c < CANDIDATES; c++)
        if ((session->candidates & CANDIDATE(c)) != 0)
            return (enum candidate)c;
    return GOODBYE;
}

static int fail_wrong(const struct session *session, struct bytes wrong, struct err *err)
{
    enum { SHOWN = 48, CONTEXT = 1200 };
    char room[CONTEXT], expected[4 * SHOWN], received[4 * SHOWN];
    struct sink whole = {room, 0, sizeof room};
    enum candidate candidate = first_candidate(session);

    if (session->scanned == 0 && !session->policy->over_tls && looks_like_tls(wrong))
        return err_set(err, ERR_DIALOGUE_TLS_PEER, 0, "the server uses TLS: add --tls");
    if (session->candidates == 0)
        return err_set_facts(err, ERR_DIALOGUE_WRONG_ANSWER, &(struct err_facts){.received = wrong},
                             "the server sent more after its final message: \"%s\"",
                             escape_quoted(wrong, received, sizeof received));

    put_prefix(session, candidate, SIZE_MAX, &whole);
    size_t from = session->scanned > SHOWN / 2 ? session->scanned - SHOWN / 2 : 0;
    struct bytes tail = {room + from, whole.length - from};
    tail.length = tail.length < SHOWN ? tail.length : SHOWN;
    escape_quoted(tail, expected, sizeof expected);

    char got_room[2 * SHOWN];
    struct sink got = {got_room, 0, sizeof got_room};
    sink_put(&got, (struct bytes){room + from, session->scanned - from});
    wrong.length = wrong.length < SHOWN ? wrong.length : SHOWN;
    sink_put(&got, wrong);
    escape_quoted((struct bytes){got.data, got.length}, received, sizeof received);

    bool bare = candidate == HELLO && wrong.length > 0 && wrong.data[0] == '\n';
    struct err_facts facts = {.received = {got.data, got.length}};
    return err_set_facts(err, ERR_DIALOGUE_WRONG_ANSWER, &facts,
                         "expected \"%s%s\", the server sent \"%s%s\"%s", from > 0 ? "..." : "", expected,
                         from > 0 ? "..." : "", received,
                         bare ? " (this server takes names without a newline: try --framing bare)" : "");
}

static void failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    const struct session *session = (const struct session *)dialogue;

    switch ((enum session_end)session->end) {
    case SESSION_END_EARLY:
        if (session->asked && session->scanned == 0)
            err_set_facts(
                err, ERR_DIALOGUE_TLS_PEER, &(struct err_facts){.detail = ERR_DETAIL_TLS_ASSUMED},
                "the server sent nothing until it received a line, and then closed: it may expect TLS (try --tls)");
        else
            err_set(err, ERR_DIALOGUE_EARLY_END, 0,
                    "the server ended the dialogue after %u greeting%s, before exit was answered",
                    session->names, session->names == 1 ? "" : "s");
        break;
    case SESSION_END_TOO_MANY:
        err_set_facts(err, ERR_DIALOGUE_EARLY_END, &(struct err_facts){.detail = ERR_DETAIL_SERVER_FULL},
                      "the server has too many connections: try again later, or raise its --max-connections");
        break;
    case SESSION_END_TIMEOUT:
        err_set(err, ERR_DIALOGUE_TIMEOUT, 0, "the server did not answer within %g s",
                (double)session->policy->answer_ms / 1000);
        break;
    default: /* SESSION_END_WRONG_ANSWER */
        fail_wrong(session, rest, err);
    }
}

static const struct dialogue_ops client_ops = {
    .begin = begin,
    .receive = receive,
    .eof = end_with_peer,
    .expire = expire,
    .failure = failure,
    .duplex = true,
};

void session_init_client(struct session *session, const struct session_policy *policy)
{
    *session = (struct session){
        .dialogue = {.ops = &client_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .policy = policy,
        .state = SESSION_GREETED,
        .candidates = CANDIDATE(WELCOME) | CANDIDATE(GOODBYE) | CANDIDATE(TOO_MANY),
        .framing = (uint8_t)policy->framing};
}
