#include "attempt.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "exchange.h"
#include "handshake.h"
#include "listening.h"
#include "record.h"
#include "tcpgreet/net/stream_tcp.h"
#include "tcpgreet/net/tcp_facts.h"
#include "tcpgreet/tls/stream_tls.h"

enum { NS_PER_US = 1000, US_PER_MS = 1000 };

#define PROBE_NAME_TEXT "tcpgreet" /* the name that is sent */

static void release(void *context)
{
    struct probe_trial *trial = context;
    if (--trial->holds == 0)
        trial->done(trial->context);
}

static void begin_at(struct probe_trial *trial, enum probe_phase phase, int64_t begin_ns)
{
    trial->record->last = phase;
    trial->record->spans[phase].begin_ns = begin_ns;
}

static void begin(struct probe_trial *trial, enum probe_phase phase)
{
    begin_at(trial, phase, probe_scope_now_ns(trial->scope));
}

/* The last phase begun ends. Returns: when, ns. */
static int64_t end(struct probe_trial *trial)
{
    struct probe_address *record = trial->record;
    return record->spans[record->last].end_ns = probe_scope_now_ns(trial->scope);
}

/* The last phase begun has failed: that is the end of the trial. */
static void fail(struct probe_trial *trial, const struct err *err)
{
    struct probe_address *record = trial->record;
    if (record->spans[record->last].end_ns < 0)
        end(trial);
    record->err = *err;
    probe_record_interface(record, trial->scope->plan.interfaces);
    trial->stage = PROBE_STAGE_OVER;
}

static bool only_listens(const struct probe_trial *trial)
{
    return probe_only_listens(&trial->scope->plan);
}

/* Returns: the phase behind TCP and TLS. */
static enum probe_phase last_part(const struct probe_trial *trial)
{
    return trial->scope->plan.until == PROBE_UNTIL_EXCHANGE ? PROBE_EXCHANGE : PROBE_WELCOME;
}

static void on_up(void *context)
{
    struct probe_trial *trial = context;

    trial->up = true;
    trial->record->is_certificate_requested =
        stream_tls_is_certificate_requested(trial->conn.stream) && stream_tls_is_1_3(trial->conn.stream);
    trial->exchange.may_be_refused = trial->record->is_certificate_requested;
    probe_handshake_follow(trial->scope, trial->record, trial->conn.stream);
    struct probe_pace pace = {.rtt_us = trial->record->tcp.rtt_us,
                              .answered_us =
                                  (int64_t)(stream_tls_answered_ns(trial->conn.stream) / NS_PER_US)};
    int64_t listen_us = probe_listen_us(&trial->scope->plan, pace,
                                        probe_is_alert_awaited(&trial->scope->plan, trial->record));
    trial->policy.listen_ms = (listen_us + US_PER_MS - 1) / US_PER_MS;
    if (only_listens(trial))
        trial->policy.answer_ms = trial->policy.listen_ms;
    trial->brief = (struct probe_brief){.conn = &trial->conn, .closed = release, .context = trial};
    if (only_listens(trial) && (listen_us < US_PER_MS || trial->record->is_certificate_requested) &&
        probe_brief_begin(&trial->brief, listen_us))
        trial->holds++;
    if (trial->record->is_certificate_requested && trial->scope->plan.expect_alert == 0)
        tls_session_await_ticket(trial->session, probe_brief_hasten, &trial->brief); /* it has accepted us */
    uv_update_time(probe_scope_loop(trial->scope)); /* the handshake's work is no part of that */
    if (trial->record->last == PROBE_TLS)
        end(trial);
    if (!only_listens(trial))
        begin(trial, last_part(trial));
}

static void on_received(void *context, struct bytes bytes)
{
    struct probe_trial *trial = context;
    struct probe_address *record = trial->record;

    if (record->last == PROBE_EXCHANGE)
        record->spans[PROBE_EXCHANGE].end_ns = probe_scope_now_ns(trial->scope);
    if (record->last == PROBE_EXCHANGE && trial->exchange.end == SCRIPT_END_DONE)
        conn_abort(&trial->conn, NULL); /* it does not refuse */
    if (record->last > PROBE_WELCOME)
        return;
    probe_record_first(record, bytes);
    if (record->last == PROBE_WELCOME && record->spans[PROBE_WELCOME].end_ns < 0)
        trial->first_ns = end(trial);
}

static void send_name(struct probe_trial *trial, struct bytes name)
{
    session_send(&trial->greeting, name, conn_now_ms(&trial->conn));
    conn_resume(&trial->conn);
}

