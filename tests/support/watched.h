/* An event loop in real time that fails the test where it would hang it. */
#ifndef TCPGREET_TEST_WATCHED_H
#define TCPGREET_TEST_WATCHED_H

#include <stdbool.h>
#include <uv.h>

enum { WATCHED_LIMIT_MS = 20 * 1000 };

struct watched {
    uv_loop_t loop;
    uv_timer_t limit;
};

void watched_open(struct watched *watched);

/* Runs until *done, NULL: until nothing is left to wait for. Fails where that takes too long, or where
 * nothing is left and *done has not come. */
void watched_run(struct watched *watched, const bool *done);

/* Runs what is left and closes the loop. Fails where a handle stays open. */
void watched_close(struct watched *watched);

/* The same limit for a thread that blocks: SIGALRM ends the test program. 0 ends it. */
void watched_block(bool on);

#endif
