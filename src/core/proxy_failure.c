#include <stdio.h>
#include <string.h>

#include "proxy_dialogue.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/core/greeting.h"
#include "tcpgreet/core/service.h"

enum { QUOTED_BYTES = 100, ASKED_BYTES = PROXY_NAME_BYTES + 16 };

size_t proxy_finish(struct proxy *proxy, enum proxy_end end)
{
    char target[PROXY_NAME_BYTES];

    if (end == PROXY_END_CONNECTED)
        trace(.step = TRACE_PROXY_CONNECTED, .fd = -1, .arguments = proxy_target_name(proxy, target));
    proxy->end = end;
    proxy->dialogue.deadline_ms = DIALOGUE_NEVER;
    proxy->dialogue.state = end == PROXY_END_CONNECTED ? DIALOGUE_OVER : DIALOGUE_FAILED;
    return 0;
}

const char *proxy_name(const struct proxy *proxy, char text[PROXY_NAME_BYTES])
{
    return target_format(&proxy->route->proxy->at, text, PROXY_NAME_BYTES);
}

void proxy_note_request(struct proxy *proxy)
{
    char target[PROXY_NAME_BYTES];

    proxy->asked = true;
    trace(.step = TRACE_PROXY, .fd = -1, .arguments = proxy_target_name(proxy, target));
}

const char *proxy_target_name(const struct proxy *proxy, char text[PROXY_NAME_BYTES])
{
    const struct proxy_route *route = proxy->route;
    const char *format = route->kind == TARGET_IPV6 ? "[%s]:%u" : "%s:%u";
    snprintf(text, PROXY_NAME_BYTES, format, route->host, (unsigned)route->port);
    return text;
}

static bool begins(struct bytes bytes, const char *text)
{
    return bytes.length >= strlen(text) && memcmp(bytes.data, text, strlen(text)) == 0;
}

/* A record of an alert or of the handshake. Source: RFC 8446 section 5.1. */
static bool is_tls(struct bytes first)
{
    enum { ALERT = 0x15, HANDSHAKE = 0x16, MAJOR = 0x03 };
    const unsigned char *at = (const unsigned char *)first.data;
    return first.length >= 2 && (at[0] == ALERT || at[0] == HANDSHAKE) && at[1] == MAJOR;
}

/* Returns: what such a peer is, as a clause, and what to do; NULL where nothing is certain. */
static const char *identify(const struct proxy *proxy, struct bytes first)
{
    enum { SOCKS4_REPLY = 8 };
    bool http = proxy->route->proxy->kind == PROXY_HTTP;

    if (is_tls(first))
        return "it is a TLS server (a proxy over TLS is not supported; use the proxy's port without TLS)";
    if (http && first.length > 0 && first.data[0] == 5)
        return "it replied as a SOCKS5 proxy (use socks5:// if it is one)";
    if (!http && begins(first, "HTTP/"))
        return "it is an HTTP server (use http:// if it is an HTTP proxy)";
    if (!http && first.length == SOCKS4_REPLY && first.data[0] == 0)
        return "it replied as a SOCKS4 proxy, which is not supported";
    if (begins(first, GREETING_WELCOME))
        return "it is a tcpgreet server";
    return NULL;
}

static void fail_strange(const struct proxy *proxy, struct bytes rest, struct err *err)
{
    char name[PROXY_NAME_BYTES], quoted[QUOTED_BYTES], what[64] = "check its host and port";
    struct bytes first = {rest.data, rest.length < SERVICE_FIRST_BYTES ? rest.length : SERVICE_FIRST_BYTES};
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_STRANGE, .received = rest};
    const char *protocol = proxy->route->proxy->kind == PROXY_HTTP ? "an HTTP" : "a SOCKS5";
    const char *known = identify(proxy, first), *service = service_identify(first);

    if (service != NULL)
        snprintf(what, sizeof what, "it is the greeting of the protocol %s; check the port", service);
    struct bytes line = {rest.data, 0};
    while (line.length < rest.length && rest.data[line.length] != '\n')
        line.length++;
    line.length += line.length < rest.length;
    escape_quoted(escape_without_end(line), quoted, sizeof quoted);
    proxy_name(proxy, name);
    if (known != NULL)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts, "%s is not %s proxy: %s; it sent \"%s\"", name,
                      protocol, known, quoted);
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &facts, "%s is not %s proxy: it sent \"%s\" (%s)", name,
                      protocol, quoted, what);
}

