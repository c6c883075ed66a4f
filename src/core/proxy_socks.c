#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy_dialogue.h"

/* Which reply is awaited. */
enum stage { METHOD, AUTHENTICATION, REPLY };

/* Source: RFC 1928, RFC 1929. */
enum {
    SOCKS_VERSION = 5,
    METHOD_NONE = 0,
    METHOD_PASSWORD = 2,
    METHOD_NO_ACCEPTABLE = 0xff,
    PASSWORD_VERSION = 1,
    COMMAND_CONNECT = 1,
    ADDRESS_IPV4 = 1,
    ADDRESS_NAME = 3,
    ADDRESS_IPV6 = 4
};

static struct proxy *of(struct dialogue *dialogue)
{
    return (struct proxy *)dialogue;
}

static void put_byte(struct sink *out, unsigned value)
{
    char byte = (char)value;
    (void)sink_put(out, (struct bytes){&byte, 1});
}

/* Shape: text has at most 255 bytes. */
static void put_counted(struct sink *out, const char *text)
{
    put_byte(out, (unsigned)strlen(text));
    (void)sink_put(out, (struct bytes){text, strlen(text)});
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    bool has_user = of(dialogue)->route->proxy->has_user;
    (void)now_ms;

    put_byte(out, SOCKS_VERSION);
    put_byte(out, has_user ? 2 : 1);
    put_byte(out, METHOD_NONE);
    if (has_user)
        put_byte(out, METHOD_PASSWORD);
}

static void put_credentials(const struct proxy_config *config, struct sink *out)
{
    put_byte(out, PASSWORD_VERSION);
    put_counted(out, config->user);
    put_counted(out, config->password != NULL ? config->password : "");
}

static void put_request(const struct proxy_route *route, struct sink *out)
{
    unsigned char address[sizeof(struct in6_addr)];
    bool v4 = route->kind == TARGET_IPV4, v6 = route->kind == TARGET_IPV6;

    put_byte(out, SOCKS_VERSION);
    put_byte(out, COMMAND_CONNECT);
    put_byte(out, 0);
    put_byte(out, v4 ? ADDRESS_IPV4 : v6 ? ADDRESS_IPV6 : ADDRESS_NAME);
    if (!v4 && !v6)
        put_counted(out, route->host);
    else if (inet_pton(v4 ? AF_INET : AF_INET6, route->host, address) == 1)
        (void)sink_put(out, (struct bytes){(const char *)address,
                                           v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr)});
    put_byte(out, route->port >> 8);
    put_byte(out, route->port & 0xff);
}

/* What is due for the stage. It waits for room. */
static void put_due(struct proxy *proxy, struct sink *out)
{
    if (sink_room(out) < PROXY_REQUEST_BYTES) {
        proxy->dialogue.state = DIALOGUE_SENDING;
        return;
    }
    proxy->dialogue.state = DIALOGUE_RUNNING;
    if (proxy->stage == AUTHENTICATION) {
        put_credentials(proxy->route->proxy, out);
    } else {
        put_request(proxy->route, out);
        proxy_note_request(proxy);
    }
}

static void enter(struct proxy *proxy, enum stage stage, struct sink *out)
{
    proxy->stage = (uint8_t)stage;
    proxy->begun = false;
    put_due(proxy, out);
}

static size_t read_method(struct proxy *proxy, const unsigned char *reply, struct sink *out)
{
    enum { LENGTH = 2 };
    bool has_user = proxy->route->proxy->has_user;

    proxy->code = reply[1];
    if (proxy->code == METHOD_NO_ACCEPTABLE || (proxy->code == METHOD_PASSWORD && !has_user))
        return proxy_finish(proxy, PROXY_END_AUTHENTICATION);
    if (proxy->code != METHOD_NONE && proxy->code != METHOD_PASSWORD)
        return proxy_finish(proxy, PROXY_END_MALFORMED);
    enter(proxy, proxy->code == METHOD_PASSWORD ? AUTHENTICATION : REPLY, out);
    return LENGTH;
}

/* Some servers write the version of SOCKS into the first byte, so it is not looked at. */
static size_t read_authentication(struct proxy *proxy, const unsigned char *reply, struct sink *out)
{
    enum { LENGTH = 2 };

    proxy->code = reply[1];
    if (proxy->code != 0)
        return proxy_finish(proxy, PROXY_END_AUTHENTICATION);
    enter(proxy, REPLY, out);
    return LENGTH;
}

/* Returns: the length of a reply, with the address that the proxy uses; 0 where it cannot be known yet, or
 * there is no such type of address. */