static void on_ready(void *context)
{
    struct probe_trial *trial = context;

    if (trial->record->last == PROBE_EXCHANGE) {
        if (!probe_exchange_awaits_refusal(trial))
            conn_abort(&trial->conn, NULL);
        return;
    }
    trial->record->peer_is = PROBE_PEER_GREETS;
    if (only_listens(trial)) {
        conn_abort(&trial->conn, NULL);
    } else if (trial->record->last == PROBE_WELCOME) {
        begin(trial, PROBE_NAME);
        send_name(trial, BYTES_LITERAL(PROBE_NAME_TEXT));
    } else {
        begin_at(trial, PROBE_CLOSE, end(trial));
        send_name(trial, BYTES_LITERAL(GREETING_EXIT));
    }
}

static void on_closing(void *context)
{
    struct probe_trial *trial = context;
    struct probe_address *record = trial->record;
    struct stream *stream = trial->conn.stream;
    struct err ignored = {0};

    probe_brief_end(&trial->brief);
    if (record->is_certificate_requested)
        tls_session_await_ticket(trial->session, NULL, NULL);
    probe_handshake_follow(trial->scope, record, stream);
    if ((!only_listens(trial) && record->last != PROBE_EXCHANGE) || record->spans[record->last].end_ns < 0)
        end(trial);
    if (trial->up && (trial->policy.listen_ms > 0 || record->last == PROBE_EXCHANGE))
        stream_shutdown(stream, &ignored); /* an orderly close, which is not waited for */
    trial->bare = trial->greeting.framing == SESSION_FRAMING_BARE;
    stream_tls_facts(stream, &record->tls);
    tcp_facts_read(stream_fd(stream), false, &record->tcp);
}

static void on_transfer_done(void *context, const struct err *err)
{
    struct probe_trial *trial = context;

    trial->stage = PROBE_STAGE_OVER;
    if (trial->record != NULL) {
        trial->record->volume = trial->transfer.outcome;
        end(trial);
        if (err != NULL)
            fail(trial, err);
    }
    release(trial);
}

/* Returns: 0, or -1 with err. */
static int connect_for_transfer(struct probe_trial *trial, struct err *err)
{
    if (trial->bare)
        return err_set(err, ERR_DIALOGUE_WRONG_ANSWER, 0,
                       "this server takes names without a newline: --volume needs one that takes lines");
    trial->transfer.done = on_transfer_done;
    trial->transfer.context = trial;
    return probe_transfer_start(&trial->transfer, trial->scope, &trial->peer, trial->session, err);
}

/* The transfer of --volume, if it was asked for. */
static void start_transfer(struct probe_trial *trial)
{
    struct err err = {0};

    if (trial->scope->plan.volume_bytes == 0)
        return;
    begin(trial, PROBE_VOLUME);
    if (connect_for_transfer(trial, &err) < 0) {
        fail(trial, &err);
        return;
    }
    trial->stage = PROBE_STAGE_TRANSFER;
    trial->holds++;
}

static void on_resumption_done(void *context, enum probe_resumption outcome)
{
    struct probe_trial *trial = context;

    trial->stage = PROBE_STAGE_OVER;
    if (trial->record != NULL) {
        trial->record->resumption = outcome;
        start_transfer(trial);
    }
    release(trial);
}

/* After a good dialogue: connects again with its ticket, if there is one, then begins the transfer. */
static void start_resumption(struct probe_trial *trial)
{
    trial->resumption.done = on_resumption_done;
    trial->resumption.context = trial;
    if (probe_resumption_start(&trial->resumption, trial->scope, &trial->peer, trial->session)) {
        trial->stage = PROBE_STAGE_RESUMPTION;
        trial->holds++;
        return;
    }
    trial->record->resumption = trial->resumption.outcome;
    start_transfer(trial);
}

/* Shape: met: what ended the session, as the session sees it; NULL: it was closed on the welcome. */
static void judge(struct probe_trial *trial, const struct err *met)
{
    const struct probe_plan *plan = &trial->scope->plan;
    struct err err = {0};

    if (probe_judge(plan, trial->record, trial->up, met, &err) == 0) {
        trial->ok = true;
        probe_record_listened(trial->record, trial->first_ns, probe_scope_now_ns(trial->scope));
        trial->record->alert = plan->expect_alert;
    } else if (err.reason != ERR_OK) {
        fail(trial, &err);
    } else if (met != NULL) {
        fail(trial, met);
    }
}

