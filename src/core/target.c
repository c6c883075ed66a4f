#include "tcpgreet/core/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/escape.h"

enum {
    SHOWN_BYTES = 128,    /* of a refused word, in a message */
    NAME_BYTES_MAX = 253, /* RFC 1035 section 2.3.4: 255 on the wire, less a length byte and the root */
    LABEL_BYTES_MAX = 63, /* the same */
    PORT_MAX = 65535
};

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define DIGITS "0123456789"
#define PORT_REMEDY "write a number from 0 to 65535 or a service name"

static struct bytes view(const char *text)
{
    return (struct bytes){text, strlen(text)};
}

static int refuse(struct err *err, struct bytes word, const char *why)
{
    char shown[SHOWN_BYTES];
    return err_set(err, ERR_USAGE, 0, "%s %s", escape_text(word, shown, sizeof(shown)), why);
}

static bool consists_of(struct bytes word, const char *allowed)
{
    for (size_t i = 0; i < word.length; i++)
        if (word.data[i] == '\0' || strchr(allowed, word.data[i]) == NULL)
            return false;
    return true;
}

/* Returns: whether word is text that a terminal can show as it is. */
static bool is_printable(struct bytes word)
{
    char text[TARGET_HOST_BYTES];
    struct sink sink = {text, 0, sizeof(text)};
    return escape(word, (struct escape_style){0}, &sink) == word.length && sink.length == word.length;
}

static bool is_ascii(char byte)
{
    return (unsigned char)byte <= 0x7f;
}

static bool is_all_ascii(struct bytes word)
{
    for (size_t i = 0; i < word.length; i++)
        if (!is_ascii(word.data[i]))
            return false;
    return true;
}

static bool has_label_characters(struct bytes label)
{
    for (size_t i = 0; i < label.length; i++)
        if (is_ascii(label.data[i]) && !consists_of((struct bytes){label.data + i, 1}, ALPHANUMERIC "-_"))
            return false;
    return true;
}

/* Shape: host is NUL-terminated. Returns: whether it is an IPv6 literal, with a zone or without. */
static bool is_ipv6(struct bytes host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    size_t length = strcspn(host.data, "%");
    if (length >= sizeof(address))
        return false;
    memcpy(address, host.data, length);
    address[length] = '\0';
    if (inet_pton(AF_INET6, address, &ignored) != 1)
        return false;
    if (length == host.length)
        return true;
    struct bytes zone = bytes_skip(host, length + 1);
    return zone.length > 0 && is_printable(zone) && strpbrk(zone.data, " %[]/") == NULL;
}

/* Returns: whether inet_aton would take it for a number: 127.1, 0x7f.1, 2130706433. */
static bool ends_in_number(struct bytes label)
{
    if (label.length >= 2 && label.data[0] == '0' && (label.data[1] | 0x20) == 'x')
        return consists_of(bytes_skip(label, 2), DIGITS "abcdefABCDEF");
    return consists_of(label, DIGITS);
}

/* Source: RFC 1123 section 2.1; underscores as found in DNS; what is not ASCII is left to IDN conversion. */
static const char *fault_of_name(struct bytes name)
{
    bool ascii = is_all_ascii(name);
    size_t length = name.length > 0 && name.data[name.length - 1] == '.' ? name.length - 1 : name.length;
    if (ascii && length > NAME_BYTES_MAX)
        return "is not a host name: it has more than 253 characters";
    if (name.length > 0 && name.data[0] == '-')
        return "is not a host name: it begins with a dash";
    if (!is_printable(name))
        return "is not a host name: it holds bytes that are not printable text";
    struct bytes label;
    for (size_t begin = 0;; begin += label.length + 1) {
        label = (struct bytes){name.data + begin, 0};
        while (begin + label.length < length && label.data[label.length] != '.')
            label.length++;
        if (label.length == 0)
            return "is not a host name: there is nothing between two dots, or before the first";
        if (ascii && label.length > LABEL_BYTES_MAX)
            return "is not a host name: a part between dots has more than 63 characters";
        if (!has_label_characters(label))
            return "is not a host name: it may hold letters, digits, dashes and dots";
        if (begin + label.length == length)
            break;
    }
    if (ends_in_number(label))
        return "is not an IPv4 address: write all four numbers, each from 0 to 255 and in decimal";
    return NULL;
}

/* Replaces an IPv4-mapped address by the IPv4 address that it is: the packets are IPv4, whatever the socket's
 * family. Shape: target->host is an IPv6 literal. Source: RFC 4291 section 2.5.5.2. */
static void classify_ipv6(struct target *target)
{
    struct in6_addr address;

    target->kind = TARGET_IPV6;
    if (inet_pton(AF_INET6, target->host, &address) != 1 || !IN6_IS_ADDR_V4MAPPED(&address))
        return;
    target->kind = TARGET_IPV4;
    (void)inet_ntop(AF_INET, &address.s6_addr[12], target->host, sizeof(target->host));
}

