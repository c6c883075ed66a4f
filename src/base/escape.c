#include "tcpgreet/base/escape.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ESCAPE_BYTES_MAX = 4 }; /* \xHH */

enum { UTF8_MALFORMED = 0, UTF8_CUT = -1 };

static uint8_t byte_at(struct bytes bytes, size_t i)
{
    return (uint8_t)bytes.data[i];
}

/* How a lead byte goes on: Unicode table 3-7 (also RFC 3629 section 4). Only the second byte has its own
 * range. */
struct utf8_lead {
    uint8_t first, last; /* the lead bytes of this row */
    uint8_t second_min, second_max;
    uint8_t length;
    uint8_t mask; /* of the code point's bits in the lead */
};

static const struct utf8_lead utf8_leads[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2, 0x1f}, {0xe0, 0xe0, 0xa0, 0xbf, 3, 0x0f}, {0xe1, 0xec, 0x80, 0xbf, 3, 0x0f},
    {0xed, 0xed, 0x80, 0x9f, 3, 0x0f}, {0xee, 0xef, 0x80, 0xbf, 3, 0x0f}, {0xf0, 0xf0, 0x90, 0xbf, 4, 0x07},
    {0xf1, 0xf3, 0x80, 0xbf, 4, 0x07}, {0xf4, 0xf4, 0x80, 0x8f, 4, 0x07},
};

static const struct utf8_lead *utf8_lead(uint8_t byte)
{
    for (size_t i = 0; i < sizeof(utf8_leads) / sizeof(utf8_leads[0]); i++)
        if (byte >= utf8_leads[i].first && byte <= utf8_leads[i].last)
            return &utf8_leads[i];
    return NULL;
}

/* Returns: the length of the character of two bytes or more at the front, UTF8_MALFORMED, or UTF8_CUT where
 * the bytes are a proper prefix of one. */
static int utf8_decode(struct bytes bytes, uint32_t *code_point)
{
    const struct utf8_lead *lead = utf8_lead(byte_at(bytes, 0));
    if (lead == NULL)
        return UTF8_MALFORMED;
    uint32_t value = byte_at(bytes, 0) & lead->mask;
    for (size_t i = 1; i < lead->length; i++) {
        if (i == bytes.length)
            return UTF8_CUT;
        uint8_t byte = byte_at(bytes, i);
        if (byte < (i == 1 ? lead->second_min : 0x80) || byte > (i == 1 ? lead->second_max : 0xbf))
            return UTF8_MALFORMED;
        value = value << 6 | (byte & 0x3f);
    }
    *code_point = value;
    return lead->length;
}

