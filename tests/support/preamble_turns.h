/* A dialogue that takes turns in sending and expecting known bytes, for streams that hold one first. */
#ifndef TCPGREET_TEST_PREAMBLE_TURNS_H
#define TCPGREET_TEST_PREAMBLE_TURNS_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/core/dialogue.h"

struct preamble_turn {
    bool sends;
    struct bytes bytes; /* expected ones are consumed once they are all there */
};

/* Fails by dialogue-wrong-answer on any other byte, dialogue-early-end with the peer's end, dialogue-timeout
 * when its time is over. Shape: neighbouring turns do not both send. */
struct preamble_turns {
    struct dialogue dialogue;
    const struct preamble_turn *turns;
    size_t count;
    size_t turn;
    size_t sent; /* of the turn */
    enum err_reason why;
};

/* Borrows: turns. */
void preamble_turns_init(struct preamble_turns *machine, const struct preamble_turn *turns, size_t count);

/* A short question and answer, then more than one burst and an answer, as each side sees it. */
enum { PREAMBLE_TURNS = 4 };
extern const struct preamble_turn preamble_turns_near[PREAMBLE_TURNS], preamble_turns_far[PREAMBLE_TURNS];

#endif
