/* The one table of the command line: what each option takes and which modes use it. */
#ifndef TCPGREET_CLI_TABLE_H
#define TCPGREET_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"

enum { OPTION_ROWS = 58, OPTION_TITLE_BYTES = 32 };

enum option_kind {
    OPTION_FLAG,      /* bool */
    OPTION_DURATION,  /* int64_t, ms */
    OPTION_INTEGER,   /* int */
    OPTION_CHOICE,    /* an enum whose values are the argument's words, counted from 0 */
    OPTION_TEXT,      /* const char *, not empty */
    OPTION_ADDRESS,   /* const char *, an IP literal */
    OPTION_PIN,       /* sha256:HEX */
    OPTION_ALPN,      /* names, separated by commas */
    OPTION_MISBEHAVE, /* a kind of misbehaviour, some with :TIME */
    OPTION_LIMITS,    /* struct threshold_list */
    OPTION_BYTES,     /* int64_t, "64k", "1M" */
    OPTION_ENDPOINT,  /* [HOST] PORT: one or two words */
    OPTION_PEER       /* HOST PORT: one or two words */
};

enum option_group {
    OPTION_GROUP_MODE,
    OPTION_GROUP_PATH,
    OPTION_GROUP_TIME,
    OPTION_GROUP_TLS,
    OPTION_GROUP_SERVER,
    OPTION_GROUP_CLIENT,
    OPTION_GROUP_PROBE,
    OPTION_GROUP_BENCH,
    OPTION_GROUP_OUTPUT,
    OPTION_GROUP_ABOUT,
    OPTION_GROUPS
};

/* Invariants: letter != 0 only with OPTION_FLAG; mode != MODE_NONE if and only if the row chooses a mode;
 * least, most and fallback are written as a person types them and are valid values of their kind. */
struct option_row {
    const char *name; /* without its dashes */
    enum option_group group;
    enum option_kind kind;
    unsigned modes; /* OPTION_IN(mode) of each mode that uses it */
    enum options_mode mode;
    const char *argument; /* as help shows it; of a choice: its words, "a|b|c" */
    const char *help;
    const char *least;
    const char *most;
    const char *fallback; /* the default; NULL: none */
    size_t field;         /* offset into struct options; 0: not kept */
    char letter;
    bool repeatable;
};

/* What was said, beside the values themselves. */
struct option_words {
    const struct option_row *mode; /* NULL: none */
    size_t before_dashes;          /* operands that stand before "--" */
    bool given[OPTION_ROWS];
};

#define OPTION_IN(mode) (1U << (mode))

/* Ordered by group, the modes first. */
extern const struct option_row option_rows[OPTION_ROWS];

/* Returns: the row of a name without dashes, or NULL. */
const struct option_row *option_find(const char *name, size_t length);
const struct option_row *option_find_letter(char letter);

/* Returns: the row whose name a mistyped word most likely means, or NULL where none is near. */
const struct option_row *option_nearest(const char *name, size_t length);

/* Writes "--name" or "-n/--name". Returns: title. */
const char *option_title(const struct option_row *row, char title[OPTION_TITLE_BYTES]);

/* Writes "--a, --b or --c" for a set of modes. Returns: text. */
const char *option_modes(unsigned modes, char *text, size_t room);

/* Parses one word as the row's value and keeps it in the row's field; the kinds of one or two words excepted.
 * Borrows: word. Errors: usage: a sentence that names the option and what would be right. */
int option_value(const struct option_row *row, const char *word, struct options *options, struct err *err);

/* Writes the row's default, or "not given", into its field. */
void option_default(const struct option_row *row, struct options *options);

/* Checks what no single word shows: the mode, what it uses, what excludes what.
 * Errors: usage: a sentence that names the option. */
int options_check(const struct options *options, const struct option_words *words, struct err *err);

#endif