static void on_checked(void *context, enum tls_check_result result)
{
    struct probe_trial *trial = context;
    struct err failure = trial->record->err;

    trial->stage = PROBE_STAGE_OVER;
    trial->check = NULL;
    err_clear(&trial->record->err);
    tls_check_judge(result, &failure, &trial->record->err);
    release(trial);
}

/* A plain probe that was not answered by a byte may have met a TLS server: only TLS in answer to a
 * ClientHello on a second connection proves that. */
static void check_tls(struct probe_trial *trial)
{
    const struct probe_plan *plan = &trial->scope->plan;
    struct probe_address *record = trial->record;
    struct tls_check_config config = {.peer = &trial->peer,
                                      .host = plan->target->host,
                                      .source = plan->source,
                                      .proxy = probe_scope_proxy(trial->scope),
                                      .send_proxy = plan->send_proxy,
                                      .timeout_ms = PROBE_LISTEN_MS};

    if (plan->tls != NULL || plan->until != PROBE_UNTIL_DIALOGUE || record->last != PROBE_WELCOME ||
        record->first_count > 0 || record->err.detail == ERR_DETAIL_SERVER_FULL ||
        record->err.reason == ERR_DIALOGUE_RESET)
        return;
    trial->check = tls_check_start(probe_scope_loop(trial->scope), &config, on_checked, trial);
    if (trial->check == NULL)
        return;
    trial->stage = PROBE_STAGE_CHECK;
    trial->holds++;
}

static void judge_exchange(struct probe_trial *trial, const struct err *met)
{
    const struct err *failure = probe_exchange_judge(trial, met);

    trial->ok = failure == NULL;
    if (failure != NULL)
        fail(trial, failure);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct probe_trial *trial = context;

    trial->stage = PROBE_STAGE_OVER;
    if (trial->record == NULL) {
        /* it is cancelled */
    } else if (trial->scope->plan.until == PROBE_UNTIL_EXCHANGE) {
        judge_exchange(trial, result->err);
    } else if (result->err != NULL || only_listens(trial)) {
        judge(trial, result->err);
        check_tls(trial);
    } else {
        trial->ok = true;
        start_resumption(trial);
    }
    release(trial);
}

/* Makes the dialogue that is demanded. */
static struct dialogue *dialogue_of(struct probe_trial *trial)
{
    const struct probe_scope *scope = trial->scope;

    trial->policy = scope->policy;
    session_init_client(&trial->greeting, &trial->policy);
    return scope->plan.until == PROBE_UNTIL_EXCHANGE ? probe_exchange_init(trial) : &trial->greeting.dialogue;
}

static void start_dialogue(struct probe_trial *trial, int64_t connected_ns)
{
    static const struct conn_events events = {
        .up = on_up, .received = on_received, .ready = on_ready, .closing = on_closing, .done = on_done};
    struct probe_scope *scope = trial->scope;
    struct conn_config config = {.shared = scope->plan.shared,
                                 .dialogue = dialogue_of(trial),
                                 .events = &events,
                                 .context = trial,
                                 .handshake_ms = probe_scope_left_ms(scope)};
    struct err err = {0};

    probe_address_end_connect(trial->record);
    if (!probe_handshake_begin(scope, trial->record, connected_ns) && !only_listens(trial))
        begin_at(trial, last_part(trial), connected_ns);
    struct stream *stream = probe_scope_stream(scope, trial->fd, &trial->session, &err);
    trial->stage = PROBE_STAGE_DIALOGUE;
    if (stream == NULL || conn_start(&trial->conn, &config, stream, &err) < 0)
        fail(trial, &err);
    else
        trial->holds++;
}

static void on_poll_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void stop_connecting(struct probe_trial *trial, bool keep)
{
    uv_close((uv_handle_t *)&trial->poll, on_poll_closed);
    if (!keep)
        stream_tcp_close(trial->fd);
    trial->stage = PROBE_STAGE_OVER;
}

static void judge_reset(struct probe_trial *trial, int64_t connected_ns)
{
    struct err err = {0};

    if (probe_handshake_begin(trial->scope, trial->record, connected_ns)) {
        probe_handshake_reset(trial->scope, &err);
    } else if (only_listens(trial)) {
        trial->record->peer_is = PROBE_PEER_RESET;
        return;
    } else {
        begin_at(trial, last_part(trial), connected_ns);
        err_set(&err, ERR_DIALOGUE_RESET, ECONNRESET, "the peer reset the connection");
    }
    fail(trial, &err);
}

