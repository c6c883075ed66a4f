#include "service_hint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/edit_distance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { WORD_BYTES = 20, SHORT_BYTES = 4 };

/* The most likely first. Source: IANA's registry of service names and port numbers; the last three are what
 * people call them. */
static const struct {
    const char *name;
    unsigned port;
} services[] = {
    {"https", 443},
    {"http", 80},
    {"ftp", 21},
    {"ftps", 990},
    {"ssh", 22},
    {"telnet", 23},
    {"smtp", 25},
    {"submission", 587},
    {"submissions", 465},
    {"smtps", 465},
    {"domain", 53},
    {"pop3", 110},
    {"pop3s", 995},
    {"imap", 143},
    {"imaps", 993},
    {"nntp", 119},
    {"nntps", 563},
    {"ldap", 389},
    {"ldaps", 636},
    {"sieve", 4190},
    {"mysql", 3306},
    {"postgresql", 5432},
    {"redis", 6379},
    {"mqtt", 1883},
    {"amqp", 5672},
    {"amqps", 5671},
    {"xmpp-client", 5222},
    {"xmpp-server", 5269},
    {"ircs-u", 6697},
    {"domain-s", 853},
    {"ms-wbt-server", 3389},
    {"postgres", 5432},
    {"dns", 53},
    {"rdp", 3389},
};

const char *service_hint(const char *word, char text[SERVICE_HINT_BYTES])
{
    char lower[WORD_BYTES];
    size_t length = strlen(word), nearest = 0, best = length > SHORT_BYTES ? 3 : 2;

    text[0] = '\0';
    if (length < 3 || length >= sizeof lower)
        return text;
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)tolower((unsigned char)word[i]);
    for (size_t i = 0; i < COUNT(services); i++) {
        size_t distance = edit_distance(lower, length, services[i].name, strlen(services[i].name));
        if (distance < best) {
            best = distance;
            nearest = i + 1;
        }
    }
    if (nearest == 0)
        return text;
    const char *name = services[nearest - 1].name;
    unsigned port = services[nearest - 1].port;
    if (best == 0)
        (void)snprintf(text, SERVICE_HINT_BYTES, " (%s is %u)", name, port);
    else
        (void)snprintf(text, SERVICE_HINT_BYTES, " (did you mean %s, %u?)", name, port);
    return text;
}
