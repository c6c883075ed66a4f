#include "tcpgreet/http/access.h"

#include <string.h>
#include <strings.h>

static bool parse_host(const char *field, struct target *host)
{
    struct err err = {0};
    return (target_is_one_word(field) ? target_parse_word(host, field, &err)
                                      : target_parse(host, field, "0", &err)) == 0 &&
           host->kind != TARGET_EVERY_ADDRESS;
}

static bool is_own(const struct http_access *access, const char *host)
{
    for (size_t i = 0; i < access->own_count && access->own[i].service[0] != '\0'; i++)
        if (strcasecmp(host, access->own[i].host) == 0)
            return true;
    return false;
}

/* A name that its owner lets point to this machine makes a foreign page and this server one site to a
 * browser: DNS rebinding. An address cannot. */
static bool is_host_ours(const struct http_access *access)
{
    struct target host;

    if (access->host == NULL)
        return true; /* of no browser */
    return parse_host(access->host, &host) &&
           (host.kind != TARGET_NAME || target_is_localhost(host.host) || is_own(access, host.host));
}

static bool is_foreign(const char *site)
{
    return site != NULL && strcmp(site, "none") != 0 && strcmp(site, "same-origin") != 0;
}

const char *http_access_refusal(const struct http_access *access)
{
    if (access->is_local && !is_host_ours(access))
        return "the Host field names neither an address nor localhost, as after DNS rebinding (a reverse proxy must "
               "set it to localhost)";
    if (access->acts && access->origin != NULL)
        return "the request has an Origin field: it comes from a web page, and web pages cannot start probes";
    if (access->acts && is_foreign(access->site))
        return "Sec-Fetch-Site shows that another site has sent the request: other sites cannot start probes";
    return NULL;
}
