#include "measures.h"

#include <string.h>

enum { DAY_S = 24 * 60 * 60 };

const char *probe_time_name(int time)
{
    return time == PROBE_TOTAL ? "total" : probe_phase_name((enum probe_phase)time);
}

static int64_t total_ns(const struct probe_address *address)
{
    int64_t end_ns = -1;

    for (int phase = 0; phase < PROBE_VOLUME; phase++)
        if (address->spans[phase].end_ns > end_ns)
            end_ns = address->spans[phase].end_ns;
    return end_ns;
}

int64_t probe_time_ns(const struct probe_address *address, int time)
{
    bool ok = address->err.reason == ERR_OK;

    if (time == PROBE_TOTAL)
        return ok ? total_ns(address) : -1;
    return ok || time != (int)address->last ? probe_span_ns(&address->spans[time]) : -1;
}

bool probe_is_measured(const struct probe_result *result, const struct probe_address *address)
{
    if (!result->require_any || address->err.reason == ERR_OK)
        return true;
    for (size_t i = 0; i < result->address_count; i++)
        if (result->addresses[i].err.reason == ERR_OK)
            return false;
    return true;
}

int64_t probe_slowest_ns(const struct probe_result *result, int time)
{
    int64_t slowest_ns = -1;

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        int64_t ns = probe_time_ns(address, time);
        if (probe_is_measured(result, address) && ns > slowest_ns)
            slowest_ns = ns;
    }
    return slowest_ns;
}

bool probe_has_certificate(const struct probe_address *address)
{
    return address->tls.chain_count > 0;
}

int64_t probe_expires(const struct probe_address *address)
{
    const struct stream_tls_facts *tls = &address->tls;
    return tls->expires_first[0] != '\0' ? tls->expires_first_at : tls->not_after;
}

int64_t probe_days_left(const struct probe_result *result, const struct probe_address *address)
{
    int64_t left_s = probe_expires(address) - result->started_s;
    return left_s / DAY_S - (left_s % DAY_S < 0);
}

const struct probe_address *probe_first_to_expire(const struct probe_result *result)
{
    const struct probe_address *first = NULL;

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        if (probe_has_certificate(address) && probe_is_measured(result, address) &&
            (first == NULL || probe_expires(address) < probe_expires(first)))
            first = address;
    }
    return first;
}

const char *probe_family_word(enum race_family family)
{
    return family == RACE_V6 ? "ipv6" : "ipv4";
}

enum race_family probe_family(const struct probe_address *address)
{
    return endpoint_family(&address->peer) == AF_INET6 ? RACE_V6 : RACE_V4;
}

const char *probe_host_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES])
{
    endpoint_format(endpoint, text);
    char *end = strrchr(text, ':');

    if (end == NULL)
        return text;
    *end = '\0';
    if (text[0] == '[' && end[-1] == ']') {
        end[-1] = '\0';
        return text + 1;
    }
    return text;
}

const char *probe_until_word(enum probe_until until)
{
    static const char *const words[] = {
        [PROBE_UNTIL_RESOLVE] = "resolve",   [PROBE_UNTIL_CONNECT] = "connect",
        [PROBE_UNTIL_TLS] = "tls",           [PROBE_UNTIL_DIALOGUE] = "dialogue",
        [PROBE_UNTIL_EXCHANGE] = "exchange", [PROBE_UNTIL_AUTO] = "auto"};
    return words[until];
}

const char *probe_resumption_word(enum probe_resumption resumption)
{
    static const char *const words[] = {[PROBE_RESUMPTION_UNTRIED] = "untried",
                                        [PROBE_RESUMPTION_NO_TICKET] = "no-ticket",
                                        [PROBE_RESUMPTION_REFUSED] = "refused",
                                        [PROBE_RESUMPTION_FAILED] = "failed",
                                        [PROBE_RESUMPTION_ACCEPTED] = "accepted"};
    return words[resumption];
}

const char *probe_verified_word(enum probe_verified verified)
{
    static const char *const words[] = {
        [PROBE_VERIFIED_NOTHING] = "",          [PROBE_VERIFIED_RESOLVE] = "resolve",
        [PROBE_VERIFIED_CONNECT] = "connect",   [PROBE_VERIFIED_TLS] = "tls",
        [PROBE_VERIFIED_EXCHANGE] = "exchange", [PROBE_VERIFIED_DIALOGUE] = "dialogue"};
    return words[verified];
}

const char *probe_service_word(const struct probe_address *address)
{
    const char *word = service_identify(probe_address_first(address));
    return address->peer_is == PROBE_PEER_GREETS ? "tcpgreet" : word != NULL ? word : "";
}
