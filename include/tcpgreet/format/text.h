/* Text for people: times, columns, lines; shared by every report. */
#ifndef TCPGREET_FORMAT_TEXT_H
#define TCPGREET_FORMAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_PRINTABLE_BYTES = 4096 };

/* A short text, by value. */
struct text {
    char text[48];
};

/* A line that is being written. Starts as {0}. */
struct text_line {
    size_t length;
    char text[2048];
};

/* Appends; what does not fit is left out, and never a part of a UTF-8 character stays. */
__attribute__((format(printf, 2, 3))) void text_append(struct text_line *line, const char *format, ...);

/* Three significant digits and the unit that fits: "380 µs", "1.21 ms", "12.0 s". */
struct text text_time(double seconds);

/* "2026-11-29 12:00:00 UTC". Shape: seconds since 1970; "?" for what has no date. */
struct text text_date(int64_t seconds);

/* Returns: how many characters of a terminal UTF-8 text takes, each as one. */
size_t text_columns(const char *text);

/* Returns: how many bytes of text stand in its next line of so many characters: up to a space where there is
 * one, else wherever it is full; a number keeps its unit. The spaces at the break are part of neither line.
 * Shape: columns >= 1. */
size_t text_break(const char *text, size_t columns);

/* Cuts text to so many characters, the last three "..." where something was lost. Shape: columns >= 3. */
void text_cut(char *text, size_t columns);

/* Makes sure that a text is printable: what is not is escaped as escape.h does, a backslash stands for
 * itself,
 * "..." ends a text that was cut. ascii: the output is not UTF-8; other characters are escaped, a micro sign
 * becomes u. Returns: shown. Shape: room >= 4. */
const char *text_printable(const char *text, bool ascii, char *shown, size_t room);

#endif