static void on_outcome(uv_poll_t *poll, int status, int events)
{
    struct probe_trial *trial = poll->data;
    struct probe_address *record = trial->record;
    struct err err = {0};
    (void)status;
    (void)events;

    int64_t now_ns = end(trial);
    int outcome = stream_tcp_outcome(trial->fd, &record->peer, 0, &err);
    tcp_facts_read(trial->fd, true, &record->tcp);
    stop_connecting(trial, outcome == 0);
    if (outcome == 0)
        start_dialogue(trial, now_ns);
    else if (err.reason == ERR_CONNECT_RESET)
        judge_reset(trial, now_ns);
    else
        fail(trial, &err);
    probe_record_interface(record, trial->scope->plan.interfaces); /* while the peer works */
}

static int watch(struct probe_trial *trial, struct err *err)
{
    int code = uv_poll_init(probe_scope_loop(trial->scope), &trial->poll, trial->fd);
    if (code != 0) {
        stream_tcp_close(trial->fd);
    } else {
        trial->poll.data = trial;
        trial->stage = PROBE_STAGE_CONNECTING;
        trial->holds++;
        code = uv_poll_start(&trial->poll, UV_WRITABLE, on_outcome);
        if (code != 0)
            stop_connecting(trial, false);
    }
    return code == 0 ? 0 : err_set(err, ERR_INTERNAL, 0, "cannot watch a connection: %s", uv_strerror(code));
}

void probe_trial_start(struct probe_trial *trial)
{
    struct probe_address *record = trial->record;
    struct err err = {0};

    trial->holds++;
    begin(trial, PROBE_CONNECT);
    trial->peer = record->peer;
    trial->fd = stream_tcp_connect(&trial->peer, probe_scope_source(trial->scope), &record->reach, &err);
    if (trial->fd >= 0) {
        record->local = stream_tcp_local(trial->fd);
        if (probe_scope_source(trial->scope) == NULL)
            record->reach = reach_of_source(&record->peer, &record->local);
    }
    if (trial->fd < 0 || watch(trial, &err) < 0)
        fail(trial, &err);
    release(trial);
}

void probe_trial_expire(struct probe_trial *trial)
{
    if (trial->stage != PROBE_STAGE_CONNECTING)
        return;
    struct probe_address *record = trial->record;
    struct err err = {0};

    probe_record_timeout(record, trial->fd, trial->scope->plan.connect_timeout_ms, &err);
    stop_connecting(trial, false);
    fail(trial, &err);
}

/* Returns: whether something that was asked for is cut short. */
static bool close_stage(struct probe_trial *trial)
{
    bool is_cut = false;

    switch (trial->stage) {
    case PROBE_STAGE_CONNECTING:
        tcp_facts_read(trial->fd, true, &trial->record->tcp);
        stop_connecting(trial, false);
        is_cut = true;
        break;
    case PROBE_STAGE_DIALOGUE:
        conn_abort(&trial->conn, NULL);
        is_cut = !trial->ok && !(trial->up && probe_has_listened(&trial->scope->plan, trial->record,
                                                                 probe_scope_now_ns(trial->scope)));
        break;
    case PROBE_STAGE_CHECK: /* the failure stands */
        tls_check_cancel(trial->check);
        trial->check = NULL;
        release(trial);
        break;
    case PROBE_STAGE_RESUMPTION:
        probe_resumption_cancel(&trial->resumption);
        trial->record->resumption = trial->resumption.outcome;
        is_cut = trial->scope->plan.volume_bytes > 0;
        if (is_cut)
            begin(trial, PROBE_VOLUME);
        break;
    case PROBE_STAGE_TRANSFER:
        probe_transfer_cancel(&trial->transfer);
        trial->record->volume = trial->transfer.outcome;
        end(trial);
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

void probe_trial_cancel(struct probe_trial *trial)
{
    bool is_begun = trial->stage == PROBE_STAGE_DIALOGUE && trial->conn.stream != NULL;
    struct probe_address *record = trial->record;
    struct err err = {0}, met = {0};

    if (is_begun)
        probe_handshake_follow(trial->scope, record, trial->conn.stream);
    if (is_begun && !trial->up && record->last > PROBE_CONNECT && record->last <= PROBE_TLS)
        stream_handshake_expire(trial->conn.stream, &met);
    probe_record_interrupted(record, &met, is_begun ? buf_bytes(&trial->conn.in) : (struct bytes){0}, &err);
    if (close_stage(trial))
        fail(trial, &err);
    probe_trial_fini(trial);
    trial->record = NULL;
}
