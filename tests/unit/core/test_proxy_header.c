#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "support/guard.h"
#include "tcpgreet/core/proxy_header.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define V2_V4 "\xc0\0\x02\x01\xc6\x33\x64\x02\x13\x88\x01\xbb" /* 192.0.2.1:5000 to 198.51.100.2:443 */
#define V2_V6                                                                                                \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                                             \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x13\x88\x01\xbb"

/* Returns: the verdict about the bytes, which is the same however they are cut. */
static enum proxy_header_result parse(struct bytes in, struct proxy_header *header, size_t *length)
{
    enum proxy_header_result whole = proxy_header_parse(guard_edge(in), header, length);

    for (size_t cut = 0; cut < in.length; cut++) {
        struct proxy_header ignored;
        size_t at = 0;
        enum proxy_header_result part =
            proxy_header_parse(guard_edge((struct bytes){in.data, cut}), &ignored, &at);
        if (part != PROXY_HEADER_PARTIAL && part != whole)
            fail_msg("%zu bytes: %d, all: %d", cut, (int)part, (int)whole);
        if (part == PROXY_HEADER_WHOLE)
            assert_int_equal(at, *length);
    }
    return proxy_header_parse(in, header, length);
}

static void expect_text(struct bytes in, const char *expected, size_t length)
{
    char text[PROXY_HEADER_TEXT_BYTES];
    struct proxy_header header;
    size_t taken = 0;

    assert_int_equal(parse(in, &header, &taken), PROXY_HEADER_WHOLE);
    assert_string_equal(proxy_header_format(&header, text), expected);
    assert_int_equal(taken, length);
}

