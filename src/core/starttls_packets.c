#include <stdio.h>
#include <string.h>

#include "starttls_reply.h"

/* The protocols whose messages are binary. */

static unsigned byte_at(struct bytes bytes, size_t at)
{
    return (unsigned char)bytes.data[at];
}

/* One element of BER. */
struct element {
    unsigned tag;
    struct bytes value;
};

/* Reads the header of an element of the definite form, which LDAP uses alone (RFC 4511 section 5.1). Its
 * length may take more bytes than it needs. Returns: STARTTLS_NEXT, with the sizes of header and value. */
static enum starttls_verdict read_header(struct starttls *starttls, struct bytes in, size_t *header,
                                         size_t *size)
{
    enum { LONG_FORM = 0x80, LENGTH_BYTES_MAX = 4, HEADER_MAX = 2 + LENGTH_BYTES_MAX };
    if (in.length < 2)
        return STARTTLS_MORE;
    unsigned first = byte_at(in, 1), count = first & ~(unsigned)LONG_FORM;
    *header = 2;
    *size = first;
    if (first < LONG_FORM)
        return STARTTLS_NEXT;
    if (count == 0 || count > LENGTH_BYTES_MAX)
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    if (in.length < 2 + count)
        return STARTTLS_MORE;
    *header = 2 + count;
    *size = 0;
    for (unsigned i = 0; i < count; i++)
        *size = *size << 8 | byte_at(in, 2 + i);
    return *size > STARTTLS_REPLY_MAX - HEADER_MAX ? starttls_end_with(starttls, STARTTLS_TOO_LONG)
                                                   : STARTTLS_NEXT;
}

/* Takes a whole element from the front of rest. Returns: false where none is there, or none of that tag. */
static bool take(struct starttls *starttls, struct bytes *rest, unsigned tag, struct bytes *value)
{
    size_t header = 0, size = 0;
    if (rest->length == 0 || byte_at(*rest, 0) != tag ||
        read_header(starttls, *rest, &header, &size) != STARTTLS_NEXT || size > rest->length - header)
        return false;
    *value = (struct bytes){rest->data + header, size};
    *rest = bytes_skip(*rest, header + size);
    return true;
}

static const char *result_name(unsigned code)
{
    switch (code) {
    case 1:
        return "operationsError";
    case 2:
        return "protocolError";
    case 10:
        return "referral";
    case 13:
        return "confidentialityRequired";
    case 51:
        return "busy";
    case 52:
        return "unavailable";
    case 53:
        return "unwillingToPerform";
    default:
        return "result";
    }
}

static void keep_result(struct starttls *starttls, unsigned code, struct bytes diagnostic)
{
    char text[64];
    int length =
        snprintf(text, sizeof text, "%s (%u)%s", result_name(code), code, diagnostic.length > 0 ? ": " : "");
    starttls_keep_only(starttls, (struct bytes){text, (size_t)length});
    starttls_keep(starttls, diagnostic);
}

/* LDAPMessage ::= SEQUENCE { messageID, ExtendedResponse, controls }. The message of number 0 is the notice
 * that the server disconnects. Source: RFC 4511 sections 4.1.1, 4.1.9, 4.4.1, 4.12, 4.14. */
static enum starttls_verdict judge_ldap(struct starttls *starttls, struct bytes message)
{
    enum { INTEGER = 0x02, OCTETS = 0x04, ENUMERATED = 0x0a, EXTENDED_RESPONSE = 0x78 };
    enum { MESSAGE_ID = 1 };
    struct bytes id, response, code, matched, diagnostic;

    if (!take(starttls, &message, INTEGER, &id) || id.length != 1 ||
        !take(starttls, &message, EXTENDED_RESPONSE, &response) ||
        !take(starttls, &response, ENUMERATED, &code) || code.length != 1 ||
        !take(starttls, &response, OCTETS, &matched) || !take(starttls, &response, OCTETS, &diagnostic))
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    if (byte_at(id, 0) == MESSAGE_ID && byte_at(code, 0) == 0)
        return STARTTLS_NEXT;
    if (byte_at(id, 0) != MESSAGE_ID && byte_at(id, 0) != 0)
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    keep_result(starttls, byte_at(code, 0), diagnostic);
    return starttls_end_with(starttls, byte_at(code, 0) == 2 ? STARTTLS_NOT_OFFERED : STARTTLS_REFUSED);
}

enum starttls_verdict starttls_read_ldap(struct starttls *starttls, struct bytes in, size_t *length)
{
    enum { SEQUENCE = 0x30 };
    size_t header = 0, size = 0;

    *length = in.length;
    if (byte_at(in, 0) != SEQUENCE)
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    enum starttls_verdict verdict = read_header(starttls, in, &header, &size);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    if (size > in.length - header)
        return STARTTLS_MORE;
    *length = header + size;
    return judge_ldap(starttls, (struct bytes){in.data + header, size});
}

/* Fields of a letter and a text that a NUL ends; 'M' is the message for a person. Source: PostgreSQL
 * documentation, "Error and Notice Message Fields". */
