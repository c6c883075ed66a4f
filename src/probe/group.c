#include "group.h"

#include <string.h>

#include "tcpgreet/base/escape.h"

const struct probe_address *probe_group_first(const struct probe_group *group)
{
    return &group->result->addresses[group->index[0]];
}

void probe_group_keep(struct probe_group *group, probe_about_fn *about)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->count; i++)
        if (about(group->result, &group->result->addresses[group->index[i]]))
            group->index[kept++] = group->index[i];
    group->count = kept;
}

bool probe_address_fails(const struct probe_address *address)
{
    enum { CONNECT = 4, DIALOGUE = 7 }; /* exit codes of the families */
    int code = err_exit_code(address->err.reason);
    return code >= CONNECT && code <= DIALOGUE;
}

bool probe_address_connected(const struct probe_address *address)
{
    return address->last > PROBE_CONNECT || (address->last == PROBE_CONNECT && address->err.reason == ERR_OK);
}

size_t probe_family_count(const struct probe_result *result, int family)
{
    size_t count = 0;
    for (size_t i = 0; i < result->address_count; i++)
        count += endpoint_family(&result->addresses[i].peer) == family;
    return count;
}

/* Returns: "" or, where the group is all that there is of a family, which: "IPv6 ". */
static const char *whole_family(const struct probe_group *group)
{
    const struct probe_result *result = group->result;
    int family = endpoint_family(&probe_group_first(group)->peer);
    for (size_t i = 0; i < group->count; i++)
        if (endpoint_family(&result->addresses[group->index[i]].peer) != family)
            return "";
    if (group->count < probe_family_count(result, family))
        return "";
    return family == AF_INET6 ? "IPv6 " : "IPv4 ";
}

struct text_line probe_group_place(const struct probe_group *group)
{
    struct text_line place = {0};
    char peer[ENDPOINT_TEXT_BYTES];
    bool all = group->count == group->result->address_count;
    const char *family = all ? "" : whole_family(group);

    if (group->count > 1 && (all || family[0] != '\0')) {
        if (group->count == 2)
            text_append(&place, "both %saddresses", family);
        else
            text_append(&place, "all %zu %saddresses", group->count, family);
        return place;
    }
    text_append(&place, "%s", endpoint_format(&probe_group_first(group)->peer, peer));
    if (group->count == 2)
        text_append(&place, " and %s",
                    endpoint_format(&group->result->addresses[group->index[1]].peer, peer));
    else if (group->count > 2)
        text_append(&place, " and %zu more", group->count - 1);
    return place;
}

const char *probe_quote_peer(const struct probe_address *address, char *text, size_t room)
{
    struct bytes received = err_received(&address->err);
    size_t length = strlen(escape_quoted(received, text, room));

    if (received.length == ERR_RECEIVED_MAX && length + sizeof("...") <= room)
        memcpy(text + length, "...", sizeof("..."));
    return text;
}
