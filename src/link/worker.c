#include "tcpgreet/worker.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "tcpgreet/conn.h"
#include "tcpgreet/log.h"
#include "tcpgreet/stream_tcp.h"
#include "tcpgreet/stream_tls.h"
#include "tcpgreet/trace.h"

enum {
    ACCEPTS_PER_WAKE = 64, /* then the guests get their turn */
    ACCEPT_PAUSE_MS =
        100, /* with no descriptors left, accepting is tried again after this, or when a guest goes */
    FAREWELL_MS = 2 * 1000, /* for the good byes after a drain to be read */
};

enum command { RUN, DRAIN, STOP };

/* One listening socket on the loop. */
struct door {
    uv_poll_t poll;
    struct listener listener;
    struct worker *worker;
};

/* One connection that was accepted. */
struct guest {
    struct conn conn;
    struct guest *next, *previous;
    struct endpoint peer;
    bool refused;
    bool announced;
    int64_t since_ms;
};

struct counters {
#define ATOMIC_FIELD(name, words) atomic_uint_fast64_t name;
    WORKER_COUNTERS(ATOMIC_FIELD)
#undef ATOMIC_FIELD
};

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t timer;       /* the drain's deadlines */
    uv_timer_t pause_timer; /* accepting pauses */
    struct worker_config config;
    struct door *doors;
    struct guest *guests;
    size_t guest_count;
    size_t refusal_count;
    struct counters counters;
    struct tls_server *tls;               /* NULL: plain */
    _Atomic(struct tls_server *) new_tls; /* to be taken up, from other threads; NULL */
    atomic_int command;                   /* enum command, set from other threads */
    enum command obeyed;
    bool farewell_said;
    bool paused;
    struct conn_shared shared;
};

static struct worker *worker_of(const struct guest *guest)
{
    return (struct worker *)((char *)guest->conn.shared - offsetof(struct worker, shared));
}

/* Only the worker writes, so a load and a store do what a locked addition would. */
static void count(atomic_uint_fast64_t *counter, int64_t change)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (uint64_t)change, memory_order_relaxed);
}

static int64_t now_ms(const struct worker *worker)
{
    return (int64_t)uv_now(&worker->loop);
}

static void announce(struct guest *guest)
{
    char peer[ENDPOINT_TEXT_BYTES];
    guest->announced = true;
    if (log_enabled(LOG_INFO))
        log_write(LOG_INFO, "Accept new connection from %s", endpoint_format(&guest->peer, peer));
}

static void on_noticed(void *context)
{
    struct guest *guest = context;
    if (!guest->announced && !guest->refused)
        announce(guest);
}

