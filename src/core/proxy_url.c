#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/proxy.h"

#define FORMS "http://[USER@]HOST[:PORT] or socks5://[USER@]HOST[:PORT]"
#define DEFAULT_PORT "1080"

enum { SHOWN_BYTES = 120, WORD_BYTES = TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 4 };

/* Schemes that people write, and what to use here. */
static const struct scheme {
    const char *name;
    enum proxy_kind kind;
    const char *why; /* NULL: it is one of ours */
    const char *meant;
} schemes[] = {
    {"http", PROXY_HTTP, NULL, "http"},
    {"socks5", PROXY_SOCKS5, NULL, "socks5"},
    {"socks5h", PROXY_NONE, "socks5:// leaves names to the proxy, as socks5h:// does elsewhere", "socks5"},
    {"socks", PROXY_NONE, "of SOCKS, version 5 is supported", "socks5"},
    {"socks4", PROXY_NONE, "SOCKS4 is not supported", "socks5"},
    {"socks4a", PROXY_NONE, "SOCKS4 is not supported", "socks5"},
    {"https", PROXY_NONE, "a connection to the proxy over TLS is not supported", "http"},
};

/* The parts of an URL, as they stand there. */
struct parts {
    struct bytes scheme; /* data NULL: none */
    struct bytes user;   /* with a password; data NULL: none */
    struct bytes place;  /* host and port */
};

/* Whatever stands before the last @ may be a part of a password. */
static struct parts split(const char *url)
{
    struct parts parts = {0};
    const char *authority = strstr(url, "://"), *at;

    if (authority != NULL && memchr(url, '@', (size_t)(authority - url)) == NULL) {
        parts.scheme = (struct bytes){url, (size_t)(authority - url)};
        url = authority + strlen("://");
    }
    at = strrchr(url, '@');
    if (at != NULL) {
        parts.user = (struct bytes){url, (size_t)(at - url)};
        url = at + 1;
    }
    parts.place = (struct bytes){url, strlen(url)};
    if (parts.place.length > 0 && parts.place.data[parts.place.length - 1] == '/')
        parts.place.length--;
    return parts;
}

/* Returns: whether what stands behind its last colon is a number, if there is one: else it may be a password,
 * where HOST was forgotten. */
static bool can_be_shown(struct bytes place)
{
    size_t digits = 0;
    while (digits < place.length && strchr("0123456789", place.data[place.length - digits - 1]) != NULL)
        digits++;
    size_t colon = place.length - digits;
    bool has_port = digits > 0 && colon > 0 && place.data[colon - 1] == ':';
    return place.length > 0 &&
           (has_port || memchr(place.data, ':', place.length) == NULL || place.data[place.length - 1] == ']');
}

/* Rejects it with the URL that was probably meant. */
static int refuse(const struct parts *parts, const char *scheme, const char *why, struct err *err)
{
    char place[SHOWN_BYTES];
    struct bytes shown = parts->place;

    for (size_t i = 0; i < shown.length; i++)
        if (strchr("/?#", shown.data[i]) != NULL)
            shown.length = i;
    escape_text(shown, place, sizeof place);
    return err_set(err, ERR_USAGE, 0, "--proxy: %s: did you mean %s://%s%s?", why, scheme,
                   parts->user.data != NULL ? "USER@" : "", can_be_shown(shown) ? place : "HOST:PORT");
}

static int read_scheme(struct proxy_config *config, const struct parts *parts, struct err *err)
{
    if (parts->scheme.data == NULL)
        return refuse(parts, "http", "it takes " FORMS, err);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const struct scheme *scheme = &schemes[i];
        if (strlen(scheme->name) != parts->scheme.length ||
            strncasecmp(scheme->name, parts->scheme.data, parts->scheme.length) != 0)
            continue;
        config->kind = scheme->kind;
        return scheme->why == NULL ? 0 : refuse(parts, scheme->meant, scheme->why, err);
    }
    return refuse(parts, "http", "this scheme is not supported, it takes " FORMS, err);
}

static int hex_value(char byte)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = byte != '\0' ? strchr(digits, byte) : NULL;
    int value = at != NULL ? (int)(at - digits) : -1;
    return value < 16 ? value : value - 6;
}