static void fail_malformed(const struct proxy *proxy, struct bytes rest, struct err *err)
{
    char name[PROXY_NAME_BYTES], quoted[QUOTED_BYTES];
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_MALFORMED, .received = rest};
    escape_quoted((struct bytes){rest.data, rest.length < QUOTED_BYTES ? rest.length : QUOTED_BYTES}, quoted,
                  sizeof quoted);
    err_set_facts(err, ERR_CONNECT_PROXY, &facts, "the reply of proxy %s is not valid: \"%s\"",
                  proxy_name(proxy, name), quoted);
}

/* Returns: ", asked for " and the target, where the proxy has the request; else "". */
static const char *asked_for(const struct proxy *proxy, char text[ASKED_BYTES])
{
    char target[PROXY_NAME_BYTES];

    text[0] = '\0';
    if (proxy->asked)
        snprintf(text, ASKED_BYTES, ", asked for %s", proxy_target_name(proxy, target));
    return text;
}

/* It may be a server of another protocol, as long as it has sent nothing. */
static void fail_closed(const struct proxy *proxy, struct err *err)
{
    char name[PROXY_NAME_BYTES], asked[ASKED_BYTES];
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_CLOSED};
    const char *ended = dialogue_ended(&proxy->dialogue);

    proxy_name(proxy, name);
    asked_for(proxy, asked);
    if (proxy->begun)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s %s the connection before its reply was complete%s", name, ended, asked);
    else if (proxy->stage == 0)
        err_set_facts(
            err, ERR_CONNECT_PROXY, &facts,
            "proxy %s %s the connection without a reply%s (it may not accept this client, or may not be such a proxy)",
            name, ended, asked);
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &facts, "proxy %s %s the connection without a reply%s%s", name,
                      ended, proxy->asked ? "" : " to the user name and the password", asked);
}

/* A proxy that waits for the target and one that hangs are the same to us, once it has the request. */
static void fail_silent(const struct proxy *proxy, struct err *err)
{
    char name[PROXY_NAME_BYTES], target[PROXY_NAME_BYTES], asked[ASKED_BYTES];
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_SILENT};

    proxy_name(proxy, name);
    if (proxy->begun)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts, "proxy %s did not complete its reply in time%s", name,
                      asked_for(proxy, asked));
    else if (proxy->asked)
        err_set_facts(err, ERR_CONNECT_TIMEOUT, &facts,
                      "proxy %s does not reply to the request for %s: it is slow, or it waits for the target",
                      name, proxy_target_name(proxy, target));
    else if (proxy->stage == 0)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s accepted the connection and does not reply (is it a SOCKS5 proxy?)", name);
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s does not reply to the user name and the password", name);
}

void proxy_fail(const struct proxy *proxy, struct bytes rest, struct err *err)
{
    char name[PROXY_NAME_BYTES];

    if (proxy->end == PROXY_END_STRANGE)
        fail_strange(proxy, rest, err);
    else if (proxy->end == PROXY_END_MALFORMED)
        fail_malformed(proxy, rest, err);
    else if (proxy->end == PROXY_END_CLOSED)
        fail_closed(proxy, err);
    else if (proxy->end == PROXY_END_SILENT)
        fail_silent(proxy, err);
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &(struct err_facts){.detail = ERR_DETAIL_PROXY_MALFORMED},
                      "the reply of proxy %s is too long: more than %d KiB in a line, or %d KiB in all",
                      proxy_name(proxy, name), PROXY_LINE_MAX / 1024, PROXY_REPLY_MAX / 1024);
}
