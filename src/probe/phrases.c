#include "phrases.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "plan.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/service.h"

enum { ATTEMPTS_SHOWN = 4 };

struct text probe_phrase_time(int64_t ns)
{
    return ns > 0 ? text_time((double)ns / 1e9) : (struct text){"0 ms"};
}

void probe_phrase_target(const struct probe_result *result, struct text_line *line)
{
    text_append(line, "%s%s", result->target, result->tls ? " over TLS" : "");
    if (result->proxy[0] != '\0')
        text_append(line, " through %s", result->proxy);
}

const char *probe_phrase_reason(enum err_reason reason)
{
    return reason == ERR_OK ? "OK" : err_word(reason);
}

static void add_count(const struct probe_result *result, struct text_line *line)
{
    size_t ok = 0, counted = probe_result_counted(result);
    const char *plural = counted == 1 ? "" : "es";

    for (size_t i = 0; i < result->address_count; i++)
        ok += result->addresses[i].err.reason == ERR_OK;
    if (result->address_count == 0)
        text_append(line, ", no address");
    else if (result->until == PROBE_UNTIL_RESOLVE)
        text_append(line, ", %zu address%s", counted, plural);
    else
        text_append(line, ", %zu/%zu address%s OK", ok, counted, plural);
}

/* How far an OK goes. */
static void add_verified(const struct probe_result *result, struct text_line *line)
{
    static const char *const through[] = {[PROBE_VERIFIED_NOTHING] = "",
                                          [PROBE_VERIFIED_RESOLVE] = " through name resolution",
                                          [PROBE_VERIFIED_CONNECT] = " through TCP",
                                          [PROBE_VERIFIED_TLS] = " through TCP and TLS",
                                          [PROBE_VERIFIED_EXCHANGE] = " through the exchange",
                                          [PROBE_VERIFIED_DIALOGUE] = ""};

    text_append(line, "%s", through[probe_result_verified(result)]);
}

static void add_result(const struct probe_result *result, struct text_line *line)
{
    text_append(line, "%s", probe_phrase_reason(result->verdict.reason));
    if (result->verdict.reason == ERR_OK)
        add_verified(result, line);
}

void probe_phrase_verdict(const struct probe_result *result, struct text_line *line)
{
    add_result(result, line);
    add_count(result, line);
    text_append(line, ", %s", probe_phrase_time(result->total_ns).text);
}

static bool is_like(const struct probe_address *a, const struct probe_address *b)
{
    return a->peer_is == b->peer_is && a->first_count == b->first_count &&
           memcmp(a->first, b->first, a->first_count) == 0;
}

const char *probe_phrase_first(const struct probe_address *address, char *text, size_t room)
{
    return escape_quoted(escape_without_end(probe_address_first(address)), text, room);
}

/* Returns: how long it was listened to, to a tenth: the end of the run may have cut that short. */
static double silence_s(const struct probe_address *address)
{
    double listened_s = (double)(address->listened_ns - address->spans[address->last].end_ns) / 1e9;
    return round(fmin(listened_s, (double)PROBE_LISTEN_MS / 1000) * 10) / 10;
}

static void add_peer(const struct probe_address *address, struct text_line *line)
{
    char first[4 * SERVICE_FIRST_BYTES + 4];
    const char *service = service_identify(probe_address_first(address));

    if (address->first_count == 0)
        text_append(line, " (it sent nothing for %g s)", silence_s(address));
    else
        text_append(line, " (it sent \"%s\")", probe_phrase_first(address, first, sizeof(first)));
    if (service != NULL)
        text_append(line, ", service: %s", service);
}

/* Whether it has more to report than its phases. */
static bool is_other(const struct probe_result *result, const struct probe_address *address)
{
    bool is_unknown = address->peer_is == PROBE_PEER_OTHER || address->peer_is == PROBE_PEER_SILENT;

    if (address->err.reason != ERR_OK)
        return false;
    return result->until == PROBE_UNTIL_EXCHANGE ? address->first_count > 0
                                                 : result->until == PROBE_UNTIL_AUTO && is_unknown;
}

