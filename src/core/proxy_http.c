#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proxy_dialogue.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/secret.h"

/* Of an HTTP reply. */
enum stage { STATUS, FIELDS };

/* Some proxies give 401 where 407 is meant. */
enum { UNAUTHORIZED = 401, AUTHENTICATION = 407 };

static const char http[] = "HTTP/";

static struct proxy *of(struct dialogue *dialogue)
{
    return (struct proxy *)dialogue;
}

static void put_text(struct sink *out, const char *text)
{
    (void)sink_put(out, (struct bytes){text, strlen(text)});
}

/* Source: RFC 4648 section 4. */
static void put_base64(struct sink *out, struct bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = (const unsigned char *)bytes.data;

    for (size_t i = 0; i < bytes.length; i += 3) {
        size_t left = bytes.length - i;
        unsigned group = (unsigned)at[i] << 16;
        group |= left > 1 ? (unsigned)at[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)at[i + 2] : 0;
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63], digits[group >> 6 & 63],
                        digits[group & 63]};
        for (size_t j = left + 1; j < sizeof four; j++)
            four[j] = '=';
        (void)sink_put(out, (struct bytes){four, sizeof four});
    }
}

static void put_credentials(const struct proxy_config *config, struct sink *out)
{
    char plain[2 * PROXY_USER_MAX + 2];
    struct sink sink = {plain, 0, sizeof plain};

    put_text(&sink, config->user);
    put_text(&sink, ":");
    put_text(&sink, config->password != NULL ? config->password : "");
    put_text(out, "Proxy-Authorization: Basic ");
    put_base64(out, (struct bytes){plain, sink.length});
    put_text(out, "\r\n");
    secret_wipe(plain, sizeof plain);
}

/* Source: RFC 9110 section 9.3.6, RFC 9112 section 3.2.3. */
static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    struct proxy *proxy = of(dialogue);
    char target[PROXY_HOST_MAX + sizeof "[]:65535"];
    bool brackets = proxy->route->kind == TARGET_IPV6;
    (void)now_ms;

    snprintf(target, sizeof target, "%s%s%s:%u", brackets ? "[" : "", proxy->route->host, brackets ? "]" : "",
             (unsigned)proxy->route->port);
    put_text(out, "CONNECT ");
    put_text(out, target);
    put_text(out, " HTTP/1.1\r\nHost: ");
    put_text(out, target);
    put_text(out, "\r\n");
    if (proxy->route->proxy->has_user)
        put_credentials(proxy->route->proxy, out);
    put_text(out, "\r\n");
    proxy_note_request(proxy);
}

static struct bytes trim(struct bytes text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_skip(text, 1);
    while (text.length > 0 && strchr(" \t\r", text.data[text.length - 1]) != NULL)
        text.length--;
    return text;
}

/* "HTTP/1.1 403 Forbidden". Returns: whether it is a valid status line. Source: RFC 9112 section 4. */
static bool read_status(struct proxy *proxy, struct bytes line)
{
    enum { VERSION = sizeof "HTTP/1.1" - 1, CODE = VERSION + 1, PHRASE = CODE + 3 };
    const char *at = line.data;

    if (line.length < PHRASE || at[5] != '1' || at[6] != '.' || !isdigit((unsigned char)at[7]) ||
        at[VERSION] != ' ')
        return false;
    for (size_t i = CODE; i < PHRASE; i++)
        if (!isdigit((unsigned char)at[i]))
            return false;
    if (at[CODE] == '0' || (line.length > PHRASE && at[PHRASE] != ' '))
        return false;
    proxy->code = (at[CODE] - '0') * 100 + (at[CODE + 1] - '0') * 10 + (at[CODE + 2] - '0');
    escape_quoted(trim(bytes_skip(line, PHRASE)), proxy->words, sizeof proxy->words);
    proxy->stage = FIELDS;
    return true;
}

static bool equals(struct bytes word, const char *text)
{
    return word.length == strlen(text) && strncasecmp(word.data, text, word.length) == 0;
}

