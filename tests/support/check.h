/* CHECK, for code that no test framework runs: never compiled out. */
#ifndef TCPGREET_TEST_CHECK_H
#define TCPGREET_TEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>

/* Aborts where the condition does not hold, and prints which one. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
