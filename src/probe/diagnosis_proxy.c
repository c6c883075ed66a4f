#include "diagnosis.h"

/* Source: RFC 9110 section 15, RFC 1928 section 6. */
enum {
    HTTP_INTERNAL = 500,
    HTTP_BAD_GATEWAY = 502,
    HTTP_GATEWAY_TIMEOUT = 504,
    SOCKS_NO_NETWORK = 3,
    SOCKS_TTL_EXPIRED = 6
};

/* Or its name leads to no address. */
bool probe_finds_unreachable_proxy(struct probe_group *group)
{
    const struct probe_result *result = group->result;

    for (size_t i = 0; i < result->address_count; i++)
        if (probe_address_connected(&result->addresses[i]))
            return false;
    return result->proxy[0] != '\0' && (group->count > 0 || result->address_count == 0);
}

void probe_reports_unreachable_proxy(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "The proxy %s cannot be reached: nothing is known of %s.", group->result->proxy,
                group->result->target);
}

/* The proxy's account: what of it is so, only the proxy can see. Some give 500 for a target that they cannot
 * reach. */
static bool blames_target(const struct err *err)
{
    if (err->detail == ERR_DETAIL_PROXY_HTTP)
        return err->native == HTTP_INTERNAL ||
               (err->native >= HTTP_BAD_GATEWAY && err->native <= HTTP_GATEWAY_TIMEOUT);
    return err->detail == ERR_DETAIL_PROXY_SOCKS && err->native >= SOCKS_NO_NETWORK &&
           err->native <= SOCKS_TTL_EXPIRED;
}

bool probe_is_proxy_target(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return blames_target(&address->err);
}

bool probe_is_proxy_refusal(const struct probe_result *result, const struct probe_address *address)
{
    const struct err *err = &address->err;
    (void)result;
    return (err->detail == ERR_DETAIL_PROXY_HTTP || err->detail == ERR_DETAIL_PROXY_SOCKS) &&
           !blames_target(err);
}

bool probe_is_proxy_user(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_PROXY_USER;
}

bool probe_is_proxy_strange(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_PROXY_STRANGE ||
           address->err.detail == ERR_DETAIL_PROXY_MALFORMED;
}

/* An address whose time was over by --timeout has no detail. */
bool probe_is_proxy_mute(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_PROXY_CLOSED || address->err.detail == ERR_DETAIL_PROXY_SILENT ||
           (address->last == PROBE_PROXY && address->err.reason == ERR_CONNECT_TIMEOUT);
}

/* Returns: "HTTP status 403" or "SOCKS5 reply 2". */
static struct text code_of(const struct err *err)
{
    struct text code;
    (void)snprintf(code.text, sizeof code.text, "%s %d",
                   err->detail == ERR_DETAIL_PROXY_SOCKS ? "SOCKS5 reply" : "HTTP status", err->native);
    return code;
}

void probe_reports_proxy_target(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;

    text_append(
        line,
        "The proxy %s reports that it failed to connect to %s (%s). What it sees cannot be seen from here: check the name and the port, and probe the target from the proxy's host.",
        result->proxy, result->target, code_of(&probe_group_first(group)->err).text);
}

void probe_reports_proxy_refusal(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;

    text_append(
        line,
        "The proxy %s refuses to connect to %s (%s): its rules may not allow this host, this port or this client. Ask its operator, or use another proxy.",
        result->proxy, result->target, code_of(&probe_group_first(group)->err).text);
}

void probe_reports_proxy_user(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "Authentication at the proxy failed, the target was not asked for: %s.",
                probe_group_first(group)->err.text);
}

void probe_reports_proxy_strange(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line, "At %s there is no such proxy, or it is defective: check the scheme, host and port of --proxy.",
        probe_group_place(group).text);
}

void probe_reports_proxy_mute(const struct probe_group *group, struct text_line *line)
{
    const struct probe_result *result = group->result;
    const struct err *err = &probe_group_first(group)->err;

    if (err->detail == ERR_DETAIL_PROXY_CLOSED)
        text_append(
            line,
            "The proxy at %s accepts the connection and %s it without a reply: it may not accept this client, or it is none of this kind. See its log.",
            probe_group_place(group).text, err_is_of_reset(err->native) ? "resets" : "closes");
    else
        text_append(
            line,
            "The proxy at %s accepts the connection and does not reply in time: it is overloaded, it waits for %s, or it is none of this kind. See its log.",
            probe_group_place(group).text, result->target);
}
