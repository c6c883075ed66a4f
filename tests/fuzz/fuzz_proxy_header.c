/* Input: what a peer sends first. The verdict is the same however it is cut; its parts are inside it,
 * and what is written of it is parsed to the same again, unless one of its addresses alone is IPv4-mapped. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/guard.h"
#include "tcpgreet/core/proxy_header.h"

static void check_inside(struct bytes part, struct bytes whole)
{
    CHECK(part.length == 0 ||
          (part.data >= whole.data && part.data + part.length <= whole.data + whole.length));
}

static void check_views(const struct proxy_header *header, struct bytes whole)
{
    const struct bytes parts[] = {header->alpn,
                                  header->authority,
                                  header->unique_id,
                                  header->netns,
                                  header->ssl.version,
                                  header->ssl.common_name,
                                  header->ssl.cipher,
                                  header->ssl.signature_algorithm,
                                  header->ssl.key_algorithm};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        check_inside(parts[i], whole);
    CHECK(header->unique_id.length <= PROXY_HEADER_UNIQUE_ID_MAX);
}

static void check_written(const struct proxy_header *header, enum proxy_header_version version)
{
    char out[PROXY_HEADER_V1_MAX], text[PROXY_HEADER_TEXT_BYTES];
    struct proxy_header again;
    size_t length = proxy_header_write(version, &header->source, &header->destination, out), taken = 0;

    CHECK(proxy_header_parse((struct bytes){out, length}, &again, &taken) == PROXY_HEADER_WHOLE);
    CHECK(taken == length && again.version == version);
    CHECK(strlen(proxy_header_format(header, text)) < sizeof text - 1);
    if (endpoint_family(&header->source) != endpoint_family(&header->destination)) {
        CHECK(again.kind == (version == PROXY_HEADER_V1 ? PROXY_HEADER_UNKNOWN : PROXY_HEADER_LOCAL));
        return;
    }
    CHECK(again.kind == header->kind);
    CHECK(endpoint_equal(&again.source, &header->source));
    CHECK(endpoint_equal(&again.destination, &header->destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = guard_edge((struct bytes){(const char *)data, size < 8192 ? size : 8192});
    struct proxy_header header, part;
    size_t length = 0, at = 0;
    enum proxy_header_result whole = proxy_header_parse(in, &header, &length), result = PROXY_HEADER_PARTIAL;

    for (size_t cut = 0; result == PROXY_HEADER_PARTIAL && cut <= in.length; cut++)
        result = proxy_header_parse((struct bytes){in.data, cut}, &part, &at);
    CHECK(result == whole);
    if (whole != PROXY_HEADER_WHOLE)
        return 0;
    CHECK(at == length && length <= in.length && length <= PROXY_HEADER_MAX);
    check_views(&header, (struct bytes){in.data, length});
    if (header.kind == PROXY_HEADER_PROXIED) {
        check_written(&header, PROXY_HEADER_V1);
        check_written(&header, PROXY_HEADER_V2);
    }
    return 0;
}
