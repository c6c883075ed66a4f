#include <ctype.h>

#include "diagnosis.h"
#include "report.h"

static int family_of(const struct probe_address *address)
{
    return endpoint_family(&address->peer);
}

static char digit_of(int family)
{
    return family == AF_INET6 ? '6' : '4';
}

static void put_reach(enum reach reach, int family, bool begins, struct text_line *line)
{
    char text[REACH_TEXT_BYTES];

    reach_text(reach, family, text);
    if (begins)
        text[0] = (char)toupper((unsigned char)text[0]);
    text_append(line, "%s", text);
}

/* Returns: whether the group is all there is, all of one family, and this machine can reach none of it. */
static bool is_all_missing(const struct probe_group *group, int family)
{
    const struct probe_result *result = group->result;
    for (size_t i = 0; i < group->count; i++) {
        const struct probe_address *address = &result->addresses[group->index[i]];
        if (family_of(address) != family || !reach_is_impossible(probe_address_reach(address)))
            return false;
    }
    return group->count > 0 && group->count == result->address_count;
}

bool probe_finds_no_v6(struct probe_group *group)
{
    return is_all_missing(group, AF_INET6);
}

bool probe_finds_no_v4(struct probe_group *group)
{
    return is_all_missing(group, AF_INET);
}

void probe_reports_no_family(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;
    const struct probe_address *first = probe_group_first(group);
    int family = family_of(first), other = family == AF_INET6 ? AF_INET : AF_INET6;
    const struct probe_answer *others = &result->answers[other == AF_INET6 ? RACE_V6 : RACE_V4];
    char remedy[REACH_TEXT_BYTES];

    put_reach(probe_address_reach(first), family, true, line);
    if (others->only_in_hosts)
        text_append(line, ", and /etc/hosts has no IPv%c address for %s", digit_of(other),
                    probe_result_resolved(result));
    else if (others->asked)
        text_append(line, ", and %s has no IPv%c address", probe_result_resolved(result), digit_of(other));
    text_append(line, ": %s cannot be reached from here; %s", probe_group_place(group).text,
                reach_remedy(probe_address_reach(first), family, remedy));
    if (!others->asked && !result->literal)
        text_append(line, ", or try without -%c", digit_of(family));
    text_append(line, ".");
}

void probe_report_reach(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    const struct probe_address *last = &group->result->addresses[group->index[group->count - 1]];
    enum reach reach = probe_address_reach(first);
    char remedy[REACH_TEXT_BYTES];

    put_reach(reach, family_of(first), true, line);
    if (reach_is_impossible(reach)) { /* and of the other family, too: else it would not count */
        text_append(line, ", and ");
        put_reach(probe_address_reach(last), family_of(last), false, line);
        text_append(line, ": is it in a network at all (ip address)?");
    } else if (reach == REACH_NO_ROUTE) {
        text_append(line, " to %s: is it in a network at all (ip route)?",
                    group->count == 1 ? probe_group_place(group).text : "any of the addresses");
    } else {
        text_append(line, " to %s: %s.", probe_group_place(group).text,
                    reach_remedy(reach, family_of(first), remedy));
    }
}

void probe_report_reach_of_family(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    int family = family_of(first);
    char works = digit_of(family == AF_INET6 ? AF_INET : AF_INET6);
    char remedy[REACH_TEXT_BYTES];

    put_reach(probe_address_reach(first), family, true, line);
    text_append(line, " to %s, IPv%c works: %s, or try only IPv%c with -%c.", probe_group_place(group).text,
                works, reach_remedy(probe_address_reach(first), family, remedy), works, works);
}

/* Returns: whether any of the family does not count. Writes which. */
static bool leave_out(const struct probe_result *result, int family, struct probe_group *group)
{
    *group = (struct probe_group){.result = result};
    for (size_t i = 0; i < result->address_count && i < PROBE_ADDRESSES_MAX; i++)
        if (family_of(&result->addresses[i]) == family && !probe_result_counts(result, &result->addresses[i]))
            group->index[group->count++] = i;
    return group->count > 0;
}

bool probe_remarks_family(const struct probe_result *result, enum race_family which, struct text_line *line)
{
    int family = which == RACE_V6 ? AF_INET6 : AF_INET;
    struct probe_group group;

    if (!leave_out(result, family, &group))
        return false;
    put_reach(probe_address_reach(probe_group_first(&group)), family, true, line);
    text_append(line, ": %s cannot be reached from here and %s not count.", probe_group_place(&group).text,
                group.count == 1 ? "does" : "do");
    return true;
}
