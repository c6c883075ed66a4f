#include "tcpgreet/core/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum {
    FIXED_BYTES = 16, /* of version 2: signature, version and command, family, length */
    COMMAND_AT = 12,
    FAMILY_AT = 13, /* and the protocol */
    LENGTH_AT = 14,
    TLV_HEAD_BYTES = 3,
    SSL_HEAD_BYTES = 5,
    CRC_BYTES = 4
};

enum command { LOCAL = 0x20, PROXY = 0x21 };     /* with the version */
enum protocol { UNSPECIFIED, STREAM, DATAGRAM }; /* of any family */
enum family { INET = 1, INET6, UNIX, FAMILIES }; /* 0: unspecified */

/* The bytes of two addresses and ports. Those of an unspecified family are to be ignored. */
static const size_t address_bytes[FAMILIES] = {[INET] = 12, [INET6] = 36, [UNIX] = 216};

enum tlv {
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
    TLV_SSL_SIG_ALG = 0x24,
    TLV_SSL_KEY_ALG = 0x25,
    TLV_NETNS = 0x30
};

static const struct bytes v1_begin = {"PROXY ", 6};
static const struct bytes v2_begin = {"\r\n\r\n\0\r\nQUIT\n", 12};

static struct bytes bytes_first(struct bytes bytes, size_t length)
{
    return (struct bytes){bytes.data, length < bytes.length ? length : bytes.length};
}

static bool begins_with(struct bytes bytes, struct bytes begin)
{
    return bytes_equal(bytes_first(bytes, begin.length), bytes_first(begin, bytes.length));
}