/* Works on target->host, where the word stands without brackets. */
static int classify_host(struct target *target, struct bytes word, bool bracketed, struct err *err)
{
    struct bytes host = view(target->host);
    struct in_addr ignored;
    if (is_ipv6(host)) {
        classify_ipv6(target);
        return 0;
    }
    if (bracketed)
        return refuse(err, word, "is not an IPv6 address, and brackets are for nothing else");
    if (strchr(host.data, ':') != NULL)
        return refuse(err, word, "is not an IPv6 address");
    if (strpbrk(host.data, "[]") != NULL)
        return refuse(err, word, "has brackets that do not match");
    if (inet_pton(AF_INET, host.data, &ignored) == 1) {
        target->kind = TARGET_IPV4;
        return 0;
    }
    const char *fault = fault_of_name(host);
    if (fault != NULL)
        return refuse(err, word, fault);
    target->kind = TARGET_NAME;
    return 0;
}

static int parse_host(struct target *target, struct bytes word, struct err *err)
{
    if (word.length == 0) {
        target->kind = TARGET_EVERY_ADDRESS;
        return 0;
    }
    bool opened = word.data[0] == '[';
    bool closed = word.data[word.length - 1] == ']';
    if (opened != closed)
        return refuse(err, word, "has brackets that do not match");
    struct bytes host = word;
    if (opened)
        host = (struct bytes){word.data + 1, word.length - 2};
    if (host.length >= sizeof(target->host))
        return refuse(err, word, "is too long for a host name");
    memcpy(target->host, host.data, host.length);
    target->host[host.length] = '\0';
    return classify_host(target, word, opened, err);
}

static int parse_number(struct target *target, struct bytes word, struct err *err)
{
    uint32_t port = 0;
    for (size_t i = 0; i < word.length && port <= PORT_MAX; i++)
        port = port * 10 + (uint32_t)(word.data[i] - '0');
    if (port > PORT_MAX)
        return refuse(err, word, "is not a port: the highest is 65535");
    (void)snprintf(target->service, sizeof(target->service), "%u", (unsigned)port);
    return 0;
}

static int parse_service(struct target *target, struct bytes word, struct err *err)
{
    if (word.length == 0)
        return err_set(err, ERR_USAGE, 0, "the port is missing: " PORT_REMEDY);
    if (consists_of(word, DIGITS))
        return parse_number(target, word, err);
    bool letter = !consists_of(word, DIGITS "-_.+");
    if (word.length >= sizeof(target->service) || !letter || word.data[0] == '-' ||
        !consists_of(word, ALPHANUMERIC "-_.+"))
        return refuse(err, word, "is not a port: " PORT_REMEDY);
    memcpy(target->service, word.data, word.length);
    target->service[word.length] = '\0';
    return 0;
}

static int parse(struct target *target, struct bytes host, struct bytes port, struct err *err)
{
    *target = (struct target){0};
    if (parse_host(target, host, err) == 0 && parse_service(target, port, err) == 0)
        return 0;
    *target = (struct target){0};
    return -1;
}

/* Returns: where the colon stands that parts host and port in one word, or NULL. */
static const char *parting_colon(const char *word)
{
    if (word[0] == '[') {
        const char *closing = strchr(word, ']');
        return closing != NULL && closing[1] == ':' ? closing + 1 : NULL;
    }
    const char *colon = strchr(word, ':');
    return colon != NULL && colon != word && strchr(colon + 1, ':') == NULL ? colon : NULL;
}

bool target_is_one_word(const char *word)
{
    return parting_colon(word) != NULL;
}

int target_parse(struct target *target, const char *host, const char *port, struct err *err)
{
    return parse(target, view(host != NULL ? host : ""), view(port != NULL ? port : ""), err);
}

int target_parse_word(struct target *target, const char *word, struct err *err)
{
    const char *colon = parting_colon(word);
    if (colon != NULL)
        return parse(target, (struct bytes){word, (size_t)(colon - word)}, view(colon + 1), err);
    if (strchr(word, ':') != NULL) {
        *target = (struct target){0};
        return refuse(err, view(word), "is neither a port nor HOST:PORT nor [IPV6]:PORT");
    }
    return parse(target, view(""), view(word), err);
}

bool target_is_localhost(const char *host)
{
    static const char name[] = "localhost";
    size_t length = strlen(host);

    if (length > 0 && host[length - 1] == '.')
        length--;
    if (length < sizeof(name) - 1 ||
        strncasecmp(host + length - (sizeof(name) - 1), name, sizeof(name) - 1) != 0)
        return false;
    return length == sizeof(name) - 1 || host[length - sizeof(name)] == '.';
}

const char *target_format(const struct target *target, char *text, size_t room)
{
    char whole[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + sizeof("[]:")];
    const char *format = target->kind == TARGET_IPV6 ? "[%s]:%s" : "%s:%s";
    if (target->kind == TARGET_EVERY_ADDRESS)
        (void)snprintf(whole, sizeof(whole), "every address, port %s", target->service);
    else
        (void)snprintf(whole, sizeof(whole), format, target->host, target->service);
    return escape_text(view(whole), text, room);
}
