/* Checks that concern several options together. */
#ifndef TCPGREET_CLI_CHECK_H
#define TCPGREET_CLI_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "table.h"

/* What was given, beside the values themselves. */
struct option_given {
    const struct option_row *mode; /* NULL: none */
    bool *rows;                    /* for each row of the table, whether it was given */
    const bool *base;              /* of a line of a list: the same of the command line; NULL */
    size_t before_dashes;          /* operands that stand before "--" */
};

/* The mode, what it accepts, what excludes what. Errors: usage: a sentence that names the option. */
int option_check(const struct options *options, const struct option_given *given, struct err *err);

/* A link-local address needs a zone, others have none. Errors: usage: a sentence that names the option. */
int option_check_zone(const char *option, const struct target *target, struct err *err);

#endif