static unsigned number16(const char *at)
{
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

static uint32_t number32(const char *at)
{
    return (uint32_t)number16(at) << 16 | number16(at + 2);
}

/* CRC-32C of bytes in which those from hole on count as zeros. Source: RFC 4960 appendix B, RFC 3385; half a
 * byte at a time, the polynomial reflected. */
static uint32_t crc32c(struct bytes bytes, const char *hole)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                       0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < bytes.length; i++) {
        const char *at = bytes.data + i;
        uint8_t byte = at >= hole && at < hole + CRC_BYTES ? 0 : (uint8_t)*at;
        crc = table[(crc ^ byte) & 15] ^ crc >> 4;
        crc = table[(crc ^ byte >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* Takes one TLV off the front of rest. Returns: false where rest holds no whole one. */
static bool next_tlv(struct bytes *rest, unsigned *type, struct bytes *value)
{
    if (rest->length < TLV_HEAD_BYTES)
        return false;
    size_t length = number16(rest->data + 1);
    *type = (unsigned char)rest->data[0];
    *rest = bytes_skip(*rest, TLV_HEAD_BYTES);
    if (length > rest->length)
        return false;
    *value = bytes_first(*rest, length);
    *rest = bytes_skip(*rest, length);
    return true;
}

static bool parse_ssl(struct bytes value, struct proxy_header_ssl *ssl)
{
    struct bytes rest, part;
    unsigned type;

    if (value.length < SSL_HEAD_BYTES)
        return false;
    *ssl = (struct proxy_header_ssl){.verify = number32(value.data + 1)};
    for (rest = bytes_skip(value, SSL_HEAD_BYTES); rest.length > 0;) {
        if (!next_tlv(&rest, &type, &part))
            return false;
        if (type == TLV_SSL_VERSION)
            ssl->version = part;
        else if (type == TLV_SSL_CN)
            ssl->common_name = part;
        else if (type == TLV_SSL_CIPHER)
            ssl->cipher = part;
        else if (type == TLV_SSL_SIG_ALG)
            ssl->signature_algorithm = part;
        else if (type == TLV_SSL_KEY_ALG)
            ssl->key_algorithm = part;
    }
    return true;
}

/* NOOP, and types that are not known, are skipped. */
static enum proxy_header_result take_tlv(unsigned type, struct bytes value, struct bytes raw,
                                         struct proxy_header *header)
{
    bool is_valid = true;

    if (type == TLV_ALPN)
        header->alpn = value;
    else if (type == TLV_AUTHORITY)
        header->authority = value;
    else if (type == TLV_NETNS)
        header->netns = value;
    else if (type == TLV_SSL)
        is_valid = parse_ssl(value, &header->ssl);
    else if (type == TLV_UNIQUE_ID) {
        header->unique_id = value;
        is_valid = value.length <= PROXY_HEADER_UNIQUE_ID_MAX;
    } else if (type == TLV_CRC32C) {
        is_valid = value.length == CRC_BYTES;
        if (is_valid && number32(value.data) != crc32c(raw, value.data))
            return PROXY_HEADER_CHECKSUM;
    }
    return is_valid ? PROXY_HEADER_WHOLE : PROXY_HEADER_MALFORMED;
}

static void take_addresses(const char *at, int family, struct proxy_header *header)
{
    struct endpoint *source = &header->source, *destination = &header->destination;

    *source = *destination = endpoint_wildcard(family, 0);
    if (family == AF_INET) {
        memcpy(&source->address.v4.sin_addr, at, 4);
        memcpy(&destination->address.v4.sin_addr, at + 4, 4);
        at += 8;
    } else {
        memcpy(&source->address.v6.sin6_addr, at, 16);
        memcpy(&destination->address.v6.sin6_addr, at + 16, 16);
        at += 32;
    }
    endpoint_set_port(source, (uint16_t)number16(at));
    endpoint_set_port(destination, (uint16_t)number16(at + 2));
    endpoint_unmap(source);
    endpoint_unmap(destination);
}

/* What follows the fixed part of a PROXY command. */
static enum proxy_header_result parse_block(struct bytes raw, struct proxy_header *header)
{
    unsigned family = (unsigned char)raw.data[FAMILY_AT] >> 4, protocol = raw.data[FAMILY_AT] & 15;
    struct bytes rest = bytes_skip(raw, FIXED_BYTES), value;
    enum proxy_header_result result = PROXY_HEADER_WHOLE;
    unsigned type;

    header->kind = PROXY_HEADER_UNKNOWN;
    if (family == UNSPECIFIED || protocol == UNSPECIFIED)
        return PROXY_HEADER_WHOLE; /* the length of its addresses is not known */
    if (family != UNIX && protocol == STREAM) {
        header->kind = PROXY_HEADER_PROXIED;
        take_addresses(rest.data, family == INET ? AF_INET : AF_INET6, header);
    }
    for (rest = bytes_skip(rest, address_bytes[family]); result == PROXY_HEADER_WHOLE && rest.length > 0;)
        result = next_tlv(&rest, &type, &value) ? take_tlv(type, value, raw, header) : PROXY_HEADER_MALFORMED;
    return result;
}

/* Shape: in may end within the fixed part. */
static enum proxy_header_result check_fixed(struct bytes in)
{
    unsigned char fixed[FIXED_BYTES] = {0};

    memcpy(fixed, in.data, in.length < FIXED_BYTES ? in.length : FIXED_BYTES);
    bool is_proxy = fixed[COMMAND_AT] == PROXY;
    unsigned family = fixed[FAMILY_AT] >> 4, protocol = fixed[FAMILY_AT] & 15;
    size_t length = (size_t)fixed[LENGTH_AT] << 8 | fixed[LENGTH_AT + 1];
    if (in.length > COMMAND_AT && fixed[COMMAND_AT] != LOCAL && !is_proxy)
        return PROXY_HEADER_MALFORMED;
    if (is_proxy && (family >= FAMILIES || protocol > DATAGRAM))
        return PROXY_HEADER_MALFORMED;
    if (FIXED_BYTES + length > PROXY_HEADER_MAX)
        return PROXY_HEADER_TOO_LONG;
    if (in.length < FIXED_BYTES)
        return PROXY_HEADER_PARTIAL;
    return is_proxy && protocol != UNSPECIFIED && length < address_bytes[family] ? PROXY_HEADER_MALFORMED
                                                                                 : PROXY_HEADER_WHOLE;
}

/* Shape: the signature is there as far as in goes. */
static enum proxy_header_result parse_v2(struct bytes in, struct proxy_header *header, size_t *length)
{
    enum proxy_header_result result = check_fixed(in);

    if (result != PROXY_HEADER_WHOLE)
        return result;
    size_t whole = FIXED_BYTES + number16(in.data + LENGTH_AT);
    if (in.length < whole)
        return PROXY_HEADER_PARTIAL;
    *length = whole;
    *header = (struct proxy_header){.version = PROXY_HEADER_V2, .kind = PROXY_HEADER_LOCAL};
    return in.data[COMMAND_AT] == LOCAL ? PROXY_HEADER_WHOLE : parse_block(bytes_first(in, whole), header);
}

/* Takes what stands before the next space, or the end. Returns: false where it is empty or has no room. */
static bool next_word(struct bytes *rest, char *word, size_t room)
{
    const char *space = rest->length > 0 ? memchr(rest->data, ' ', rest->length) : NULL;
    size_t length = space != NULL ? (size_t)(space - rest->data) : rest->length;

    if (length == 0 || length >= room || memchr(rest->data, '\0', length) != NULL)
        return false;
    memcpy(word, rest->data, length);
    word[length] = '\0';
    *rest = bytes_skip(*rest, length);
    return true;
}

static bool parse_address(const char *word, int family, struct endpoint *endpoint)
{
    void *address =
        family == AF_INET ? (void *)&endpoint->address.v4.sin_addr : (void *)&endpoint->address.v6.sin6_addr;

    *endpoint = endpoint_wildcard(family, 0);
    return inet_pton(family, word, address) == 1;
}

static bool parse_port(const char *word, struct endpoint *endpoint)
{
    unsigned port = 0;
    size_t digits = strspn(word, "0123456789");

    if (word[digits] != '\0' || digits > 5 || (digits > 1 && word[0] == '0'))
        return false;
    for (; *word != '\0'; word++)
        port = port * 10 + (unsigned)(*word - '0');
    endpoint_set_port(endpoint, (uint16_t)port);
    return port <= UINT16_MAX;
}

/* Returns: whether an address can begin with the word. */
static bool begins_address(const char *word, int family)
{
    size_t room = family == AF_INET ? INET_ADDRSTRLEN : INET6_ADDRSTRLEN;

    return strlen(word) < room &&
           word[strspn(word, family == AF_INET ? "0123456789." : "0123456789abcdefABCDEF:.")] == '\0';
}

/* Two addresses and two ports. Shape: rest is as far as the line goes; is_end: it is all of it.
 * Returns: PROXY_HEADER_PARTIAL, _WHOLE or _MALFORMED. */
static enum proxy_header_result parse_fields(struct bytes rest, bool is_end, int family,
                                             struct proxy_header *header)
{
    enum { FIELDS = 4, FIRST_PORT = 2 };

    for (unsigned field = 0; rest.length > 0 || is_end; field++) {
        struct endpoint *endpoint = field % 2 == 0 ? &header->source : &header->destination;
        char word[INET6_ADDRSTRLEN];
        if (!next_word(&rest, word, sizeof word))
            return PROXY_HEADER_MALFORMED;
        bool is_cut = rest.length == 0 && !is_end, is_last = field + 1 == FIELDS;
        bool is_valid = field >= FIRST_PORT ? parse_port(word, endpoint)
                        : is_cut            ? begins_address(word, family)
                                            : parse_address(word, family, endpoint);
        if (!is_valid || (rest.length > 0 && is_last) || (rest.length == 0 && is_end && !is_last))
            return PROXY_HEADER_MALFORMED;
        if (is_last && is_end)
            return PROXY_HEADER_WHOLE;
        rest = bytes_skip(rest, rest.length > 0);
    }
    return PROXY_HEADER_PARTIAL;
}

/* Shape: rest begins with the family, without CR LF, and goes on as for parse_fields. */
static enum proxy_header_result parse_line(struct bytes rest, bool is_end, struct proxy_header *header)
{
    static const struct bytes unknown = {"UNKNOWN", 7}, tcp4 = {"TCP4 ", 5}, tcp6 = {"TCP6 ", 5};
    enum proxy_header_result so_far = is_end ? PROXY_HEADER_MALFORMED : PROXY_HEADER_PARTIAL;

    header->kind = PROXY_HEADER_UNKNOWN;
    if (begins_with(rest, unknown)) {
        if (rest.length > unknown.length && rest.data[unknown.length] != ' ')
            return PROXY_HEADER_MALFORMED;
        return rest.length >= unknown.length && is_end ? PROXY_HEADER_WHOLE : so_far;
    }
    if (!begins_with(rest, tcp4) && !begins_with(rest, tcp6))
        return PROXY_HEADER_MALFORMED;
    if (rest.length < tcp4.length)
        return so_far;
    header->kind = PROXY_HEADER_PROXIED;
    return parse_fields(bytes_skip(rest, tcp4.length), is_end, begins_with(rest, tcp4) ? AF_INET : AF_INET6,
                        header);
}

/* Shape: "PROXY " is there as far as in goes. */
static enum proxy_header_result parse_v1(struct bytes in, struct proxy_header *header, size_t *length)
{
    struct bytes line = bytes_first(in, PROXY_HEADER_V1_MAX);
    size_t end = v1_begin.length;

    if (line.length < end)
        return PROXY_HEADER_PARTIAL;
    while (end < line.length && line.data[end] != '\r' && line.data[end] != '\n')
        end++;
    bool is_end = end < line.length;
    if (is_end && (line.data[end] == '\n' || (end + 1 < line.length && line.data[end + 1] != '\n')))
        return PROXY_HEADER_MALFORMED;
    *header = (struct proxy_header){.version = PROXY_HEADER_V1};
    enum proxy_header_result result =
        parse_line(bytes_skip((struct bytes){line.data, end}, v1_begin.length), is_end, header);
    if (result != PROXY_HEADER_MALFORMED && end + 1 >= line.length)
        return line.length == PROXY_HEADER_V1_MAX ? PROXY_HEADER_TOO_LONG : PROXY_HEADER_PARTIAL;
    *length = end + 2;
    endpoint_unmap(&header->source);
    endpoint_unmap(&header->destination);
    return result;
}

enum proxy_header_result proxy_header_parse(struct bytes in, struct proxy_header *header, size_t *length)
{
    if (in.length == 0)
        return PROXY_HEADER_PARTIAL;
    if (begins_with(in, v2_begin))
        return parse_v2(in, header, length);
    return begins_with(in, v1_begin) ? parse_v1(in, header, length) : PROXY_HEADER_ABSENT;
}

static size_t write_v1(const struct endpoint *source, const struct endpoint *destination, int family,
                       char out[PROXY_HEADER_V1_MAX])
{
    char from[INET6_ADDRSTRLEN] = "", to[INET6_ADDRSTRLEN] = "", line[PROXY_HEADER_V1_MAX + 1];
    bool is_v4 = family == AF_INET;
    int length;

    if (family == AF_UNSPEC) {
        length = snprintf(line, sizeof line, "PROXY UNKNOWN\r\n");
    } else {
        inet_ntop(family,
                  is_v4 ? (const void *)&source->address.v4.sin_addr
                        : (const void *)&source->address.v6.sin6_addr,
                  from, sizeof from);
        inet_ntop(family,
                  is_v4 ? (const void *)&destination->address.v4.sin_addr
                        : (const void *)&destination->address.v6.sin6_addr,
                  to, sizeof to);
        length = snprintf(line, sizeof line, "PROXY TCP%c %s %s %u %u\r\n", is_v4 ? '4' : '6', from, to,
                          endpoint_port(source), endpoint_port(destination));
    }
    memcpy(out, line, (size_t)length);
    return (size_t)length;
}

static void put16(struct sink *out, unsigned number)
{
    const char bytes[] = {(char)(number >> 8), (char)number};
    sink_put(out, (struct bytes){bytes, sizeof bytes});
}

static void put_address(struct sink *out, const struct endpoint *endpoint)
{
    bool is_v4 = endpoint_family(endpoint) == AF_INET;
    sink_put(out, is_v4 ? (struct bytes){(const char *)&endpoint->address.v4.sin_addr, 4}
                        : (struct bytes){(const char *)&endpoint->address.v6.sin6_addr, 16});
}

static size_t write_v2(const struct endpoint *source, const struct endpoint *destination, int family,
                       char out[PROXY_HEADER_V1_MAX])
{
    struct sink sink = {out, 0, PROXY_HEADER_V1_MAX};

    sink_put(&sink, v2_begin);
    if (family == AF_UNSPEC) {
        sink_put(&sink, (struct bytes){"\x20\0\0\0", 4});
        return sink.length;
    }
    sink_put(&sink, (struct bytes){family == AF_INET ? "\x21\x11" : "\x21\x21", 2});
    put16(&sink, (unsigned)address_bytes[family == AF_INET ? INET : INET6]);
    put_address(&sink, source);
    put_address(&sink, destination);
    put16(&sink, endpoint_port(source));
    put16(&sink, endpoint_port(destination));
    return sink.length;
}

size_t proxy_header_write(enum proxy_header_version version, const struct endpoint *source,
                          const struct endpoint *destination, char out[PROXY_HEADER_V1_MAX])
{
    int family = endpoint_family(source);
    if (family != endpoint_family(destination))
        family = AF_UNSPEC;
    return version == PROXY_HEADER_V1 ? write_v1(source, destination, family, out)
                                      : write_v2(source, destination, family, out);
}

const char *proxy_header_format(const struct proxy_header *header, char text[PROXY_HEADER_TEXT_BYTES])
{
    char source[ENDPOINT_TEXT_BYTES], destination[ENDPOINT_TEXT_BYTES];

    if (header->kind == PROXY_HEADER_PROXIED)
        snprintf(text, PROXY_HEADER_TEXT_BYTES, "%s to %s, v%d", endpoint_format(&header->source, source),
                 endpoint_format(&header->destination, destination), (int)header->version);
    else
        snprintf(text, PROXY_HEADER_TEXT_BYTES, "%s, v%d",
                 header->kind == PROXY_HEADER_LOCAL ? "local" : "unknown", (int)header->version);
    return text;
}

bool proxy_header_may_be_due(const struct proxy_header_evidence *evidence)
{
    const int64_t time_limit_ns = INT64_C(1000000000);
    const struct err *err = evidence->err;

    if (evidence->has_received || err->received_count > 0)
        return false;
    if (err->detail == ERR_DETAIL_TLS_UNANSWERED || err->detail == ERR_DETAIL_UNANSWERED)
        return true;
    return evidence->waited_ns >= time_limit_ns &&
           (err->reason == ERR_TLS_STARTTLS || err->reason == ERR_DIALOGUE_EARLY_END ||
            err->reason == ERR_DIALOGUE_UNEXPECTED);
}
