#include "brief.h"

static void on_due(void *context)
{
    struct probe_brief *brief = context;
    struct err err = {0};

    if (brief->is_due) {
        err_set(&err, ERR_DIALOGUE_TIMEOUT, 0, "the peer sent nothing");
        conn_abort(brief->conn, &err);
        return;
    }
    brief->is_due = true; /* what has come in the same turn of the loop is read first */
    alarm_set(&brief->alarm, uv_hrtime());
}

bool probe_brief_begin(struct probe_brief *brief, int64_t us)
{
    enum { NS_PER_US = 1000 };

    if (alarm_open(&brief->alarm, brief->conn->shared->loop, on_due, brief) < 0)
        return false;
    alarm_set(&brief->alarm, uv_hrtime() + (uint64_t)us * NS_PER_US);
    return true;
}

void probe_brief_hasten(void *context)
{
    struct probe_brief *brief = context;

    if (alarm_is_open(&brief->alarm))
        alarm_set(&brief->alarm, uv_hrtime());
}

static void on_closed(void *context)
{
    struct probe_brief *brief = context;
    brief->closed(brief->context);
}

void probe_brief_end(struct probe_brief *brief)
{
    if (alarm_is_open(&brief->alarm))
        alarm_close(&brief->alarm, on_closed);
}
