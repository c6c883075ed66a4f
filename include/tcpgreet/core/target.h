/* Host and service as a person types them: "host 6000", "host:6000", "[::1]:6000", "fe80::1%eth0 http". */
#ifndef TCPGREET_CORE_TARGET_H
#define TCPGREET_CORE_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"

enum {
    TARGET_HOST_BYTES = 1025, /* NI_MAXHOST: a name of 253 bytes may be longer before IDN conversion */
    TARGET_SERVICE_BYTES = 64
};

enum target_kind { TARGET_EVERY_ADDRESS, TARGET_NAME, TARGET_IPV4, TARGET_IPV6 };

/* An IPv4-mapped IPv6 address is kept as the IPv4 address that it is.
 * Invariant: host is empty if and only if kind is TARGET_EVERY_ADDRESS; it never holds brackets. */
struct target {
    enum target_kind kind;
    char host[TARGET_HOST_BYTES];
    char service[TARGET_SERVICE_BYTES]; /* "0".."65535", or a service name */
};

/* Returns: whether one word carries both host and port: "[...]:port", or exactly one colon with a host before
 * it. */
bool target_is_one_word(const char *word);

/* Parses host and port words. host may be bracketed; NULL or "" means every address.
 * Errors: usage: the word is not a host or not a port; the text names which, and what is valid. */
int target_parse(struct target *target, const char *host, const char *port, struct err *err);

/* Parses "HOST:PORT" or "[IPV6]:PORT"; a bare PORT means every address.
 * Errors: as target_parse. */
int target_parse_word(struct target *target, const char *word, struct err *err);

/* Returns: whether a name belongs to this machine by definition: localhost, or one below it. No name server
 * is responsible for it. Source: RFC 6761 section 6.3. */
bool target_is_localhost(const char *host);

/* Writes "host:6000" or "[::1]:6000", escaped for a terminal. Returns: text. Shape: room >= 16. */
const char *target_format(const struct target *target, char *text, size_t room);

#endif
