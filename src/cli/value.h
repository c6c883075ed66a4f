/* The kinds of option values: how an argument is parsed into a field, and what is valid. */
#ifndef TCPGREET_CLI_VALUE_H
#define TCPGREET_CLI_VALUE_H

#include <stddef.h>

#include "tcpgreet/base/err.h"

struct option_row;

/* An argument that is parsed into a field. Shape: size is the field's, a multiple of the kind's. */
struct option_value {
    const struct option_row *row;
    const char *word; /* NULL: of a flag */
    void *field;
    size_t size;
    struct err *err; /* NULL: not wanted */
};

struct option_kind {
    size_t size; /* of one value */
    /* Reads the word into the field; where it has room for several values, into the next that is free.
     * Returns: 0, or -1; err is set only if there is more to report than what was expected. */
    int (*read)(const struct option_value *value);
    /* Writes what the word can be: "a whole number from 1 to 9". NULL: there is no word. */
    void (*expected)(const struct option_row *row, char *text, size_t room);
};

extern const struct option_kind option_flag;      /* bool; takes no word */
extern const struct option_kind option_duration;  /* int64_t, ms, within the row's range */
extern const struct option_kind option_integer;   /* int, likewise */
extern const struct option_kind option_bytes;     /* int64_t, likewise: "64k", "1M" */
extern const struct option_kind option_choice;    /* an enum */
extern const struct option_kind option_either;    /* bool: the first or the second of two words */
extern const struct option_kind option_text;      /* const char *, not empty */
extern const struct option_kind option_proxy;     /* struct proxy_config */
extern const struct option_kind option_source;    /* const char *, an IP literal or a range of them */
extern const struct option_kind option_alert;     /* int, a TLS alert by its name */
extern const struct option_kind option_alpn;      /* const char *, names separated by commas */
extern const struct option_kind option_pin;       /* struct tls_pins, of which it is one more */
extern const struct option_kind option_cert;      /* cert of one struct tls_files or several */
extern const struct option_kind option_key;       /* key, likewise */
extern const struct option_kind option_prefix;    /* struct prefix_list, of which it is one more */
extern const struct option_kind option_misbehave; /* struct stream_misbehaviour */
extern const struct option_kind option_send;      /* struct script, of which it is one more step */
extern const struct option_kind option_expect;    /* likewise */
extern const struct option_kind option_reject;    /* likewise */
extern const struct option_kind option_days;      /* struct threshold_days, within the row's range */
extern const struct option_kind option_limits;    /* struct threshold_list */

/* Of two words, or one: struct target, one or several. They have no `read`. */
extern const struct option_kind option_listener; /* [HOST] PORT */
extern const struct option_kind option_peer;     /* HOST PORT */

/* One word of a choice. A list of them ends at a NULL name. */
struct option_word {
    const char *name;
    int value;
};

/* Writes the words of a choice, with between before each but the first and the last, which has last before
 * it. Returns: text. */
const char *option_words(const struct option_word *words, const char *between, const char *last, char *text,
                         size_t room);

/* Returns: the words that the argument of a row is, or begins with, one by one from index 0; NULL behind the
 * last, or where there is no such list. */
const char *option_listed(const struct option_row *row, size_t index);

#endif
