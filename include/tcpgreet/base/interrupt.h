/* Signals that end a wait, and take effect when what was begun is undone: before any loop, and any thread. */
#ifndef TCPGREET_BASE_INTERRUPT_H
#define TCPGREET_BASE_INTERRUPT_H

#include <signal.h>
#include <stddef.h>
#include <time.h>

enum { INTERRUPT_SIGNALS_MAX = 5 };

/* What is changed meanwhile. */
struct interrupt {
    const int *numbers;
    size_t count;
    struct sigaction actions[INTERRUPT_SIGNALS_MAX];
    sigset_t mask; /* in which the signals can come, while nothing else is done */
};

/* From now on these signals wait for interrupt_await, unless they are ignored. Borrows: numbers, until
 * interrupt_end. Shape: one at a time. Thread: no other runs, as for what follows. Source: sigaction(2). */
void interrupt_begin(struct interrupt *interrupt, const int *numbers, size_t count);

/* Waits for something to read from fd, or its end. Returns: 1; 0: one of the signals came, or another, or the
 * timeout is over; -1 with errno. Shape: fd is below FD_SETSIZE; timeout NULL: none. Source: pselect(2). */
int interrupt_await(const struct interrupt *interrupt, int fd, const struct timespec *timeout);

/* Returns: the one of the signals that came last since interrupt_begin, 0 for none. */
int interrupt_caught(void);

/* The signals have the effect that they had before; a caller that wants one that came to have it raises it
 * before. */
void interrupt_end(const struct interrupt *interrupt);

#endif
