/* The one table of the command line: what each option takes, which modes use it, and where its value goes. */
#ifndef TCPGREET_CLI_TABLE_H
#define TCPGREET_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"
#include "value.h"

enum { OPTION_TITLE_BYTES = 32, OPTION_EXPECTED_BYTES = 128, OPTION_SHOWN_BYTES = 64, OPTION_ROWS_MAX = 128 };

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

/* A part of struct options. Shape: size 0: none. */
struct option_field {
    size_t offset;
    size_t size;
};

/* Invariants: letter != 0 only with option_flag; mode != MODE_NONE if and only if the row chooses a mode;
 * least, most and fallback are written as a person types them and are valid values. */
struct option_row {
    const char *name; /* without its dashes */
    enum option_group group;
    const struct option_kind *kind;
    enum options_mode mode;          /* that it chooses */
    const char *argument;            /* as help shows it; NULL: none, or words as they are */
    const struct option_word *words; /* of a choice; NULL */
    const char *help;
    const char *least;
    const char *most;
    const char *fallback; /* the default; NULL: none */
    const char *needs;    /* the name of an option that must be given, too; NULL */
    const char *or_needs; /* another one that is as good; NULL */
    char letter;
    bool repeatable;
    bool of_run;         /* concerns the whole run of --probe --targets: not for a line of the file */
    const char *instead; /* of a mode: the option that may take the place of its argument; NULL */
    unsigned ignored;    /* OPTION_IN(mode) of modes that accept it although it changes nothing there */
    struct option_field fields[MODE_COUNT]; /* where each mode that uses it has its value */
};

#define OPTION_IN(mode) (1U << (mode))

/* Ordered by group, the modes first. */
extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* Returns: the row of a name without dashes, or NULL. */
const struct option_row *option_find(const char *name, size_t length);
const struct option_row *option_find_letter(char letter);

/* Returns: OPTION_IN(mode) of each mode that accepts it. */
unsigned option_modes(const struct option_row *row);

/* Writes "--a, --b or --c" for a set of modes. Returns: text. */
const char *option_modes_text(unsigned modes, char *text, size_t room);

/* Writes "--name" or "-n/--name". Returns: title. */
const char *option_title(const struct option_row *row, char title[OPTION_TITLE_BYTES]);

/* Writes what stands behind the name: "TIME", "auto|line|bare", "" of a flag. Returns: text. */
const char *option_argument(const struct option_row *row, char *text, size_t room);

/* Reads one word, NULL of a flag, into every field of the row. Shape: not of option_listener, option_peer.
 * Borrows: word. Errors: usage: a sentence that names the option and what would be right. */
int option_store(const struct option_row *row, const char *word, struct options *options, struct err *err);

/* The same into a configuration of a probe that stands alone. Shape: --probe uses the row. */
int option_store_probe(const struct option_row *row, const char *word, struct probe_config *probe,
                       struct err *err);

#endif
