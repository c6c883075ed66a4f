/* A host: one worker that serves in a thread of its own. Any failure fails the test. */
#ifndef TCPGREET_TEST_HOST_H
#define TCPGREET_TEST_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/worker.h"

#define HOST_QUESTION "Server: What's your name?"
#define HOST_WELCOME "Server: Welcome!\n" HOST_QUESTION
#define HOST_HELLO(name) "Server: Hello " name "!\n" HOST_QUESTION
#define HOST_BYE "Server: Good bye!\n"
#define HOST_SORRY "Server: Sorry, too many guests.\n"

enum { HOST_LONG_MS = 1000 * 1000 }; /* longer than any test */

/* Where a test's trace holds threads, so that the test can do several things at once. */
struct gate {
    atomic_bool closed;
    atomic_uint reached; /* how often, while it was closed */
};

/* Returns: at once, or when the gate is opened. */
void gate_pass(struct gate *gate);

struct host {
    struct gate gate; /* open */
    struct session_policy policy;
    struct worker_config config; /* may be changed before the start */
    struct endpoint at;
    struct limits_config limit; /* set before host_start */
    struct limits *limits;
    struct accept_log accept_log;
    struct worker *worker;
    atomic_uint stopped;
    pthread_t tester;
    bool stopped_elsewhere; /* in another thread than the test's */
};

/* Around each test: *state is a struct host. Afterwards the gate is open, the worker stopped, the trace off.
 */
int host_set_up(void **state);
int host_tear_down(void **state);

/* Returns: a listener on a port of its own, at 127.0.0.1. */
struct listener host_listen(void);

void host_start(struct host *host);

/* The same on these listeners; host->at is the last one. Takes: their descriptors. */
void host_start_on(struct host *host, const struct listener *listeners, size_t count);

/* Returns: a connection that has been greeted as Ann. */
int host_greet(const struct host *host);

/* Sends exit, and expects the final message and the end. */
void host_leave(int fd);

struct counters_sum host_counters(const struct host *host);

/* Waits for a counter to reach a value that it does not go beyond. */
void host_expect_counter(const struct host *host, size_t offset, uint64_t due, const char *name);

#define HOST_EXPECT_COUNTER(host, name, due)                                                                 \
    host_expect_counter(host, offsetof(struct counters_sum, name), due, #name)

/* The worker ends by itself, for it was asked to. */
void host_expect_stopped(struct host *host);

#endif