/* Takes one element of a list from its front; commas between double quotes are part of it. */
static struct bytes next_element(struct bytes *list)
{
    struct bytes element = {list->data, 0};
    bool quoted = false;

    for (; element.length < list->length; element.length++) {
        char byte = list->data[element.length];
        if (byte == '\\' && quoted && element.length + 1 < list->length)
            element.length++;
        else if (byte == '"')
            quoted = !quoted;
        else if (byte == ',' && !quoted)
            break;
    }
    *list = bytes_skip(*list, element.length + (element.length < list->length));
    return trim(element);
}

/* Notes the schemes: of the elements, those that are no parameters of the one before. Source: RFC 9110
 * section 11.3. */
static void note_schemes(struct proxy *proxy, struct bytes value)
{
    while (value.length > 0) {
        struct bytes element = next_element(&value), scheme = {element.data, 0};
        while (scheme.length < element.length && strchr(" \t=", element.data[scheme.length]) == NULL)
            scheme.length++;
        bool is_parameter = scheme.length < element.length && element.data[scheme.length] == '=';
        if (scheme.length == 0 || is_parameter)
            continue;
        size_t length = strlen(proxy->schemes);
        char shown[24];
        proxy->offers_basic = proxy->offers_basic || equals(scheme, "Basic");
        escape_text(scheme, shown, sizeof shown);
        if (length + strlen(shown) + 3 <= sizeof proxy->schemes)
            snprintf(proxy->schemes + length, sizeof proxy->schemes - length, "%s%s", length > 0 ? ", " : "",
                     shown);
    }
}

static void read_field(struct proxy *proxy, struct bytes line)
{
    struct bytes name = {line.data, 0};

    while (name.length < line.length && name.data[name.length] != ':')
        name.length++;
    if (name.length == line.length)
        return;
    struct bytes value = trim(bytes_skip(line, name.length + 1));
    if ((proxy->code == AUTHENTICATION && equals(name, "Proxy-Authenticate")) ||
        (proxy->code == UNAUTHORIZED && equals(name, "WWW-Authenticate")))
        note_schemes(proxy, value);
    else if (equals(name, "Proxy-Status") || equals(name, "X-Squid-Error"))
        escape_quoted(value, proxy->reason, sizeof proxy->reason);
}

/* The reply's header is complete. An interim reply is followed by another one, but for 101: what follows that
 * is no HTTP. Source: RFC 9110 section 15.2. */
static void conclude(struct proxy *proxy)
{
    enum { SWITCHING = 101 };
    bool is_authentication = proxy->code == AUTHENTICATION || proxy->code == UNAUTHORIZED;

    if (proxy->code / 100 == 2)
        proxy_finish(proxy, PROXY_END_CONNECTED);
    else if (proxy->code / 100 == 1 && proxy->code != SWITCHING)
        proxy->stage = STATUS;
    else
        proxy_finish(proxy, is_authentication ? PROXY_END_AUTHENTICATION : PROXY_END_REFUSED);
}

/* Shape: line is without its LF. Returns: whether it could be read. */
static bool read_line(struct proxy *proxy, struct bytes line)
{
    if (line.length > 0 && line.data[line.length - 1] == '\r')
        line.length--;
    if (proxy->stage == STATUS)
        return read_status(proxy, line);
    if (line.length == 0)
        conclude(proxy);
    else
        read_field(proxy, line);
    return true;
}

/* The reply ends before its header does. A status that it has given already is what counts. */
static size_t cut_short(struct proxy *proxy, enum proxy_end end)
{
    if (proxy->stage == FIELDS && proxy->code / 100 > 2)
        conclude(proxy);
    else
        proxy_finish(proxy, end);
    return 0;
}

