#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/watched.h"

#include <stdlib.h>
#include <unistd.h>

void watched_open(struct watched *watched)
{
    if (uv_loop_init(&watched->loop) != 0 || uv_timer_init(&watched->loop, &watched->limit) != 0)
        abort();
    uv_unref((uv_handle_t *)&watched->limit);
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the loop still waits");
}

void watched_run(struct watched *watched, const bool *done)
{
    bool more = true;
    uv_update_time(&watched->loop);
    uv_timer_start(&watched->limit, on_limit, WATCHED_LIMIT_MS, 0);
    while (more && (done == NULL || !*done))
        more = uv_run(&watched->loop, UV_RUN_ONCE) != 0;
    uv_timer_stop(&watched->limit);
    if (done != NULL)
        assert_true(*done);
}

void watched_close(struct watched *watched)
{
    watched_run(watched, NULL);
    uv_close((uv_handle_t *)&watched->limit, NULL);
    uv_run(&watched->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&watched->loop), 0);
}

void watched_block(bool on)
{
    alarm(on ? WATCHED_LIMIT_MS / 1000 : 0);
}
