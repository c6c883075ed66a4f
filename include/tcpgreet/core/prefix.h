/* Networks in CIDR notation, such as 192.0.2.0/24 and 2001:db8::/32. */
#ifndef TCPGREET_CORE_PREFIX_H
#define TCPGREET_CORE_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/endpoint.h"

enum { PREFIX_LIST_MAX = 64, PREFIX_BYTES = 16, PREFIX_TEXT_BYTES = 64 };

/* Invariants: family is AF_INET or AF_INET6; bits <= 32 or 128; the bits behind them are 0. */
struct prefix {
    int family;
    unsigned bits;
    uint8_t address[PREFIX_BYTES]; /* network byte order, 4 bytes of it with AF_INET */
};

struct prefix_list {
    size_t count;
    struct prefix list[PREFIX_LIST_MAX];
};

enum prefix_result {
    PREFIX_OK,
    PREFIX_BAD,
    PREFIX_HOST /* bits are set behind the prefix: they are cleared in what is returned */
};

/* An address alone is a network of one; a network of IPv4-mapped addresses (::ffff:192.0.2.0/120) is IPv4.
 * Source: RFC 4632 section 3.1, RFC 4291 sections 2.3 and 2.5.5.2. */
enum prefix_result prefix_parse(const char *text, struct prefix *prefix);

/* Writes it as prefix_parse reads it, always with its length. Returns: text. */
const char *prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_BYTES]);

/* Returns: whether the endpoint's address is in one of them. An IPv4-mapped address is IPv4. */
bool prefix_list_contains(const struct prefix_list *list, const struct endpoint *endpoint);

#endif
