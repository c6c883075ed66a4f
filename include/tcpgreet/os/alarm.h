/* A timer with nanosecond resolution where the system has one; those of the loop count milliseconds. */
#ifndef TCPGREET_OS_ALARM_H
#define TCPGREET_OS_ALARM_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* In the owner's storage, which stays where it is until the handle is closed. Invariant: fd is -1 where the
 * loop's own timer is used. */
struct alarm {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_timer_t timer;
    };
    int fd;
    uint64_t due_ns; /* of the loop's own */
    void (*due)(void *context);
    void (*closed)(void *context);
    void *context;
};

/* Calls back: due, from the loop, once for each alarm_set and not before its time. Returns: 0; -1 with errno,
 * and nothing is open. Thread: here and below, the loop's. Source: timerfd_create(2). */
int alarm_open(struct alarm *alarm, uv_loop_t *loop, void (*due)(void *context), void *context);

/* Sets when it is due; replaces what was set before. Shape: due_ns is absolute, by uv_hrtime. */
void alarm_set(struct alarm *alarm, uint64_t due_ns);

/* Shape: alarm is zero where it was never opened. */
bool alarm_is_open(const struct alarm *alarm);

/* Calls back: closed, once, from the loop; due no more. Shape: it is open; closed may be NULL. */
void alarm_close(struct alarm *alarm, void (*closed)(void *context));

#endif
