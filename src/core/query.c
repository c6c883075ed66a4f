#include "tcpgreet/core/query.h"

#include <string.h>

const char *query_origin_form(const char *uri)
{
    static const char scheme[] = "http://";
    if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0)
        return uri;
    return uri + sizeof(scheme) - 1 + strcspn(uri + sizeof(scheme) - 1, "/?");
}

size_t query_path_length(const char *uri)
{
    return strcspn(uri, "?#");
}

bool query_has_path(const char *uri, const char *path)
{
    size_t length = query_path_length(uri);
    return strlen(path) == length && strncmp(path, uri, length) == 0;
}

const char *query_begin(const char *uri)
{
    const char *end = uri + query_path_length(uri);
    return *end == '?' ? end + 1 : "";
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return c != '\0' && found != NULL ? (int)(found - digits) : -1;
}

/* Decodes length bytes into room. */
static enum query_result decode(const char *from, size_t length, char *text, size_t room)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        char c = from[i];
        text[count] = '\0';
        if (c == '+')
            c = ' ';
        if (c == '%') {
            int high = length - i > 2 ? digit(from[i + 1]) : -1;
            int low = high >= 0 ? digit(from[i + 2]) : -1;
            if (low < 0)
                return QUERY_BAD_ESCAPE;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return QUERY_BAD_BYTE;
        if (count + 1 >= room)
            return QUERY_TOO_LONG;
        text[count++] = c;
    }
    text[count] = '\0';
    return QUERY_PARAMETER;
}

enum query_result query_next(const char **query, struct query_parameter *parameter)
{
    const char *at = *query + strspn(*query, "&");
    size_t length = strcspn(at, "&#");
    size_t name = strcspn(at, "=&#");

    parameter->name[0] = parameter->value[0] = '\0';
    *query = at + length;
    if (length == 0)
        return QUERY_END;
    enum query_result result = decode(at, name, parameter->name, sizeof(parameter->name));
    if (result == QUERY_PARAMETER && name < length)
        result = decode(at + name + 1, length - name - 1, parameter->value, sizeof(parameter->value));
    return result;
}
