#include <inttypes.h>
#include <string.h>

#include "diagnosis.h"
#include "phrases.h"

enum { PIN_SHOWN = 16 };

static bool is_unconnected(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return !probe_address_connected(address);
}

/* Returns: how many of a family are OK, or at least connected. */
static size_t count_of(const struct probe_result *result, int family, bool reached)
{
    size_t count = 0;
    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        count += endpoint_family(&address->peer) == family &&
                 (reached ? probe_address_connected(address) : address->err.reason == ERR_OK);
    }
    return count;
}

static bool has_reached_siblings(const struct probe_result *result, const struct probe_address *address)
{
    return count_of(result, endpoint_family(&address->peer), true) > 0;
}

static bool has_ok_siblings(const struct probe_result *result, const struct probe_address *address)
{
    return count_of(result, endpoint_family(&address->peer), false) > 0;
}

bool probe_finds_unconnected_outlier(struct probe_group *group)
{
    probe_group_keep(group, is_unconnected);
    probe_group_keep(group, has_reached_siblings);
    return group->count > 0;
}

bool probe_finds_outlier(struct probe_group *group)
{
    probe_group_keep(group, has_ok_siblings);
    return group->count > 0;
}

/* Other rules report on those that connect. */
void probe_reports_outlier(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;
    const struct probe_address *first = probe_group_first(group);
    size_t ok = count_of(result, AF_INET6, false) + count_of(result, AF_INET, false);
    bool many = group->count > 1;

    text_append(line, "Of %zu addresses, %s %s from the others", probe_result_counted(result),
                probe_group_place(group).text, many ? "differ" : "differs");
    if (ok > 0)
        text_append(line, ", of which %zu %s OK", ok, ok == 1 ? "is" : "are");
    if (!probe_address_connected(first))
        text_append(line, " (%s)", first->err.text);
    text_append(line, ": check %s, or remove %s from DNS.", many ? "those hosts" : "that host",
                many ? "them" : "it");
}

/* Returns: how many addresses show the certificate of this one. */
static size_t sharers(const struct probe_result *result, const struct probe_address *address)
{
    size_t count = 0;
    for (size_t i = 0; i < result->address_count; i++)
        count += strcmp(result->addresses[i].tls.pin, address->tls.pin) == 0 &&
                 result->addresses[i].tls.not_after == address->tls.not_after;
    return count;
}

/* Returns: an address that shows what most do; of equals the first. */
static const struct probe_address *most_common(const struct probe_result *result)
{
    const struct probe_address *best = NULL;
    size_t most = 0;
    for (size_t i = 0; i < result->address_count; i++) {
        size_t count = result->addresses[i].tls.pin[0] != '\0' ? sharers(result, &result->addresses[i]) : 0;
        if (count > most) {
            most = count;
            best = &result->addresses[i];
        }
    }
    return best;
}

/* A certificate failure has been reported. */
bool probe_finds_other_cert(struct probe_group *group)
{
    const struct probe_address *common = most_common(group->result);
    size_t kept = 0;

    for (size_t i = 0; i < group->count; i++) {
        const struct probe_address *address = &group->result->addresses[group->index[i]];
        if (address->err.reason == ERR_OK && address->tls.pin[0] != '\0' &&
            (strcmp(address->tls.pin, common->tls.pin) != 0 ||
             address->tls.not_after != common->tls.not_after))
            group->index[kept++] = group->index[i];
    }
    return (group->count = kept) > 0;
}

void probe_reports_other_cert(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    const struct probe_address *common = most_common(group->result);
    struct text_line theirs = {0}, ours = {0};

    probe_phrase_validity(group->result, &first->tls, &theirs);
    probe_phrase_validity(group->result, &common->tls, &ours);
    text_append(
        line,
        "At %s the certificate differs from that of the other addresses (%s, key %.*s...; there %s, key %.*s...): was one host omitted from a renewal?",
        probe_group_place(group).text, theirs.text, PIN_SHOWN, first->tls.pin, ours.text, PIN_SHOWN,
        common->tls.pin);
}

static bool has_lost_syn(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return probe_address_connected(address) && address->tcp.syn_retransmits > 0;
}

bool probe_finds_lost_syn(struct probe_group *group)
{
    probe_group_keep(group, has_lost_syn);
    return group->count > 0;
}

void probe_reports_lost_syn(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    uint32_t again = first->tcp.syn_retransmits;

    text_append(line, "At %s connecting took %s because a SYN or its answer was lost: it was retransmitted",
                probe_group_place(group).text,
                probe_phrase_time(probe_span_ns(&first->spans[PROBE_CONNECT])).text);
    if (again == 1)
        text_append(line, " once.");
    else
        text_append(line, " %" PRIu32 " times.", again);
    text_append(line, " The path loses packets, or the server's backlog is full.");
}

static uint32_t segments_again(const struct probe_address *address)
{
    return address->tcp.retransmits > address->tcp.syn_retransmits
               ? address->tcp.retransmits - address->tcp.syn_retransmits
               : 0;
}

static bool has_retransmits(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    bool is_reported = address->last == PROBE_VOLUME && probe_address_fails(address);
    return probe_address_connected(address) && segments_again(address) > 0 && !is_reported;
}

bool probe_finds_retransmits(struct probe_group *group)
{
    probe_group_keep(group, has_retransmits);
    return group->count > 0;
}

void probe_reports_retransmits(const struct probe_group *group, struct text_line *line)
{
    uint32_t again = segments_again(probe_group_first(group));
    text_append(line, "At %s %" PRIu32 " segment%s had to be retransmitted: the path loses packets.",
                probe_group_place(group).text, again, again == 1 ? "" : "s");
}
