/* What machines read: numbers and quoted texts that every parser takes. */
#ifndef TCPGREET_FORMAT_SERIALIZE_H
#define TCPGREET_FORMAT_SERIALIZE_H

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

/* Writes text in double quotes, made printable as words_shown does, backslashes and quotes escaped: as JSON
 * has it, and a label of Prometheus. */
void machine_quote(FILE *out, const char *text);

#endif
