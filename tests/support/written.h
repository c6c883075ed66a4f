/* What is written to a FILE, as text. */
#ifndef TCPGREET_TEST_WRITTEN_H
#define TCPGREET_TEST_WRITTEN_H

#include <stdio.h>

struct written {
    FILE *out; /* to write to */
    char *text;
    size_t length;
};

/* Ends the program without memory. */
void written_open(struct written *written);

/* Returns: all of it, to be freed. A NUL in it ends the program. */
char *written_close(struct written *written);

#endif
