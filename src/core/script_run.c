#include "tcpgreet/core/script_run.h"

#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/trace.h"

enum { QUOTE_BYTES = 160 };

/* How much is known about what follows the bytes that are there. */
enum how {
    HOW_MORE,   /* any byte may follow */
    HOW_PAUSED, /* none has for a while: a line without a newline is complete */
    HOW_FULL,   /* no more is looked at */
    HOW_LATE,   /* no more is waited for */
    HOW_ENDED   /* none follows */
};

static struct script_run *of(struct dialogue *dialogue)
{
    return (struct script_run *)dialogue;
}

static const struct script_step *step_at(const struct script_run *run, size_t i)
{
    return &run->script->steps[i];
}

static bool is_last(const struct script_run *run, enum script_kind kind)
{
    return run->next > run->first && step_at(run, run->next - 1)->kind == kind;
}

/* A --reject that no expectation follows has its time until the peer is silent. */
static bool is_watching(const struct script_run *run)
{
    return run->at == run->next && is_last(run, SCRIPT_REJECT);
}

static bool is_ready(const struct script_run *run)
{
    return run->end == SCRIPT_END_DONE && run->dialogue.state == DIALOGUE_READY;
}

static void finish(struct script_run *run, enum script_end end)
{
    bool has_sent_last = step_at(run, run->script->count - 1)->kind == SCRIPT_SEND;

    run->end = (uint8_t)end;
    if (end != SCRIPT_END_DONE)
        run->dialogue.state = DIALOGUE_FAILED;
    else
        run->dialogue.state = has_sent_last && !run->may_be_refused ? DIALOGUE_OVER : DIALOGUE_READY;
}

static void blame(struct script_run *run, size_t step, enum script_end end)
{
    run->culprit = step;
    finish(run, end);
}

/* The steps behind a --send begin. */
static void begin_steps(struct script_run *run, size_t first, int64_t now_ms)
{
    run->first = run->at = run->next = first;
    while (run->next < run->script->count && step_at(run, run->next)->kind != SCRIPT_SEND)
        run->next++;
    memset(run->from, 0, sizeof run->from);
    run->reach = 0;
    run->is_paused = false;
    run->last_ms = now_ms;
    run->limit_ms = now_ms + run->answer_ms;
}

/* Searches for step i in all of the window. Returns: whether it matches; not where the run has failed. */
static bool matches(struct script_run *run, size_t i, struct bytes window, enum how how,
                    struct pattern_span *span)
{
    size_t from = run->from[i];
    enum pattern_result result =
        pattern_search(step_at(run, i)->pattern, window, &from, how != HOW_MORE, span);

    run->from[i] = (uint32_t)from;
    if (result == PATTERN_COSTLY || result == PATTERN_EXHAUSTED)
        blame(run, i, result == PATTERN_COSTLY ? SCRIPT_END_COSTLY : SCRIPT_END_EXHAUSTED);
    return result == PATTERN_MATCH;
}

/* Whether it matches whatever follows. */
static bool matches_prefix(const struct script_run *run, size_t i, struct bytes window, size_t length)
{
    struct pattern_span span;
    size_t from = 0;
    struct bytes prefix = {window.data, length};
    return pattern_search(step_at(run, i)->pattern, prefix, &from, false, &span) == PATTERN_MATCH;
}

static bool meets_all(const struct script_run *run, struct bytes window, size_t length)
{
    for (size_t i = run->first; i < run->next; i++)
        if (step_at(run, i)->kind == SCRIPT_EXPECT && !matches_prefix(run, i, window, length))
            return false;
    return true;
}

/* Returns: how many bytes show that every expectation is met, at least `low`; all of them where it takes
 * their end, too. */
