#include "starttls_name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool starttls_put_address(const struct endpoint *local, struct sink *out)
{
    char address[INET6_ADDRSTRLEN] = "127.0.0.1", text[INET6_ADDRSTRLEN + 8];
    bool is_v6 = endpoint_family(local) == AF_INET6;
    if (is_v6)
        inet_ntop(AF_INET6, &local->address.v6.sin6_addr, address, sizeof address);
    else if (endpoint_family(local) == AF_INET)
        inet_ntop(AF_INET, &local->address.v4.sin_addr, address, sizeof address);
    int length = snprintf(text, sizeof text, is_v6 ? "[IPv6:%s]" : "[%s]", address);
    return sink_put(out, (struct bytes){text, (size_t)length});
}

/* Returns: what stands for a byte in XML; NULL: the byte itself. */
static const char *entity(char byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '\'':
        return "&apos;";
    case '"':
        return "&quot;";
    default:
        return NULL;
    }
}

/* A domain without a final dot, or an address, of IPv6 in brackets and without a zone. Source: RFC 7622
 * section 3.2. */
bool starttls_put_domain(const char *name, struct sink *out)
{
    bool is_v6 = strchr(name, ':') != NULL && name[0] != '[';
    size_t length = is_v6 ? strcspn(name, "%") : strlen(name);
    if (length > 0 && name[length - 1] == '.')
        length--;
    bool fits = !is_v6 || sink_put(out, BYTES_LITERAL("["));
    for (size_t i = 0; fits && i < length; i++) {
        const char *text = entity(name[i]);
        fits = sink_put(out, text != NULL ? (struct bytes){text, strlen(text)} : (struct bytes){name + i, 1});
    }
    return fits && (!is_v6 || sink_put(out, BYTES_LITERAL("]")));
}
