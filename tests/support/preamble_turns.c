#include "support/preamble_turns.h"

#include <string.h>

enum { LONG_BYTES = 2 * DIALOGUE_OUT_BYTES + 100 };

static const char question[] = "May we?\r\n", answer[] = "220-Of\r\n220 course\r\n",
                  long_answer[] = "\x01\x02";
static const char long_question[LONG_BYTES] = "long";

#define TURN(sends, array, length)                                                                           \
    {                                                                                                        \
        (sends),                                                                                             \
        {                                                                                                    \
            (array), (length)                                                                                \
        }                                                                                                    \
    }
#define TURNS(near)                                                                                          \
    {                                                                                                        \
        TURN(near, question, sizeof question - 1), TURN(!(near), answer, sizeof answer - 1),                 \
            TURN(near, long_question, LONG_BYTES), TURN(!(near), long_answer, sizeof long_answer - 1)        \
    }

const struct preamble_turn preamble_turns_near[PREAMBLE_TURNS] = TURNS(true);
const struct preamble_turn preamble_turns_far[PREAMBLE_TURNS] = TURNS(false);

static struct preamble_turns *of(struct dialogue *dialogue)
{
    return (struct preamble_turns *)dialogue;
}

static void fail(struct preamble_turns *machine, enum err_reason why)
{
    machine->why = why;
    machine->dialogue.state = DIALOGUE_FAILED;
}

/* Sends what fits, and finds the state. */
static void go_on(struct preamble_turns *machine, struct sink *out)
{
    const struct preamble_turn *turn = &machine->turns[machine->turn];
    if (machine->turn < machine->count && turn->sends) {
        size_t left = turn->bytes.length - machine->sent;
        size_t length = left < sink_room(out) ? left : sink_room(out);
        sink_put(out, (struct bytes){turn->bytes.data + machine->sent, length});
        machine->sent += length;
        machine->dialogue.state = length < left ? DIALOGUE_SENDING : DIALOGUE_RUNNING;
        if (length < left)
            return;
        machine->sent = 0;
        machine->turn++;
    }
    if (machine->turn == machine->count)
        machine->dialogue.state = DIALOGUE_OVER;
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    (void)now_ms;
    go_on(of(dialogue), out);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct preamble_turns *machine = of(dialogue);
    const struct preamble_turn *turn = &machine->turns[machine->turn];
    (void)now_ms;
    if (turn->sends) {
        go_on(machine, out);
        return 0;
    }
    size_t length = in.length < turn->bytes.length ? in.length : turn->bytes.length;
    if (length > 0 && memcmp(in.data, turn->bytes.data, length) != 0) {
        fail(machine, ERR_DIALOGUE_WRONG_ANSWER);
        return 0;
    }
    if (length < turn->bytes.length)
        return 0;
    machine->turn++;
    go_on(machine, out);
    return length;
}

static size_t eof(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    (void)now_ms;
    fail(of(dialogue), ERR_DIALOGUE_EARLY_END);
    return 0;
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)in;
    (void)out;
    if (now_ms >= dialogue->deadline_ms)
        fail(of(dialogue), ERR_DIALOGUE_TIMEOUT);
    return 0;
}

static void failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    const struct preamble_turns *machine = (const struct preamble_turns *)dialogue;
    err_set_facts(err, machine->why, &(struct err_facts){.received = rest}, "turn %zu failed", machine->turn);
}

static const struct dialogue_ops ops = {
    .begin = begin, .receive = receive, .eof = eof, .expire = expire, .failure = failure};

void preamble_turns_init(struct preamble_turns *machine, const struct preamble_turn *turns, size_t count)
{
    *machine = (struct preamble_turns){
        .dialogue = {.ops = &ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .turns = turns,
        .count = count};
}