/* Sorted. Source: see escape.h. */
static const struct {
    uint32_t first, last;
} unsafe_ranges[] = {
    {0x0080, 0x009f},   {0x00ad, 0x00ad},   {0x034f, 0x034f},   {0x061c, 0x061c}, {0x115f, 0x1160},
    {0x17b4, 0x17b5},   {0x180b, 0x180f},   {0x200b, 0x200f},   {0x2028, 0x202e}, {0x2060, 0x206f},
    {0x3164, 0x3164},   {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0}, {0xfff0, 0xfffb},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static bool is_safe(uint32_t code_point)
{
    if ((code_point & 0xfffe) == 0xfffe)
        return false;
    for (size_t i = 0; i < sizeof(unsafe_ranges) / sizeof(unsafe_ranges[0]); i++)
        if (code_point <= unsafe_ranges[i].last)
            return code_point < unsafe_ranges[i].first;
    return true;
}

static int plain_ascii_length(struct bytes bytes, struct escape_style style)
{
    uint8_t byte = byte_at(bytes, 0);
    if (byte == '\r' && style.keep_layout)
        return bytes.length == 1 ? UTF8_CUT : byte_at(bytes, 1) == '\n' ? 2 : 0;
    if (byte == '\n')
        return style.keep_newline;
    return (byte >= 0x20 && byte <= 0x7e && byte != '\\') || (byte == '\t' && style.keep_layout);
}

/* Returns: how many bytes at the front need no escape, 0 where the first must be escaped, UTF8_CUT. */
static int plain_length(struct bytes bytes, struct escape_style style)
{
    uint8_t byte = byte_at(bytes, 0);
    if (byte == '"' && style.quoted)
        return 0;
    if (byte < 0x80)
        return plain_ascii_length(bytes, style);
    if (style.ascii)
        return 0;
    uint32_t code_point = 0;
    int length = utf8_decode(bytes, &code_point);
    return length > 0 && !is_safe(code_point) ? 0 : length;
}

static bool put_escaped(struct sink *sink, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    switch (byte) {
    case '\n':
        return sink_put(sink, BYTES_LITERAL("\\n"));
    case '\r':
        return sink_put(sink, BYTES_LITERAL("\\r"));
    case '\t':
        return sink_put(sink, BYTES_LITERAL("\\t"));
    case '\\':
        return sink_put(sink, BYTES_LITERAL("\\\\"));
    case '"':
        return sink_put(sink, BYTES_LITERAL("\\\""));
    default:
        break;
    }
    char text[ESCAPE_BYTES_MAX] = {'\\', 'x', hex[byte >> 4], hex[byte & 0xf]};
    return sink_put(sink, (struct bytes){text, sizeof(text)});
}

/* Returns: how many bytes at the front no style escapes, room at most. */
static size_t run_length(struct bytes bytes, size_t room)
{
    size_t length = 0;
    while (length < bytes.length && length < room && byte_at(bytes, length) >= 0x20 &&
           byte_at(bytes, length) <= 0x7e && byte_at(bytes, length) != '\\' && byte_at(bytes, length) != '"')
        length++;
    return length;
}

size_t escape(struct bytes bytes, struct escape_style style, struct sink *sink)
{
    size_t taken = 0;
    while (taken < bytes.length) {
        struct bytes rest = bytes_skip(bytes, taken);
        struct bytes run = {rest.data, run_length(rest, sink_room(sink))};
        if (run.length > 0) {
            (void)sink_put(sink, run);
            taken += run.length;
            continue;
        }
        int plain = plain_length(rest, style);
        if (plain == UTF8_CUT && style.partial)
            break;
        if (plain > 0) {
            if (!sink_put(sink, (struct bytes){rest.data, (size_t)plain}))
                break;
            taken += (size_t)plain;
        } else {
            if (!put_escaped(sink, byte_at(rest, 0)))
                break;
            taken++;
        }
    }
    return taken;
}

static char *put_text(struct bytes bytes, struct escape_style style, char *text, size_t room)
{
    static const char ellipsis[] = "...";
    struct sink sink = {text, 0, room - 1};
    if (escape(bytes, style, &sink) < bytes.length) {
        sink = (struct sink){text, 0, room - sizeof(ellipsis)};
        (void)escape(bytes, style, &sink);
        sink.capacity = room - 1;
        (void)sink_put(&sink, BYTES_LITERAL(ellipsis));
    }
    text[sink.length] = '\0';
    return text;
}

char *escape_text(struct bytes bytes, char *text, size_t room)
{
    return put_text(bytes, (struct escape_style){0}, text, room);
}

char *escape_quoted(struct bytes bytes, char *text, size_t room)
{
    return put_text(bytes, (struct escape_style){.quoted = true}, text, room);
}

/* Returns: the length of the escape, character or stray byte at the front, as if it were whole. */
static size_t unit_length(struct bytes escaped)
{
    uint8_t byte = byte_at(escaped, 0);
    if (byte == '\\')
        return escaped.length > 1 && byte_at(escaped, 1) == 'x' ? ESCAPE_BYTES_MAX : 2;
    const struct utf8_lead *lead = utf8_lead(byte);
    return lead != NULL ? lead->length : 1;
}

struct bytes escape_without_end(struct bytes bytes)
{
    size_t length = bytes.length;

    while (length > 0 && (bytes.data[length - 1] == '\n' || bytes.data[length - 1] == '\r'))
        length--;
    return length > 0 ? (struct bytes){bytes.data, length} : bytes;
}

size_t escape_trim(struct bytes escaped)
{
    size_t length = 0;
    while (length < escaped.length) {
        size_t unit = unit_length(bytes_skip(escaped, length));
        if (unit > escaped.length - length)
            break;
        length += unit;
    }
    return length;
}

bool escape_is_utf8_environment(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *value = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && (value == NULL || *value == '\0'); i++)
        value = getenv(names[i]);
    const char *set = value != NULL ? strchr(value, '.') : NULL;
    if (set == NULL)
        return false;
    size_t length = strcspn(set + 1, "@");
    return (length == 5 && strncasecmp(set + 1, "UTF-8", length) == 0) ||
           (length == 4 && strncasecmp(set + 1, "UTF8", length) == 0);
}