static size_t settled(const struct script_run *run, struct bytes window, size_t low)
{
    size_t high = window.length;

    if (low == high || meets_all(run, window, low))
        return low;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (meets_all(run, window, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* Returns: whether the line that `reach` bytes end in is complete; *end: behind its newline, else behind all.
 */
static bool line_end(size_t reach, struct bytes window, size_t *end)
{
    size_t from = reach > 0 ? reach - 1 : 0; /* they may have the newline */
    const char *newline =
        from < window.length ? memchr(window.data + from, '\n', window.length - from) : NULL;

    *end = newline != NULL ? (size_t)(newline - window.data) + 1 : window.length;
    return newline != NULL;
}

/* Every expectation is met. Returns: whether the last line that shows it is complete; *end: its end. */
static bool are_met_in_lines(const struct script_run *run, struct bytes window, enum how how, size_t *end)
{
    if (!line_end(run->reach, window, end))
        return how != HOW_MORE;
    size_t shown = settled(run, window, *end);
    return shown == *end || line_end(shown, window, end) || how != HOW_MORE;
}

/* Returns: whether the steps up to `next` are done; *end: how many bytes they have looked at. */
static bool are_settled(const struct script_run *run, struct bytes window, enum how how, int64_t now_ms,
                        size_t *end)
{
    bool is_silent = how == HOW_PAUSED && now_ms >= run->last_ms + SCRIPT_SILENCE_MS;

    *end = window.length;
    if (run->first == run->next)
        *end = 0;
    else if (run->at < run->next)
        return false;
    else if (is_last(run, SCRIPT_REJECT))
        return is_silent || how >= HOW_FULL;
    else
        return are_met_in_lines(run, window, how, end);
    return true;
}

/* The line that the last match begins in. */
static void keep_line(struct script_run *run, struct bytes window)
{
    size_t begin = run->met < window.length ? run->met : window.length, end = begin;

    while (begin > 0 && window.data[begin - 1] != '\n' && window.data[begin - 1] != '\r')
        begin--;
    while (end < window.length && window.data[end] != '\n' && window.data[end] != '\r')
        end++;
    run->line_count = (uint8_t)(end - begin < sizeof run->line ? end - begin : sizeof run->line);
    if (run->line_count > 0)
        memcpy(run->line, window.data + begin, run->line_count);
}

static void trace_step(const struct script_run *run, size_t i, enum trace_step step, struct bytes data)
{
    char shown[SCRIPT_QUOTE_BYTES];

    if (trace_sink != NULL)
        trace(.step = step, .fd = -1, .arguments = script_quote(step_at(run, i), shown), .data = data);
}

/* Goes on to the first expectation that is not met. */
static void look_for_expected(struct script_run *run, struct bytes window, enum how how)
{
    struct pattern_span span;

    for (; run->at < run->next; run->at++) {
        if (step_at(run, run->at)->kind != SCRIPT_EXPECT)
            continue;
        if (!matches(run, run->at, window, how, &span))
            return;
        run->reach = span.end > run->reach ? span.end : run->reach;
        run->met = span.begin;
        trace_step(run, run->at, TRACE_SCRIPT_EXPECT,
                   (struct bytes){window.data + span.begin, span.end - span.begin});
    }
}

/* Each --reject that has been reached. Shape: length: how many bytes of the window count. Returns: whether
 * one of them matches. */
static bool look_for_rejected(struct script_run *run, struct bytes window, size_t length, enum how how)
{
    struct pattern_span span;
    size_t end;

    for (size_t i = run->first; i < run->at && run->end == SCRIPT_END_NONE; i++) {
        if (step_at(run, i)->kind != SCRIPT_REJECT || !matches(run, i, window, how, &span))
            continue;
        if (length < window.length && !matches_prefix(run, i, window, length))
            continue;
        if (how == HOW_MORE && !line_end(span.end, window, &end))
            return true; /* the rest of its line is worth quoting */
        blame(run, i, SCRIPT_END_REJECTED);
        run->rejected = span.begin;
        trace_step(run, i, TRACE_SCRIPT_REJECT,
                   (struct bytes){window.data + span.begin, span.end - span.begin});
    }
    return run->end != SCRIPT_END_NONE;
}

static void give_up(struct script_run *run, enum how how)
{
    if (how >= HOW_FULL)
        blame(run, run->at,
              how == HOW_FULL   ? SCRIPT_END_FULL
              : how == HOW_LATE ? SCRIPT_END_LATE
                                : SCRIPT_END_PEER);
}

/* Returns: whether the next step can be taken; *consumed: what is behind us then. */
static bool look(struct script_run *run, struct bytes window, enum how how, int64_t now_ms, size_t *consumed)
{
    size_t end;

    look_for_expected(run, window, how);
    if (run->end != SCRIPT_END_NONE)
        return false;
    bool is_settled = are_settled(run, window, how, now_ms, &end);
    if (look_for_rejected(run, window, is_settled ? end : window.length, how))
        return false;
    if (!is_settled) {
        give_up(run, how);
        return false;
    }
    *consumed = end;
    if (run->reach > 0)
        keep_line(run, window);
    if (run->next == run->script->count)
        finish(run, SCRIPT_END_DONE);
    run->is_sending = run->end == SCRIPT_END_NONE;
    run->limit_ms = now_ms + run->answer_ms;
    return run->is_sending;
}

/* Returns: whether all of the --send under way is sent. */
static bool put(struct script_run *run, struct sink *out, int64_t now_ms)
{
    const struct script_step *step = step_at(run, run->next);
    struct bytes rest = bytes_skip((struct bytes){step->text, step->length}, run->sent);
    size_t room = sink_room(out);

    rest.length = rest.length < room ? rest.length : room;
    sink_put(out, rest);
    run->sent += rest.length;
    if (run->sent < step->length)
        return false;
    if (trace_sink != NULL)
        trace(.step = TRACE_SCRIPT_SEND, .fd = -1, .data = {step->text, step->length});
    run->sent = 0;
    run->is_sending = false;
    if (run->next + 1 == run->script->count)
        finish(run, SCRIPT_END_DONE);
    else
        begin_steps(run, run->next + 1, now_ms);
    return run->end == SCRIPT_END_NONE;
}

/* What is known changes as time and bytes go on; a --send asks for new ones. */
static enum how how_is(const struct script_run *run, struct bytes window, enum how how)
{
    if (run->has_ended)
        return HOW_ENDED;
    return window.length == SCRIPT_WINDOW_BYTES && how != HOW_LATE ? HOW_FULL : how;
}

static void set_deadline(struct script_run *run)
{
    int64_t quiet_ms = DIALOGUE_NEVER;

    if (is_watching(run) && !run->is_sending)
        quiet_ms = run->last_ms + SCRIPT_SILENCE_MS;
    else if (run->seen > 0 && !run->is_paused && !run->is_sending)
        quiet_ms = run->last_ms + SCRIPT_PAUSE_MS;
    run->dialogue.deadline_ms = quiet_ms < run->limit_ms ? quiet_ms : run->limit_ms;
}

/* Takes every step that can be taken. Returns: how many bytes are behind us. */
static size_t go_on(struct script_run *run, struct bytes in, struct sink *out, int64_t now_ms, enum how how)
{
    size_t consumed = 0;

    for (bool moves = true; moves;) {
        struct bytes window = bytes_skip(in, consumed);
        size_t taken = 0;
        window.length = window.length < SCRIPT_WINDOW_BYTES ? window.length : SCRIPT_WINDOW_BYTES;
        if (run->is_sending) {
            moves = put(run, out, now_ms);
            how = HOW_MORE;
        } else {
            moves = look(run, window, how_is(run, window, how), now_ms, &taken);
            consumed += taken;
        }
    }
    run->seen = in.length - consumed;
    if (run->end == SCRIPT_END_NONE) {
        run->dialogue.state = run->is_sending ? DIALOGUE_SENDING : DIALOGUE_RUNNING;
        set_deadline(run);
        return consumed;
    }
    run->dialogue.deadline_ms = DIALOGUE_NEVER;
    return is_ready(run) ? in.length : consumed;
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    begin_steps(of(dialogue), 0, now_ms);
    (void)go_on(of(dialogue), (struct bytes){0}, out, now_ms, HOW_MORE);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct script_run *run = of(dialogue);

    if (run->end != SCRIPT_END_NONE)
        return in.length;
    if (in.length > run->seen) {
        run->last_ms = now_ms;
        run->is_paused = false;
    }
    return go_on(run, in, out, now_ms, HOW_MORE);
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct script_run *run = of(dialogue);

    run->has_ended = true;
    if (is_ready(run)) {
        dialogue->state = DIALOGUE_OVER;
        return in.length;
    }
    size_t consumed = go_on(run, in, out, now_ms, HOW_ENDED);
    if (is_ready(run))
        dialogue->state = DIALOGUE_OVER;
    return consumed;
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct script_run *run = of(dialogue);

    if (now_ms < dialogue->deadline_ms)
        return 0;
    run->is_paused = true;
    if (now_ms < run->limit_ms)
        return go_on(run, in, out, now_ms, HOW_PAUSED);
    if (!run->is_sending)
        return go_on(run, in, out, now_ms, HOW_LATE);
    blame(run, run->next, SCRIPT_END_LATE);
    dialogue->deadline_ms = DIALOGUE_NEVER;
    return 0;
}

/* The line of what was rejected; else what came first since the last --send. */
static struct bytes evidence(const struct script_run *run, struct bytes rest)
{
    size_t begin = run->end == SCRIPT_END_REJECTED ? run->rejected : 0;

    while (begin > 0 && rest.data[begin - 1] != '\n')
        begin--;
    return begin <= rest.length ? bytes_skip(rest, begin) : rest;
}

/* A whole alert record (RFC 8446 sections 5.1 and 6), and nothing else. */
static bool is_tls_alert(struct bytes rest)
{
    static const char head[] = {0x15, 3};
    return rest.length == 7 && memcmp(rest.data, head, sizeof head) == 0 && rest.data[3] == 0 &&
           rest.data[4] == 2 && (rest.data[5] == 1 || rest.data[5] == 2);
}

/* Nothing came after a --send that ends no line: a fact about it, and the usual cause. */
static const char *hint(const struct script_run *run, struct bytes came)
{
    const struct script_step *sent = run->first > 0 ? step_at(run, run->first - 1) : NULL;
    bool ends_line = sent == NULL || sent->text[sent->length - 1] == '\n';
    return came.length > 0 || ends_line
               ? ""
               : " (the last --send ends without \\n, which a line protocol waits for)";
}

static void fail_unmet(const struct script_run *run, const char *received, const struct err_facts *facts,
                       struct err *err)
{
    char shown[SCRIPT_QUOTE_BYTES];
    const struct script_step *step = step_at(run, run->culprit);
    const char *option = script_option(step), *pattern = script_quote(step, shown);

    switch ((enum script_end)run->end) {
    case SCRIPT_END_LATE:
        err_set_facts(err, ERR_DIALOGUE_TIMEOUT, facts, "%s \"%s\" did not match within %g s: %s%s", option,
                      pattern, (double)run->answer_ms / 1000, received, hint(run, facts->received));
        break;
    case SCRIPT_END_PEER:
        err_set_facts(err, ERR_DIALOGUE_UNEXPECTED, facts,
                      "the peer closed the connection before %s \"%s\" matched: %s", option, pattern,
                      received);
        break;
    case SCRIPT_END_REJECTED:
        err_set_facts(err, ERR_DIALOGUE_UNEXPECTED, facts, "%s \"%s\" matched: %s", option, pattern,
                      received);
        break;
    case SCRIPT_END_FULL:
        err_set_facts(err, ERR_DIALOGUE_UNEXPECTED, facts,
                      "%s \"%s\" did not match in the first %d bytes: %s", option, pattern,
                      SCRIPT_WINDOW_BYTES, received);
        break;
    case SCRIPT_END_COSTLY:
        err_set_facts(err, ERR_DIALOGUE_UNEXPECTED, facts,
                      "%s \"%s\" takes too many steps to match, simplify the pattern: %s", option, pattern,
                      received);
        break;
    default:
        err_set(err, ERR_INTERNAL, 0, "memory is exhausted");
    }
}

static void failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    const struct script_run *run = (const struct script_run *)dialogue;
    struct bytes came = evidence(run, rest);
    struct err_facts facts = {.received = came};
    char shown[QUOTE_BYTES], received[QUOTE_BYTES + 32] = "nothing was received";

    if (run->end == SCRIPT_END_LATE && step_at(run, run->culprit)->kind == SCRIPT_SEND) {
        err_set(err, ERR_DIALOGUE_TIMEOUT, 0, "the peer did not read what --send has for it within %g s",
                (double)run->answer_ms / 1000);
        return;
    }
    if (is_tls_alert(rest)) {
        err_set(err, ERR_DIALOGUE_TLS_PEER, 0, "the server uses TLS: add --tls");
        return;
    }
    if (run->end == SCRIPT_END_PEER && came.length == 0 && run->line_count == 0 &&
        step_at(run, 0)->kind == SCRIPT_SEND)
        facts.detail = ERR_DETAIL_UNANSWERED;
    if (came.length > 0)
        (void)snprintf(received, sizeof received, "received \"%s\"",
                       escape_quoted(came, shown, sizeof shown));
    fail_unmet(run, received, &facts, err);
}

static const struct dialogue_ops script_ops = {
    .begin = begin,
    .receive = receive,
    .eof = end_with_peer,
    .expire = expire,
    .failure = failure,
    .duplex = true,
};

void script_run_init(struct script_run *run, const struct script *script, int64_t answer_ms)
{
    *run = (struct script_run){
        .dialogue = {.ops = &script_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .script = script,
        .answer_ms = answer_ms};
}

struct bytes script_run_line(const struct script_run *run)
{
    return (struct bytes){run->line, run->line_count};
}
