/* Numbers and quoted texts in a form that every parser reads. */
#ifndef TCPGREET_FORMAT_SERIALIZE_H
#define TCPGREET_FORMAT_SERIALIZE_H

#include <stdint.h>
#include <stdio.h>

/* A number, by value. */
struct serialize_number {
    char text[32];
};

/* The shortest decimal that reads back as the same double; 0 for what is not finite. */
struct serialize_number serialize_number(double number);

/* Nanoseconds, in seconds as serialize_number has them. */
struct serialize_number serialize_seconds(int64_t ns);

/* Writes text in double quotes, made printable as text_printable does, backslashes and quotes escaped: as
 * JSON has it, and a label of Prometheus. */
void serialize_quoted(FILE *out, const char *text);

#endif
