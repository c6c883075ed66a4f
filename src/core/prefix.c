#include "tcpgreet/core/prefix.h"

#include <arpa/inet.h>
#include <string.h>

enum { BITS_A_BYTE = 8, V4_BYTES = 4, MAPPED_BYTES = 12 };

/* Decimal, without a sign or leading zeros. Returns: false beyond most. */
static bool parse_bits(const char *text, unsigned most, unsigned *bits)
{
    size_t digits = strspn(text, "0123456789");

    *bits = 0;
    if (digits == 0 || digits > 3 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
        return false;
    for (; *text != '\0'; text++)
        *bits = *bits * 10 + (unsigned)(*text - '0');
    return *bits <= most;
}

static bool are_rest_zero(const struct prefix *prefix)
{
    for (unsigned bit = prefix->bits; bit < PREFIX_BYTES * BITS_A_BYTE; bit++)
        if ((prefix->address[bit / BITS_A_BYTE] & (0x80U >> bit % BITS_A_BYTE)) != 0)
            return false;
    return true;
}

int prefix_parse(const char *text, struct prefix *prefix)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");

    *prefix = (struct prefix){0};
    if (length >= sizeof address)
        return -1;
    memcpy(address, text, length);
    address[length] = '\0';
    prefix->family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
    unsigned most = (prefix->family == AF_INET6 ? PREFIX_BYTES : V4_BYTES) * BITS_A_BYTE;
    prefix->bits = most;
    if (inet_pton(prefix->family, address, prefix->address) != 1)
        return -1;
    if (text[length] == '/' && !parse_bits(text + length + 1, most, &prefix->bits))
        return -1;
    return are_rest_zero(prefix) ? 0 : -1;
}

static bool contains(const struct prefix *prefix, int family, const uint8_t *address)
{
    unsigned bytes = prefix->bits / BITS_A_BYTE, bits = prefix->bits % BITS_A_BYTE;

    if (prefix->family != family || memcmp(prefix->address, address, bytes) != 0)
        return false;
    return bits == 0 || (prefix->address[bytes] ^ address[bytes]) >> (BITS_A_BYTE - bits) == 0;
}

bool prefix_list_contains(const struct prefix_list *list, const struct endpoint *endpoint)
{
    int family = endpoint_family(endpoint);
    const struct in6_addr *v6 = &endpoint->address.v6.sin6_addr;
    const uint8_t *address = v6->s6_addr;

    if (family == AF_INET) {
        address = (const uint8_t *)&endpoint->address.v4.sin_addr;
    } else if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6)) {
        family = AF_INET;
        address += MAPPED_BYTES;
    }
    for (size_t i = 0; i < list->count; i++)
        if (contains(&list->list[i], family, address))
            return true;
    return false;
}
