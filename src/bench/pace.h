/* When names are due in an open loop: at a steady rate, whatever the answers do. */
#ifndef TCPGREET_BENCH_PACE_H
#define TCPGREET_BENCH_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Invariant: name number `next` is the first that has not been taken. */
struct pace {
    uint64_t start_ns;
    double interval_ns;
    uint64_t next;
};

/* Shape: rate > 0, names a second; share of workers: worker `index` of `count` has every count-th name. */
struct pace pace_begin(uint64_t start_ns, double rate, unsigned index, unsigned count);

/* Returns: when the next name is due. */
uint64_t pace_due_ns(const struct pace *pace);

/* Takes the next name if it is due. Returns: whether; *due_ns says since when. */
bool pace_take(struct pace *pace, uint64_t now_ns, uint64_t *due_ns);

/* Returns: how many names are due at now_ns and not taken. */
uint64_t pace_behind(const struct pace *pace, uint64_t now_ns);

#endif
