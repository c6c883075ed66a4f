/* The query of a request target, "?name=value&name=value", taken apart and decoded. Pure. */
#ifndef TCPGREET_CORE_QUERY_H
#define TCPGREET_CORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>

enum { QUERY_NAME_BYTES = 64, QUERY_VALUE_BYTES = 1152 };

enum query_result {
    QUERY_PARAMETER,
    QUERY_END,
    QUERY_BAD_ESCAPE, /* a percent sign without two hexadecimal digits */
    QUERY_BAD_BYTE,   /* a byte that cannot stand in a text: NUL */
    QUERY_TOO_LONG
};

/* Decoded and NUL-terminated; without "=" the value is empty. */
struct query_parameter {
    char name[QUERY_NAME_BYTES];
    char value[QUERY_VALUE_BYTES];
};

/* Returns: a request target from its path on: one in absolute form has a scheme and an authority in front.
 * Source: RFC 9112 section 3.2.2. */
const char *query_origin_form(const char *uri);

/* Returns: the length of the path in front of "?", or of the whole. */
size_t query_path_length(const char *uri);

/* Returns: whether that is the path, compared as it was sent: it has no other spelling. */
bool query_has_path(const char *uri, const char *path);

/* Returns: what stands behind the path: "" where there is no query. */
const char *query_begin(const char *uri);

/* Takes the next parameter that is not empty off *query. Shape: *query begins as query_begin returned it;
 * what is written where no parameter is returned has no meaning, except the name, which holds what was read
 * of it. Returns: anything but QUERY_PARAMETER ends it. Source: URL Standard,
 * application/x-www-form-urlencoded parsing, without its leniency. */
enum query_result query_next(const char **query, struct query_parameter *parameter);

#endif
