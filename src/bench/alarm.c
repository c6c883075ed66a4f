#include "alarm.h"

#ifdef __linux__
#include <sys/timerfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct bench_alarm *alarm = poll->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    if (read(alarm->fd, &expirations, sizeof expirations) > 0)
        alarm->due(alarm->context);
}

int bench_alarm_open(struct bench_alarm *alarm, uv_loop_t *loop, void (*due)(void *context), void *context)
{
    alarm->due = due;
    alarm->context = context;
    alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); /* uv_hrtime's clock */
    if (alarm->fd < 0 || uv_poll_init(loop, &alarm->poll, alarm->fd) != 0)
        return -1;
    alarm->poll.data = alarm;
    return uv_poll_start(&alarm->poll, UV_READABLE, on_readable);
}

void bench_alarm_set(struct bench_alarm *alarm, uint64_t due_ns)
{
    struct itimerspec when = {.it_value = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)}};
    timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void bench_alarm_close(struct bench_alarm *alarm)
{
    if (alarm->fd >= 0)
        close(alarm->fd);
}
#else
static void on_timer(uv_timer_t *timer)
{
    struct bench_alarm *alarm = timer->data;
    alarm->due(alarm->context);
}

int bench_alarm_open(struct bench_alarm *alarm, uv_loop_t *loop, void (*due)(void *context), void *context)
{
    alarm->due = due;
    alarm->context = context;
    alarm->fd = -1;
    alarm->timer.data = alarm;
    return uv_timer_init(loop, &alarm->timer);
}

void bench_alarm_set(struct bench_alarm *alarm, uint64_t due_ns)
{
    uint64_t now_ns = uv_hrtime();
    uv_timer_start(&alarm->timer, on_timer, due_ns > now_ns ? (due_ns - now_ns) / 1000000 : 0, 0);
}

void bench_alarm_close(struct bench_alarm *alarm)
{
    (void)alarm;
}
#endif