static void a_line_of_version_1_is_parsed(void **state)
{
#define LINE(text, expected) expect_text(BYTES_LITERAL(text "\r\nMichael\n"), expected, sizeof text + 1)
    (void)state;
    LINE("PROXY TCP4 192.0.2.1 198.51.100.2 5000 443", "192.0.2.1:5000 to 198.51.100.2:443, v1");
    LINE("PROXY TCP4 255.255.255.255 0.0.0.0 0 65535", "255.255.255.255:0 to 0.0.0.0:65535, v1");
    LINE("PROXY TCP6 2001:db8::1 ::1 5000 443", "[2001:db8::1]:5000 to [::1]:443, v1");
    LINE(
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
        "65535",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535 to [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535, "
        "v1");
    LINE("PROXY UNKNOWN", "unknown, v1");
    LINE("PROXY UNKNOWN what ever \x01 65535", "unknown, v1");
}

static void a_header_of_version_2_is_parsed(void **state)
{
    (void)state;
    expect_text(BYTES_LITERAL(V2 "\x21\x11\0\x0c" V2_V4 "Michael\n"),
                "192.0.2.1:5000 to 198.51.100.2:443, v2", 28);
    expect_text(BYTES_LITERAL(V2 "\x21\x21\0\x24" V2_V6 "\n"), "[2001:db8::1]:5000 to [2001:db8::2]:443, v2",
                52);
    expect_text(BYTES_LITERAL(V2 "\x20\0\0\0Michael"), "local, v2", 16);
    expect_text(BYTES_LITERAL(V2 "\x20\xff\0\x03???"), "local, v2", 19);
    expect_text(BYTES_LITERAL(V2 "\x21\0\0\x02??"), "unknown, v2", 18);
    expect_text(BYTES_LITERAL(V2 "\x21\x12\0\x0c" V2_V4), "unknown, v2", 28);
}

static void addresses_of_unix_sockets_are_skipped(void **state)
{
    static char raw[16 + 216 + 6] = V2 "\x21\x31\0\xde";
    struct proxy_header header;
    size_t length = 0;
    (void)state;

    memcpy(raw + 16 + 216,
           "\x02\0\x03"
           "a.b",
           6);
    assert_int_equal(parse((struct bytes){raw, sizeof raw}, &header, &length), PROXY_HEADER_WHOLE);
    assert_int_equal(header.kind, PROXY_HEADER_UNKNOWN);
    assert_memory_equal(header.authority.data, "a.b", header.authority.length);
    assert_int_equal(length, sizeof raw);
}

static void expect_bytes(struct bytes value, const char *expected)
{
    assert_int_equal(value.length, strlen(expected));
    assert_memory_equal(value.data, expected, value.length);
}

#define TLVS                                                                                                 \
    "\x01\0\x02h2"                                                                                           \
    "\x02\0\x0b"                                                                                             \
    "example.org\x04\0\x01?\x05\0\x03\x01\x02\x03\xe0\0\0"                                                   \
    "\x20\0\x34\x05\0\0\0\x07\x21\0\x07TLSv1.3\x22\0\x06"                                                    \
    "client\x23\0\x03"                                                                                       \
    "AES\x24\0\x07RSA-SHA\x25\0\x06"                                                                         \
    "EC-256\x26\0\0"                                                                                         \
    "\x30\0\x04"                                                                                             \
    "blue"

static void every_tlv_is_parsed(void **state)
{
    struct bytes raw = BYTES_LITERAL(V2 "\x21\x11\0\x6a" V2_V4 TLVS);
    struct proxy_header header;
    size_t length = 0;
    (void)state;

    assert_int_equal(raw.length, 16 + 0x6a);
    assert_int_equal(parse(raw, &header, &length), PROXY_HEADER_WHOLE);
    expect_bytes(header.alpn, "h2");
    expect_bytes(header.authority, "example.org");
    expect_bytes(header.unique_id, "\x01\x02\x03");
    expect_bytes(header.netns, "blue");
    assert_int_equal(header.ssl.verify, 7);
    expect_bytes(header.ssl.version, "TLSv1.3");
    expect_bytes(header.ssl.common_name, "client");
    expect_bytes(header.ssl.cipher, "AES");
    expect_bytes(header.ssl.signature_algorithm, "RSA-SHA");
    expect_bytes(header.ssl.key_algorithm, "EC-256");
}

/* The checksum is from another implementation: Python's, a byte at a time. */
static void a_checksum_is_verified(void **state)
{
    char raw[] = V2 "\x21\x11\0\x16" V2_V4 "\x04\0\0\x03\0\x04\x25\x5d\x0b\x5f";
    struct bytes in = {raw, sizeof raw - 1};
    struct proxy_header header;
    size_t length = 0;
    (void)state;

    assert_int_equal(parse(in, &header, &length), PROXY_HEADER_WHOLE);
    for (size_t i = 16; i < in.length; i++) {
        raw[i] ^= 0x20;
        enum proxy_header_result result = proxy_header_parse(in, &header, &length);
        raw[i] ^= 0x20;
        bool is_type_or_length = i >= 28 && i < 34;
        if (!is_type_or_length && result != PROXY_HEADER_CHECKSUM)
            fail_msg("byte %zu: %d", i, (int)result);
    }
}

static void what_is_not_valid_is_refused(void **state)
{
#define CASE(text, result)                                                                                   \
    {                                                                                                        \
        BYTES_LITERAL(text), PROXY_HEADER_##result                                                           \
    }
#define LONG32 "????????????????????????????????"
    static const struct {
        struct bytes in;
        enum proxy_header_result result;
    } cases[] = {
        CASE("", PARTIAL),
        CASE("Michael\n", ABSENT),
        CASE("\n", ABSENT),
        CASE("PROXY\r\n", ABSENT),
        CASE("proxy TCP4 ", ABSENT),
        CASE("\x16\x03\x01", ABSENT),
        CASE("GET / HTTP/1.1\r\n", ABSENT),
        CASE("\r\n\r\n\0\r\nQUIT\r", ABSENT),
        CASE("PROXY \r\n", MALFORMED),
        CASE("PROXY TCP4\r\n", MALFORMED),
        CASE("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", MALFORMED),
        CASE("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", MALFORMED),
        CASE("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 999999\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", MALFORMED),
        CASE("PROXY TCP4 ::1 ::1 1 2\r\n", MALFORMED),
        CASE("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", MALFORMED),
        CASE("PROXY TCP6 fe80::1%lo ::1 1 2\r\n", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n", MALFORMED),
        CASE("PROXY UNKNOWN\n", MALFORMED),
        CASE("PROXY UNKNOWNS\r\n", MALFORMED),
        CASE("PROXY UNK\r\n", MALFORMED),
        CASE("PROXY UNKNOWN " LONG32 LONG32 "?????????????????????????????", TOO_LONG),
        CASE("PROXY UNKNOWN " LONG32 LONG32 "????????????????????????????\r", TOO_LONG),
        CASE("PROXY UNKNOWN " LONG32 LONG32 "???????????????????????????\r\n", WHOLE),
        CASE(V2 "\x11", MALFORMED),
        CASE(V2 "\x31", MALFORMED),
        CASE(V2 "\x22", MALFORMED),
        CASE(V2 "\x2f", MALFORMED),
        CASE(V2 "\x21\x11\x0f\xf1", TOO_LONG),
        CASE(V2 "\x20\0\xff\xff", TOO_LONG),
        CASE(V2 "\x21\x11\x0f\xf0", PARTIAL),
        CASE(V2 "\x21\x41\0\0", MALFORMED),
        CASE(V2 "\x21\x13\0\0", MALFORMED),
        CASE(V2 "\x21\x11\0\x0b???????????", MALFORMED),
        CASE(V2 "\x21\x21\0\x0c" V2_V4, MALFORMED),
        CASE(V2 "\x21\x11\0\x0e" V2_V4 "\x04\0", MALFORMED),
        CASE(V2 "\x21\x11\0\x0f" V2_V4 "\x04\0\x01", MALFORMED),
        CASE(V2 "\x21\x11\0\x12" V2_V4 "\x03\0\x03???", MALFORMED),
        CASE(V2 "\x21\x11\0\x13" V2_V4 "\x20\0\x04????", MALFORMED),
        CASE(V2 "\x21\x11\0\x16" V2_V4 "\x20\0\x07\x01\0\0\0\0\x21\0", MALFORMED),
        CASE(V2 "\x21\x11\0\x90" V2_V4 "\x05\0\x81" LONG32 LONG32 LONG32 LONG32 "?", MALFORMED),
        CASE(V2 "\x21\x11\0\x8f" V2_V4 "\x05\0\x80" LONG32 LONG32 LONG32 LONG32, WHOLE),
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct proxy_header header;
        size_t length = 0;
        enum proxy_header_result result = parse(cases[i].in, &header, &length);
        if (result != cases[i].result)
            fail_msg("case %zu: %d, expected %d", i, (int)result, (int)cases[i].result);
    }
}

/* Of each text, the last byte is the first that no header has there. */
static void a_wrong_byte_is_reported_as_soon_as_it_is_received(void **state)
{
    static const struct {
        struct bytes in;
        enum proxy_header_result result;
    } cases[] = {
        CASE("M", ABSENT),
        CASE("PROXY\r", ABSENT),
        CASE("\r\n\r\n\x01", ABSENT),
        CASE("PROXY  ", MALFORMED),
        CASE("PROXY F", MALFORMED),
        CASE("PROXY TCP5", MALFORMED),
        CASE("PROXY TCP\r", MALFORMED),
        CASE("PROXY TCP44", MALFORMED),
        CASE("PROXY UNKNOWNS", MALFORMED),
        CASE("PROXY UNKNOWN\n", MALFORMED),
        CASE("PROXY UNKNOWN\rx", MALFORMED),
        CASE("PROXY TCP4  ", MALFORMED),
        CASE("PROXY TCP4 a", MALFORMED),
        CASE("PROXY TCP4 :", MALFORMED),
        CASE("PROXY TCP4 1.2.3.4\0", MALFORMED),
        CASE("PROXY TCP4 1.2.3.4.5 ", MALFORMED),
        CASE("PROXY TCP4 192.0.2.256 ", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1\r", MALFORMED),
        CASE("PROXY TCP4 1111111111111111", MALFORMED),
        CASE("PROXY TCP6 g", MALFORMED),
        CASE("PROXY TCP6 fe80::1%", MALFORMED),
        CASE("PROXY TCP6 192.0.2.1 ", MALFORMED),
        CASE("PROXY TCP6 0000000000000000000000000000000000000000000000", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 +", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 01", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 65536", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1\r", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536", MALFORMED),
        CASE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ", MALFORMED),
        CASE(V2 "\x11", MALFORMED),
        CASE(V2 "\x22", MALFORMED),
        CASE(V2 "\x21\xff", MALFORMED),
        CASE(V2 "\x21\x41", MALFORMED),
        CASE(V2 "\x21\x13", MALFORMED),
        CASE(V2 "\x21\x11\x10", TOO_LONG),
        CASE(V2 "\x20\xff\xff", TOO_LONG),
        CASE(V2 "\x21\x11\x0f\xf1", TOO_LONG),
        CASE(V2 "\x21\x11\0\x0b", MALFORMED),
        CASE(V2 "\x21\x21\0\x23", MALFORMED),
        CASE(V2 "\x21\x31\0\xd7", MALFORMED),
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t cut = 0; cut <= cases[i].in.length; cut++) {
            struct proxy_header header;
            size_t length = 0;
            enum proxy_header_result expected =
                cut < cases[i].in.length ? PROXY_HEADER_PARTIAL : cases[i].result;
            enum proxy_header_result result =
                proxy_header_parse(guard_edge((struct bytes){cases[i].in.data, cut}), &header, &length);
            if (result != expected)
                fail_msg("case %zu, %zu bytes: %d, expected %d", i, cut, (int)result, (int)expected);
        }
}

static void an_ipv4_mapped_address_is_ipv4(void **state)
{
    (void)state;
    LINE("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 5000 443", "192.0.2.1:5000 to 198.51.100.2:443, v1");
    LINE("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 5000 443", "192.0.2.1:5000 to [2001:db8::2]:443, v1");
    expect_text(BYTES_LITERAL(V2 "\x21\x21\0\x24"
                                 "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"
                                 "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x02\x13\x88\x01\xbb"),
                "192.0.2.1:5000 to 198.51.100.2:443, v2", 52);
}

static struct endpoint endpoint_of(int family, const char *text, uint16_t port)
{
    struct endpoint endpoint = endpoint_wildcard(family, port);
    assert_int_equal(inet_pton(family, text,
                               family == AF_INET ? (void *)&endpoint.address.v4.sin_addr
                                                 : (void *)&endpoint.address.v6.sin6_addr),
                     1);
    return endpoint;
}

static void what_is_written_is_parsed_again(void **state)
{
    const struct endpoint none = {0}, v4 = endpoint_of(AF_INET, "192.0.2.1", 5000),
                          other_v4 = endpoint_of(AF_INET, "198.51.100.2", 443),
                          v6 = endpoint_of(AF_INET6, "2001:db8::1", 5000),
                          other_v6 = endpoint_of(AF_INET6, "2001:db8::2", 443);
    const struct {
        enum proxy_header_version version;
        const struct endpoint *source, *destination;
        struct bytes raw;
    } cases[] = {
        {PROXY_HEADER_V1, &v4, &other_v4, BYTES_LITERAL("PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n")},
        {PROXY_HEADER_V1, &v6, &other_v6, BYTES_LITERAL("PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n")},
        {PROXY_HEADER_V1, &v4, &none, BYTES_LITERAL("PROXY UNKNOWN\r\n")},
        {PROXY_HEADER_V2, &v4, &other_v4, BYTES_LITERAL(V2 "\x21\x11\0\x0c" V2_V4)},
        {PROXY_HEADER_V2, &v6, &other_v6, BYTES_LITERAL(V2 "\x21\x21\0\x24" V2_V6)},
        {PROXY_HEADER_V2, &v4, &v6, BYTES_LITERAL(V2 "\x20\0\0\0")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[PROXY_HEADER_V1_MAX];
        struct proxy_header header;
        size_t taken = 0,
               length = proxy_header_write(cases[i].version, cases[i].source, cases[i].destination, out);
        assert_int_equal(length, cases[i].raw.length);
        assert_memory_equal(out, cases[i].raw.data, length);
        assert_int_equal(parse((struct bytes){out, length}, &header, &taken), PROXY_HEADER_WHOLE);
        assert_int_equal(taken, length);
        assert_int_equal(header.version, cases[i].version);
        if (header.kind == PROXY_HEADER_PROXIED) {
            assert_true(endpoint_equal(&header.source, cases[i].source));
            assert_true(endpoint_equal(&header.destination, cases[i].destination));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_version_1_is_parsed),
        cmocka_unit_test(a_header_of_version_2_is_parsed),
        cmocka_unit_test(addresses_of_unix_sockets_are_skipped),
        cmocka_unit_test(every_tlv_is_parsed),
        cmocka_unit_test(a_checksum_is_verified),
        cmocka_unit_test(what_is_not_valid_is_refused),
        cmocka_unit_test(a_wrong_byte_is_reported_as_soon_as_it_is_received),
        cmocka_unit_test(an_ipv4_mapped_address_is_ipv4),
        cmocka_unit_test(what_is_written_is_parsed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
