/* The steps of an exchange: send bytes, expect a pattern, reject a pattern. */
#ifndef TCPGREET_CORE_SCRIPT_H
#define TCPGREET_CORE_SCRIPT_H

#include <stddef.h>

#include "tcpgreet/base/err.h"

enum { SCRIPT_STEPS_MAX = 64, SCRIPT_QUOTE_BYTES = 120 };

enum script_kind { SCRIPT_SEND, SCRIPT_EXPECT, SCRIPT_REJECT };

struct pattern;

struct script_step {
    enum script_kind kind;
    char *text;    /* of SCRIPT_SEND: the bytes, unescaped; else the pattern as it was given */
    size_t length; /* of text */
    struct pattern *pattern;
};

/* The steps. Starts as `struct script script = {0}`. It does not change while it is executed, so that any
 * number of runs may share it. */
struct script {
    struct script_step *steps;
    size_t count;
};

/* Appends a step. Shape: text: BYTES with the escapes \r \n \t \0 \xHH \\, or a pattern (PCRE2, multi-line,
 * not UTF-8). A pattern that also matches an empty answer would prove nothing, and is refused. script_free
 * frees the steps, also after a failure. Errors: usage: names the option, what is wrong and where; internal.
 */
int script_add(struct script *script, enum script_kind kind, const char *text, struct err *err);

void script_free(struct script *script);

/* Returns: 0, or -1 where this build has no PCRE2. Errors: usage. */
int script_check_built(struct err *err);

/* Returns: "--send", "--expect", "--reject". */
const char *script_option(const struct script_step *step);

/* Writes a step's text for a message, between double quotes, cut where it is long. Returns: text. */
const char *script_quote(const struct script_step *step, char text[SCRIPT_QUOTE_BYTES]);

/* Returns: the version of PCRE2, in text; NULL where this build has none. */
const char *script_pattern_version(char *text, size_t room);

#endif
