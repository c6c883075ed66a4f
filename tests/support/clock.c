#include "support/clock.h"

#ifdef __linux__

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <uv.h>

enum { NS_PER_MS = 1000000, SPIN = 100000 };

/* frozen and ns are read by every thread. */
static struct {
    atomic_bool frozen;
    _Atomic uint64_t ns;
    unsigned wakes;
    unsigned turns; /* since the clock moved */
} hand;

/* The C library's own function; a data pointer cannot be cast to a function's in standard C. */
static void find_real(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    memcpy(function, &found, sizeof found);
}

static bool is_frozen(clockid_t clock)
{
    return hand.frozen && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE);
}

/* Where time_t has 32 bits unless asked otherwise, glibc has a function for each size: ours is called by the
 * program, the other one by libraries. */
#if defined(__TIMESIZE) && __TIMESIZE == 32 && defined(__USE_TIME_BITS64)
#define OURS "__clock_gettime64"

struct short_timespec {
    int32_t seconds, ns;
};

int short_clock_gettime(clockid_t clock, struct short_timespec *time) __asm__("clock_gettime");

int short_clock_gettime(clockid_t clock, struct short_timespec *time)
{
    static int (*real)(clockid_t, struct short_timespec *);

    if (is_frozen(clock)) {
        uint64_t ns = hand.ns;
        *time = (struct short_timespec){(int32_t)(ns / 1000000000), (int32_t)(ns % 1000000000)};
        return 0;
    }
    if (real == NULL)
        find_real(&real, "clock_gettime");
    return real(clock, time);
}
#else
#define OURS "clock_gettime"
#endif

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);

    if (is_frozen(clock)) {
        uint64_t ns = hand.ns;
        *time = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        return 0;
    }
    if (real == NULL)
        find_real(&real, OURS);
    return real(clock, time);
}

static void die(const char *how)
{
    fprintf(stderr, "the event loop %s\n", how);
    abort();
}

int epoll_pwait(int fd, struct epoll_event *events, int room, int timeout_ms, const sigset_t *mask)
{
    static int (*real)(int, struct epoll_event *, int, int, const sigset_t *);

    if (real == NULL)
        find_real(&real, "epoll_pwait");
    if (!hand.frozen)
        return real(fd, events, room, timeout_ms, mask);

    int ready = real(fd, events, room, 0, mask);
    if (ready == 0 && timeout_ms < 0)
        die("waits for ever");
    if (ready == 0 && timeout_ms > 0)
        clock_advance_ms(timeout_ms);
    else if (++hand.turns == SPIN)
        die("spins");
    hand.wakes++;
    return ready;
}

int epoll_wait(int fd, struct epoll_event *events, int room, int timeout_ms)
{
    return epoll_pwait(fd, events, room, timeout_ms, NULL);
}

bool clock_freeze(void)
{
    hand.wakes = 0;
    hand.turns = 0;
    hand.ns = uv_hrtime();
    hand.frozen = true;
    uint64_t before = uv_hrtime();
    clock_advance_ms(1);
    if (uv_hrtime() == before + NS_PER_MS)
        return true;
    hand.frozen = false;
    return false;
}

void clock_thaw(void)
{
    hand.frozen = false;
}

void clock_advance_ms(int64_t ms)
{
    hand.ns += (uint64_t)ms * NS_PER_MS;
    hand.turns = 0;
}

int64_t clock_now_ms(void)
{
    return (int64_t)(hand.ns / NS_PER_MS);
}

unsigned clock_wakes(void)
{
    return hand.wakes;
}

#else

bool clock_freeze(void)
{
    return false;
}

void clock_thaw(void)
{
}

void clock_advance_ms(int64_t ms)
{
    (void)ms;
}

int64_t clock_now_ms(void)
{
    return 0;
}

unsigned clock_wakes(void)
{
    return 0;
}

#endif