/* Takes one byte from the front, which may stand there as %XX. Returns: it; -1: not valid. */
static int next_byte(struct bytes *text)
{
    char byte = text->data[0];
    bool encoded = byte == '%';
    int high = encoded && text->length > 2 ? hex_value(text->data[1]) : -1;
    int low = encoded && text->length > 2 ? hex_value(text->data[2]) : -1;

    *text = bytes_skip(*text, encoded && high >= 0 && low >= 0 ? 3 : 1);
    if (!encoded)
        return (unsigned char)byte;
    return high >= 0 && low >= 0 ? high * 16 + low : -1;
}

/* Source: RFC 3986 section 2.1; RFC 7617 section 2: no colon, no control characters. */
static int read_user(struct proxy_config *config, const struct parts *parts, struct err *err)
{
    enum { DELETE = 0x7f };
    struct bytes left = parts->user;
    const char *scheme = config->kind == PROXY_HTTP ? "http" : "socks5";
    size_t length = 0;

    if (left.data == NULL)
        return 0;
    if (memchr(left.data, ':', left.length) != NULL)
        return refuse(parts, scheme,
                      "a password on the command line is visible to others; it belongs into the environment "
                      "variable TCPGREET_PROXY_PASSWORD",
                      err);
    if (left.length == 0)
        return refuse(parts, scheme, "the user name before @ is empty", err);
    while (left.length > 0) {
        int byte = next_byte(&left);
        if (byte < ' ' || byte == DELETE || (byte == ':' && config->kind == PROXY_HTTP))
            return refuse(parts, scheme,
                          "the user name is not valid: write it in printable characters, other bytes and @ "
                          "as %XX, with HTTP without a colon",
                          err);
        if (length == PROXY_USER_MAX)
            return refuse(parts, scheme, "the user name is longer than 255 bytes", err);
        config->user[length++] = (char)byte;
    }
    config->has_user = true;
    return 0;
}

/* In the brackets, the percent sign of a zone may stand as %25. Source: RFC 6874 section 2. */
static void decode_zone(char *host)
{
    char *zone = host[0] == '[' ? strstr(host, "%25") : NULL;
    if (zone != NULL && zone[3] != ']')
        memmove(zone + 1, zone + 3, strlen(zone + 3) + 1);
}

/* The port is not shown: where HOST was forgotten, it is a password. */
static int read_place(struct proxy_config *config, const struct parts *parts, struct err *err)
{
    const char *scheme = config->kind == PROXY_HTTP ? "http" : "socks5";
    char host[WORD_BYTES];

    if (parts->place.length == 0 ||
        (parts->place.data[0] == ':' && memchr(parts->place.data + 1, ':', parts->place.length - 1) == NULL))
        return err_set(err, ERR_USAGE, 0, "--proxy: the host is missing: it takes " FORMS);
    if (parts->place.length >= sizeof host)
        return err_set(err, ERR_USAGE, 0, "--proxy: the host is too long");
    snprintf(host, sizeof host, "%.*s", (int)parts->place.length, parts->place.data);
    if (host[strcspn(host, "/?#")] != '\0')
        return refuse(parts, scheme, "leave out what follows the port", err);
    char *end = host[0] == '[' ? strchr(host, ']') : host, *colon = end != NULL ? strchr(end, ':') : NULL;
    if (colon != NULL && strchr(colon + 1, ':') != NULL)
        return err_set(err, ERR_USAGE, 0, "--proxy: an IPv6 address needs brackets, as in %s://[::1]:3128",
                       scheme);
    if (colon != NULL)
        *colon = '\0';
    decode_zone(host);
    const char *port = colon != NULL ? colon + 1 : DEFAULT_PORT;
    if (target_parse(&config->at, host, "1", err) < 0)
        return err_context(err, "--proxy");
    if (port[strspn(port, "0123456789")] != '\0' || target_parse(&config->at, host, port, NULL) < 0 ||
        strcmp(config->at.service, "0") == 0)
        return err_set(err, ERR_USAGE, 0, "--proxy: the port is not valid: write a number from 1 to 65535");
    return 0;
}

int proxy_parse(struct proxy_config *config, const char *url, struct err *err)
{
    struct parts parts = split(url);

    *config = (struct proxy_config){0};
    if (read_scheme(config, &parts, err) == 0 && read_user(config, &parts, err) == 0 &&
        read_place(config, &parts, err) == 0)
        return 0;
    *config = (struct proxy_config){0};
    return -1;
}

const char *proxy_format(const struct proxy_config *config, char *text, size_t room)
{
    int length = snprintf(text, room, "%s://", config->kind == PROXY_HTTP ? "http" : "socks5");

    target_format(&config->at, text + length, room - (size_t)length);
    return text;
}
