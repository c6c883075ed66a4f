#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/hole.h"
#include "support/prober.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/caller.h"
#include "support/names_known.h"

enum { DESCRIPTORS = 256 };

static unsigned count_descriptors(void)
{
    unsigned open = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

int prober_set_up(void **state)
{
    struct prober *prober = test_calloc(1, sizeof *prober);
    prober->descriptors = count_descriptors();
    watched_open(&prober->watched);
    prober->shared.loop = &prober->watched.loop;
    prober->plan = (struct probe_plan){.target = &prober->target,
                                       .shared = &prober->shared,
                                       .want_v6 = true,
                                       .want_v4 = true,
                                       .until = PROBE_UNTIL_DIALOGUE,
                                       .framing = SESSION_FRAMING_AUTO,
                                       .attempt_delay_ms = RACE_ATTEMPT_DELAY_MS,
                                       .connect_timeout_ms = PROBER_LONG_MS,
                                       .answer_timeout_ms = PROBER_LONG_MS};
    *state = prober;
    return 0;
}

int prober_tear_down(void **state)
{
    struct prober *prober = *state;
    watched_close(&prober->watched);
    names_await_end();
    assert_int_equal(count_descriptors(), prober->descriptors);
    probe_result_fini(&prober->result);
    test_free(prober);
    return 0;
}

static void on_done(void *context, struct probe_result *result)
{
    struct prober *prober = context;
    assert_false(prober->starting);
    assert_false(prober->done);
    assert_ptr_equal(result, &prober->result);
    prober->done = true;
    prober->round = NULL;
}

bool prober_start(struct prober *prober, const char *host, unsigned port)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    err_clear(&prober->err);
    if (target_parse(&prober->target, host, service, &prober->err) < 0)
        fail_msg("%s", prober->err.text);
    probe_result_fini(&prober->result);
    prober->done = false;
    prober->starting = true;
    prober->round = probe_round_start(&prober->plan, &prober->result, on_done, prober, &prober->err);
    prober->starting = false;
    assert_int_equal(prober->round == NULL, prober->err.reason != ERR_OK);
    return prober->round != NULL;
}

void prober_run(struct prober *prober, const char *host, unsigned port)
{
    if (!prober_start(prober, host, port))
        fail_msg("%s", prober->err.text);
    watched_run(&prober->watched, &prober->done);
}

struct listener prober_listen(const char *host, unsigned port)
{
    return hole_listen_at(host, port, 16);
}

static const struct prober_script *script(const struct prober_peer *peer)
{
    return &peer->scripts[peer->accepted_count > 1];
}

static void on_readable(uv_poll_t *poll, int status, int events);

/* The handle is free for the next connection. */
static void on_accepted_closed(uv_handle_t *handle)
{
    struct prober_peer *peer = handle->data;
    if (!uv_is_closing((uv_handle_t *)&peer->listening))
        uv_poll_start(&peer->listening, UV_READABLE, on_readable);
}

static void leave(struct prober_peer *peer)
{
    uv_close((uv_handle_t *)&peer->accepted, on_accepted_closed);
    if (script(peer)->resets)
        caller_reset(peer->accepted_fd);
    else
        close(peer->accepted_fd);
    peer->accepted_fd = -1;
}

static void take_turn(struct prober_peer *peer)
{
    const char *words = peer->turn < PROBER_TURNS ? script(peer)->sends[peer->turn] : NULL;
    if (words != NULL)
        caller_send(peer->accepted_fd, words);
    if (peer->turn++ == script(peer)->ends_after)
        leave(peer);
}

static void on_received(uv_poll_t *poll, int status, int events)
{
    struct prober_peer *peer = poll->data;
    char received[4096];
    (void)status;
    (void)events;
    if (recv(peer->accepted_fd, received, sizeof received, 0) > 0)
        take_turn(peer);
    else
        leave(peer);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct prober_peer *peer = poll->data;
    struct endpoint from;
    (void)status;
    (void)events;
    uv_poll_stop(&peer->listening);
    assert_int_equal(listener_accept(&peer->listener, &peer->accepted_fd, &from, NULL), LISTENER_ACCEPTED);
    assert_int_equal(uv_poll_init(poll->loop, &peer->accepted, peer->accepted_fd), 0);
    peer->accepted.data = peer;
    peer->accepted_count++;
    peer->turn = 0;
    uv_poll_start(&peer->accepted, UV_READABLE, on_received);
    take_turn(peer);
}

