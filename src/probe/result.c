#include "result.h"

#include <stdlib.h>
#include <string.h>

#include "tcpgreet/core/greeting.h"

void probe_result_fini(struct probe_result *result)
{
    free(result->addresses);
    result->addresses = NULL;
    result->address_count = 0;
}

const char *probe_phase_name(enum probe_phase phase)
{
    static const char *const names[PROBE_PHASES] = {
        [PROBE_RESOLVE] = "resolve",   [PROBE_CONNECT] = "connect", [PROBE_PROXY] = "proxy",
        [PROBE_STARTTLS] = "starttls", [PROBE_TLS] = "tls",         [PROBE_WELCOME] = "welcome",
        [PROBE_NAME] = "name",         [PROBE_CLOSE] = "close",     [PROBE_EXCHANGE] = "exchange",
        [PROBE_VOLUME] = "volume"};
    return (unsigned)phase < PROBE_PHASES ? names[phase] : "?";
}

const char *probe_result_resolved(const struct probe_result *result)
{
    return result->proxy_host[0] != '\0' ? result->proxy_host : result->host;
}

int64_t probe_span_ns(const struct probe_span *span)
{
    return span->end_ns < 0 ? -1 : span->end_ns - span->begin_ns;
}

void probe_address_end_connect(struct probe_address *address)
{
    enum { NS_PER_US = 1000 };
    struct probe_span *span = &address->spans[PROBE_CONNECT];
    int64_t measured_ns = span->begin_ns + (int64_t)address->tcp.rtt_us * NS_PER_US;

    if (address->tcp.rtt_us > 0 && address->tcp.syn_retransmits == 0 && measured_ns < span->end_ns)
        span->end_ns = measured_ns;
}

enum reach probe_address_reach(const struct probe_address *address)
{
    enum err_reason reason = address->err.reason;
    bool never_came = address->last == PROBE_CONNECT &&
                      (reason == ERR_CONNECT_UNREACHABLE || reason == ERR_CONNECT_TIMEOUT);
    return never_came ? address->reach : REACH_OPEN;
}

static bool is_within_reach(const struct probe_address *address)
{
    return !reach_is_impossible(probe_address_reach(address));
}

bool probe_result_counts(const struct probe_result *result, const struct probe_address *address)
{
    bool any = false;
    for (size_t i = 0; i < result->address_count && !any; i++)
        any = is_within_reach(&result->addresses[i]);
    return !any || is_within_reach(address);
}

size_t probe_result_counted(const struct probe_result *result)
{
    size_t count = 0;
    for (size_t i = 0; i < result->address_count; i++)
        count += probe_result_counts(result, &result->addresses[i]);
    return count;
}

enum probe_verified probe_address_verified(const struct probe_result *result,
                                           const struct probe_address *address)
{
    bool ok = address->err.reason == ERR_OK;

    if (result->until == PROBE_UNTIL_RESOLVE || (address->last <= PROBE_PROXY && !ok))
        return PROBE_VERIFIED_RESOLVE;
    if (address->last == PROBE_VOLUME || (address->last == PROBE_CLOSE && ok))
        return PROBE_VERIFIED_DIALOGUE;
    if (address->last == PROBE_EXCHANGE && ok)
        return PROBE_VERIFIED_EXCHANGE;
    bool is_refused = address->alert != 0 && address->tls.version[0] == '\0';
    bool fails_in_tls = address->last == PROBE_TLS && (!ok || is_refused);
    bool has_tls = address->spans[PROBE_TLS].end_ns >= 0 && !fails_in_tls;
    return has_tls ? PROBE_VERIFIED_TLS : PROBE_VERIFIED_CONNECT;
}

enum probe_verified probe_result_verified(const struct probe_result *result)
{
    enum probe_verified least = PROBE_VERIFIED_DIALOGUE;
    bool any = false;

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        enum probe_verified verified = probe_address_verified(result, address);
        bool is_excused =
            result->verdict.reason == ERR_OK && address->err.reason != ERR_OK; /* by --require any */
        if (is_excused || !probe_result_counts(result, address))
            continue;
        least = verified < least ? verified : least;
        any = true;
    }
    return any ? least : PROBE_VERIFIED_NOTHING;
}

struct bytes probe_address_first(const struct probe_address *address)
{
    return (struct bytes){(const char *)address->first, address->first_count};
}

bool probe_address_greets(const struct probe_address *address)
{
    static const char welcome[] = GREETING_WELCOME GREETING_QUESTION;
    const size_t length = sizeof welcome - 1;
    return address->first_count >= length && memcmp(address->first, welcome, length) == 0;
}

/* Records what the same peer would have failed with under --until dialogue. */
static void hold_to_dialogue(struct probe_address *address)
{
    struct err_facts facts = {.received = probe_address_first(address)};

    address->last = PROBE_WELCOME;
    if (address->peer_is == PROBE_PEER_OTHER) {
        err_set_facts(&address->err, ERR_DIALOGUE_WRONG_ANSWER, &facts,
                      "another service answers than at the other addresses");
        return;
    }
    int64_t up_ns = -1;
    for (int phase = PROBE_CONNECT; phase <= PROBE_TLS; phase++)
        up_ns = address->spans[phase].end_ns > up_ns ? address->spans[phase].end_ns : up_ns;
    address->spans[PROBE_WELCOME] = (struct probe_span){up_ns, address->listened_ns};
    err_set(&address->err, ERR_DIALOGUE_TIMEOUT, 0, "no welcome, unlike from the other addresses");
}

void probe_result_compare(struct probe_result *result)
{
    bool greets = false;

    for (size_t i = 0; i < result->address_count; i++)
        greets = greets || result->addresses[i].peer_is == PROBE_PEER_GREETS;
    for (size_t i = 0; greets && result->until == PROBE_UNTIL_AUTO && i < result->address_count; i++)
        if (result->addresses[i].err.reason == ERR_OK && result->addresses[i].peer_is != PROBE_PEER_GREETS)
            hold_to_dialogue(&result->addresses[i]);
}
