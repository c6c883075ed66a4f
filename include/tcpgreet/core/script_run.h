/* An exchange, executed step by step in the order given: a client's dialogue. */
#ifndef TCPGREET_CORE_SCRIPT_RUN_H
#define TCPGREET_CORE_SCRIPT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/script.h"

enum {
    SCRIPT_WINDOW_BYTES = DIALOGUE_KEEP_BYTES, /* how much patterns are searched in */
    SCRIPT_PAUSE_MS = 300,    /* silence that ends a line without a newline, as the server's --pause */
    SCRIPT_SILENCE_MS = 1000, /* silence after which a last --reject has nothing more to reject */
    SCRIPT_LINE_BYTES = 128
};

enum script_end {
    SCRIPT_END_NONE,
    SCRIPT_END_DONE,
    SCRIPT_END_LATE,      /* answer_ms expired */
    SCRIPT_END_PEER,      /* the peer ended before an expectation was met */
    SCRIPT_END_REJECTED,  /* a --reject matched */
    SCRIPT_END_FULL,      /* SCRIPT_WINDOW_BYTES came, and do not meet the expectation */
    SCRIPT_END_COSTLY,    /* a pattern takes too many steps */
    SCRIPT_END_EXHAUSTED, /* memory */
    SCRIPT_ENDS
};

/*
 * One execution. Patterns are searched in what came since the last --send. A step is left once it is settled
 * whatever follows: when the line in which the last match ends is complete, or after SCRIPT_PAUSE_MS of
 * silence where no newline follows, or when nothing can follow. What stands behind that line counts as
 * received after the --send that comes next. Invariants: first <= at <= next <= script->count; steps before
 * first are done; next is the --send that follows, or script->count.
 */
struct script_run {
    struct dialogue dialogue;
    const struct script *script; /* borrowed */
    int64_t answer_ms;
    int64_t limit_ms; /* when what is under way is due */
    int64_t last_ms;  /* when bytes came last, or the wait for them began */
    size_t first;     /* of the steps since the last --send */
    size_t at;        /* the expectation that is awaited */
    size_t next;
    size_t sent;                     /* of the --send under way */
    size_t seen;                     /* bytes that were looked at, and are not consumed */
    size_t reach;                    /* where the furthest match since the last --send ends */
    size_t met;                      /* where the last one begins */
    size_t culprit;                  /* the step that failed */
    size_t rejected;                 /* with SCRIPT_END_REJECTED: where the match begins */
    uint32_t from[SCRIPT_STEPS_MAX]; /* where the search for each goes on */
    char line[SCRIPT_LINE_BYTES];    /* the line in which the last expectation was met, as far as it fits */
    uint8_t line_count;
    uint8_t end;         /* enum script_end */
    bool is_sending : 1; /* the step `next` is under way */
    bool is_paused : 1;  /* the peer's silence has been taken into account */
    bool has_ended : 1;  /* the peer has */
    bool may_be_refused; /* the owner's: it waits for that when the last step is done, a --send, too */
};

/* Makes a client's: DIALOGUE_READY when every step is done and its owner may close, DIALOGUE_OVER where the
 * last step is a --send and may_be_refused is not set. What it leaves is what came since the last --send, at
 * most SCRIPT_WINDOW_BYTES. Borrows: script, which has a step. Shape: answer_ms: from a --send, or the begin,
 * to what is expected. Errors of failure: dialogue-timeout, dialogue-unexpected, with what came; internal. */
void script_run_init(struct script_run *run, const struct script *script, int64_t answer_ms);

/* Returns: the line in which the last expectation was met; empty where there is none. */
struct bytes script_run_line(const struct script_run *run);

#endif
