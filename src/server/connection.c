#include "worker_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "tcpgreet/base/log.h"
#include "tcpgreet/base/trace.h"
#include "tcpgreet/net/stream_tcp.h"
#include "tcpgreet/tls/stream_tls.h"

static struct worker *worker_of(const struct guest *guest)
{
    return (struct worker *)((char *)guest->conn.shared - offsetof(struct worker, shared));
}

static int64_t now_ms(const struct worker *worker)
{
    return (int64_t)uv_now(&worker->loop);
}

static void announce(struct guest *guest)
{
    char peer[ENDPOINT_TEXT_BYTES];
    if (guest->announced)
        return;
    guest->announced = true;
    if (log_enabled(LOG_INFO))
        log_write(LOG_INFO, "Accept new connection from %s", endpoint_format(&guest->peer, peer));
}

static void on_noticed(void *context)
{
    struct guest *guest = context;
    if (!guest->refused)
        announce(guest);
}

static void on_up(void *context)
{
    struct guest *guest = context;
    if (worker_of(guest)->tls == NULL)
        return;
    worker_tally(&worker_of(guest)->counters.handshakes, 1);
    worker_tally(&worker_of(guest)->counters.resumed,
                 stream_tls_resumed(stream_misbehave_below(guest->conn.stream)));
}

/* A peer that went away without saying anything: a scanner, a balancer's check. */
static bool was_silent(const struct conn_result *result)
{
    bool gone = result->err == NULL || result->err->reason == ERR_DIALOGUE_RESET ||
                result->err->reason == ERR_DIALOGUE_EARLY_END;
    return !result->heard && gone && result->end != SESSION_END_STOPPED;
}

static void format_duration(int64_t ms, char *text, size_t room)
{
    if (ms < 1000)
        snprintf(text, room, "%d ms", (int)ms);
    else
        snprintf(text, room, "%.1f s", (double)ms / 1000);
}

static void tell_closed(const struct guest *guest, const struct conn_result *result)
{
    char peer[ENDPOINT_TEXT_BYTES], time[32];
    bool unseen = was_silent(result) && !guest->announced && !guest->refused;
    enum log_level level = unseen ? LOG_DEBUG : LOG_INFO;
    const char *reason = result->err != NULL ? result->err->text : session_end_text(result->end);

    if (!log_enabled(level))
        return;
    format_duration(now_ms(worker_of(guest)) - guest->since_ms, time, sizeof time);
    log_write(level, "Connection from %s is closed: %s, %u name%s, %s", endpoint_format(&guest->peer, peer),
              reason, result->names, result->names == 1 ? "" : "s", time);
}

static void count_end(struct counters *counters, const struct conn_result *result)
{
    enum err_reason reason = result->err != NULL ? result->err->reason : ERR_OK;
    bool timed_out = result->end == SESSION_END_IDLE || result->end == SESSION_END_NAME_TIMEOUT ||
                     reason == ERR_DIALOGUE_TIMEOUT || reason == ERR_TLS_TIMEOUT ||
                     reason == ERR_TLS_SILENT_PEER;
    bool stranger = result->end == SESSION_END_TLS_CLIENT || result->end == SESSION_END_HTTP_CLIENT ||
                    reason == ERR_TLS_PLAINTEXT_PEER;

    worker_tally(&counters->open, -1);
    if (timed_out)
        worker_tally(&counters->timed_out, 1);
    else if (stranger)
        worker_tally(&counters->strangers, 1);
    else if (was_silent(result))
        worker_tally(&counters->silent, 1);
    else if (result->err != NULL)
        worker_tally(&counters->failed, 1);
}

/* Counted before the welcome is said, so that two workers never give the last place twice. */
static bool reserve_place(struct worker *worker)
{
    if (atomic_fetch_add(worker->config.guests, 1) < worker->config.max_connections)
        return true;
    atomic_fetch_sub(worker->config.guests, 1);
    return false;
}

static void give_back_place(struct worker *worker)
{
    atomic_fetch_sub(worker->config.guests, 1);
}

static void on_done(void *context, const struct conn_result *result)
{
    struct guest *guest = context;
    struct worker *worker = worker_of(guest);

    tell_closed(guest, result);
    if (guest->refused) {
        worker->refusal_count--;
    } else {
        give_back_place(worker);
        count_end(&worker->counters, result);
    }
    if (guest->previous != NULL)
        guest->previous->next = guest->next;
    else
        worker->guests = guest->next;
    if (guest->next != NULL)
        guest->next->previous = guest->previous;
    free(guest);
    worker_retry_accepting(worker);
    worker_finish_if_empty(worker);
}

