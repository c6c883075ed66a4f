/* How many connections there may be: in all, of each peer's address, and in their TLS handshake. Thread: any,
 * for all. */
#ifndef TCPGREET_SERVER_LIMITS_H
#define TCPGREET_SERVER_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"

enum {
    LIMITS_EBB_MIN = 64,               /* a lower peak of connections is not reported as over */
    LIMITS_RECENT_MAX = 4096,          /* addresses without a connection whose rate is remembered */
    LIMITS_LOG_INTERVAL_MS = 60 * 1000 /* between two lines about the same limit */
};

/* Shape: all maxima > 0, but max_rate_per_address: new connections a second, 0: any. */
struct limits_config {
    size_t max_connections;
    size_t max_per_address;
    size_t max_rate_per_address;
    size_t max_handshakes;        /* in progress at a time */
    size_t max_rejections;        /* connections being rejected at a time */
    bool is_proxied;              /* addresses are those of PROXY headers */
    void (*ebbed)(void *context); /* limits_await_ebb; from any thread; NULL */
    void *context;
};

/* Which limit rejects a connection. */
enum limits_result {
    LIMITS_ACCEPTED,
    LIMITS_FULL,         /* max_connections */
    LIMITS_ADDRESS_FULL, /* max_per_address */
    LIMITS_ADDRESS_RATE, /* max_rate_per_address */
    LIMITS_HANDSHAKES,   /* max_handshakes: it made room for another; no other one is rejected, it waits */
    LIMITS_RESULTS
};

struct limits;

/* Returns: the limits of one server, NULL with err. Errors: internal. */
struct limits *limits_new(const struct limits_config *config, struct err *err);

/* Whose a place is. Shape: is_counted false: its address is only for the log; limits_count comes later. */
struct limits_peer {
    const struct endpoint *address; /* borrowed during the call */
    bool is_counted;
};

/* Takes a place for one more connection of a peer; a rejection is logged at once, then once in
 * LIMITS_LOG_INTERVAL_MS for each limit. An IPv6 address counts by its first 64 bits, an IPv4-mapped one as
 * the IPv4 address. Shape: now_ms: of one monotonic clock. Returns: LIMITS_ACCEPTED, or which limit rejects
 * it. */
enum limits_result limits_take(struct limits *limits, const struct limits_peer *peer, int64_t now_ms);

/* Counts a place that was taken without an address for this one: it was not known then. Returns:
 * LIMITS_ACCEPTED; LIMITS_ADDRESS_FULL or LIMITS_ADDRESS_RATE, and the place stays without. */
enum limits_result limits_count(struct limits *limits, const struct endpoint *peer, int64_t now_ms);

/* Gives back the place that was taken for this peer. */
void limits_release(struct limits *limits, const struct limits_peer *peer);

/* Takes a place among the connections being rejected. Returns: whether there was one. */
bool limits_take_rejection(struct limits *limits);
void limits_release_rejection(struct limits *limits);

/* A worker that waits for handshakes to be over, its own or others'. Starts as {.wake, .context}. */
struct limits_waiter {
    void (*wake)(void *context); /* limits_begin_handshake may succeed now, or it is called; from any thread,
                                    with a lock held */
    void *context;
    struct limits_waiter *next;        /* of those that wait */
    struct limits_waiter *next_member; /* of all */
    bool is_waiting;
    bool is_called;
    uint8_t called_rank;
};

/* Borrows: waiter, until limits_leave. */
void limits_join(struct limits *limits, struct limits_waiter *waiter);
void limits_leave(struct limits *limits, struct limits_waiter *waiter);

/* Requests that other workers end handshakes for one of this rank, and notifies them. */
void limits_call(struct limits *limits, const struct limits_waiter *waiter, uint8_t rank);

/* Returns: whether it was called since it last asked, and for which rank. */
bool limits_is_called(struct limits *limits, struct limits_waiter *waiter, uint8_t *rank);

/* Counts a handshake of a peer that has a place, before it begins. Returns: how many more of its address wait
 * or are in progress. */
size_t limits_await_handshake(struct limits *limits, const struct endpoint *peer);

/* Begins a handshake that was counted. Where there are too many, the waiter is woken, once, after others that
 * waited before it. Shape: waiter has joined. Returns: whether it may begin. */
bool limits_begin_handshake(struct limits *limits, struct limits_waiter *waiter);

/* Logs that handshakes wait and none made room for them, as limits_take does. Shape: peer: of the first of
 * them; count: of those that were not reported before. */
void limits_report_waiting(struct limits *limits, const struct endpoint *peer, uint64_t count,
                           int64_t now_ms);

/* The end of a handshake that was counted. Shape: has_begun: its place among those in progress is given back,
 * too; false where it had none, or where another handshake has it from now on. */
void limits_end_handshake(struct limits *limits, const struct endpoint *peer, bool has_begun);

/* The waiter has nothing to wait for any more: who waits behind it is woken instead. */
void limits_stop_waiting(struct limits *limits, struct limits_waiter *waiter);

/* Calls back: ebbed, once, when no more than half of the places are taken that are taken now or will have
 * been since, if those are LIMITS_EBB_MIN at least. Once also after limits_new. */
void limits_await_ebb(struct limits *limits);

/* Returns: how many places are taken. */
size_t limits_open(struct limits *limits);

/* Shape: NULL is allowed. */
void limits_free(struct limits *limits);

#endif
