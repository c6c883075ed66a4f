#include "hint.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "table.h"
#include "tcpgreet/base/edit_distance.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/target.h"

enum { COMMAND_BYTES = 128 };

/* A URL's scheme. Source: the service name and port registry of IANA. */
struct scheme {
    const char *name;
    const char *port; /* NULL: the URL has to name it */
    bool is_tls;
};

static const struct scheme schemes[] = {
    {"http", "80", false},         {"https", "443", true},      {"ws", "80", false},
    {"wss", "443", true},          {"ftp", "21", false},        {"ftps", "990", true},
    {"smtp", "25", false},         {"smtps", "465", true},      {"imap", "143", false},
    {"imaps", "993", true},        {"pop3", "110", false},      {"pop3s", "995", true},
    {"ldap", "389", false},        {"ldaps", "636", true},      {"ssh", "22", false},
    {"telnet", "23", false},       {"redis", "6379", false},    {"rediss", "6379", true},
    {"mysql", "3306", false},      {"postgres", "5432", false}, {"amqp", "5672", false},
    {"amqps", "5671", true},       {"mqtt", "1883", false},     {"mqtts", "8883", true},
    {"tls", NULL, true},           {"ssl", NULL, true},         {"tcps", NULL, true},
    {"postgresql", "5432", false},
};

/* Options that people know from nc, curl, openssl and the like. */
static const struct {
    const char *name;
    const char *instead;
} habits[] = {
    {"l", "to listen, use --listen [HOST] PORT"},
    {"p", "the port follows the host: HOST PORT"},
    {"port", "the port follows the host: HOST PORT"},
    {"host", "the mode takes the host: --connect HOST PORT"},
    {"server", "use --listen [HOST] PORT"},
    {"client", "use --connect HOST PORT"},
    {"bind", "use --listen HOST PORT"},
    {"z", "use --probe HOST PORT"},
    {"k", "to connect without verification, use --insecure"},
    {"no-verify", "use --insecure"},
    {"w", "use --connect-timeout TIME"},
    {"max-time", "use --timeout TIME"},
    {"s", "use --source ADDRESS"},
    {"n", "a number of rounds is --count N"},
    {"c", "a number of rounds is --count N, of connections --connections N"},
    {"ssl", "use --tls"},
    {"cacert", "use --ca FILE"},
    {"CAfile", "use --ca FILE"},
    {"CApath", "use --ca DIRECTORY"},
    {"sni", "use --servername NAME"},
    {"json", "use --format json"},
    {"debug", "use -v"},
};

const char *hint_option(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
        if (strncmp(habits[i].name, name, length) == 0 && habits[i].name[length] == '\0')
            return habits[i].instead;
    return NULL;
}

static bool is_port(const char *word)
{
    struct target target;

    return word != NULL && *word != '\0' && target_parse(&target, NULL, word, NULL) == 0;
}

static bool is_number(const char *word)
{
    return is_port(word) && word[strspn(word, "0123456789")] == '\0';
}

/* With or without a zone. */
static bool is_ipv6(const char *word)
{
    struct target target;
    return word[0] != '[' && strchr(word, ':') != NULL && target_parse(&target, word, "0", NULL) == 0;
}

static const struct scheme *find_scheme(const char *name, size_t length)
{
    static const struct scheme other = {"", NULL, false};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncasecmp(schemes[i].name, name, length) == 0 && schemes[i].name[length] == '\0')
            return &schemes[i];
    return &other;
}

/* Splits "[user@]host[:port][/path]" or the like. Shape: word is shorter than host has room, as it is cut. */
static void split_authority(const char *word, char host[COMMAND_BYTES], char port[COMMAND_BYTES])
{
    char part[COMMAND_BYTES];

    snprintf(part, sizeof(part), "%.*s", (int)strcspn(word, "/?#"), word);
    const char *at = strrchr(part, '@');
    const char *begin = at != NULL ? at + 1 : part;
    const char *end = begin[0] == '[' ? strchr(begin, ']') : NULL;
    const char *colon = end != NULL ? strchr(end, ':') : strrchr(begin, ':');

    size_t length = colon != NULL ? (size_t)(colon - begin) : strlen(begin);
    snprintf(host, COMMAND_BYTES, "%.*s", (int)length, begin);
    snprintf(port, COMMAND_BYTES, "%s", colon != NULL ? colon + 1 : "");
    if (end != NULL) {
        host[end - begin] = '\0';
        memmove(host, host + 1, strlen(host));
    }
}

/* Rejects it with what is wrong and the command line that was probably meant. */
static int refuse(const char *option, const char *word, const char *next, const struct scheme *scheme,
                  const char *why, struct err *err)
{
    char host[COMMAND_BYTES], port[COMMAND_BYTES], shown[COMMAND_BYTES];

    split_authority(word, host, port);
    const char *meant = is_port(port)          ? port
                        : is_number(next)      ? next
                        : scheme->port != NULL ? scheme->port
                        : is_port(next)        ? next
                                               : "PORT";
    return err_set(err, ERR_USAGE, 0, "--%s takes HOST PORT: %s: --%s %s %s%s", option, why, option,
                   escape_text((struct bytes){host, strlen(host)}, shown, sizeof(shown)), meant,
                   scheme->is_tls ? " --tls" : "");
}

