#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "diagnosis.h"
#include "phrases.h"
#include "tcpgreet/core/target.h"

#define SECOND_NS INT64_C(1000000000)

enum { SLOWER = 5 /* than the other type's answer, and over a second: not just a far name server */ };

static const char *const record_of[RACE_FAMILIES] = {[RACE_V6] = "AAAA", [RACE_V4] = "A"};
static const char digit_of[RACE_FAMILIES] = {[RACE_V6] = '6', [RACE_V4] = '4'};

static enum race_family other_of(enum race_family family)
{
    return family == RACE_V6 ? RACE_V4 : RACE_V6;
}

/* Returns: whether the name service itself fails for a family. */
static bool dns_fails(const struct probe_answer *answer)
{
    return answer->asked && answer->count == 0 && answer->err.reason == ERR_RESOLVE_TEMPORARY;
}

bool probe_finds_no_name(struct probe_group *group)
{
    const struct probe_result *result = group->result;
    bool asked = false;

    group->count = 0;
    for (size_t family = 0; family < RACE_FAMILIES; family++) {
        const struct probe_answer *answer = &result->answers[family];
        asked = asked || answer->asked;
        if (answer->asked && (answer->count > 0 || answer->err.reason != ERR_RESOLVE_NOT_FOUND))
            return false;
    }
    return asked;
}

/* What no zone can mend: a literal without its link, a service that has no number. */
static const struct err *blames_the_words(const struct probe_result *result)
{
    for (size_t family = 0; family < RACE_FAMILIES; family++) {
        const struct err *err = &result->answers[family].err;
        if (result->answers[family].asked && (result->literal || err->detail == ERR_DETAIL_SERVICE))
            return err;
    }
    return NULL;
}

static void report_no_localhost(const struct probe_result *result, struct text_line *line)
{
    const char *name = probe_result_resolved(result);
    text_append(line, "There is no address for %s: %s.", name,
                name[strlen(name) - 1] == '.'
                    ? "leave out the dot at its end, /etc/hosts has names without it"
                    : "add it to /etc/hosts, with 127.0.0.1 and ::1");
}

static void report_no_family(const struct probe_result *result, enum race_family family,
                             struct text_line *line)
{
    char digit = digit_of[family];

    if (result->answers[family].only_in_hosts)
        text_append(
            line,
            "/etc/hosts has no IPv%c address for %s, and no other was requested: try without -%c, or add it there.",
            digit, probe_result_resolved(result), digit);
    else
        text_append(
            line,
            "There is no IPv%c address for %s, and no other was requested: try without -%c, or add its %s record.",
            digit, probe_result_resolved(result), digit, record_of[family]);
}

void probe_reports_no_name(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;
    bool v6 = result->answers[RACE_V6].asked, v4 = result->answers[RACE_V4].asked;
    const struct err *words = blames_the_words(result);

    if (words != NULL)
        text_append(line, "%c%s.", toupper((unsigned char)words->text[0]), words->text + 1);
    else if (v6 != v4)
        report_no_family(result, v6 ? RACE_V6 : RACE_V4, line);
    else if (target_is_localhost(probe_result_resolved(result)))
        report_no_localhost(result, line);
    else
        text_append(line, "There is no address for %s: check the spelling, or add the name to its zone.",
                    probe_result_resolved(result));
}

