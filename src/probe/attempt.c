#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "attempt.h"
#include "tcpgreet/net/stream_tcp.h"
#include "tcpgreet/net/tcp_facts.h"
#include "tcpgreet/tls/stream_tls.h"

#define PROBE_NAME_SAID "tcpgreet"

struct probe_address *probe_trial_record(const struct probe_trial *trial)
{
    struct probe_result *result = trial->round->result;
    if (result == NULL)
        return NULL;
    size_t first = trial->family == RACE_V4 ? result->answers[RACE_V6].count : 0;
    return &result->addresses[first + trial->index];
}

static void begin_at(struct probe_trial *trial, enum probe_phase phase, int64_t begin_ns)
{
    struct probe_address *record = probe_trial_record(trial);
    record->last = phase;
    record->spans[phase].begin_ns = begin_ns;
}

int64_t probe_trial_begin(struct probe_trial *trial, enum probe_phase phase)
{
    int64_t now_ns = probe_round_now_ns(trial->round);
    begin_at(trial, phase, now_ns);
    return now_ns;
}

int64_t probe_trial_end(struct probe_trial *trial)
{
    struct probe_address *record = probe_trial_record(trial);
    return record->spans[record->last].end_ns = probe_round_now_ns(trial->round);
}

void probe_trial_fail(struct probe_trial *trial, const struct err *err)
{
    struct probe_address *record = probe_trial_record(trial);
    if (record->spans[record->last].end_ns < 0)
        probe_trial_end(trial);
    record->err = *err;
    trial->stage = PROBE_STAGE_OVER;
}

static void note_local(struct probe_address *record, int fd)
{
    struct sockaddr_storage local;
    socklen_t length = sizeof local;

    if (getsockname(fd, (struct sockaddr *)&local, &length) == 0 &&
        endpoint_from_sockaddr(&record->local, (struct sockaddr *)&local, length) == 0)
        tcp_facts_interface(&record->local, record->interface, sizeof record->interface);
}

static void on_up(void *context)
{
    struct probe_trial *trial = context;
    struct err err = {0};

    if (trial->round->plan.tls != NULL)
        probe_trial_end(trial);
    if (trial->round->plan.until != PROBE_UNTIL_TLS) {
        probe_trial_begin(trial, PROBE_WELCOME);
        return;
    }
    trial->well = true;
    stream_shutdown(trial->conn.stream, &err); /* a polite end, which is not waited for */
    conn_abort(&trial->conn, NULL);
}

static void on_received(void *context, struct bytes bytes)
{
    struct probe_trial *trial = context;
    struct probe_address *record = probe_trial_record(trial);
    (void)bytes;
    if (record->last == PROBE_WELCOME && record->spans[PROBE_WELCOME].end_ns < 0)
        probe_trial_end(trial);
}

static void on_ready(void *context)
{
    struct probe_trial *trial = context;

    if (probe_trial_record(trial)->last == PROBE_WELCOME) {
        probe_trial_begin(trial, PROBE_NAME);
        conn_say(&trial->conn, BYTES_LITERAL(PROBE_NAME_SAID));
    } else {
        begin_at(trial, PROBE_CLOSE, probe_trial_end(trial));
        conn_say(&trial->conn, BYTES_LITERAL(GREETING_EXIT));
    }
}

static void on_closing(void *context)
{
    struct probe_trial *trial = context;
    struct probe_address *record = probe_trial_record(trial);
    const struct stream *stream = trial->conn.stream;

    if (!trial->well)
        probe_trial_end(trial);
    trial->bare = trial->conn.session.framing == SESSION_FRAMING_BARE;
    stream_tls_facts(stream, &record->tls);
    tcp_facts_read(stream_fd(stream), false, &record->tcp);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct probe_trial *trial = context;
    const struct probe_plan *plan = &trial->round->plan;

    trial->stage = PROBE_STAGE_OVER;
    if (probe_trial_record(trial) == NULL || (trial->well && plan->until == PROBE_UNTIL_TLS)) {
        /* nobody cares, or nothing more was asked for */
    } else if (result->err != NULL) {
        probe_trial_fail(trial, result->err);
    } else {
        trial->well = true;
        probe_resumption_start(trial);
    }
    probe_round_release(trial->round);
}

