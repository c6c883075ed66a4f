/* A resolver that knows a few names and queries no server: it stands in for getaddrinfo(3) in a test
 * program that calls anything of it. */
#ifndef TCPGREET_TEST_NAMES_KNOWN_H
#define TCPGREET_TEST_NAMES_KNOWN_H

#include <stdbool.h>

/* One name's addresses; NULL ends a list. error: an EAI_… instead. */
struct known_name {
    const char *name;
    const char *v6[4], *v4[4];
    int error;
    bool slow_v6, slow_v4; /* the answer waits for names_let_go */
};

/* From here on exactly these names are known, and literals. Borrows: names. Shape: ended by an empty one. */
void names_know(const struct known_name *names);

/* Lets so many slow answers come, also those that are yet to be asked for. */
void names_let_go(unsigned answers);

/* Waits until so many slow questions are asked and not answered. */
void names_await_slow(unsigned questions);

/* Waits until none is asked any more, not even a forgotten one. From then on slow answers wait again. */
void names_await_end(void);

#endif
