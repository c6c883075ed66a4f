#include "tcpgreet/os/alarm.h"

#include <errno.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/timerfd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct alarm *alarm = poll->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    if (read(alarm->fd, &expirations, sizeof expirations) > 0)
        alarm->due(alarm->context);
}

static int start(struct alarm *alarm, uv_loop_t *loop)
{
    alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); /* uv_hrtime's clock */
    if (alarm->fd < 0)
        return -errno;
    int result = uv_poll_init(loop, &alarm->poll, alarm->fd);
    if (result != 0) {
        (void)close(alarm->fd);
        return result;
    }
    (void)uv_poll_start(&alarm->poll, UV_READABLE, on_readable); /* which can fail for a shared fd only */
    return 0;
}

void alarm_set(struct alarm *alarm, uint64_t due_ns)
{
    struct itimerspec when = {.it_value = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)}};
    (void)timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &when, NULL);
}
#else
static void on_timer(uv_timer_t *timer)
{
    struct alarm *alarm = timer->data;
    if (uv_hrtime() < alarm->due_ns) /* of the last millisecond, each turn of the loop asks again */
        uv_timer_start(timer, on_timer, 0, 0);
    else
        alarm->due(alarm->context);
}

static int start(struct alarm *alarm, uv_loop_t *loop)
{
    alarm->fd = -1;
    return uv_timer_init(loop, &alarm->timer);
}

void alarm_set(struct alarm *alarm, uint64_t due_ns)
{
    uint64_t now_ns = uv_hrtime();
    alarm->due_ns = due_ns;
    uv_timer_start(&alarm->timer, on_timer, due_ns > now_ns ? (due_ns - now_ns) / 1000000 : 0, 0);
}
#endif

int alarm_open(struct alarm *alarm, uv_loop_t *loop, void (*due)(void *context), void *context)
{
    int result = start(alarm, loop);
    if (result != 0) {
        errno = -result;
        return -1;
    }
    alarm->handle.data = alarm;
    alarm->due = due;
    alarm->context = context;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct alarm *alarm = handle->data;
    alarm->due = NULL;
    if (alarm->closed != NULL)
        alarm->closed(alarm->context);
}

void alarm_close(struct alarm *alarm, void (*closed)(void *context))
{
    alarm->closed = closed;
    uv_close(&alarm->handle, on_closed);
    if (alarm->fd >= 0)
        (void)close(alarm->fd);
}

bool alarm_is_open(const struct alarm *alarm)
{
    return alarm->due != NULL && !uv_is_closing(&alarm->handle);
}
