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

/* How the peer ended a connection on which it has sent nothing. Shape: met NULL: in an orderly way, if it
 * did. */
static enum probe_peer end_of_peer(const struct probe_trial *trial, const struct err *met)
{
    if (trial->conn.bytes_in > 0 || (met != NULL && met->reason == ERR_DIALOGUE_TIMEOUT))
        return PROBE_PEER_UNKNOWN;
    if (met != NULL && met->reason == ERR_DIALOGUE_RESET)
        return PROBE_PEER_RESET;
    return met != NULL || trial->exchange.has_ended ? PROBE_PEER_CLOSED : PROBE_PEER_UNKNOWN;
}

const struct err *probe_exchange_judge(struct probe_trial *trial, const struct err *met)
{
    struct probe_address *record = trial->record;
    bool is_done = trial->exchange.end == SCRIPT_END_DONE && trial->exchange.may_be_refused;
    const struct err *failure = is_done && met != NULL && met->alert == 0 ? NULL : met;

    /* After a last --send what the peer does, but refuse, changes nothing. */
    probe_record_first(record, failure == NULL ? script_run_line(&trial->exchange) : err_received(failure));
    if (failure == NULL)
        record->peer_is = end_of_peer(trial, met);
    return failure;
}
