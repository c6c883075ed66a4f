/* The monotonic clock set by hand, and an event loop that never waits: where it would, the clock moves on. */
#ifndef TCPGREET_TEST_CLOCK_H
#define TCPGREET_TEST_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * From here on CLOCK_MONOTONIC stands still, and a wait for descriptors that are not ready moves it by its
 * whole time limit. A wait without limit that nothing can end, and a loop that turns 100,000 times while the
 * clock stands, abort: they are the hang and the spin that a watchdog would find. Returns: false where the
 * clock cannot be taken over (it is done by standing in for clock_gettime and epoll_pwait); skip the test
 * then. Thread: while only one waits.
 */
bool clock_freeze(void);

/* Back to the real one. */
void clock_thaw(void);

void clock_advance_ms(int64_t ms);
int64_t clock_now_ms(void);

/* Returns: how often a wait has ended since clock_freeze. */
unsigned clock_wakes(void);

#endif
