#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/base/escape.h"

enum {
    INPUT_MAX = 4096,
    OUTPUT_MAX = 4 * INPUT_MAX,
    STYLE_ASCII = 1,
    STYLE_KEEP_NEWLINE = 2,
    STYLE_QUOTED = 4,
    STYLE_KEEP_LAYOUT = 8
};

static char whole_text[OUTPUT_MAX];
static char other_text[2 * OUTPUT_MAX];

/* What escape promises of its output, byte by byte; and once escaped, only backslashes, and quotes, are
 * escaped again. */
static void check_printable(struct bytes text, struct escape_style style)
{
    size_t escaped = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        bool is_line_end = byte == '\r' && i + 1 < text.length && text.data[i + 1] == '\n';
        CHECK(byte >= 0x20 || (byte == '\n' && (style.keep_newline || style.keep_layout)) ||
              ((byte == '\t' || is_line_end) && style.keep_layout));
        CHECK(byte < 0x7f || (byte > 0x7f && !style.ascii));
        escaped += byte == '\\' || (byte == '"' && style.quoted);
    }
    struct sink sink = {other_text, 0, sizeof(other_text)};
    CHECK(escape(text, style, &sink) == text.length);
    CHECK(sink.length == text.length + escaped);
}

static unsigned hex_digit(char digit)
{
    const char *at = strchr("0123456789abcdef", digit);
    CHECK(digit != '\0' && at != NULL);
    return (unsigned)(at - "0123456789abcdef");
}

/* Reads one escape or byte back. Returns: how long it is. */
static size_t unescape(struct bytes text, char *byte)
{
    static const char names[] = "nrt\\\"";
    static const char values[] = "\n\r\t\\\"";
    *byte = text.data[0];
    if (*byte != '\\')
        return 1;
    CHECK(text.length >= 2);
    const char *name = memchr(names, text.data[1], sizeof(names) - 1);
    if (name != NULL) {
        *byte = values[name - names];
        return 2;
    }
    CHECK(text.data[1] == 'x' && text.length >= 4);
    *byte = (char)(hex_digit(text.data[2]) << 4 | hex_digit(text.data[3]));
    return 4;
}

static void check_reversible(struct bytes text, struct bytes input)
{
    size_t length = 0;
    for (size_t at = 0; at < text.length; length++) {
        char byte;
        at += unescape(bytes_skip(text, at), &byte);
        CHECK(length < input.length && byte == input.data[length]);
    }
    CHECK(length == input.length);
}

/* Pieces of `step` bytes into sinks of `room` give the same text. */
static void check_pieces(struct bytes input, struct escape_style style, struct bytes text, size_t step,
                         size_t room)
{
    size_t taken = 0;
    size_t length = 0;
    for (size_t end = 0; taken < input.length;) {
        end = end + step < input.length ? end + step : input.length;
        style.partial = end < input.length;
        for (size_t before = SIZE_MAX; taken != before;) {
            struct sink sink = {other_text + length, 0, room};
            before = taken;
            taken += escape((struct bytes){input.data + taken, end - taken}, style, &sink);
            length += sink.length;
        }
        CHECK(style.partial || taken == input.length);
    }
    CHECK(bytes_equal((struct bytes){other_text, length}, text));
}

static void check_cut(struct bytes input, struct bytes text, size_t room)
{
    char *shown = escape_text(input, other_text, room);
    size_t length = strlen(shown);
    CHECK(length < room);
    if (length < text.length) {
        CHECK(length >= 3 && memcmp(shown + length - 3, "...", 3) == 0);
        length -= 3;
        CHECK(escape_trim((struct bytes){text.data, length}) == length);
    }
    CHECK(memcmp(shown, text.data, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > INPUT_MAX)
        return 0;
    struct escape_style style = {.ascii = data[0] & STYLE_ASCII,
                                 .keep_newline = data[0] & STYLE_KEEP_NEWLINE,
                                 .keep_layout = data[0] & STYLE_KEEP_LAYOUT,
                                 .quoted = data[0] & STYLE_QUOTED};
    struct bytes input = {(const char *)data + 3, size - 3};
    struct sink sink = {whole_text, 0, sizeof(whole_text)};
    CHECK(escape(input, style, &sink) == input.length);
    struct bytes text = {sink.data, sink.length};
    check_printable(text, style);
    check_reversible(text, input);
    check_pieces(input, style, text, 1 + (size_t)data[1], 4 + (size_t)data[2]);
    CHECK(escape_trim(text) == text.length);
    if (!style.ascii && !style.keep_newline && !style.keep_layout && !style.quoted)
        check_cut(input, text, 4 + (size_t)data[2]);
    return 0;
}