/* No host has this address: a connection to it ends on this machine. */
static bool is_unspecified(const struct endpoint *endpoint)
{
    if (endpoint_family(endpoint) == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&endpoint->address.v6.sin6_addr);
    return endpoint_family(endpoint) == AF_INET && endpoint->address.v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool probe_is_blocked(const struct probe_result *result, const struct probe_address *address)
{
    return !result->literal && is_unspecified(&address->peer);
}

static bool is_blocked_and_ok(const struct probe_result *result, const struct probe_address *address)
{
    return probe_is_blocked(result, address) && address->err.reason == ERR_OK;
}

bool probe_finds_blocked(struct probe_group *group)
{
    probe_group_keep(group, is_blocked_and_ok);
    return group->count > 0;
}

void probe_reports_blocked(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    text_append(
        line,
        "%s resolves to %s, which is no host's address and leads to this machine: usually the answer of a DNS filter that blocks the name.",
        probe_result_resolved(group->result), endpoint_family(&first->peer) == AF_INET6 ? "::" : "0.0.0.0");
}

/* The same without a name service. */
bool probe_is_unspecified(const struct probe_result *result, const struct probe_address *address)
{
    return result->literal && is_unspecified(&address->peer);
}

static bool is_unspecified_and_ok(const struct probe_result *result, const struct probe_address *address)
{
    return probe_is_unspecified(result, address) && address->err.reason == ERR_OK;
}

bool probe_finds_unspecified(struct probe_group *group)
{
    probe_group_keep(group, is_unspecified_and_ok);
    return group->count > 0;
}

void probe_reports_unspecified(const struct probe_group *group, struct text_line *line)
{
    bool v6 = endpoint_family(&probe_group_first(group)->peer) == AF_INET6;
    text_append(
        line,
        "%s is no host's address, and a connection to it leads to this machine: give the address of the host, or %s for this machine.",
        v6 ? "::" : "0.0.0.0", v6 ? "::1" : "127.0.0.1");
}

bool probe_finds_dns_failure(struct probe_group *group)
{
    group->count = 0;
    return dns_fails(&group->result->answers[RACE_V6]) || dns_fails(&group->result->answers[RACE_V4]);
}

void probe_reports_dns_failure(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;
    enum race_family family = dns_fails(&result->answers[RACE_V6]) ? RACE_V6 : RACE_V4;
    const struct probe_answer *answer = &result->answers[family], *other = &result->answers[other_of(family)];
    const char *how = answer->span.end_ns < 0 ? "does not answer" : "fails";

    if (target_is_localhost(probe_result_resolved(result)))
        report_no_localhost(result, line);
    else if (!other->asked || dns_fails(other))
        text_append(
            line,
            "The name service %s for %s. This may be temporary (--retry waits for it); if it persists, check /etc/resolv.conf here, and the name servers of the zone.",
            how, probe_result_resolved(result));
    else
        text_append(
            line,
            "The name service %s for the %s record of %s, but not for %s: clients wait for it, and some then fail to resolve the name at all. The name servers of the zone must answer for %s too, even if there is no such record.",
            how, record_of[family], probe_result_resolved(result), record_of[other_of(family)],
            record_of[family]);
}

/* Whether a family's answer was slow, and the other's was not. */
static bool is_slow(const struct probe_result *result, enum race_family family)
{
    int64_t slow = probe_span_ns(&result->answers[family].span);
    int64_t fast = probe_span_ns(&result->answers[other_of(family)].span);
    return fast >= 0 && slow > SECOND_NS && slow / SLOWER > fast && !dns_fails(&result->answers[family]);
}

bool probe_finds_dns_slow_type(struct probe_group *group)
{
    return is_slow(group->result, RACE_V6) || is_slow(group->result, RACE_V4);
}

void probe_reports_dns_slow_type(const struct probe_group *group, struct text_line *line)
{
    enum race_family slow = is_slow(group->result, RACE_V6) ? RACE_V6 : RACE_V4, fast = other_of(slow);
    text_append(
        line,
        "The %s answer for %s took %s, the %s answer %s: clients that wait for both are delayed as much. Look for a name server, or a firewall before it, that drops queries for %s.",
        record_of[slow], probe_result_resolved(group->result),
        probe_phrase_time(probe_span_ns(&group->result->answers[slow].span)).text, record_of[fast],
        probe_phrase_time(probe_span_ns(&group->result->answers[fast].span)).text, record_of[slow]);
}

static bool is_unconnected(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return !probe_address_connected(address);
}

static bool is_unconnected_v6(const struct probe_result *result, const struct probe_address *address)
{
    return is_unconnected(result, address) && endpoint_family(&address->peer) == AF_INET6;
}

static bool is_unconnected_v4(const struct probe_result *result, const struct probe_address *address)
{
    return is_unconnected(result, address) && endpoint_family(&address->peer) == AF_INET;
}

static bool any_connected(const struct probe_result *result, int family)
{
    for (size_t i = 0; i < result->address_count; i++)
        if (endpoint_family(&result->addresses[i].peer) == family &&
            probe_address_connected(&result->addresses[i]))
            return true;
    return false;
}

/* Returns: whether the group is all of a family that counts. */
static bool is_whole_family(const struct probe_group *group, int family)
{
    size_t count = 0;
    for (size_t i = 0; i < group->result->address_count; i++) {
        const struct probe_address *address = &group->result->addresses[i];
        count += endpoint_family(&address->peer) == family && probe_result_counts(group->result, address);
    }
    return group->count > 0 && group->count == count;
}

bool probe_finds_unreachable_v6(struct probe_group *group)
{
    probe_group_keep(group, is_unconnected_v6);
    return is_whole_family(group, AF_INET6) && any_connected(group->result, AF_INET);
}

bool probe_finds_unreachable_v4(struct probe_group *group)
{
    probe_group_keep(group, is_unconnected_v4);
    return is_whole_family(group, AF_INET) && any_connected(group->result, AF_INET6);
}

/* This machine could not even try. */
static bool is_unreachable_here(const struct probe_address *address)
{
    return probe_address_reach(address) != REACH_OPEN;
}

void probe_reports_unreachable_family(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    enum race_family failed = endpoint_family(&first->peer) == AF_INET6 ? RACE_V6 : RACE_V4;
    struct text_line place = probe_group_place(group);
    char works = digit_of[other_of(failed)];

    if (is_unreachable_here(first)) {
        probe_report_reach_of_family(group, line);
        return;
    }
    text_append(line, "IPv%c is unreachable, IPv%c works: ", digit_of[failed], works);
    if (first->err.reason == ERR_CONNECT_TIMEOUT)
        text_append(
            line,
            "no answer from %s within %s, packets to it are dropped, probably by a firewall or a missing route; %s.",
            place.text, probe_phrase_time(probe_span_ns(&first->spans[PROBE_CONNECT])).text,
            failed == RACE_V6 ? "clients without Happy Eyeballs wait there until they time out"
                              : "clients that have only IPv4 cannot connect");
    else if (first->err.reason == ERR_CONNECT_REFUSED)
        text_append(line, "%s refuses the connection, the service may listen for IPv%c only.", place.text,
                    works);
    else
        text_append(line, "%s: %s.", place.text, first->err.text);
    text_append(line, " Make the service reachable there, or remove the %s record.", record_of[failed]);
}

/* Returns: whether nothing that counts connects, and all of it fails for this reason, or cannot be tried from
 * here. */
static bool all_fail(struct probe_group *group, enum err_reason reason)
{
    size_t met = 0;

    probe_group_keep(group, is_unconnected);
    if (group->count == 0 || group->count < probe_result_counted(group->result))
        return false;
    for (size_t i = 0; i < group->count; i++) {
        const struct probe_address *address = &group->result->addresses[group->index[i]];
        bool untried = is_unreachable_here(address);
        met += untried ? reason == ERR_CONNECT_UNREACHABLE : address->err.reason == reason;
        if (!untried && address->err.reason != reason)
            return false;
    }
    return met > 0;
}

bool probe_finds_unreachable(struct probe_group *group)
{
    return all_fail(group, ERR_CONNECT_UNREACHABLE);
}

void probe_reports_unreachable(const struct probe_group *group, struct text_line *line)
{
    if (is_unreachable_here(probe_group_first(group)))
        probe_report_reach(group, line);
    else
        text_append(line, "No route leads to %s: %s. Routing on the path is at fault, or the host is down.",
                    probe_group_place(group).text, probe_group_first(group)->err.text);
}

/* What is not tried from here for want of a route is no part of it. */
static bool is_tried(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return !is_unreachable_here(address);
}

static struct text_line tried_place(const struct probe_group *group)
{
    struct probe_group tried = *group;
    probe_group_keep(&tried, is_tried);
    return probe_group_place(&tried);
}

bool probe_finds_refused(struct probe_group *group)
{
    return all_fail(group, ERR_CONNECT_REFUSED);
}

void probe_reports_refused(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the connection is refused, nothing listens there: is the service running, is %u its port, and does it listen on this address and not only on localhost? (A firewall can refuse, too.)",
        tried_place(group).text, endpoint_port(&probe_group_first(group)->peer));
}

bool probe_finds_timeout(struct probe_group *group)
{
    return all_fail(group, ERR_CONNECT_TIMEOUT);
}

void probe_reports_timeout(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "No answer from %s: a firewall drops the packets, or no such host is up. Check the address, and the firewalls on the path.",
        tried_place(group).text);
}

bool probe_finds_mixed(struct probe_group *group)
{
    probe_group_keep(group, is_unconnected);
    return group->count > 0 && group->count == probe_result_counted(group->result);
}

void probe_reports_mixed(const struct probe_group *group, struct text_line *line)
{
    size_t refused = 0, silent = 0;
    for (size_t i = 0; i < group->count; i++) {
        enum err_reason reason = group->result->addresses[group->index[i]].err.reason;
        refused += reason == ERR_CONNECT_REFUSED;
        silent += reason == ERR_CONNECT_TIMEOUT;
    }
    text_append(
        line,
        "No address can be connected to: %zu refused, %zu timed out, %zu unreachable. Is the service running, and is its port open in the firewalls?",
        refused, silent, group->count - refused - silent);
}
