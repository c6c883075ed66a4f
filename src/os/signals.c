#include "tcpgreet/os/signals.h"

#include <signal.h>

int signals_watch(uv_loop_t *loop, uv_signal_t *handle, uv_signal_cb callback, int number)
{
    struct sigaction now;
    int result = uv_signal_init(loop, handle);

    if (result != 0 || (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN))
        return result;
    return uv_signal_start(handle, callback, number);
}
