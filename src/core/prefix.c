#include "tcpgreet/core/prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
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

/* Returns: whether all addresses in it are IPv4-mapped. */
static bool is_mapped(const struct prefix *prefix)
{
    struct in6_addr v6;

    memcpy(&v6, prefix->address, sizeof v6);
    return prefix->family == AF_INET6 && prefix->bits >= MAPPED_BYTES * BITS_A_BYTE &&
           IN6_IS_ADDR_V4MAPPED(&v6);
}

static void unmap(struct prefix *prefix)
{
    prefix->family = AF_INET;
    prefix->bits -= MAPPED_BYTES * BITS_A_BYTE;
    memmove(prefix->address, prefix->address + MAPPED_BYTES, V4_BYTES);
    memset(prefix->address + V4_BYTES, 0, PREFIX_BYTES - V4_BYTES);
}

/* Returns: whether there was any. */
static bool clear_rest(struct prefix *prefix)
{
    bool had = false;

    for (unsigned bit = prefix->bits; bit < PREFIX_BYTES * BITS_A_BYTE; bit++) {
        uint8_t *byte = &prefix->address[bit / BITS_A_BYTE], mask = (uint8_t)(0x80U >> bit % BITS_A_BYTE);
        had = had || (*byte & mask) != 0;
        *byte &= (uint8_t)~mask;
    }
    return had;
}

enum prefix_result prefix_parse(const char *text, struct prefix *prefix)
{
    char address[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "/");

    *prefix = (struct prefix){0};
    if (length >= sizeof address)
        return PREFIX_BAD;
    memcpy(address, text, length);
    address[length] = '\0';
    prefix->family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
    unsigned most = (prefix->family == AF_INET6 ? PREFIX_BYTES : V4_BYTES) * BITS_A_BYTE;
    prefix->bits = most;
    if (inet_pton(prefix->family, address, prefix->address) != 1)
        return PREFIX_BAD;
    if (text[length] == '/' && !parse_bits(text + length + 1, most, &prefix->bits))
        return PREFIX_BAD;
    if (is_mapped(prefix))
        unmap(prefix);
    return clear_rest(prefix) ? PREFIX_HOST : PREFIX_OK;
}

const char *prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_BYTES])
{
    char address[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(prefix->family, prefix->address, address, sizeof address);
    (void)snprintf(text, PREFIX_TEXT_BYTES, "%s/%u", address, prefix->bits);
    return text;
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