static size_t reply_length(const unsigned char *reply, size_t length)
{
    enum { TYPE = 3, ADDRESS = 4, PORT = 2 };

    if (length <= TYPE)
        return 0;
    if (reply[TYPE] == ADDRESS_IPV4)
        return ADDRESS + sizeof(struct in_addr) + PORT;
    if (reply[TYPE] == ADDRESS_IPV6)
        return ADDRESS + sizeof(struct in6_addr) + PORT;
    return reply[TYPE] == ADDRESS_NAME && length > ADDRESS ? ADDRESS + 1 + (size_t)reply[ADDRESS] + PORT : 0;
}

/* A refusal is one by its second byte: some proxies end there. */
static size_t read_reply(struct proxy *proxy, const unsigned char *reply, size_t length)
{
    enum { TYPE = 3 };

    if (reply[0] != SOCKS_VERSION)
        return proxy_finish(proxy, PROXY_END_MALFORMED);
    proxy->code = reply[1];
    if (proxy->code != 0)
        return proxy_finish(proxy, PROXY_END_REFUSED);
    size_t whole = reply_length(reply, length);
    if (length > TYPE && whole == 0 && reply[TYPE] != ADDRESS_NAME)
        return proxy_finish(proxy, PROXY_END_MALFORMED);
    if (whole == 0 || length < whole)
        return 0;
    proxy_finish(proxy, PROXY_END_CONNECTED);
    return whole;
}

/* One reply, where it is complete. */
static size_t read_one(struct proxy *proxy, struct bytes in, struct sink *out)
{
    const unsigned char *reply = (const unsigned char *)in.data;

    proxy->begun = in.length > 0;
    if (in.length > 0 && proxy->stage == METHOD && reply[0] != SOCKS_VERSION)
        return proxy_finish(proxy, PROXY_END_STRANGE);
    if (in.length < 2)
        return 0;
    if (proxy->stage == METHOD)
        return read_method(proxy, reply, out);
    if (proxy->stage == AUTHENTICATION)
        return read_authentication(proxy, reply, out);
    return read_reply(proxy, reply, in.length);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct proxy *proxy = of(dialogue);
    size_t taken = 0, one;
    (void)now_ms;

    if (dialogue->state == DIALOGUE_SENDING)
        put_due(proxy, out);
    do {
        one = dialogue->state == DIALOGUE_RUNNING ? read_one(proxy, bytes_skip(in, taken), out) : 0;
        taken += one;
    } while (one > 0);
    return taken;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    (void)now_ms;
    return proxy_finish(of(dialogue), PROXY_END_CLOSED);
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    return now_ms >= dialogue->deadline_ms ? proxy_finish(of(dialogue), PROXY_END_SILENT) : 0;
}

/* Source: RFC 1928 section 6. */
static const char *reply_text(int code)
{
    static const char *const texts[] = {
        [1] = "general SOCKS server failure", [2] = "connection not allowed by ruleset",
        [3] = "Network unreachable",          [4] = "Host unreachable",
        [5] = "Connection refused",           [6] = "TTL expired",
        [7] = "Command not supported",        [8] = "Address type not supported",
    };
    bool is_assigned = code > 0 && code < (int)(sizeof texts / sizeof texts[0]);
    return is_assigned ? texts[code] : "unassigned";
}

static const char *remedy(int code)
{
    enum { NOT_ALLOWED = 2, UNREACHABLE = 3, REFUSED = 5 };
    if (code == NOT_ALLOWED)
        return " (its rules do not allow this host or port, or this client)";
    return code >= UNREACHABLE && code <= REFUSED ? " (by its account, it cannot reach the target)" : "";
}

static void fail_refused(const struct proxy *proxy, struct err *err)
{
    char name[PROXY_NAME_BYTES], target[PROXY_NAME_BYTES];
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_SOCKS, .native = proxy->code};

    err_set_facts(err, ERR_CONNECT_PROXY, &facts, "proxy %s did not connect to %s: SOCKS5 reply %d, \"%s\"%s",
                  proxy_name(proxy, name), proxy_target_name(proxy, target), proxy->code,
                  reply_text(proxy->code), remedy(proxy->code));
}

static void fail_authentication(const struct proxy *proxy, struct err *err)
{
    char name[PROXY_NAME_BYTES];
    struct err_facts facts = {.detail = ERR_DETAIL_PROXY_USER, .native = proxy->code};

    proxy_name(proxy, name);
    if (proxy->stage == AUTHENTICATION)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s rejected the user name or the password: status %d", name, proxy->code);
    else if (proxy->route->proxy->has_user)
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s accepts neither a user name with a password nor a connection without: it "
                      "requires another method of authentication, which is not supported",
                      name);
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &facts,
                      "proxy %s requires authentication (use --proxy socks5://USER@%s, with the password in "
                      "the environment variable TCPGREET_PROXY_PASSWORD)",
                      name, name);
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

const struct dialogue_ops proxy_socks_ops = {
    .begin = begin, .receive = receive, .eof = end_with_peer, .expire = expire, .failure = failure};
