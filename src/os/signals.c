#include "tcpgreet/os/signals.h"

#include <signal.h>

#include "tcpgreet/os/loop.h"

int signals_watch(uv_loop_t *loop, uv_signal_t *handle, uv_signal_cb callback, int number)
{
    struct sigaction now;
    int result = uv_signal_init(loop, handle);

    if (result != 0 || (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN))
        return result;
    return uv_signal_start(handle, callback, number);
}

int signals_watch_end(uv_loop_t *loop, uv_signal_t handles[SIGNALS_OF_END], uv_signal_cb callback,
                      void *context, struct err *err)
{
    static const int numbers[SIGNALS_OF_END] = {SIGINT, SIGTERM};

    for (int i = 0; i < SIGNALS_OF_END; i++) {
        int result = signals_watch(loop, &handles[i], callback, numbers[i]);
        if (result != 0)
            return loop_fail(err, result, "cannot watch signals");
        handles[i].data = context;
    }
    return 0;
}

int signals_set_end(int number, struct err *err)
{
    err_clear(err);
    return number == SIGTERM ? err_set(err, ERR_TERMINATED, 0, "terminated by a signal")
                             : err_set(err, ERR_INTERRUPTED, 0, "interrupted");
}
