/* What a rejected argument was probably meant to be. */
#ifndef TCPGREET_CLI_HINT_H
#define TCPGREET_CLI_HINT_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"

struct option_row;

/* Rejects what stands in the place of HOST and can never be one: a URL, user@host, host/path, IPV6:PORT
 * without brackets, a zone where there can be none, an option of another program. option is "connect" and so
 * on; next is the argument behind it or NULL. Returns: 0: nothing is known against it; -1 with err. Errors:
 * usage: with the command line that was probably meant. */
int hint_host(const char *option, const char *word, const char *next, struct err *err);

/* Checks a host name or address that stands alone. Returns: 0; -1 with err. Errors: usage: it is none, or a
 * URL, HOST:PORT or the like: with the name that was probably meant. */
int hint_name(const char *option, const char *word, struct err *err);

/* Returns: what to use instead of an option that other programs have (-l, -p, --ssl); NULL if it is not
 * known. Shape: name is without dashes. */
const char *hint_option(const char *name, size_t length);

/* Writes the valid value of the row that a rejected one most likely means: "5s" for "5sec", "json" for
 * "jsno". Returns: whether there is one. */
bool hint_value(const struct option_row *row, const char *word, char *text, size_t room);

#endif