/* Takes: fd. Returns: the stream that the dialogue is held on; NULL with err. */
static struct stream *make_stream(struct probe_trial *trial, int fd, struct err *err)
{
    const struct probe_plan *plan = &trial->round->plan;
    struct stream *stream = stream_tcp_new(fd, err);

    if (stream == NULL || plan->tls == NULL)
        return stream;
    trial->session = tls_session_new(plan->tls, err); /* empty: the certificate is looked at anew */
    if (trial->session == NULL) {
        stream_free(stream);
        return NULL;
    }
    return tls_session_stream(trial->session, stream, plan->target->host, err);
}

static void start_dialogue(struct probe_trial *trial, int64_t connected_ns)
{
    static const struct conn_events events = {
        .up = on_up, .received = on_received, .ready = on_ready, .closing = on_closing, .done = on_done};
    struct probe_round *round = trial->round;
    struct conn_config config = {.shared = &round->shared,
                                 .policy = &round->policy,
                                 .events = &events,
                                 .context = trial,
                                 .role = CONN_CLIENT};
    struct err err = {0};

    begin_at(trial, round->plan.tls != NULL ? PROBE_TLS : PROBE_WELCOME, connected_ns);
    struct stream *stream = make_stream(trial, trial->fd, &err);
    round->shared.handshake_ms = probe_round_left_ms(round);
    trial->stage = PROBE_STAGE_DIALOGUE;
    if (stream == NULL || conn_start(&trial->conn, &config, stream, &err) < 0)
        probe_trial_fail(trial, &err);
    else
        probe_round_hold(round);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct probe_trial *trial = handle->data;
    probe_round_release(trial->round);
}

static void stop_connecting(struct probe_trial *trial, bool keep)
{
    uv_close((uv_handle_t *)&trial->poll, on_poll_closed);
    if (!keep)
        stream_tcp_close(trial->fd);
    trial->stage = PROBE_STAGE_OVER;
}

/* A SYN that is not wanted is answered with a refusal. A reset comes after the connection was up, whether it
 * is seen now or by the first read: it is told as that read would. */
static void fail_reset(struct probe_trial *trial, int64_t connected_ns)
{
    struct err err = {0};
    if (trial->round->plan.tls != NULL) {
        begin_at(trial, PROBE_TLS, connected_ns);
        err_set_facts(&err, ERR_TLS_PROTOCOL,
                      &(struct err_facts){.detail = ERR_DETAIL_TLS_CUT, .native = ECONNRESET},
                      "the peer closed the connection during the TLS handshake");
    } else {
        begin_at(trial, PROBE_WELCOME, connected_ns);
        err_set(&err, ERR_DIALOGUE_RESET, ECONNRESET, "the peer reset the connection");
    }
    probe_trial_fail(trial, &err);
}

static void on_outcome(uv_poll_t *poll, int status, int events)
{
    struct probe_trial *trial = poll->data;
    struct probe_address *record = probe_trial_record(trial);
    const struct probe_plan *plan = &trial->round->plan;
    struct err err = {0};
    (void)status;
    (void)events;

    int64_t now_ns = probe_trial_end(trial);
    int outcome = stream_tcp_outcome(trial->fd, &record->peer, 0, &err);
    tcp_facts_read(trial->fd, true, &record->tcp);
    bool is_last =
        plan->until == PROBE_UNTIL_CONNECT || (plan->until == PROBE_UNTIL_TLS && plan->tls == NULL);
    bool is_reset = err.reason == ERR_CONNECT_RESET;
    bool goes_on = outcome == 0 && !is_last;
    stop_connecting(trial, goes_on);
    if (goes_on)
        start_dialogue(trial, now_ns);
    else if (is_reset && !is_last)
        fail_reset(trial, now_ns);
    else if (outcome < 0 && !is_reset)
        probe_trial_fail(trial, &err);
}

