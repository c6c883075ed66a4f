/* Some of a probe's addresses, which a rule of the diagnosis is about, and how a sentence refers to them. */
#ifndef TCPGREET_PROBE_GROUP_H
#define TCPGREET_PROBE_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "result.h"
#include "tcpgreet/format/text.h"

/* Some of a result's addresses, in its order. Invariant: count <= result->address_count. */
struct probe_group {
    const struct probe_result *result;
    size_t count;
    size_t index[PROBE_ADDRESSES_MAX];
};

/* Returns: whether a rule is about this address. Shape: its failure is not explained yet. */
typedef bool probe_about_fn(const struct probe_result *result, const struct probe_address *address);

/* Chooses from the addresses in group those that a rule is about. Returns: whether it applies. */
typedef bool probe_choose_fn(struct probe_group *group);

/* Appends the sentence. */
typedef void probe_report_fn(const struct probe_group *group, struct text_line *line);

/* The first that the rule is about. Shape: group->count > 0. */
const struct probe_address *probe_group_first(const struct probe_group *group);

/* Returns: how many addresses of the result are of a family. */
size_t probe_family_count(const struct probe_result *result, int family);

/* Keeps those for which about returns true. */
void probe_group_keep(struct probe_group *group, probe_about_fn *about);

/* Shape: group->count > 0. Returns: "[::1]:6000", "both addresses", "all 3 IPv6 addresses", "192.0.2.1:6000
 * and 2 more" */
struct text_line probe_group_place(const struct probe_group *group);

/* Returns: whether the path or the peer has failed: not this side, and it was not interrupted. */
bool probe_address_fails(const struct probe_address *address);

/* Returns: whether its TCP connection came up. */
bool probe_address_connected(const struct probe_address *address);

/* The data of a peer, quoted as in an error's text; "" if there is none. Returns: text. */
const char *probe_quote_peer(const struct probe_address *address, char *text, size_t room);

#endif
