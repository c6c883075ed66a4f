/* Passwords in memory. */
#ifndef TCPGREET_BASE_SECRET_H
#define TCPGREET_BASE_SECRET_H

#include <stddef.h>

/* Overwrites a secret; no compiler leaves it out. Shape: data may be NULL where length is 0. */
void secret_wipe(void *data, size_t length);

/* Reads one line from the terminal with echo off, without a buffer in between.
 * Signals that would end or stop the process do so once the terminal is as before. Returns: the length of the
 * line, whose end is not part of it; -1: there is no terminal, it was interrupted, or the line does not fit.
 * Source: termios(3). Thread: before any other starts. */
int secret_ask(const char *prompt, char *line, size_t room);

#endif
