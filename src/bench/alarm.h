/* The timer of an open loop: with nanosecond resolution where the system has such a timer. */
#ifndef TCPGREET_BENCH_ALARM_H
#define TCPGREET_BENCH_ALARM_H

#include <stdint.h>
#include <uv.h>

/* Invariant: fd is -1 where the loop's own timer is used. */
struct bench_alarm {
    uv_poll_t poll;
    uv_timer_t timer;
    int fd;
    void (*due)(void *context);
    void *context;
};

/* Calls back: due, from the loop, once for each bench_alarm_set. Returns: 0, or -1 with errno; the handles on
 * the loop are the caller's to close by a walk. Thread: the loop's. Source: timerfd_create(2). */
int bench_alarm_open(struct bench_alarm *alarm, uv_loop_t *loop, void (*due)(void *context), void *context);

/* Sets when it is due; replaces what was set before. Shape: due_ns is absolute, by uv_hrtime. */
void bench_alarm_set(struct bench_alarm *alarm, uint64_t due_ns);

/* After the loop is closed. Shape: fd is -1 where bench_alarm_open was not called. */
void bench_alarm_close(struct bench_alarm *alarm);

#endif
