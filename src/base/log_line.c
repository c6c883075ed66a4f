#include "log_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tcpgreet/base/escape.h"

enum { VALUE_BYTES = 1024, TIME_BYTES = 32 };

static bool is_ascii(char byte)
{
    return (unsigned char)byte < 0x80;
}

/* Makes a text safe: one line, UTF-8, and where `ascii`, ASCII. What is escaped already stays as it is.
 * Shape: room for 4 bytes each. */
static struct bytes make_safe(const char *text, bool ascii, char *safe, size_t room)
{
    struct sink sink = {safe, 0, room};
    while (*text != '\0' && sink_room(&sink) > 0) {
        size_t length = 0;
        while (text[length] != '\0' && !is_ascii(text[length]))
            length++;
        if (length > 0) {
            if (escape((struct bytes){text, length}, (struct escape_style){.ascii = ascii}, &sink) < length)
                break;
        } else {
            bool is_control = (unsigned char)*text < 0x20 || *text == 0x7f;
            (void)sink_put(&sink, is_control ? BYTES_LITERAL("?") : (struct bytes){text, 1});
            length = 1;
        }
        text += length;
    }
    if (*text != '\0')
        sink.length = escape_trim((struct bytes){safe, sink.length});
    return (struct bytes){safe, sink.length};
}

/* Returns: false, with a part of it appended, where it does not fit. */
static bool put_quoted(struct sink *line, struct bytes text, bool is_json)
{
    bool whole = sink_put(line, BYTES_LITERAL("\""));
    for (size_t i = 0; whole && i < text.length; i++) {
        if (text.data[i] == '"' || (text.data[i] == '\\' && is_json))
            whole = sink_put(line, BYTES_LITERAL("\\"));
        whole = whole && sink_put(line, (struct bytes){text.data + i, 1});
    }
    return whole && sink_put(line, BYTES_LITERAL("\""));
}

static bool put_string(struct sink *line, const char *text)
{
    return sink_put(line, (struct bytes){text, strlen(text)});
}

/* "2026-11-29T12:00:00.123Z". Source: RFC 3339. */
static void put_time(struct sink *line)
{
    struct timespec now = {0};
    struct tm utc = {0};
    char text[TIME_BYTES];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + length, sizeof(text) - length, ".%03dZ", (int)(now.tv_nsec / 1000000));
    (void)put_string(line, text);
}

/* Whether a value needs no quotes in text form: a reader splits at spaces, then at the first "=". */
static bool is_plain(struct bytes text)
{
    bool plain = text.length > 0;
    for (size_t i = 0; plain && i < text.length; i++)
        plain = text.data[i] != ' ' && text.data[i] != '"';
    return plain;
}

static bool put_value(struct sink *line, const struct log_style *style, const struct log_field *field)
{
    char safe[VALUE_BYTES];
    if (field->kind == LOG_FIELD_COUNT)
        (void)snprintf(safe, sizeof(safe), "%" PRIu64, field->count);
    else if (field->kind == LOG_FIELD_FLAG)
        (void)snprintf(safe, sizeof(safe), "%s", field->count != 0 ? "true" : "false");
    else if (field->kind == LOG_FIELD_NUMBER)
        (void)snprintf(safe, sizeof(safe), "%.9g", isfinite(field->number) ? field->number : 0);
    if (field->kind != LOG_FIELD_TEXT)
        return put_string(line, safe);
    bool is_json = style->format == LOG_JSON;
    bool ascii = !is_json && style->is_ascii;
    struct bytes text = make_safe(field->text, ascii, safe, sizeof(safe));
    if (!is_json && is_plain(text))
        return sink_put(line, text);
    return put_quoted(line, text, is_json);
}

static void put_field(struct sink *line, const struct log_style *style, const struct log_field *field)
{
    bool is_json = style->format == LOG_JSON;
    size_t before = line->length;
    bool is_known = field->kind != LOG_FIELD_TEXT || (field->text != NULL && field->text[0] != '\0');
    if (!is_known || (!is_json && !field->is_shown))
        return;
    bool whole = put_string(line, is_json ? ",\"" : " ") && put_string(line, field->name) &&
                 put_string(line, is_json ? "\":" : "=") && put_value(line, style, field);
    if (!whole || sink_room(line) < sizeof("}\n"))
        line->length = before;
}

static const char *level_word(enum log_level level)
{
    static const char *const words[] = {"error", "warning", "info", "info", "debug"};
    return words[level];
}

/* Source: sd-daemon(3). */
static void put_stamp(struct sink *line, enum log_stamp stamp, enum log_level level)
{
    static const char *const priorities[] = {"<3>", "<4>", "<5>", "<6>", "<7>"};
    if (stamp == LOG_STAMP_PRIORITY)
        (void)put_string(line, priorities[level]);
    if (stamp != LOG_STAMP_TIME)
        return;
    put_time(line);
    (void)put_string(line, " ");
    if (level != LOG_NOTICE && level != LOG_INFO) {
        (void)put_string(line, level_word(level));
        (void)put_string(line, ": ");
    }
}

static void put_json_head(struct sink *line, const struct log_event *event)
{
    (void)put_string(line, "{\"schema\":\"tcpgreet.log.v1\",\"time\":\"");
    put_time(line);
    (void)put_string(line, "\",\"level\":\"");
    (void)put_string(line, level_word(event->level));
    (void)put_string(line, "\",\"event\":\"");
    (void)put_string(line, event->name != NULL ? event->name : "message");
    (void)put_string(line, "\",\"message\":");
}

void log_line_put(struct sink *line, const struct log_style *style, const struct log_event *event,
                  const char *message)
{
    bool is_json = style->format == LOG_JSON;
    bool ascii = !is_json && style->is_ascii;
    char safe[LOG_LINE_SAFE_BYTES];
    struct bytes text = make_safe(message, ascii, safe, sizeof(safe));
    if (is_json) {
        put_json_head(line, event);
        (void)put_quoted(line, text, true);
    } else {
        put_stamp(line, style->stamp, event->level);
        (void)sink_put(line, text);
    }
    for (const struct log_field *at = event->fields; at != NULL && at->name != NULL; at++)
        put_field(line, style, at);
    (void)put_string(line, is_json ? "}\n" : "\n");
}