void probe_phrase_others(const struct probe_result *result, struct text_line *line)
{
    const struct probe_address *one = NULL;
    char peer[ENDPOINT_TEXT_BYTES], first[4 * SERVICE_FIRST_BYTES + 4];
    bool differ = false;

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        if (!is_other(result, address))
            continue;
        differ = differ || (one != NULL && !is_like(one, address));
        one = one != NULL ? one : address;
    }
    if (one == NULL)
        return;
    text_append(line, result->until == PROBE_UNTIL_EXCHANGE ? "as expected" : "not a tcpgreet server");
    if (differ)
        text_append(line, ", %s for example", endpoint_format(&one->peer, peer));
    if (result->until == PROBE_UNTIL_EXCHANGE)
        text_append(line, " (it sent \"%s\")", probe_phrase_first(one, first, sizeof(first)));
    else
        add_peer(one, line);
}

/* Whether neither family has an address: one family alone does not show that a name does not exist. */
static bool is_unknown(const struct probe_result *result)
{
    return result->address_count == 0 && result->answers[RACE_V6].asked && result->answers[RACE_V4].asked;
}

static void add_answer(const struct probe_result *result, enum race_family family, struct text_line *line)
{
    const struct probe_answer *answer = &result->answers[family];

    text_append(line, "%sIPv%c: ", line->length > 0 ? "; " : "", family == RACE_V6 ? '6' : '4');
    if (!answer->asked)
        text_append(line, "not asked");
    else if (answer->count > 0)
        text_append(line, "%s%zu address%s in %s",
                    answer->count == RACE_ENDPOINTS_PER_FAMILY ? "the first " : "", /* there may be more */
                    answer->count, answer->count == 1 ? "" : "es",
                    probe_phrase_time(probe_span_ns(&answer->span)).text);
    else if (answer->only_in_hosts)
        text_append(line, "none in /etc/hosts");
    else if (answer->span.end_ns < 0)
        text_append(line, "no answer in time");
    else if (answer->err.reason == ERR_OK)
        text_append(line, "none");
    else if (answer->err.reason != ERR_RESOLVE_NOT_FOUND)
        text_append(line, "none (%s)", answer->err.text);
    else if (answer->err.detail == ERR_DETAIL_SERVICE)
        text_append(line, "none (no such service)");
    else
        text_append(line, "none (no such %s)", is_unknown(result) ? "name" : "address");
}

void probe_phrase_answers(const struct probe_result *result, struct text_line *line)
{
    struct text_line both = {0};

    if (result->literal)
        return;
    add_answer(result, RACE_V6, &both);
    add_answer(result, RACE_V4, &both);
    text_append(line, "%s", both.text);
}

static const char *peer_of(const struct probe_result *result, size_t address, char text[ENDPOINT_TEXT_BYTES])
{
    return address < result->address_count ? endpoint_format(&result->addresses[address].peer, text) : "?";
}

static void add_attempts(const struct probe_result *result, struct text_line *line)
{
    char peer[ENDPOINT_TEXT_BYTES];

    text_append(line, "a client would start");
    for (size_t i = 0; i < result->attempt_count && i < ATTEMPTS_SHOWN; i++)
        text_append(line, "%s %s at %s", i > 0 ? "," : "", peer_of(result, result->attempts[i].address, peer),
                    probe_phrase_time(result->attempts[i].start_ns).text);
    if (result->attempt_count > ATTEMPTS_SHOWN)
        text_append(line, ", %zu more by %s", result->attempt_count - ATTEMPTS_SHOWN,
                    probe_phrase_time(result->attempts[result->attempt_count - 1].start_ns).text);
    text_append(line, "; ");
}