void prober_peer_open(struct prober *prober, struct prober_peer *peer, struct listener listener)
{
    assert_true(listener.fd >= 0);
    peer->listener = listener;
    peer->accepted_fd = -1;
    assert_int_equal(uv_poll_init(&prober->watched.loop, &peer->listening, listener.fd), 0);
    peer->listening.data = peer;
    uv_poll_start(&peer->listening, UV_READABLE, on_readable);
}

void prober_peer_close(struct prober_peer *peer)
{
    uv_loop_t *loop = peer->listening.loop;
    if (peer->accepted_fd >= 0)
        leave(peer);
    uv_close((uv_handle_t *)&peer->listening, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    listener_close(&peer->listener);
}

void prober_server_open(struct prober_server *server, struct listener listener, struct tls_server *tls)
{
    struct err err = {0};
    assert_true(listener.fd >= 0);
    *server = (struct prober_server){
        .policy = {.idle_ms = 1000LL * PROBER_LONG_MS, .name_ms = 1000LL * PROBER_LONG_MS},
        .accept_log = ACCEPT_LOG_INIT};
    server->limits = limits_new(
        &(struct limits_config){
            .max_connections = 100, .max_per_address = 100, .max_handshakes = 100, .max_rejections = 2},
        &err);
    assert_non_null(server->limits);
    struct worker_config config = {.listeners = &listener,
                                   .listener_count = 1,
                                   .policy = &server->policy,
                                   .streams.tls = tls,
                                   .accept_log = &server->accept_log,
                                   .limits = server->limits,
                                   .handshake_ms = PROBER_LONG_MS,
                                   .drain_ms = PROBER_LONG_MS};
    server->worker = worker_new(&config, &err);
    if (server->worker == NULL || worker_start(server->worker, &err) < 0)
        fail_msg("%s", err.text);
}

void prober_server_close(struct prober_server *server)
{
    worker_stop(server->worker, true);
    worker_free(server->worker);
    limits_free(server->limits);
}

void prober_expect_failure(const struct probe_address *address, enum probe_phase phase,
                           enum err_reason reason, const char *sentence)
{
    assert_string_equal(address->err.text, sentence);
    assert_int_equal(address->err.reason, reason);
    assert_string_equal(probe_phase_name(address->last), probe_phase_name(phase));
    const struct probe_span *span = &address->spans[phase];
    assert_true(span->begin_ns >= 0 && span->end_ns >= span->begin_ns);
    for (unsigned later = phase + 1; later < PROBE_PHASES; later++)
        assert_true(address->spans[later].begin_ns == -1 && address->spans[later].end_ns == -1);
}

void prober_expect_ok(const struct probe_result *result, size_t index, enum probe_phase until)
{
    const struct probe_address *address = &result->addresses[index];
    int64_t before_ns = 0;

    assert_true(index < result->address_count);
    if (address->err.reason != ERR_OK)
        fail_msg("%s: %s", probe_phase_name(address->last), address->err.text);
    assert_string_equal(probe_phase_name(address->last), probe_phase_name(until));
    for (unsigned phase = 0; phase < PROBE_PHASES; phase++) {
        const struct probe_span *span = &address->spans[phase];
        bool is_skipped = (phase == PROBE_TLS && !result->tls) || phase == PROBE_STARTTLS ||
                          (phase == PROBE_EXCHANGE && phase != until) ||
                          (phase == PROBE_PROXY && result->proxy[0] == '\0');
        if (phase > until || is_skipped) {
            assert_true(span->begin_ns == -1 && span->end_ns == -1);
            continue;
        }
        assert_true(span->begin_ns >= before_ns);
        assert_true(span->end_ns >= span->begin_ns);
        before_ns = span->end_ns;
    }
    assert_true(result->total_ns >= before_ns);
}
