#include "tcpgreet/core/greeting.h"

#include <string.h>

bool greeting_is_exit(struct bytes name)
{
    return bytes_equal(name, BYTES_LITERAL(GREETING_EXIT));
}

/* One CR directly before the LF is not part of the name. */
static struct bytes without_cr(struct bytes line)
{
    if (line.length > 0 && line.data[line.length - 1] == '\r')
        line.length--;
    return line;
}

enum greeting_cut greeting_cut(struct bytes bytes, size_t scanned, struct bytes *name, size_t *taken)
{
    struct bytes fresh = bytes_skip(bytes, scanned);
    const char *lf = fresh.length > 0 ? memchr(fresh.data, '\n', fresh.length) : NULL;

    if (lf == NULL) {
        struct bytes so_far = without_cr(bytes);
        bool over = so_far.length > GREETING_NAME_MAX;
        return over ? GREETING_OVERFLOW : GREETING_PARTIAL;
    }
    size_t length = (size_t)(lf - bytes.data);
    *taken = length + 1;
    *name = without_cr((struct bytes){bytes.data, length});
    return name->length > GREETING_NAME_MAX ? GREETING_TOO_LONG_NAME : GREETING_NAME;
}

enum greeting_cut greeting_cut_all(struct bytes bytes, struct bytes *name)
{
    *name = bytes;
    return bytes.length > GREETING_NAME_MAX ? GREETING_TOO_LONG_NAME : GREETING_NAME;
}

bool greeting_put_welcome(struct sink *out)
{
    return sink_put(out, BYTES_LITERAL(GREETING_WELCOME GREETING_QUESTION));
}

bool greeting_put_too_long(struct sink *out)
{
    return sink_put(out, BYTES_LITERAL(GREETING_TOO_LONG GREETING_QUESTION));
}

bool greeting_put_goodbye(struct sink *out)
{
    return sink_put(out, BYTES_LITERAL(GREETING_GOODBYE));
}

bool greeting_put_too_many(struct sink *out)
{
    return sink_put(out, BYTES_LITERAL(GREETING_TOO_MANY));
}

bool greeting_put_answer(struct sink *out, struct bytes name)
{
    static const struct bytes hello = BYTES_LITERAL(GREETING_HELLO);
    static const struct bytes rest = BYTES_LITERAL(GREETING_HELLO_END GREETING_QUESTION);

    if (name.length == 0)
        return sink_put(out, BYTES_LITERAL(GREETING_QUESTION));
    if (greeting_is_exit(name))
        return greeting_put_goodbye(out);
    return sink_room(out) >= hello.length + name.length + rest.length && sink_put(out, hello) &&
           sink_put(out, name) && sink_put(out, rest);
}

/* "METHOD target HTTP/x": RFC 9112 section 3; the preface of HTTP/2 (RFC 9113 section 3.4) has the same form.
 */
static bool is_http_request_line(struct bytes line)
{
    static const struct bytes version = BYTES_LITERAL(" HTTP/");
    size_t method = 0;
    while (method < line.length && line.data[method] >= 'A' && line.data[method] <= 'Z')
        method++;
    if (method < 3 || method == line.length || line.data[method] != ' ')
        return false;

    size_t target = method + 1;
    while (target < line.length && line.data[target] != ' ')
        target++;
    struct bytes tail = bytes_skip(line, target);
    tail.length = tail.length < version.length ? tail.length : version.length;
    return target > method + 1 && bytes_equal(tail, version);
}

bool greeting_is_http_begun(struct bytes line)
{
    static const struct bytes targets[] = {BYTES_LITERAL("/"), BYTES_LITERAL("http://"),
                                           BYTES_LITERAL("https://")};
    size_t method = 0;
    while (method < line.length && line.data[method] >= 'A' && line.data[method] <= 'Z')
        method++;
    if (method < 3 || method == line.length || line.data[method] != ' ')
        return false;

    struct bytes target = bytes_skip(line, method + 1);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (target.length >= targets[i].length &&
            memcmp(target.data, targets[i].data, targets[i].length) == 0)
            return true;
    return false;
}

enum greeting_foreign greeting_foreign(struct bytes bytes)
{
    enum { HANDSHAKE = 0x16, MAJOR = 3, MINOR_MAX = 4, PREFIX = 3 };
    const unsigned char *record = (const unsigned char *)bytes.data;

    if (bytes.length >= PREFIX && record[0] == HANDSHAKE && record[1] == MAJOR && record[2] <= MINOR_MAX)
        return GREETING_TLS_CLIENT;

    const char *lf = bytes.length > 0 ? memchr(bytes.data, '\n', bytes.length) : NULL;
    struct bytes line =
        without_cr((struct bytes){bytes.data, lf != NULL ? (size_t)(lf - bytes.data) : bytes.length});
    bool is_long = line.length > GREETING_NAME_MAX;
    bool is_http = is_long ? greeting_is_http_begun(line) : lf != NULL && is_http_request_line(line);
    return is_http ? GREETING_HTTP_CLIENT : GREETING_NOT_FOREIGN;
}
