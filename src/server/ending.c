#include "ending.h"

static enum err_reason reason_of(const struct ending *ending)
{
    const struct err *err = ending->conn->failure;
    return err != NULL ? err->reason : ERR_OK;
}

bool ending_is_silent(const struct ending *ending)
{
    enum err_reason reason = reason_of(ending);
    bool gone = reason == ERR_OK || reason == ERR_DIALOGUE_RESET || reason == ERR_DIALOGUE_EARLY_END;
    return ending->conn->bytes_in == 0 && gone && ending->session->end != SESSION_END_STOPPED;
}

static bool has_timed_out(enum session_end end, enum err_reason reason)
{
    return end == SESSION_END_IDLE || end == SESSION_END_NAME_TIMEOUT || reason == ERR_DIALOGUE_TIMEOUT ||
           reason == ERR_TLS_TIMEOUT || reason == ERR_TLS_SILENT_PEER;
}

/* Each one once: as silent, or by its reason, or by how its dialogue ended. */
static void measure(const struct ending *ending, struct measures *measures)
{
    enum err_reason reason = reason_of(ending);
    enum session_end end = (enum session_end)ending->session->end;

    if (ending->dialogue_ns > 0)
        measures_add_time(measures, MEASURE_DIALOGUE, ending->dialogue_ns);
    if (ending_is_silent(ending) && !has_timed_out(end, reason))
        measures_add(measures, MEASURE_SILENT, 1);
    else if (reason != ERR_OK)
        measures_add(measures, MEASURE_FAILURES + (size_t)reason, 1);
    else
        measures_add(measures, MEASURE_ENDS + (size_t)(end != SESSION_END_NONE ? end : SESSION_END_STOPPED),
                     1);
}

void ending_count_rejected(enum limits_result why, struct counters *counters, struct measures *measures)
{
    counters_add(&counters->rejected, 1);
    measures_add(measures, MEASURE_REJECTED + (size_t)why, 1);
    measures_add(measures, MEASURE_LATE_REJECTED, 1);
    counters_add(&counters->open, -1);
}

void ending_count_failed(enum err_reason reason, struct counters *counters, struct measures *measures)
{
    counters_add(&counters->failed, 1);
    measures_add(measures, MEASURE_FAILURES + (size_t)reason, 1);
    counters_add(&counters->open, -1);
}

void ending_count(const struct ending *ending, struct counters *counters, struct measures *measures)
{
    enum err_reason reason = reason_of(ending);
    enum session_end end = (enum session_end)ending->session->end;

    if (ending->is_displaced) {
        ending_count_rejected(LIMITS_HANDSHAKES, counters, measures);
        return;
    }
    measure(ending, measures);
    counters_add(&counters->open, -1);
    if (has_timed_out(end, reason))
        counters_add(&counters->timed_out, 1);
    else if (end == SESSION_END_TLS_CLIENT || end == SESSION_END_HTTP_CLIENT ||
             reason == ERR_TLS_PLAINTEXT_PEER)
        counters_add(&counters->unknown_protocol, 1);
    else if (reason == ERR_CONNECT_PROXY)
        counters_add(&counters->proxy_header, 1);
    else if (ending_is_silent(ending))
        counters_add(&counters->silent, 1);
    else if (reason != ERR_OK)
        counters_add(&counters->failed, 1);
}
