/* What every dialogue promises, as one suite that knows nothing of what is talked about. */
#ifndef TCPGREET_TEST_DIALOGUE_CONTRACT_H
#define TCPGREET_TEST_DIALOGUE_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"

/* The peer has sent its first `received` bytes once it has `sent` bytes of the dialogue's. */
struct dialogue_step {
    size_t sent, received;
};

/* One dialogue, and the peer that it meets. */
struct dialogue_factory {
    const char *name;

    /* Makes it in storage of `size` bytes. Returns: storage, as its first member. */
    struct dialogue *(*make)(void *storage, const void *config);
    size_t size;
    const void *config;

    /* Its owner, when it is DIALOGUE_READY for the turn-th time; NULL. */
    void (*turn)(struct dialogue *dialogue, const void *config, unsigned turn, int64_t now_ms);

    struct bytes received;             /* all that the peer sends; then it ends */
    const struct dialogue_step *steps; /* in order of both; NULL: the peer waits for nothing */
    size_t step_count;

    struct bytes sent;        /* what it answers in all */
    enum dialogue_state ends; /* DIALOGUE_OVER, DIALOGUE_FAILED */
    enum err_reason reason;   /* with DIALOGUE_FAILED */
    size_t room;              /* the least of out with which it can go on */
    struct bytes last;        /* the final message, with stop */
};

/* Runs the suite as one group of tests. Returns: how many failed. */
int dialogue_contract_run(const struct dialogue_factory *factory);

#endif