static void on_up(void *context)
{
    struct guest *guest = context;
    if (worker_of(guest)->tls == NULL)
        return;
    count(&worker_of(guest)->counters.handshakes, 1);
    count(&worker_of(guest)->counters.resumed,
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

    count(&counters->open, -1);
    if (timed_out)
        count(&counters->timed_out, 1);
    else if (stranger)
        count(&counters->strangers, 1);
    else if (was_silent(result))
        count(&counters->silent, 1);
    else if (result->err != NULL)
        count(&counters->failed, 1);
}

/* Counted before the welcome is said, so that two workers never give the last place twice. */
static bool reserve_place(struct worker *worker)
{
    if (atomic_fetch_add(worker->config.guests, 1) < worker->config.max_connections)
        return true;
    atomic_fetch_sub(worker->config.guests, 1);
    return false;
}

static void give_back_place(struct worker *worker, bool refused)
{
    if (!refused)
        atomic_fetch_sub(worker->config.guests, 1);
}

static void set_accepting(struct worker *worker, bool accepting);
static void finish_if_empty(struct worker *worker);

static void on_done(void *context, const struct conn_result *result)
{
    struct guest *guest = context;
    struct worker *worker = worker_of(guest);

    tell_closed(guest, result);
    if (guest->refused) {
        worker->refusal_count--;
    } else {
        give_back_place(worker, false);
        count_end(&worker->counters, result);
    }
    if (guest->previous != NULL)
        guest->previous->next = guest->next;
    else
        worker->guests = guest->next;
    if (guest->next != NULL)
        guest->next->previous = guest->previous;
    worker->guest_count--;
    free(guest);
    if (worker->paused)
        set_accepting(worker, true);
    finish_if_empty(worker);
}

/* Takes: fd. */
static void turn_away_silently(int fd)
{
    static const char sorry[] = GREETING_TOO_MANY;
    struct stream *stream = stream_tcp_new(fd, NULL);
    size_t written;
    struct err err = {0};
    if (stream != NULL && stream_write(stream, sorry, sizeof sorry - 1, &written, &err) == STREAM_OK)
        stream_shutdown(stream, &err);
    stream_free(stream);
}

/* Takes: fd. */
static void receive_guest(struct worker *worker, int fd, const struct endpoint *peer)
{
    static const struct conn_events events = {.up = on_up, .noticed = on_noticed, .done = on_done};
    bool refused = !reserve_place(worker);
    struct err err = {0};

    if (refused) {
        count(&worker->counters.refused, 1);
        if (worker->tls != NULL) { /* a word would cost a handshake */
            stream_tcp_close(fd);
            return;
        }
        if (worker->refusal_count >= worker->config.max_refusals) {
            turn_away_silently(fd);
            return;
        }
    }
    struct stream *stream = stream_tcp_new(fd, &err);
    if (stream != NULL && worker->tls != NULL)
        stream = tls_server_stream(worker->tls, stream, &err);
    if (stream != NULL && worker->config.misbehaviour.kind != STREAM_MISBEHAVE_NOT)
        stream = stream_misbehave_new(&worker->config.misbehaviour, &worker->loop, stream, &err);
    struct guest *guest = stream != NULL ? calloc(1, sizeof *guest) : NULL;
    if (guest == NULL) {
        stream_free(stream);
        give_back_place(worker, refused);
        log_write(LOG_ERROR, "A connection is dropped: no memory");
        return;
    }
    *guest = (struct guest){.peer = *peer, .since_ms = now_ms(worker), .refused = refused};
    struct conn_config config = {
        .shared = &worker->shared,
        .policy = worker->config.policy,
        .events = &events,
        .context = guest,
        .role = refused ? CONN_REFUSE : CONN_SERVER,
    };
    if (conn_start(&guest->conn, &config, stream, &err) < 0) {
        log_write(LOG_ERROR, "A connection is dropped: %s", err.text);
        give_back_place(worker, refused);
        free(guest);
        return;
    }
    guest->next = worker->guests;
    if (guest->next != NULL)
        guest->next->previous = guest;
    worker->guests = guest;
    worker->guest_count++;
    if (refused) {
        worker->refusal_count++;
        return;
    }
    count(&worker->counters.connections, 1);
    count(&worker->counters.open, 1);
    if (log_enabled(LOG_DEBUG) || trace_sink != NULL)
        announce(guest);
}

static void on_pause_over(uv_timer_t *timer)
{
    set_accepting(timer->data, true);
}

static void pause_accepting(struct worker *worker, const struct err *err)
{
    if (!worker->paused) {
        count(&worker->counters.pauses, 1);
        if (atomic_fetch_add(worker->config.pausing, 1) == 0)
            log_write(LOG_WARNING, "%s: accepting pauses until a connection ends (raise ulimit -n)",
                      err->text);
    }
    worker->paused = true;
    set_accepting(worker, false);
    uv_timer_start(&worker->pause_timer, on_pause_over, ACCEPT_PAUSE_MS, 0);
}

/* Accepts what waits at one door. Returns: false where accepting had to pause. */
static bool accept_some(struct worker *worker, struct door *door, int limit)
{
    for (int i = 0; i < limit; i++) {
        int fd;
        struct endpoint peer;
        struct err err = {0};

        switch (listener_accept(&door->listener, &fd, &peer, &err)) {
        case LISTENER_ACCEPTED:
            receive_guest(worker, fd, &peer);
            break;
        case LISTENER_EMPTY:
            if (worker->paused)
                atomic_fetch_sub(worker->config.pausing, 1);
            worker->paused = false;
            return true;
        case LISTENER_EXHAUSTED:
            pause_accepting(worker, &err);
            return false;
        case LISTENER_FAILED:
            log_write(LOG_ERROR, "%s", err.text);
            uv_poll_stop(&door->poll);
            return true;
        }
    }
    return true;
}

static void on_knock(uv_poll_t *poll, int status, int events)
{
    struct door *door = poll->data;
    (void)status;
    (void)events;
    accept_some(door->worker, door, ACCEPTS_PER_WAKE);
}

static void set_accepting(struct worker *worker, bool accepting)
{
    if (worker->obeyed != RUN)
        return;
    uv_timer_stop(&worker->pause_timer);
    for (size_t i = 0; i < worker->config.listener_count; i++) {
        if (accepting)
            uv_poll_start(&worker->doors[i].poll, UV_READABLE, on_knock);
        else
            uv_poll_stop(&worker->doors[i].poll);
    }
}

static void close_doors(struct worker *worker)
{
    for (size_t i = 0; i < worker->config.listener_count; i++) {
        struct door *door = &worker->doors[i];
        if (uv_is_closing((uv_handle_t *)&door->poll))
            continue;
        while (!worker->paused && worker->obeyed == DRAIN) { /* what the kernel has queued is not lost */
            int64_t before = (int64_t)worker->guest_count;
            if (!accept_some(worker, door, ACCEPTS_PER_WAKE) || (int64_t)worker->guest_count == before)
                break;
        }
        uv_close((uv_handle_t *)&door->poll, NULL);
        listener_close(&door->listener);
    }
}

static void finish_if_empty(struct worker *worker)
{
    if (worker->obeyed == RUN || worker->guests != NULL || uv_is_closing((uv_handle_t *)&worker->wake))
        return;
    uv_close((uv_handle_t *)&worker->wake, NULL);
    uv_close((uv_handle_t *)&worker->timer, NULL);
    uv_close((uv_handle_t *)&worker->pause_timer, NULL);
}

static void abort_guests(struct worker *worker)
{
    struct err err = {0};
    err_set(&err, ERR_DIALOGUE_EARLY_END, 0, "%s", session_end_text(SESSION_END_STOPPED));
    for (struct guest *guest = worker->guests; guest != NULL; guest = guest->next)
        conn_abort(&guest->conn, &err);
}

/* First the time for dialogues to finish is over, then the time for the good byes. */
static void on_drain_over(uv_timer_t *timer)
{
    struct worker *worker = timer->data;

    if (worker->farewell_said) {
        abort_guests(worker);
        return;
    }
    worker->farewell_said = true;
    for (struct guest *guest = worker->guests; guest != NULL; guest = guest->next)
        conn_farewell(&guest->conn);
    uv_timer_start(timer, on_drain_over, FAREWELL_MS, 0);
}

static void obey(struct worker *worker)
{
    enum command command = (enum command)atomic_load(&worker->command);
    if (command <= worker->obeyed)
        return;
    worker->obeyed = command;
    close_doors(worker);
    if (command == STOP)
        abort_guests(worker);
    else
        uv_timer_start(&worker->timer, on_drain_over, (uint64_t)worker->config.drain_ms, 0);
    finish_if_empty(worker);
}

static void take_up_tls(struct worker *worker)
{
    struct tls_server *tls = atomic_exchange(&worker->new_tls, NULL);
    if (tls == NULL)
        return;
    tls_server_inherit(tls, worker->tls);
    tls_server_free(worker->tls);
    worker->tls = tls;
}

static void on_wake(uv_async_t *async)
{
    struct worker *worker = async->data;
    take_up_tls(worker);
    obey(worker);
}

static void run(void *context)
{
    struct worker *worker = context;
    trace(.step = TRACE_WAIT, .fd = -1);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    if (worker->config.stopped != NULL)
        worker->config.stopped(worker->config.context);
}

/* Puts the loop's handles and the doors in place. */
static int prepare(struct worker *worker, struct err *err)
{
    int result = uv_async_init(&worker->loop, &worker->wake, on_wake);
    if (result == 0)
        result = uv_timer_init(&worker->loop, &worker->timer);
    if (result == 0)
        result = uv_timer_init(&worker->loop, &worker->pause_timer);
    worker->wake.data = worker->timer.data = worker->pause_timer.data = worker;

    for (size_t i = 0; result == 0 && i < worker->config.listener_count; i++) {
        struct door *door = &worker->doors[i];
        door->worker = worker;
        result = uv_poll_init(&worker->loop, &door->poll, door->listener.fd);
        if (result == 0) {
            door->poll.data = door;
            result = uv_poll_start(&door->poll, UV_READABLE, on_knock);
        }
    }
    if (result == 0)
        result = uv_thread_create(&worker->thread, run, worker);
    return result == 0 ? 0 : err_set(err, ERR_INTERNAL, 0, "cannot start a worker: %s", uv_strerror(result));
}

static void close_any(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Takes down what never ran, or has ended. */
static void dismantle(struct worker *worker)
{
    uv_walk(&worker->loop, close_any, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
    for (size_t i = 0; i < worker->config.listener_count; i++)
        listener_close(&worker->doors[i].listener);
    tls_server_free(worker->tls);
    tls_server_free(atomic_load(&worker->new_tls));
    free(worker->doors);
    free(worker);
}

struct worker *worker_start(const struct worker_config *config, struct err *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    struct door *doors = calloc(config->listener_count, sizeof *doors);

    if (worker == NULL || doors == NULL || uv_loop_init(&worker->loop) != 0) {
        for (size_t i = 0; i < config->listener_count; i++)
            listener_close(&(struct listener){config->listeners[i].fd, config->listeners[i].at});
        free(doors);
        free(worker);
        tls_server_free(config->tls);
        err_set(err, ERR_INTERNAL, 0, "no memory for a worker");
        return NULL;
    }
    worker->doors = doors;
    worker->config = *config;
    worker->config.listeners = NULL;
    worker->tls = config->tls;
    worker->shared.loop = &worker->loop;
    worker->shared.handshake_ms = config->handshake_ms;
    for (size_t i = 0; i < config->listener_count; i++)
        doors[i].listener = config->listeners[i];
    if (prepare(worker, err) < 0) {
        dismantle(worker);
        return NULL;
    }
    return worker;
}

void worker_stop(struct worker *worker, bool at_once)
{
    int command = at_once ? STOP : DRAIN;
    if (atomic_load(&worker->command) < command) {
        atomic_store(&worker->command, command);
        uv_async_send(&worker->wake);
    }
}

void worker_replace_tls(struct worker *worker, struct tls_server *tls)
{
    tls_server_free(atomic_exchange(&worker->new_tls, tls)); /* one that was never taken up */
    uv_async_send(&worker->wake);
}

void worker_count(struct worker *worker, struct worker_counters *sum)
{
#define ADD_FIELD(name, words)                                                                               \
    sum->name += atomic_load_explicit(&worker->counters.name, memory_order_relaxed);
    WORKER_COUNTERS(ADD_FIELD)
#undef ADD_FIELD
    sum->names += atomic_load_explicit(&worker->shared.names, memory_order_relaxed);
}

void worker_free(struct worker *worker)
{
    if (worker == NULL)
        return;
    uv_thread_join(&worker->thread);
    dismantle(worker);
}
