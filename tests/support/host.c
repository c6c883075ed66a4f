#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/host.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "support/caller.h"
#include "tcpgreet/base/trace.h"

void gate_pass(struct gate *gate)
{
    if (!atomic_load(&gate->closed))
        return;
    atomic_fetch_add(&gate->reached, 1);
    while (atomic_load(&gate->closed))
        poll(NULL, 0, 1);
}

static void on_stopped(void *context)
{
    struct host *host = context;
    host->stopped_elsewhere = pthread_equal(host->tester, pthread_self()) == 0;
    atomic_fetch_add(&host->stopped, 1);
}

int host_set_up(void **state)
{
    struct host *host = test_calloc(1, sizeof *host);
    host->tester = pthread_self();
    host->accept_log = (struct accept_log)ACCEPT_LOG_INIT;
    host->policy = (struct session_policy){.idle_ms = HOST_LONG_MS, .name_ms = HOST_LONG_MS, .pause_ms = 0};
    host->limit = (struct limits_config){
        .max_connections = 100, .max_per_address = 100, .max_handshakes = 100, .max_rejections = 2};
    host->config = (struct worker_config){.policy = &host->policy,
                                          .accept_log = &host->accept_log,
                                          .handshake_ms = HOST_LONG_MS,
                                          .drain_ms = HOST_LONG_MS,
                                          .stopped = on_stopped,
                                          .context = host};
    *state = host;
    return 0;
}

struct listener host_listen(void)
{
    const struct listener_options options = {.backlog = 256, .want_v4 = true};
    struct listener listener;
    struct target target;
    struct err err = {0};
    assert_int_equal(target_parse(&target, "127.0.0.1", "0", &err), 0);
    if (listener_open(&target, &options, &listener, 1, &err) != 1)
        fail_msg("%s", err.text);
    return listener;
}

void host_start_on(struct host *host, const struct listener *listeners, size_t count)
{
    struct err err = {0};
    host->at = listeners[count - 1].at;
    host->config.listeners = listeners;
    host->config.listener_count = count;
    if (host->limits == NULL)
        host->limits = limits_new(&host->limit, &err);
    host->config.limits = host->limits;
    assert_non_null(host->limits);
    host->worker = worker_new(&host->config, &err);
    if (host->worker == NULL || worker_start(host->worker, &err) < 0)
        fail_msg("%s", err.text);
}

void host_start(struct host *host)
{
    struct listener listener = host_listen();
    host_start_on(host, &listener, 1);
}

struct counters_sum host_counters(const struct host *host)
{
    struct counters_sum sum = {0};
    worker_count(host->worker, &sum);
    return sum;
}

void host_expect_counter(const struct host *host, size_t offset, uint64_t due, const char *name)
{
    uint64_t value = 0;
    for (int i = 0; i < CALLER_PATIENCE_S * 1000; i++) {
        struct counters_sum now = host_counters(host);
        memcpy(&value, (const char *)&now + offset, sizeof value);
        if (value == due)
            return;
        poll(NULL, 0, 1);
    }
    fail_msg("%s stays at %llu, not %llu", name, (unsigned long long)value, (unsigned long long)due);
}

void host_expect_stopped(struct host *host)
{
    alarm(CALLER_PATIENCE_S);
    worker_free(host->worker);
    alarm(0);
    host->worker = NULL;
    assert_int_equal(atomic_load(&host->stopped), 1);
    assert_true(host->stopped_elsewhere);
}

int host_tear_down(void **state)
{
    struct host *host = *state;
    atomic_store(&host->gate.closed, false);
    if (host->worker != NULL) {
        worker_stop(host->worker, true);
        host_expect_stopped(host);
    }
    trace_to(NULL, NULL);
    limits_free(host->limits);
    test_free(host);
    return 0;
}

int host_greet(const struct host *host)
{
    int fd = caller_connect(&host->at);
    caller_expect(fd, HOST_WELCOME);
    caller_send(fd, "Ann\n");
    caller_expect(fd, HOST_HELLO("Ann"));
    return fd;
}

void host_leave(int fd)
{
    caller_send(fd, "exit\n");
    caller_expect(fd, HOST_BYE);
    caller_expect_end(fd);
    close(fd);
}
