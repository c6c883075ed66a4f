/* A peer's bytes made safe to show: what is not printable text is written as an escape. */
#ifndef TCPGREET_BASE_ESCAPE_H
#define TCPGREET_BASE_ESCAPE_H

#include <stdbool.h>

#include "tcpgreet/base/buf.h"

struct escape_style {
    bool ascii;        /* escape every byte over 0x7e too: the terminal is not UTF-8 */
    bool keep_newline; /* LF passes as it is; a log line must not set this, a terminal may */
    bool keep_layout;  /* with it: HT and CR LF pass, too, but no other CR */
    bool quoted;       /* the text will stand between double quotes: those in it become \" */
    bool partial;      /* more may follow: a UTF-8 character, or CR LF, cut at the end stays unconsumed */
};

/* Appends printable text for bytes: \n \r \t \\ by name, others as \xHH. What passes unescaped: printable
 * ASCII and well-formed UTF-8 that is neither a control (C0, C1), nor a line separator, nor able to reorder
 * or hide text (the default-ignorable code points but for the variation selectors U+FE00..FE0F, and
 * U+FFF9..FFFB), nor a non-character. Returns: how many bytes were taken; fewer than bytes.length where the
 * sink is full or, with partial, at a cut end. Source: RFC 3629 section 4; Unicode UAX #9, TR #36,
 * DerivedCoreProperties.txt. */
size_t escape(struct bytes bytes, struct escape_style style, struct sink *sink);

/* The same into a NUL-terminated text, for messages; "..." at the end where it had to be cut.
 * Shape: room >= 4. Returns: text. */
char *escape_text(struct bytes bytes, char *text, size_t room);

/* The same for a text that will stand between double quotes. */
char *escape_quoted(struct bytes bytes, char *text, size_t room);

/* For quoting. Returns: bytes without the ends of lines behind them, unless these are all. */
struct bytes escape_without_end(struct bytes bytes);

/* For cutting escaped text.
 * Returns: the length of the longest prefix that ends neither inside an escape nor inside a UTF-8 character.
 */
size_t escape_trim(struct bytes escaped);

/* Returns: whether the environment names UTF-8 as the character set: LC_ALL, LC_CTYPE or LANG. setlocale(3)
 * would open six files to find that. Source: locale(7); POSIX.1-2017 section 8.2. */
bool escape_is_utf8_environment(void);

#endif
