/* Shared libraries that few runs need, which are loaded by those: each costs every start of the program. */
#ifndef TCPGREET_BASE_LIBRARY_H
#define TCPGREET_BASE_LIBRARY_H

#include <stddef.h>

/* A function, and where in a table its pointer stands. */
struct library_function {
    const char *name;
    size_t offset;
};

/* Loads a library for the rest of the process and writes the pointers of its functions to table, which stays
 * as it is where one is missing. Returns: NULL, or why it cannot be loaded, until the thread's next call;
 * then errno is EMFILE, ENFILE or ENOMEM where that is exhausted, else 0. Thread: any. Source: dlopen(3). */
const char *library_load(const char *file, const struct library_function *functions, size_t count,
                         void *table);

#endif
