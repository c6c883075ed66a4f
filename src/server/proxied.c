#include "proxied.h"

#include <stdlib.h>
#include <string.h>

struct proxied *proxied_new(const struct endpoint *sender, struct bytes raw)
{
    struct proxied *proxied = malloc(sizeof *proxied + raw.length);

    if (proxied == NULL)
        return NULL;
    *proxied = (struct proxied){.sender = *sender, .length = raw.length};
    memcpy(proxied->raw, raw.data, raw.length);
    return proxied;
}

struct proxy_header proxied_header(const struct proxied *proxied)
{
    struct proxy_header header = {0};
    size_t length;
    if (proxied != NULL)
        (void)proxy_header_parse((struct bytes){proxied->raw, proxied->length}, &header, &length);
    return header;
}
