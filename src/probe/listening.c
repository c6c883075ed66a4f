#include "listening.h"

#include "record.h"

bool probe_only_listens(const struct probe_plan *plan)
{
    return plan->until < PROBE_UNTIL_DIALOGUE;
}

bool probe_is_alert_awaited(const struct probe_plan *plan, const struct probe_address *record)
{
    return plan->expect_alert > 0 || record->is_certificate_requested;
}

int64_t probe_listen_us(const struct probe_plan *plan, struct probe_pace pace, bool is_alert_awaited)
{
    /* A port that closes at once does so as fast as its host can, to which its answer to the ClientHello is
     * at least four times the work. */
    enum { US_PER_MS = 1000, CLOSE_US = 200 * US_PER_MS, CLOSE_AFTER_TLS_US = 250 };
    const int64_t most_us = (int64_t)PROBE_LISTEN_MS * US_PER_MS;
    int64_t limit_us = 2 * (int64_t)pace.rtt_us;

    if (plan->until == PROBE_UNTIL_DIALOGUE || plan->until == PROBE_UNTIL_EXCHANGE)
        return 0;
    if (plan->until == PROBE_UNTIL_AUTO || is_alert_awaited)
        return most_us;
    if (plan->until == PROBE_UNTIL_CONNECT)
        limit_us += CLOSE_US;
    else
        limit_us = pace.answered_us / 4 > limit_us + CLOSE_AFTER_TLS_US ? pace.answered_us / 4
                                                                        : limit_us + CLOSE_AFTER_TLS_US;
    return limit_us < most_us ? limit_us : most_us;
}

static bool is_of_dialogue(enum err_reason reason)
{
    return err_exit_code(reason) == err_exit_code(ERR_DIALOGUE_RESET);
}

enum probe_peer probe_peer_of(const struct probe_plan *plan, const struct probe_address *record,
                              const struct err *met)
{
    if (met == NULL || !is_of_dialogue(met->reason))
        return record->peer_is;
    bool is_other = met->reason == ERR_DIALOGUE_WRONG_ANSWER || met->reason == ERR_DIALOGUE_TLS_PEER;
    if (probe_address_greets(record))
        return PROBE_PEER_GREETS;
    if (record->first_count > 0)
        return is_other || probe_only_listens(plan) ? PROBE_PEER_OTHER : PROBE_PEER_UNKNOWN;
    if (met->reason == ERR_DIALOGUE_TIMEOUT)
        return PROBE_PEER_SILENT;
    return met->reason == ERR_DIALOGUE_RESET ? PROBE_PEER_RESET : PROBE_PEER_CLOSED;
}

int probe_judge_peer(const struct probe_plan *plan, const struct probe_address *record, struct err *err)
{
    switch (record->peer_is) {
    case PROBE_PEER_UNKNOWN:
        return -1;
    case PROBE_PEER_GREETS:
        return probe_only_listens(plan) ? 0 : -1;
    case PROBE_PEER_OTHER:
    case PROBE_PEER_SILENT:
        return 0;
    case PROBE_PEER_CLOSED:
        if (probe_only_listens(plan))
            return 0;
        return err_set(err, ERR_DIALOGUE_EARLY_END, 0,
                       "the peer closed the connection without sending anything");
    case PROBE_PEER_RESET:
        return probe_only_listens(plan) ? 0 : -1;
    }
    return -1;
}

int probe_judge_alert(const struct probe_plan *plan, bool is_up, const struct err *met, struct err *err)
{
    const char *expected = tls_alert_name(plan->expect_alert);
    const char *name = met != NULL ? tls_alert_name(met->alert) : NULL;

    if (met != NULL && met->alert == plan->expect_alert)
        return 0;
    if (met != NULL && met->alert != 0)
        return err_set_facts(err, ERR_TLS_ALERT, &(struct err_facts){.alert = met->alert},
                             "the peer sent the TLS alert %s, not %s",
                             name != NULL ? name : "of another number", expected);
    if (is_up)
        return err_set(err, ERR_TLS_NO_ALERT, 0,
                       "the peer did not refuse: it sent no TLS alert, %s was expected", expected);
    return -1;
}

int probe_judge(const struct probe_plan *plan, struct probe_address *record, bool is_up,
                const struct err *met, struct err *err)
{
    bool is_first = is_up && record->last <= PROBE_WELCOME;

    if (is_first && plan->until != PROBE_UNTIL_DIALOGUE)
        record->peer_is = probe_peer_of(plan, record, met);
    if (plan->expect_alert > 0)
        return probe_judge_alert(plan, is_up, met, err);
    return is_first ? probe_judge_peer(plan, record, err) : -1;
}

bool probe_has_listened(const struct probe_plan *plan, struct probe_address *record, int64_t now_ns)
{
    enum { NS_PER_US = 1000 };
    const struct probe_plan connect = {.until = PROBE_UNTIL_CONNECT};
    int64_t least_us = probe_listen_us(&connect, (struct probe_pace){.rtt_us = record->tcp.rtt_us}, false);

    if (probe_is_alert_awaited(plan, record))
        return false;
    if (probe_only_listens(plan))
        return true;
    if (plan->until != PROBE_UNTIL_AUTO || record->last != PROBE_WELCOME || record->first_count > 0 ||
        now_ns - record->spans[PROBE_WELCOME].begin_ns < least_us * NS_PER_US)
        return false;
    record->peer_is = PROBE_PEER_SILENT;
    probe_record_listened(record, -1, now_ns);
    return true;
}
