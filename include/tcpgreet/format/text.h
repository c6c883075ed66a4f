/* Words and numbers for people, as every report has them. */
#ifndef TCPGREET_FORMAT_TEXT_H
#define TCPGREET_FORMAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { WORDS_SHOWN_BYTES = 4096 };

/* A short text, by value. */
struct words {
    char text[48];
};

/* A line that is being written. Starts as {0}. */
struct words_line {
    size_t length;
    char text[2048];
};

/* Appends; what does not fit is left out, and never a part of a UTF-8 character stays. */
__attribute__((format(printf, 2, 3))) void words_add(struct words_line *line, const char *format, ...);

/* Three significant digits and the unit that fits: "380 µs", "1.21 ms", "12.0 s". */
struct words words_time(double seconds);

/* Returns: how many characters of a terminal UTF-8 text takes, each as one. */
size_t words_columns(const char *text);

/* Returns: how many bytes of text stand in its next line of so many characters: up to a space where there is
 * one, else wherever it is full; a number keeps its unit. The spaces at the break are part of neither line.
 * Shape: columns >= 1. */
size_t words_break(const char *text, size_t columns);

/* Cuts text to so many characters, the last three "..." where something was lost. Shape: columns >= 3. */
void words_cut(char *text, size_t columns);

/* Makes sure of a text that should be printable already: what is not is escaped as escape.h does, a backslash
 * stands for itself, "..." where it had to be cut. ascii: the reader has nothing else; what is said in other
 * letters is escaped, a micro sign becomes u. Returns: shown. Shape: room >= 4. */
const char *words_shown(const char *text, bool ascii, char *shown, size_t room);

#endif