static struct bytes postgres_message(struct bytes fields)
{
    while (fields.length > 1 && fields.data[0] != '\0') {
        const char *end = memchr(fields.data, '\0', fields.length);
        if (end == NULL)
            break;
        struct bytes value = {fields.data + 1, (size_t)(end - fields.data) - 1};
        if (fields.data[0] == 'M')
            return value;
        fields = bytes_skip(fields, value.length + 2);
    }
    return fields;
}

/* An error, of protocol 3 with a length and fields; of protocol 2 a text, which a server sends that could not
 * start a process. */
static enum starttls_verdict read_postgres_error(struct starttls *starttls, struct bytes in, size_t *length)
{
    enum { HEADER = 5, TEXT_FROM = 0x20 };
    if (in.length < HEADER)
        return STARTTLS_MORE;
    struct bytes text = bytes_skip(in, 1);
    if (byte_at(in, 1) < TEXT_FROM) {
        size_t size =
            (size_t)byte_at(in, 1) << 24 | byte_at(in, 2) << 16 | byte_at(in, 3) << 8 | byte_at(in, 4);
        if (size < 4)
            return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
        if (size > STARTTLS_REPLY_MAX - HEADER)
            return starttls_end_with(starttls, STARTTLS_TOO_LONG);
        if (in.length < 1 + size)
            return STARTTLS_MORE;
        *length = 1 + size;
        text = postgres_message((struct bytes){in.data + HEADER, size - 4});
    } else {
        const char *end = memchr(text.data, '\0', text.length);
        if (end == NULL && in.length < STARTTLS_LINE_MAX)
            return STARTTLS_MORE;
        text.length = end != NULL ? (size_t)(end - text.data) : text.length;
        *length = 1 + text.length;
    }
    starttls_keep_only(starttls, text);
    return starttls_end_with(starttls, STARTTLS_REFUSED);
}

/* Source: PostgreSQL documentation, "SSL Session Encryption". */
enum starttls_verdict starttls_read_postgres(struct starttls *starttls, struct bytes in, size_t *length)
{
    *length = 1;
    if (in.data[0] == 'S')
        return STARTTLS_NEXT;
    if (in.data[0] == 'E')
        return read_postgres_error(starttls, in, length);
    starttls_keep_only(starttls, in);
    return starttls_end_with(starttls, in.data[0] == 'N' ? STARTTLS_NOT_OFFERED : STARTTLS_UNEXPECTED);
}

/* Code and text; newer servers have a state of five letters behind a '#' in between. */
static enum starttls_verdict judge_mysql_error(struct starttls *starttls, struct bytes body)
{
    enum { HEADER = 3, STATE = 6 };
    if (body.length < HEADER)
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    char text[32];
    int length = snprintf(text, sizeof text, "%u: ", byte_at(body, 1) | byte_at(body, 2) << 8);
    struct bytes message = bytes_skip(body, HEADER);
    if (message.length >= STATE && message.data[0] == '#')
        message = bytes_skip(message, STATE);
    starttls_keep_only(starttls, (struct bytes){text, (size_t)length});
    starttls_keep(starttls, message);
    return starttls_end_with(starttls, STARTTLS_REFUSED);
}

/* Source: MySQL Source Code Documentation, "Protocol::HandshakeV10". */
static enum starttls_verdict judge_mysql(struct starttls *starttls, struct bytes body)
{
    enum { VERSION_10 = 10, ERROR = 0xff, THREAD_AND_SCRAMBLE = 4 + 8 + 1, CLIENT_SSL = 0x0800 };
    if (body.length > 0 && byte_at(body, 0) == ERROR)
        return judge_mysql_error(starttls, body);
    const char *end = body.length > 0 ? memchr(body.data + 1, '\0', body.length - 1) : NULL;
    size_t flags = end == NULL ? body.length : (size_t)(end - body.data) + 1 + THREAD_AND_SCRAMBLE;
    if (body.length == 0 || byte_at(body, 0) != VERSION_10 || body.length < 2 || flags > body.length - 2)
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    if (((byte_at(body, flags) | byte_at(body, flags + 1) << 8) & CLIENT_SSL) != 0)
        return STARTTLS_NEXT;
    starttls_keep_only(starttls, (struct bytes){body.data + 1, (size_t)(end - body.data) - 1});
    return starttls_end_with(starttls, STARTTLS_NOT_OFFERED);
}

/* A packet: its length in three bytes, its number, which is 0. */
enum starttls_verdict starttls_read_mysql(struct starttls *starttls, struct bytes in, size_t *length)
{
    enum { HEADER = 4 };
    *length = in.length;
    if (in.length < HEADER)
        return STARTTLS_MORE;
    size_t size = byte_at(in, 0) | byte_at(in, 1) << 8 | byte_at(in, 2) << 16;
    if (byte_at(in, 3) != 0 || size > STARTTLS_LINE_MAX)
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    if (in.length - HEADER < size)
        return STARTTLS_MORE;
    *length = HEADER + size;
    return judge_mysql(starttls, (struct bytes){in.data + HEADER, size});
}
