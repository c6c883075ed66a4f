#include "worker_state.h"

#ifdef __linux__
#include <sys/timerfd.h>
#include <unistd.h>

static void on_alarm(uv_poll_t *poll, int status, int events)
{
    struct bench_worker *worker = poll->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    if (read(worker->alarm_fd, &expirations, sizeof expirations) > 0 && !worker->ending)
        bench_visitor_serve_due(worker);
}

void bench_alarm_arm(struct bench_worker *worker)
{
    uint64_t due = pace_due_ns(&worker->pace);
    struct itimerspec when = {.it_value = {(time_t)(due / 1000000000), (long)(due % 1000000000)}};
    if (worker->idle != NULL)
        timerfd_settime(worker->alarm_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int bench_alarm_open(struct bench_worker *worker)
{
    worker->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); /* uv_hrtime's clock */
    if (worker->alarm_fd < 0 || uv_poll_init(&worker->loop, &worker->alarm, worker->alarm_fd) != 0)
        return -1;
    worker->alarm.data = worker;
    return uv_poll_start(&worker->alarm, UV_READABLE, on_alarm);
}

void bench_alarm_close(struct bench_worker *worker)
{
    if (worker->alarm_fd >= 0)
        close(worker->alarm_fd);
}
#else
static void on_tick(uv_timer_t *timer)
{
    struct bench_worker *worker = timer->data;
    if (!worker->ending)
        bench_visitor_serve_due(worker);
}

void bench_alarm_arm(struct bench_worker *worker)
{
    uint64_t now = uv_hrtime(), due = pace_due_ns(&worker->pace);
    if (worker->idle != NULL)
        uv_timer_start(&worker->ticks, on_tick, due > now ? (due - now) / 1000000 : 0, 0);
}

int bench_alarm_open(struct bench_worker *worker)
{
    (void)worker;
    return 0;
}

void bench_alarm_close(struct bench_worker *worker)
{
    (void)worker;
}
#endif