static int watch(struct probe_trial *trial, struct err *err)
{
    int result = uv_poll_init(trial->round->loop, &trial->poll, trial->fd);
    if (result != 0) {
        stream_tcp_close(trial->fd);
        return err_set(err, ERR_INTERNAL, 0, "cannot watch a connection: %s", uv_strerror(result));
    }
    trial->poll.data = trial;
    trial->stage = PROBE_STAGE_CONNECTING;
    probe_round_hold(trial->round);
    uv_poll_start(&trial->poll, UV_WRITABLE, on_outcome);
    return 0;
}

void probe_trial_start(struct probe_trial *trial)
{
    struct probe_address *record = probe_trial_record(trial);
    struct err err = {0};

    probe_trial_begin(trial, PROBE_CONNECT);
    trial->peer = record->peer;
    trial->fd = stream_tcp_connect(&trial->peer, probe_round_source(trial->round), &record->reach, &err);
    if (trial->fd >= 0) {
        note_local(record, trial->fd);
        if (probe_round_source(trial->round) == NULL)
            record->reach = reach_of_source(&record->peer, &record->local);
    }
    if (trial->fd < 0 || watch(trial, &err) < 0)
        probe_trial_fail(trial, &err);
}

void probe_trial_expire(struct probe_trial *trial)
{
    if (trial->stage != PROBE_STAGE_CONNECTING)
        return;
    struct probe_address *record = probe_trial_record(trial);
    double limit_s = (double)trial->round->plan.connect_timeout_ms / 1000;
    struct err err = {0};

    if (!tcp_facts_read(trial->fd, true, &record->tcp))
        err_set(&err, ERR_CONNECT_TIMEOUT, 0, "no answer within %g s", limit_s);
    else if (record->tcp.syn_retransmits == 0)
        err_set(&err, ERR_CONNECT_TIMEOUT, 0, "no answer within %g s, the SYN was sent once", limit_s);
    else
        err_set(&err, ERR_CONNECT_TIMEOUT, 0, "no answer within %g s, the SYN was sent %u times", limit_s,
                record->tcp.syn_retransmits + 1);
    stop_connecting(trial, false);
    probe_trial_fail(trial, &err);
}

/* Returns: whether something that was asked for is cut short. */
static bool close_stage(struct probe_trial *trial)
{
    bool is_cut = false;

    switch (trial->stage) {
    case PROBE_STAGE_CONNECTING:
        tcp_facts_read(trial->fd, true, &probe_trial_record(trial)->tcp);
        stop_connecting(trial, false);
        is_cut = true;
        break;
    case PROBE_STAGE_DIALOGUE:
        conn_abort(&trial->conn, NULL);
        is_cut = !trial->well;
        break;
    case PROBE_STAGE_RESUMPTION:
        conn_abort(&trial->conn, NULL);
        is_cut = trial->round->plan.volume_bytes > 0;
        if (is_cut)
            probe_trial_begin(trial, PROBE_VOLUME);
        break;
    case PROBE_STAGE_TRANSFER:
        probe_transfer_cancel(trial);
        is_cut = true;
        break;
    case PROBE_STAGE_OVER:
        break;
    }
    trial->stage = PROBE_STAGE_OVER;
    return is_cut;
}

void probe_trial_fini(struct probe_trial *trial)
{
    tls_session_free(trial->session);
    trial->session = NULL;
}

/* Returns: what a handshake that goes on would end with, had its own time been over; ERR_OK: there is none.
 */
static enum err_reason awaited(const struct probe_trial *trial)
{
    struct err err = {0};

    if (trial->stage == PROBE_STAGE_DIALOGUE && probe_trial_record(trial)->last == PROBE_TLS &&
        trial->conn.stream != NULL)
        stream_waiting(trial->conn.stream, &err);
    return err.reason;
}

void probe_trial_cancel(struct probe_trial *trial)
{
    struct err err = {0};
    enum err_reason reason = awaited(trial);

    if (close_stage(trial)) {
        err_set_facts(&err, ERR_INTERRUPTED, &(struct err_facts){.awaited = reason},
                      "interrupted before it was done");
        probe_trial_fail(trial, &err);
    }
    probe_trial_fini(trial);
}
