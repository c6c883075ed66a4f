/* One round of a probe in real time, and peers for it to meet: a real server, and one that sends a script.
 * Include cmocka first. */
#ifndef TCPGREET_TEST_PROBER_H
#define TCPGREET_TEST_PROBER_H

#include <stdatomic.h>

#include "probe/round.h"
#include "server/worker.h"
#include "support/watched.h"
#include "tcpgreet/net/listener.h"

enum { PROBER_LONG_MS = 15 * 1000, PROBER_TURNS = 6 };

/* Sends sends[0] to each connection, sends[n] after its n-th receive. */
struct prober_script {
    const char *sends[PROBER_TURNS]; /* NULL: nothing */
    int ends_after;                  /* closes after that turn; -1: never */
    bool resets;                     /* with an RST */
};

/* Has one connection at a time. */
struct prober_peer {
    struct prober_script scripts[2]; /* for the first connection, for all others */
    struct listener listener;
    uv_poll_t listening, accepted;
    size_t accepted_count;
    int accepted_fd;
    int turn;
};

/* A real server in a thread of its own. */
struct prober_server {
    struct session_policy policy;
    struct worker *worker;
    struct limits *limits;
    struct accept_log accept_log;
};

struct prober {
    struct watched watched;
    struct target target;
    struct conn_shared shared;
    struct probe_plan plan; /* to be changed before prober_start */
    struct probe_round *round;
    struct probe_result result;
    bool starting, done;
    struct err err;
    unsigned descriptors; /* open before the test */
};

/* As cmocka's fixtures: *state becomes a struct prober; nothing may be left open at its end. */
int prober_set_up(void **state);
int prober_tear_down(void **state);

/* Returns: whether the round started; else err has the reason. */
bool prober_start(struct prober *prober, const char *host, unsigned port);

/* Runs a whole round, which must start. A result of before is thrown away. */
void prober_run(struct prober *prober, const char *host, unsigned port);

/* A listener of a literal; its fd is -1 where the port is taken. Shape: port 0: the kernel chooses. */
struct listener prober_listen(const char *host, unsigned port);

/* Takes: listener. */
void prober_peer_open(struct prober *prober, struct prober_peer *peer, struct listener listener);
void prober_peer_close(struct prober_peer *peer);

/* Takes: listener, tls (NULL: plain). */
void prober_server_open(struct prober_server *server, struct listener listener, struct tls_server *tls);
void prober_server_close(struct prober_server *server);

/* Fails the test unless the address failed in this phase, for this reason, in this sentence. */
void prober_expect_failure(const struct probe_address *address, enum probe_phase phase,
                           enum err_reason reason, const char *sentence);

/* Fails the test unless it is OK and went through every phase up to this one, without those that do not
 * apply. */
void prober_expect_ok(const struct probe_result *result, size_t index, enum probe_phase until);

#endif
