#include "attempt.h"
#include "tcpgreet/net/stream_tcp.h"
#include "tcpgreet/tls/stream_tls.h"

static void on_up(void *context)
{
    struct probe_trial *trial = context;
    struct err err = {0};
    bool is_taken = stream_tls_resumed(trial->conn.stream);

    probe_trial_record(trial)->resumption = is_taken ? PROBE_RESUMPTION_TAKEN : PROBE_RESUMPTION_REFUSED;
    stream_shutdown(trial->conn.stream, &err); /* a polite end, which is not waited for */
    conn_abort(&trial->conn, NULL);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct probe_trial *trial = context;
    struct probe_address *record = probe_trial_record(trial);
    (void)result;

    trial->stage = PROBE_STAGE_OVER;
    if (record != NULL) {
        if (record->resumption == PROBE_RESUMPTION_UNTRIED)
            record->resumption = PROBE_RESUMPTION_FAILED;
        probe_transfer_start(trial);
    }
    probe_round_release(trial->round);
}

/* Returns: 0, or -1 where it has failed already. */
static int connect_again(struct probe_trial *trial)
{
    static const struct conn_events events = {.up = on_up, .done = on_done};
    struct probe_round *round = trial->round;
    struct conn_config config = {.shared = &round->shared,
                                 .policy = &round->policy,
                                 .events = &events,
                                 .context = trial,
                                 .role = CONN_CLIENT};
    struct err err = {0};

    int fd = stream_tcp_connect(&trial->peer, probe_round_source(round), NULL, &err);
    struct stream *stream = fd >= 0 ? stream_tcp_new_connecting(fd, &trial->peer, &err) : NULL;
    if (stream != NULL)
        stream = tls_session_stream(trial->session, stream, round->plan.target->host, &err);
    round->shared.handshake_ms =
        round->plan.connect_timeout_ms; /* its own: the round's is not the verdict's */
    if (stream == NULL || conn_start(&trial->conn, &config, stream, &err) < 0)
        return -1;
    trial->stage = PROBE_STAGE_RESUMPTION;
    probe_round_hold(round);
    return 0;
}

void probe_resumption_start(struct probe_trial *trial)
{
    struct probe_address *record = probe_trial_record(trial);

    if (trial->session != NULL && tls_session_has_ticket(trial->session)) {
        if (connect_again(trial) == 0)
            return;
        record->resumption = PROBE_RESUMPTION_FAILED;
    } else if (trial->session != NULL) {
        record->resumption = PROBE_RESUMPTION_NO_TICKET;
    }
    probe_transfer_start(trial);
}
