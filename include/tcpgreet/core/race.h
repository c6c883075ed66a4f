/* Which address to try when: the planner of RFC 8305 (Happy Eyeballs v2), without sockets or clock. */
#ifndef TCPGREET_CORE_RACE_H
#define TCPGREET_CORE_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/endpoint.h"

enum {
    RACE_ENDPOINTS_PER_FAMILY = 64, /* further ones are ignored and counted */
    RACE_ATTEMPT_DELAY_MS = 250,    /* RFC 8305 section 5, "Connection Attempt Delay" */
    RACE_ATTEMPT_DELAY_MIN_MS = 10, /* section 5: must not be below */
    RACE_RESOLUTION_DELAY_MS = 50   /* section 3, "Resolution Delay" */
};

struct race_config {
    int64_t attempt_delay_ms;
    int64_t deadline_ms; /* absolute; attempts start closer together where that gives every address a turn */
    bool want_v6;
    bool want_v4; /* a family that is not wanted counts as answered, with nothing */
};

enum race_family { RACE_V6, RACE_V4, RACE_FAMILIES };

enum race_state { RACE_NOT_STARTED, RACE_PENDING, RACE_FAILED, RACE_CONNECTED };

/*
 * Invariants: next[f] <= count[f]; attempts of family f with index < next[f] are started, others not;
 * at most one attempt is RACE_CONNECTED; pending == number of attempts in RACE_PENDING.
 */
struct race {
    struct race_config config;
    struct endpoint endpoints[RACE_FAMILIES][RACE_ENDPOINTS_PER_FAMILY];
    enum race_state states[RACE_FAMILIES][RACE_ENDPOINTS_PER_FAMILY];
    size_t count[RACE_FAMILIES];
    size_t next[RACE_FAMILIES];
    size_t ignored;
    bool answered[RACE_FAMILIES];
    int64_t v4_answered_ms; /* when A came while AAAA was still out */
    int64_t next_start_ms;  /* no attempt starts before, unless one fails */
    enum race_family last;  /* family of the last attempt started */
    bool started;           /* any attempt at all */
    size_t pending;
    int winner; /* attempt number, -1 */
};

enum race_verdict {
    RACE_START,     /* start attempt `attempt` now, then ask again */
    RACE_SLEEP,     /* nothing to do before until_ms or an outcome */
    RACE_WON,       /* attempt `attempt` is connected; close the others */
    RACE_EXHAUSTED, /* every answer is in and every attempt has failed */
    RACE_TIMED_OUT  /* the deadline is over */
};

struct race_step {
    enum race_verdict verdict;
    int attempt;      /* with RACE_START, RACE_WON; a number below 2 * RACE_ENDPOINTS_PER_FAMILY */
    int64_t until_ms; /* with RACE_SLEEP, absolute; never beyond the deadline */
};

void race_init(struct race *race, const struct race_config *config);

/* One family's answer, in the resolver's order; count 0: it has none. Once per family.
 * Borrows: endpoints. Duplicates are dropped. */
void race_answer(struct race *race, enum race_family family, const struct endpoint *endpoints, size_t count,
                 int64_t now_ms);

/* Returns: what to do now. RACE_START marks the attempt as pending.
 * Source: RFC 8305 sections 3 (resolution delay), 4 (interleaving, IPv6 first), 5 (attempt delay). */
struct race_step race_next(struct race *race, int64_t now_ms);

/* Outcomes of a pending attempt. After a failure the next attempt is due at once. */
void race_failed(struct race *race, int attempt);
void race_connected(struct race *race, int attempt);

/* Returns: where attempt goes. */
const struct endpoint *race_endpoint(const struct race *race, int attempt);

#endif
