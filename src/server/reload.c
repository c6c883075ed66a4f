#include "reload.h"

#include "certificates.h"
#include "log.h"

/* Certificates are logged as they expire, from this thread, too. */
static void read_files(void *context)
{
    struct reload *reload = context;
    struct tls_server_config unattended = *reload->use.config;

    unattended.policy.may_ask = false; /* at the terminal, for which the server does not wait */
    reload->result = certificates_open(&unattended, reload->tls, reload->count, &reload->err);
    uv_async_send(&reload->read);
}

static void end(struct reload *reload)
{
    supervision_reloaded(reload->use.supervision);
    reload->is_under_way = false;
    if (reload->is_wanted_again)
        reload_start(reload);
}

static void fail(struct reload *reload)
{
    server_log_reload_failed(&reload->err);
    end(reload);
}

static void replace(struct reload *reload)
{
    atomic_store(&reload->pending, 1);
    expiry_read(reload->use.expiry, reload->tls[0]);
    for (size_t i = 0; i < reload->count; i++) {
        atomic_fetch_add(&reload->pending, 1);
        if (!worker_replace_tls(reload->use.workers[i], reload->tls[i]))
            atomic_fetch_sub(&reload->pending, 1);
        reload->tls[i] = NULL;
    }
    reload_worker_replaced(reload);
}

static void on_read(uv_async_t *async)
{
    struct reload *reload = async->data;

    (void)uv_thread_join(&reload->thread);
    reload->is_reading = false;
    if (reload->result == 0)
        replace(reload);
    else
        fail(reload);
}

static void on_replaced(uv_async_t *async)
{
    server_log_reloaded();
    end(async->data);
}

int reload_init(struct reload *reload, uv_loop_t *loop, const struct reload_use *use)
{
    reload->use = *use;
    reload->read.data = reload->replaced.data = reload;
    int result = uv_async_init(loop, &reload->read, on_read);
    return result == 0 ? uv_async_init(loop, &reload->replaced, on_replaced) : result;
}

void reload_start(struct reload *reload)
{
    reload->is_wanted_again = reload->is_under_way;
    if (reload->is_under_way)
        return;
    supervision_reloading(reload->use.supervision);
    if (!certificates_have_files(reload->use.config)) {
        server_log_reload_nothing(reload->use.config != NULL);
        supervision_reloaded(reload->use.supervision);
        return;
    }
    reload->is_under_way = true;
    reload->count = *reload->use.worker_count;
    reload->err = (struct err){0};
    int result = uv_thread_create(&reload->thread, read_files, reload);
    reload->is_reading = result == 0;
    if (result == 0)
        return;
    err_set_no_thread(&reload->err, -result);
    fail(reload);
}

void reload_worker_replaced(struct reload *reload)
{
    if (atomic_fetch_sub(&reload->pending, 1) == 1)
        uv_async_send(&reload->replaced);
}

bool reload_is_reading(const struct reload *reload)
{
    return reload->is_reading;
}
