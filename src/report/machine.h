/* What machines read: numbers and quoted texts that every parser takes. */
#ifndef TCPGREET_MACHINE_H
#define TCPGREET_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A number, by value. */
struct machine_number {
    char text[32];
};

/* The shortest decimal that reads back as the same double; 0 for what is not finite. */
struct machine_number machine_number(double number);

/* Nanoseconds, in seconds as machine_number has them. */
struct machine_number machine_seconds(int64_t ns);

/* Returns: whether text is printable as escape_text would leave it. */
bool machine_is_printable(const char *text);

/* Writes text in double quotes, backslashes and quotes escaped, as JSON and Prometheus labels have it;
 * escaped as escape_text does first where it is not printable. */
void machine_quote(FILE *out, const char *text);

#endif
