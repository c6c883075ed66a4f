/* A pipe, and the text that came out of it. */
#ifndef TCPGREET_TEST_COLLECTOR_H
#define TCPGREET_TEST_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>

enum { COLLECTOR_TEXT_BYTES = 1024 * 1024 };

struct collector {
    int reader; /* -1: closed */
    int writer; /* -1: closed */
    size_t length;
    char text[COLLECTOR_TEXT_BYTES]; /* NUL-terminated */
};

/* Returns: 0, or -1 with errno. */
int collector_open(struct collector *collector);
void collector_close(struct collector *collector);

void collector_close_reader(struct collector *collector);
void collector_close_writer(struct collector *collector);

/* Writes NULs until nothing more fits. Returns: how many. */
size_t collector_fill(struct collector *collector);

/* Collects what one read(2) brings. Returns: false where that was nothing. */
bool collector_read(struct collector *collector);

/* Closes the writing end and collects all that is left. */
void collector_finish(struct collector *collector);

/* For pthread_create: collects until every writing end is closed. */
void *collector_main(void *collector);

#endif
