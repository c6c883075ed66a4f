/* Drives one session by pieces, in virtual time, as a connection would. */
#ifndef TCPGREET_TEST_SCRIPT_H
#define TCPGREET_TEST_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/core/session.h"

/* What a dialogue shows, whatever its bytes were cut into. */
struct script_outcome {
    enum session_state state;
    enum session_end end;
    uint32_t names;
    size_t taken;
};

/* Starts as `struct script script = {.policy = …}`. After every call the invariants of session.h are checked,
 * and a violation aborts. */
struct script {
    struct session_policy policy;
    size_t room;  /* of the output: GREETING_ANSWER_MAX or more; 0: plenty */
    size_t drain; /* how many bytes leave the output between two calls; 0: all */
    int64_t now_ms;
    struct session session;
    struct sink out;
    struct buf pending; /* what the session did not take */
    struct buf sent;    /* all that left the output */
    size_t taken;
    unsigned seen; /* a bit for each state it rested in */
};

/* How bytes are cut: the first `at`, then pieces of `step` (0: the rest in one). */
struct script_cut {
    size_t at, step;
};

void script_serve(struct script *script);
void script_visit(struct script *script);
void script_feed(struct script *script,
                 struct bytes piece); /* in memory that ends against an unmapped page */
void script_feed_cut(struct script *script, struct bytes bytes, struct script_cut cut);
void script_send(struct script *script, struct bytes name);
void script_eof(struct script *script);
void script_shut_down(struct script *script);

/* Moves the clock to when, which may be any time after now. */
void script_expire_at(struct script *script, int64_t when_ms);

/* Moves the clock to the deadline; aborts where there is none. */
void script_expire(struct script *script);

/* Returns: whether it failed; then err has the reason. */
bool script_failed(const struct script *script, struct err *err);

struct script_outcome script_outcome(const struct script *script);
bool script_outcome_equal(struct script_outcome a, struct script_outcome b);

/* Returns: all that was sent; valid until the next call. */
struct bytes script_output(struct script *script);

/* Forgets what was sent so far. */
void script_hush(struct script *script);

void script_fini(struct script *script);

#endif
