/* The schedule of an open loop: names at a steady rate, independent of the answers. */
#ifndef TCPGREET_BENCH_PACE_H
#define TCPGREET_BENCH_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Invariant: name number `next` is the first that has not been sent. */
struct pace {
    uint64_t start_ns;
    double interval_ns;
    uint64_t next;
};

/* Shape: rate > 0, names a second; share of workers: worker `index` of `count` has every count-th name. */
struct pace pace_begin(uint64_t start_ns, double rate, unsigned index, unsigned count);

/* Returns: when the next name is scheduled. */
uint64_t pace_due_ns(const struct pace *pace);

/* Takes the next name if its time has come. Returns: whether; *due_ns is its scheduled time. */
bool pace_take(struct pace *pace, uint64_t now_ns, uint64_t *due_ns);

/* Returns: how many names are scheduled up to now_ns and not taken. */
uint64_t pace_behind(const struct pace *pace, uint64_t now_ns);

#endif