/* Says sorry and closes, without waiting for the peer's end.
 * Takes: fd. */
static void turn_away_unattended(int fd)
{
    static const char sorry[] = GREETING_TOO_MANY;
    struct stream *stream = stream_tcp_new(fd, NULL);
    size_t written;
    struct err err = {0};
    if (stream != NULL && stream_write(stream, sorry, sizeof sorry - 1, &written, &err) == STREAM_OK)
        stream_shutdown(stream, &err);
    stream_free(stream);
}

/* Takes: fd. Returns: what a guest is served through, or NULL with err. */
static struct stream *open_stream(struct worker *worker, int fd, struct err *err)
{
    struct stream *stream = stream_tcp_new(fd, err);
    if (stream != NULL && worker->tls != NULL)
        stream = tls_server_stream(worker->tls, stream, err);
    if (stream != NULL && worker->config.misbehaviour.kind != STREAM_MISBEHAVE_NOT)
        stream = stream_misbehave_new(&worker->config.misbehaviour, &worker->loop, stream, err);
    return stream;
}

static void enlist(struct worker *worker, struct guest *guest)
{
    guest->next = worker->guests;
    if (guest->next != NULL)
        guest->next->previous = guest;
    worker->guests = guest;
}

/* Takes: the descriptor. Returns: whether the dialogue has begun. */
static bool begin(struct worker *worker, const struct arrival *arrival, enum conn_role role)
{
    static const struct conn_events events = {.up = on_up, .noticed = on_noticed, .done = on_done};
    struct err err = {0};
    struct stream *stream = open_stream(worker, arrival->fd, &err);
    struct guest *guest = stream != NULL ? calloc(1, sizeof *guest) : NULL;

    if (guest == NULL) {
        stream_free(stream);
        log_write(LOG_ERROR, "A connection is dropped: no memory");
        return false;
    }
    *guest =
        (struct guest){.peer = arrival->peer, .since_ms = now_ms(worker), .refused = role == CONN_REFUSE};
    struct conn_config config = {
        .shared = &worker->shared,
        .policy = worker->config.policy,
        .events = &events,
        .context = guest,
        .role = role,
    };
    if (conn_start(&guest->conn, &config, stream, &err) < 0) {
        log_write(LOG_ERROR, "A connection is dropped: %s", err.text);
        free(guest);
        return false;
    }
    enlist(worker, guest);
    if (role == CONN_SERVER && (log_enabled(LOG_DEBUG) || trace_sink != NULL))
        announce(guest);
    return true;
}

void worker_serve(struct worker *worker, const struct arrival *arrival)
{
    if (!begin(worker, arrival, CONN_SERVER)) {
        give_back_place(worker);
        return;
    }
    worker_tally(&worker->counters.connections, 1);
    worker_tally(&worker->counters.open, 1);
}

void worker_drop(struct worker *worker, const struct arrival *arrival)
{
    stream_tcp_close(arrival->fd);
    give_back_place(worker);
}

/* Takes: the descriptor. */
static void turn_away(struct worker *worker, const struct arrival *arrival)
{
    worker_tally(&worker->counters.refused, 1);
    if (worker->tls != NULL) /* a word would cost a handshake */
        stream_tcp_close(arrival->fd);
    else if (worker->refusal_count >= worker->config.max_refusals)
        turn_away_unattended(arrival->fd);
    else if (begin(worker, arrival, CONN_REFUSE))
        worker->refusal_count++;
}

void worker_receive(struct worker *worker, const struct arrival *arrival)
{
    if (!reserve_place(worker))
        turn_away(worker, arrival);
    else if (!worker_hand_on(worker, arrival))
        worker_serve(worker, arrival);
}

void worker_say_farewell(struct worker *worker)
{
    for (struct guest *guest = worker->guests; guest != NULL; guest = guest->next)
        conn_farewell(&guest->conn);
}

void worker_abort_guests(struct worker *worker)
{
    struct err err = {0};
    err_set(&err, ERR_DIALOGUE_EARLY_END, 0, "%s", session_end_text(SESSION_END_STOPPED));
    for (struct guest *guest = worker->guests; guest != NULL; guest = guest->next)
        conn_abort(&guest->conn, &err);
}
