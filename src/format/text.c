#include "tcpgreet/format/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tcpgreet/base/escape.h"

/* Each unit takes over where three digits of the one before would round up to 1000. */
struct text text_time(double seconds)
{
    static const struct {
        double of_second;
        const char *name;
    } units[] = {{1e6, "\u00b5s"}, {1e3, "ms"}, {1, "s"}};
    struct text text;
    size_t i = 0;

    if (!(seconds > 0))
        return (struct text){"0 s"};
    while (i < 2 && seconds * units[i].of_second >= 999.5)
        i++;
    double value = seconds * units[i].of_second;
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    (void)snprintf(text.text, sizeof(text.text), "%.*f %s", decimals, value, units[i].name);
    return text;
}

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    for (; *text != '\0'; text++)
        columns += starts_character(*text);
    return columns;
}

void text_cut(char *text, size_t columns)
{
    size_t seen = 0;
    size_t kept = 0;
    size_t i = 0;

    if (text_columns(text) <= columns)
        return;
    for (; text[i] != '\0'; i++) {
        if (starts_character(text[i]) && seen++ == columns - 3)
            kept = i;
    }
    memcpy(text + kept, "...", sizeof("..."));
}

/* Returns: how many bytes of text are to be written by one call. */
static size_t run_length(const char *text, bool ascii)
{
    if (text[0] == '\\')
        return 1;
    if (ascii && strncmp(text, "\u00b5", 2) == 0)
        return 2;
    size_t length = 1;
    while (text[length] != '\0' && text[length] != '\\' &&
           !(ascii && strncmp(text + length, "\u00b5", 2) == 0))
        length++;
    return length;
}

const char *text_printable(const char *text, bool ascii, char *shown, size_t room)
{
    struct sink sink = {shown, 0, room - 1};
    bool whole = true;

    while (whole && *text != '\0') {
        struct bytes run = {text, run_length(text, ascii)};
        if (*text == '\\')
            whole = sink_put(&sink, run);
        else if (ascii && run.length == 2 && strncmp(text, "\u00b5", 2) == 0)
            whole = sink_put(&sink, BYTES_LITERAL("u"));
        else
            whole = escape(run, (struct escape_style){.ascii = ascii}, &sink) == run.length;
        text += run.length;
    }
    if (!whole) {
        sink.length = escape_trim((struct bytes){shown, room - 4 < sink.length ? room - 4 : sink.length});
        memcpy(shown + sink.length, "...", 3);
        sink.length += 3;
    }
    shown[sink.length] = '\0';
    return shown;
}

void text_append(struct text_line *line, const char *format, ...)
{
    size_t room = sizeof(line->text) - line->length;
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line->text + line->length, room, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < room) {
        line->length += (size_t)length;
    } else if (length > 0) {
        line->length = escape_trim((struct bytes){line->text, sizeof(line->text) - 1});
        line->text[line->length] = '\0';
    }
}

/* Whether text begins with a space between a number and its unit, which stay together. */
static bool is_before_unit(const char *text, char before)
{
    static const char *const units[] = {" s", " ms", " \u00b5s", " us"};

    for (size_t i = 0; before >= '0' && before <= '9' && i < sizeof(units) / sizeof(units[0]); i++) {
        size_t length = strlen(units[i]);
        if (strncmp(text, units[i], length) == 0 &&
            (text[length] == '\0' || strchr(" ,;.)", text[length]) != NULL))
            return true;
    }
    return false;
}

size_t text_break(const char *text, size_t columns)
{
    size_t seen = 0;
    size_t space = 0;
    size_t i = 0;

    for (; text[i] != '\0'; i++) {
        if (text[i] == ' ' && i > 0 && text[i - 1] != ' ' && !is_before_unit(text + i, text[i - 1]))
            space = i;
        if (starts_character(text[i]) && seen++ == columns)
            return space > 0 ? space : i;
    }
    return i;
}

struct text text_date(int64_t seconds)
{
    struct text date = {"?"};
    time_t when = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&when, &tm) == NULL || strftime(date.text, sizeof(date.text), "%F %T UTC", &tm) == 0)
        return (struct text){"?"};
    return date;
}
