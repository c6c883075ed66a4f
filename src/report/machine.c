#include "machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/escape.h"

enum { CHUNK_BYTES = 256 };

struct machine_number machine_number(double number)
{
    struct machine_number words = {"0"};
    for (int digits = 15; digits <= 17 && isfinite(number); digits++) {
        (void)snprintf(words.text, sizeof(words.text), "%.*g", digits, number);
        if (strtod(words.text, NULL) == number)
            break;
    }
    return words;
}

struct machine_number machine_seconds(int64_t ns)
{
    return machine_number((double)ns / 1e9);
}

/* Escapes as much as fits into chunk. Returns: how much of bytes that was. */
static size_t escape_chunk(struct bytes bytes, char chunk[CHUNK_BYTES], struct bytes *escaped)
{
    struct sink sink = {chunk, 0, CHUNK_BYTES};
    size_t taken = escape(bytes, (struct escape_style){0}, &sink);
    *escaped = (struct bytes){sink.data, sink.length};
    return taken;
}

/* In escaped text a backslash stands for itself, all else as escape() lets it pass. */
bool machine_is_printable(const char *text)
{
    char chunk[CHUNK_BYTES];
    struct bytes escaped;

    while (*text != '\0') {
        struct bytes run = {text, strcspn(text, "\\")};
        while (run.length > 0) {
            size_t taken = escape_chunk(run, chunk, &escaped);
            if (escaped.length != taken)
                return false;
            run = bytes_skip(run, taken);
        }
        text = run.data + (*run.data == '\\');
    }
    return true;
}

static void put_quoted(FILE *out, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        if (bytes.data[i] == '\\' || bytes.data[i] == '"')
            (void)fputc('\\', out);
        (void)fputc(bytes.data[i], out);
    }
}

void machine_quote(FILE *out, const char *text)
{
    char chunk[CHUNK_BYTES];
    struct bytes rest = {text, strlen(text)};
    struct bytes part = rest;
    bool printable = machine_is_printable(text);

    (void)fputc('"', out);
    while (rest.length > 0) {
        size_t taken = printable ? rest.length : escape_chunk(rest, chunk, &part);
        put_quoted(out, part);
        rest = bytes_skip(rest, taken);
    }
    (void)fputc('"', out);
}
