/* One line of a list of targets: its words, and what they mean on top of the command line. */
#ifndef TCPGREET_CLI_LINE_H
#define TCPGREET_CLI_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"

enum {
    OPTION_LINE_BYTES = 4096,                         /* of a line, without its end */
    OPTION_LINE_WORDS_MAX = OPTION_LINE_BYTES / 2 + 1 /* a byte and a space each */
};

/* Splits a line in place, as a shell does, without expansions: 'as it is', "with \" and \\", a\ b, and # at
 * the beginning of a word for a comment. Shape: text[length] can be written; words has room for
 * OPTION_LINE_WORDS_MAX. Returns: how many words; -1 with err. Errors: usage: a quote that does not end, a
 * byte that is NUL, a line that is too long. Source: POSIX, "Shell Command Language", 2.2. */
int option_split_line(char *text, size_t length, const char **words, struct err *err);

struct option_line {
    const char *const *words;
    int count;
    const char **operands;      /* room for count + 1 words */
    const struct options *base; /* the command line */
};

/* Parses HOST PORT [OPTION...] into options->probe, on top of what the command line has. Borrows: the words
 * and the base, as long as that is used. Shape: option_line_fini frees the rest, also after a failure.
 * Errors: usage, internal. */
int option_parse_line(struct options *options, const struct option_line *line, struct err *err);

/* Frees what a line's own configuration has, and its base has not. */
void option_line_fini(struct probe_config *config, const struct options *base);

#endif