/* A zone is in place only at a link-local address, which is checked with the address itself. */
static int check_zone(const char *option, const char *word, struct err *err)
{
    char shown[COMMAND_BYTES], zone[COMMAND_BYTES];
    size_t length = strcspn(word, "%");

    if (word[length] == '\0' || strchr(word, ':') != NULL)
        return 0;
    escape_text((struct bytes){word, length}, shown, sizeof(shown));
    escape_text((struct bytes){word + length, strlen(word + length)}, zone, sizeof(zone));
    return err_set(
        err, ERR_USAGE, 0,
        "--%s: %s has no zone: leave out %s (only a link-local IPv6 address such as fe80::1 has one)", option,
        shown, zone);
}

/* ADDRESS:PORT, where the address is an IPv6 address without brackets. */
static int check_ipv6_port(const char *option, const char *word, const char *next, struct err *err)
{
    char address[COMMAND_BYTES];
    const char *colon = strrchr(word, ':');
    size_t length = colon != NULL ? (size_t)(colon - word) : 0;

    if (length == 0 || length >= sizeof(address) || !is_number(colon + 1))
        return 0;
    snprintf(address, sizeof(address), "%.*s", (int)length, word);
    if (address[length - 1] == ':' && (length < 2 || address[length - 2] != ':'))
        return 0;
    if (!is_ipv6(address) || (is_ipv6(word) && is_port(next)))
        return 0;
    return err_set(err, ERR_USAGE, 0,
                   "--%s: an IPv6 address with a port needs brackets: --%s [%s]:%s, or --%s %s %s", option,
                   option, address, colon + 1, option, address, colon + 1);
}

int hint_host(const char *option, const char *word, const char *next, struct err *err)
{
    static const struct scheme none = {"", NULL, false};
    const char *authority = strstr(word, "://");

    if (authority != NULL)
        return refuse(option, authority + strlen("://"), next, find_scheme(word, (size_t)(authority - word)),
                      "leave the scheme out", err);
    if (strncmp(word, "//", 2) == 0)
        return refuse(option, word + 2, next, &none, "leave // out", err);
    if (strchr(word, '@') != NULL)
        return refuse(option, word, next, &none, "leave the user name out", err);
    if (strchr(word, '/') != NULL && word[0] != '/')
        return refuse(option, word, next, &none, "leave out what follows /", err);
    return check_zone(option, word, err) < 0 ? -1 : check_ipv6_port(option, word, next, err);
}

int hint_name(const char *option, const char *word, struct err *err)
{
    const char *scheme = strstr(word, "://");
    const char *authority = scheme != NULL ? scheme + strlen("://") : word;
    char host[COMMAND_BYTES], port[COMMAND_BYTES], shown[COMMAND_BYTES];
    struct target name;

    split_authority(authority, host, port);
    bool is_more = scheme != NULL || strpbrk(word, "@/") != NULL || target_is_one_word(word);
    if (is_more && host[0] != '\0' && target_parse(&name, host, "0", NULL) == 0)
        return err_set(err, ERR_USAGE, 0, "%s takes a name alone, without scheme, port or path: %s", option,
                       escape_text((struct bytes){host, strlen(host)}, shown, sizeof(shown)));
    return target_parse(&name, word, "0", err) == 0 ? 0 : err_context(err, "%s", option);
}

static bool hint_word(const struct option_word *words, const char *word, char *text, size_t room)
{
    enum { EDITS_MAX = 2 };
    size_t best = EDITS_MAX + 1, length = strlen(word);

    for (; words->name != NULL; words++) {
        size_t distance = strcasecmp(words->name, word) == 0
                              ? 0
                              : edit_distance(word, length, words->name, strlen(words->name));
        if (length > 1 && strncmp(words->name, word, length) == 0 && distance > EDITS_MAX)
            distance = EDITS_MAX;
        if (distance >= best || distance + 1 >= strlen(words->name))
            continue;
        best = distance;
        snprintf(text, room, "%s", words->name);
    }
    return best <= EDITS_MAX;
}

/* Units as people write them. */
static const struct {
    const struct option_kind *kind;
    const char *typed;
    const char *unit;
} units[] = {
    {&option_duration, "", "s"},       {&option_duration, "s", "s"},       {&option_duration, "sec", "s"},
    {&option_duration, "secs", "s"},   {&option_duration, "second", "s"},  {&option_duration, "seconds", "s"},
    {&option_duration, "ms", "ms"},    {&option_duration, "msec", "ms"},   {&option_duration, "millis", "ms"},
    {&option_duration, "m", "m"},      {&option_duration, "min", "m"},     {&option_duration, "mins", "m"},
    {&option_duration, "minute", "m"}, {&option_duration, "minutes", "m"}, {&option_duration, "h", "h"},
    {&option_duration, "hr", "h"},     {&option_duration, "hour", "h"},    {&option_duration, "hours", "h"},
    {&option_bytes, "k", "k"},         {&option_bytes, "kb", "k"},         {&option_bytes, "kib", "k"},
    {&option_bytes, "m", "M"},         {&option_bytes, "mb", "M"},         {&option_bytes, "mib", "M"},
    {&option_bytes, "b", ""},          {&option_integer, "k", "000"},
};

bool hint_value(const struct option_row *row, const char *word, char *text, size_t room)
{
    int64_t ignored;
    struct option_value value = {row, text, &ignored, sizeof(ignored), NULL};

    if (row->words != NULL)
        return hint_word(row->words, word, text, room);
    size_t number = strspn(word, "0123456789.");
    const char *unit = word + number + strspn(word + number, " ");
    for (size_t i = 0; number > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].kind != row->kind || strcasecmp(units[i].typed, unit) != 0)
            continue;
        snprintf(text, room, "%.*s%s", (int)number, word, units[i].unit);
        return strlen(text) + 1 < room && row->kind->read(&value) == 0;
    }
    return false;
}
