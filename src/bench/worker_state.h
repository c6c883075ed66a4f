/* What bench_worker.c, bench_visitor.c and bench_alarm.c share: the worker and its visitors. */
#ifndef TCPGREET_BENCH_WORKER_STATE_H
#define TCPGREET_BENCH_WORKER_STATE_H

#include <stdatomic.h>
#include <uv.h>

#include "pace.h"
#include "tcpgreet/link/conn.h"
#include "worker.h"

enum { BENCH_NAME_BYTES = 32 };

/* One dialogue at a time, and then the next in the same place. */
struct bench_visitor {
    struct conn conn;
    struct bench_worker *worker;
    struct bench_visitor *next; /* in the worker's list of waiting, or of idle visitors */
    const struct endpoint *endpoint;
    uint64_t opened_ns;
    uint64_t said_ns; /* when the name now asked was said, or due; 0: none */
    uint64_t said;    /* names, in this dialogue */
    bool open;
    bool up; /* the handshake is done */
    char name[BENCH_NAME_BYTES];
};

struct bench_worker {
    struct bench_plan plan;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t wake;
    uv_timer_t limit;   /* the end of the run, then of the farewells */
    uv_timer_t opening; /* opens what waits to be opened */
    uv_timer_t ticks;   /* open loop, where there is no timerfd */
    uv_poll_t alarm;    /* open loop: the next name is due */
    int alarm_fd;
    struct tls_client *tls;
    struct bench_visitor *visitors;
    struct bench_visitor *waiting; /* to be opened */
    struct bench_visitor *idle;    /* open loop: ready, no name is due */
    struct pace pace;
    uint64_t open_count;
    uint64_t sequence; /* of names */
    uint64_t endpoint_turn;
    uint64_t source_turn;
    atomic_bool stop;
    bool ending;
    uint64_t retry_ms; /* by the loop's clock: not before, after a connection has failed */
    struct bench_result result;
    struct conn_shared shared;
};

/* The run is over: who is ready says exit, the others after their answer. */
void bench_worker_end_run(struct bench_worker *worker);

/* Ends the loop where the run is over and nobody is left. */
void bench_worker_end_if_over(struct bench_worker *worker);

/* Makes the places for all visitors, each waiting to be opened. */
int bench_visitor_make_all(struct bench_worker *worker, struct err *err);

/* Opens what waits, a few at a time; goes on by itself. */
void bench_visitor_open_waiting(struct bench_worker *worker);

/* Gives names that are due to visitors that wait for one. */
void bench_visitor_serve_due(struct bench_worker *worker);

/* Who waits for a name says exit. */
void bench_visitor_dismiss_idle(struct bench_worker *worker);

/* Whoever is left has failed, at what was waited for. */
void bench_visitor_abort_all(struct bench_worker *worker);

/* Open loop: serves when the next name is due. Thread: the loop's. Returns: 0, or -1 with errno. */
int bench_alarm_open(struct bench_worker *worker);

/* Moves it to the next name's time, if a visitor waits for one. */
void bench_alarm_arm(struct bench_worker *worker);

/* After the loop is closed. */
void bench_alarm_close(struct bench_worker *worker);

#endif