void probe_phrase_race(const struct probe_result *result, struct text_line *line)
{
    const struct probe_attempt *winner = NULL;
    char peer[ENDPOINT_TEXT_BYTES];

    if (result->attempt_count == 0 || result->address_count < 2)
        return;
    for (size_t i = 0; i < result->attempt_count; i++)
        if (result->attempts[i].won)
            winner = &result->attempts[i];
    text_append(line, "Happy Eyeballs: ");
    if (result->attempt_count > 1 || winner == NULL)
        add_attempts(result, line);
    if (winner == NULL) {
        text_append(line, "none of them connects.");
        return;
    }
    const struct err *err = &result->addresses[winner->address].err;
    text_append(line, "%s would use %s, connected after %s", result->attempt_count > 1 ? "it" : "a client",
                peer_of(result, winner->address, peer), probe_phrase_time(winner->end_ns).text);
    if (err->reason != ERR_OK && err->reason != ERR_INTERRUPTED)
        text_append(line, ", and then fail there (%s): most clients try no other address after that.",
                    err_word(err->reason));
    else
        text_append(line, result->attempt_count > 1 ? "." : "; no fallback needed.");
}

const char *probe_phrase_phase(enum probe_phase phase)
{
    return phase == PROBE_TLS ? "TLS" : phase == PROBE_STARTTLS ? "STARTTLS" : probe_phase_name(phase);
}

void probe_phrase_phases(const struct probe_row *row, struct text_line *line)
{
    size_t count = 0;

    for (int phase = 0; phase < PROBE_PHASES; phase++) {
        const struct probe_span *span = &row->spans[phase];
        bool failed = row->reason != ERR_OK && phase == (int)row->last;
        if (span->begin_ns < 0)
            continue;
        text_append(line, "%s%s %s%s", count++ > 0 ? ", " : "", probe_phrase_phase((enum probe_phase)phase),
                    probe_phrase_time(span->end_ns - span->begin_ns).text, failed ? " (failed)" : "");
    }
}

/* Of all segments sent again, SYNs stand apart: the first retransmission of one takes a second. */
static void add_retransmits(const struct tcp_facts *tcp, struct text_line *line)
{
    uint32_t syn = tcp->syn_retransmits;
    uint32_t others = tcp->retransmits > syn ? tcp->retransmits - syn : 0;

    if (syn == 1)
        text_append(line, "%sSYN retransmitted once", line->length > 0 ? ", " : "");
    else if (syn > 1)
        text_append(line, "%sSYN retransmitted %" PRIu32 " times", line->length > 0 ? ", " : "", syn);
    if (others > 0)
        text_append(line, "%s%" PRIu32 " segment%s retransmitted", line->length > 0 ? ", " : "", others,
                    others == 1 ? "" : "s");
}

void probe_phrase_kernel(const struct probe_address *address, struct text_line *line)
{
    const struct tcp_facts *tcp = &address->tcp;
    struct text_line facts = {0};

    if (!tcp->known)
        return;
    add_retransmits(tcp, &facts);
    if (tcp->mss_bytes > 0)
        text_append(&facts, "%sMSS %" PRIu32, facts.length > 0 ? ", " : "", tcp->mss_bytes);
    if (tcp->rtt_us > 0)
        text_append(&facts, "%sRTT %s", facts.length > 0 ? ", " : "",
                    probe_phrase_time(tcp->rtt_us * INT64_C(1000)).text);
    text_append(line, "%s%s", line->length > 0 && facts.length > 0 ? ", " : "", facts.text);
}

void probe_phrase_path(const struct probe_address *address, struct text_line *line)
{
    char local[ENDPOINT_TEXT_BYTES];
    struct text_line path = {0};

    if (endpoint_family(&address->local) != AF_UNSPEC)
        text_append(&path, "from %s", endpoint_format(&address->local, local));
    if (path.length > 0 && address->interface[0] != '\0')
        text_append(&path, " on %s", address->interface);
    probe_phrase_kernel(address, &path);
    text_append(line, "%s", path.text);
}

void probe_phrase_tls(const struct probe_address *address, struct text_line *line)
{
    const struct stream_tls_facts *tls = &address->tls;

    if (tls->version[0] == '\0')
        return;
    text_append(line, "%s, %s", tls->version, tls->cipher);
    if (tls->group[0] != '\0')
        text_append(line, ", %s", tls->group);
    if (tls->alpn[0] != '\0')
        text_append(line, ", ALPN %s", tls->alpn);
}