static bool is_http(struct bytes in)
{
    size_t length = in.length < sizeof http - 1 ? in.length : sizeof http - 1;
    return length == 0 || memcmp(in.data, http, length) == 0;
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct proxy *proxy = of(dialogue);
    size_t taken = 0;
    (void)out;
    (void)now_ms;

    proxy->begun = proxy->begun || in.length > 0;
    while (dialogue->state == DIALOGUE_RUNNING) {
        struct bytes rest = bytes_skip(in, taken);
        const char *end = rest.length > 0 ? memchr(rest.data, '\n', rest.length) : NULL;
        struct bytes line = {rest.data, end != NULL ? (size_t)(end - rest.data) : rest.length};

        if (proxy->stage == STATUS && !is_http(line))
            proxy_finish(proxy, proxy->reply_bytes == 0 ? PROXY_END_STRANGE : PROXY_END_MALFORMED);
        else if (line.length >= PROXY_LINE_MAX || proxy->reply_bytes + line.length >= PROXY_REPLY_MAX)
            cut_short(proxy, PROXY_END_TOO_LONG);
        else if (end == NULL)
            break;
        else if (!read_line(proxy, line))
            proxy_finish(proxy, PROXY_END_MALFORMED);
        else {
            taken += line.length + 1;
            proxy->reply_bytes += line.length + 1;
        }
    }
    return taken;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    (void)now_ms;
    return cut_short(of(dialogue), PROXY_END_CLOSED);
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    return now_ms >= dialogue->deadline_ms ? cut_short(of(dialogue), PROXY_END_SILENT) : 0;
}

/* Of a status, as far as it is certain. Source: RFC 9110 section 15. */
static const char *remedy(int code)
{
    switch (code) {
    case 403:
        return " (its rules do not allow this host or port, or this client)";
    case 400:
    case 404:
    case 405:
    case 501:
        return " (is it a proxy, and does it allow CONNECT to this port?)";
    case 502:
    case 503:
    case 504:
        return " (by its account, it cannot reach the target)";
    default:
        return "";
    }
}

static void fail_refused(const struct proxy *proxy, struct err *err)
{
    char name[PROXY_NAME_BYTES], target[PROXY_NAME_BYTES];
    const char *reason = proxy->reason;
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_HTTP, .native = proxy->code};

    err_set_facts(err, ERR_CONNECT_PROXY, &facts, "proxy %s did not connect to %s: \"%d%s%s\"%s%s%s%s",
                  proxy_name(proxy, name), proxy_target_name(proxy, target), proxy->code,
                  proxy->words[0] != '\0' ? " " : "", proxy->words, reason[0] != '\0' ? ", \"" : "", reason,
                  reason[0] != '\0' ? "\"" : "", remedy(proxy->code));
}

static void fail_authentication(const struct proxy *proxy, struct err *err)
{
    char name[PROXY_NAME_BYTES];
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_USER, .native = proxy->code};
    bool given = proxy->route->proxy->has_user;

    proxy_name(proxy, name);
    if (given && (proxy->offers_basic || proxy->schemes[0] == '\0'))
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s rejected the user name or the password: \"%d %s\"", name, proxy->code,
                      proxy->words);
    else if (proxy->offers_basic)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s requires authentication: \"%d %s\" (use --proxy http://USER@%s, with the "
                      "password in the environment variable TCPGREET_PROXY_PASSWORD)",
                      name, proxy->code, proxy->words, name);
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s requires authentication: \"%d %s\", by %s, which is not supported (Basic is)",
                      name, proxy->code, proxy->words,
                      proxy->schemes[0] != '\0' ? proxy->schemes : "a scheme that it does not name");
}

static void failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    const struct proxy *proxy = (const struct proxy *)dialogue;

    if (proxy->end == PROXY_END_REFUSED)
        fail_refused(proxy, err);
    else if (proxy->end == PROXY_END_AUTHENTICATION)
        fail_authentication(proxy, err);
    else
        proxy_fail(proxy, rest, err);
}

const struct dialogue_ops proxy_http_ops = {
    .begin = begin, .receive = receive, .eof = end_with_peer, .expire = expire, .failure = failure};
