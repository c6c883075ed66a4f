#include "whoami.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "tcpgreet/base/escape.h"

enum { HOST_BYTES = 256 };

struct texts {
    char peer[ENDPOINT_TEXT_BYTES];
    char local[ENDPOINT_TEXT_BYTES];
    char proxy[PROXY_HEADER_TEXT_BYTES];
    char authority[WHOAMI_VALUE_MAX];
    char tls[128];
    char instance[WHOAMI_VALUE_MAX];
    char number[24];
};

static void format_tls(const struct stream_tls_facts *tls, char *text, size_t room)
{
    text[0] = '\0';
    if (tls->version[0] != '\0')
        snprintf(text, room, "%s, %s%s%s", tls->version, tls->cipher, tls->group[0] != '\0' ? ", " : "",
                 tls->group);
}

static void format_instance(char text[WHOAMI_VALUE_MAX])
{
    char host[HOST_BYTES] = "";

    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0'; /* a longer one may be cut without it */
    escape_text((struct bytes){host, strlen(host)}, text, WHOAMI_VALUE_MAX);
}

bool whoami_answer(const struct whoami_facts *facts, struct sink *out)
{
    struct texts texts = {0};
    const char *const values[WHOAMI_KEY_COUNT] = {
        [WHOAMI_PEER] = texts.peer,         [WHOAMI_LOCAL] = texts.local,
        [WHOAMI_PROXY] = texts.proxy,       [WHOAMI_AUTHORITY] = texts.authority,
        [WHOAMI_TLS] = texts.tls,           [WHOAMI_SNI] = facts->tls->sni,
        [WHOAMI_ALPN] = facts->tls->alpn,   [WHOAMI_CERTIFICATE] = facts->tls->subject,
        [WHOAMI_INSTANCE] = texts.instance, [WHOAMI_CONNECTION] = texts.number,
    };

    endpoint_format(facts->peer, texts.peer);
    if (endpoint_length(facts->local) > 0)
        endpoint_format(facts->local, texts.local);
    if (facts->header != NULL) {
        proxy_header_format(facts->header, texts.proxy);
        escape_text(facts->header->authority, texts.authority, sizeof texts.authority);
    }
    format_tls(facts->tls, texts.tls, sizeof texts.tls);
    format_instance(texts.instance);
    snprintf(texts.number, sizeof texts.number, "%" PRIu64, facts->number);
    return whoami_put(values, out);
}

uint64_t whoami_next_number(void)
{
    static atomic_uint_fast64_t count;
    return atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) + 1;
}
