#include "exchange.h"

#include "record.h"
#include "tcpgreet/tls/tls.h"

struct dialogue *probe_exchange_init(struct probe_trial *trial)
{
    const struct probe_plan *plan = &trial->scope->plan;

    script_run_init(&trial->exchange, plan->script, plan->answer_timeout_ms);
    return &trial->exchange.dialogue;
}

bool probe_exchange_awaits_refusal(struct probe_trial *trial)
{
    enum { US_PER_MS = 1000 };

    if (!trial->exchange.may_be_refused || trial->conn.bytes_in > 0 || tls_session_has_ticket(trial->session))
        return false;
    if (!probe_brief_begin(&trial->brief, (int64_t)PROBE_LISTEN_MS * US_PER_MS))
        return false;
    trial->holds++;
    return true;
}

const struct err *probe_exchange_judge(struct probe_trial *trial, const struct err *met)
{
    struct probe_address *record = trial->record;

    if (trial->exchange.end == SCRIPT_END_DONE && trial->exchange.may_be_refused && met != NULL &&
        met->alert == 0)
        met = NULL; /* what the peer does now but refuse changes nothing */
    probe_record_first(record, met == NULL ? script_run_line(&trial->exchange) : err_received(met));
    if (met == NULL && trial->exchange.has_ended && trial->conn.bytes_in == 0)
        record->peer_is = PROBE_PEER_CLOSED;
    return met;
}
