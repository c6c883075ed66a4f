/* The header of the PROXY protocol, by which a proxy reports whose connection it passes on. */
#ifndef TCPGREET_CORE_PROXY_HEADER_H
#define TCPGREET_CORE_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"

enum {
    PROXY_HEADER_V1_MAX = 107,        /* its line, CR LF included */
    PROXY_HEADER_MAX = 4096,          /* of version 2: room for a client certificate; 64 KiB are possible */
    PROXY_HEADER_UNIQUE_ID_MAX = 128, /* bytes */
    PROXY_HEADER_TEXT_BYTES = 192
};

enum proxy_header_version { PROXY_HEADER_NONE, PROXY_HEADER_V1, PROXY_HEADER_V2 };

/* What a header is about. */
enum proxy_header_kind {
    PROXY_HEADER_PROXIED, /* the connection of source to destination */
    PROXY_HEADER_LOCAL,   /* the proxy's own, such as a health check */
    PROXY_HEADER_UNKNOWN  /* whose addresses are not IPv4 or IPv6 with TCP */
};

/* Of PP2_TYPE_SSL: the client's TLS with the proxy. */
struct proxy_header_ssl {
    uint32_t verify; /* 0: the client's certificate was verified */
    struct bytes version, common_name, cipher, signature_algorithm, key_algorithm;
};

/* Views are of the bytes that were parsed; empty where a header has none.
 * Invariants: source and destination are AF_UNSPEC unless kind is PROXY_HEADER_PROXIED; an address that the
 * header has as IPv4-mapped is IPv4. */
struct proxy_header {
    enum proxy_header_version version;
    enum proxy_header_kind kind;
    struct endpoint source;
    struct endpoint destination;
    struct bytes alpn, authority, unique_id, netns;
    struct proxy_header_ssl ssl;
};

enum proxy_header_result {
    PROXY_HEADER_PARTIAL,   /* more must come */
    PROXY_HEADER_WHOLE,     /* *length bytes of in are the header */
    PROXY_HEADER_ABSENT,    /* the bytes begin otherwise */
    PROXY_HEADER_MALFORMED, /* they begin as one, and are none */
    PROXY_HEADER_TOO_LONG,  /* longer than PROXY_HEADER_V1_MAX or PROXY_HEADER_MAX */
    PROXY_HEADER_CHECKSUM   /* its CRC32C is not that of the header */
};

/* Parses the first bytes of a connection. The verdict does not depend on how they are cut, and is final with
 * the first byte that no header has there; what stands in an address of version 1 is verified at its end,
 * TLVs with the whole header. header and length are valid with PROXY_HEADER_WHOLE only.
 * Source: HAProxy, doc/proxy-protocol.txt, sections 2.1 and 2.2. */
enum proxy_header_result proxy_header_parse(struct bytes in, struct proxy_header *header, size_t *length);

/* Writes a header for the connection of source to destination; where they are not of one family, it is LOCAL
 * in version 2, UNKNOWN in version 1. Shape: version is not PROXY_HEADER_NONE. Returns: its length. */
size_t proxy_header_write(enum proxy_header_version version, const struct endpoint *source,
                          const struct endpoint *destination, char out[PROXY_HEADER_V1_MAX]);

/* Writes "192.0.2.1:5000 to 192.0.2.2:443, v2", "local, v2" or "unknown, v1". Returns: text. */
const char *proxy_header_format(const struct proxy_header *header, char text[PROXY_HEADER_TEXT_BYTES]);

/* What a connection without a PROXY header that failed shows of its peer. */
struct proxy_header_evidence {
    const struct err *err;
    int64_t waited_ns; /* for the peer, in the phase that failed; negative: not known */
    bool has_received; /* a byte of the peer */
};

/* Returns: whether the peer may demand a PROXY header: it sent nothing, and ended the connection on other
 * bytes, or when it had waited for a second, as for a header that does not come. One that ends it at once
 * does not. */
bool proxy_header_may_be_due(const struct proxy_header_evidence *evidence);

#endif