void probe_phrase_resumption(const struct probe_address *address, struct text_line *line)
{
    static const char *const found[] = {
        [PROBE_RESUMPTION_UNTRIED] = "",
        [PROBE_RESUMPTION_NO_TICKET] = "resumption: the server sent no ticket",
        [PROBE_RESUMPTION_REFUSED] = "resumption: ticket not accepted, full handshake",
        [PROBE_RESUMPTION_FAILED] = "resumption: the second connection failed",
        [PROBE_RESUMPTION_ACCEPTED] = "resumption: works"};

    if ((unsigned)address->resumption <= PROBE_RESUMPTION_ACCEPTED)
        text_append(line, "%s", found[address->resumption]);
}

void probe_phrase_volume(const struct probe_address *address, struct text_line *line)
{
    const struct probe_volume *volume = &address->volume;

    if (volume->names > 0)
        text_append(line, "volume: %" PRIu64 " name%s, %" PRIu64 " bytes sent, %" PRIu64 " received",
                    volume->names, volume->names == 1 ? "" : "s", volume->sent_bytes, volume->received_bytes);
}

void probe_phrase_names(const struct stream_tls_facts *facts, struct text_line *line)
{
    if (!facts->nameless)
        text_append(line, "for %s", facts->subject[0] != '\0' ? facts->subject : "no name");
    else if (facts->subject[0] != '\0')
        text_append(line, "for no host name or address (it has: %s)", facts->subject);
    else
        text_append(line, "for no host name or address, and without a subject");
}

/* Returns: how many whole days from the round it is, in either direction. */
static int64_t days_to(const struct probe_result *result, int64_t when)
{
    enum { DAY_S = 86400 };
    int64_t to_s = when - result->started_s;
    return (to_s < 0 ? -to_s : to_s) / DAY_S;
}

/* Returns: the date, with its time where that is less than a day from the round. */
static struct text date_of(const struct probe_result *result, int64_t when)
{
    struct text date = text_date(when);
    if (days_to(result, when) > 0)
        date.text[strcspn(date.text, " ")] = '\0';
    return date;
}

void probe_phrase_validity_until(const struct probe_result *result, int64_t not_after, struct text_line *line)
{
    int64_t days = days_to(result, not_after);
    struct text until = date_of(result, not_after);
    struct text span = {"less than a day"};

    if (days > 0)
        (void)snprintf(span.text, sizeof(span.text), "%" PRId64 " day%s", days, days == 1 ? "" : "s");
    if (not_after < result->started_s)
        text_append(line, "expired %s ago, on %s", span.text, until.text);
    else
        text_append(line, "%s left, until %s", span.text, until.text);
}

void probe_phrase_validity(const struct probe_result *result, const struct stream_tls_facts *facts,
                           struct text_line *line)
{
    if (facts->not_before > result->started_s)
        text_append(line, "not valid before %s", date_of(result, facts->not_before).text);
    else
        probe_phrase_validity_until(result, facts->not_after, line);
}

void probe_phrase_through(const struct probe_result *result, struct text_line *line)
{
    struct text_line others = {0};

    add_verified(result, line);
    probe_phrase_others(result, &others);
    text_append(line, "%s%s", others.length > 0 ? "; " : "", others.text);
}

void probe_phrase_last(const struct probe_result *result, size_t findings, struct text_line *line)
{
    struct text_line others = {0};

    probe_phrase_others(result, &others);
    if (result->verdict.reason == ERR_OK && others.length > 0) {
        add_result(result, line);
        text_append(line, "; %s.", others.text);
    } else if (result->verdict.reason == ERR_OK) {
        text_append(line, "%s", findings == 0 ? "All checks passed." : "All other checks passed.");
    } else if (findings == 0 || result->verdict.reason == ERR_THRESHOLD ||
               result->verdict.reason == ERR_INTERRUPTED || result->verdict.reason == ERR_TERMINATED) {
        text_append(line, "%s", result->verdict.text);
    }
}
