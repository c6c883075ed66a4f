#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "contract/stream_contract.h"
#include "support/preamble_turns.h"
#include "support/stream_fault.h"
#include "support/stream_memory.h"
#include "tcpgreet/link/stream_preamble.h"

struct variant {
    size_t capacity;
    struct stream_faults faults; /* below, of both ends */
    size_t turns;                /* of the preamble */
};

static struct stream *hold_first(struct stream *lower, const struct preamble_turn *turns, size_t count)
{
    struct preamble_turns machine;
    struct err err = {0};
    preamble_turns_init(&machine, turns, count);
    struct stream *stream = stream_preamble_new(
        lower,
        &(struct stream_preamble_config){STREAM_LAYER_STARTTLS, &machine.dialogue, sizeof machine, false},
        &err);
    if (stream == NULL)
        abort();
    return stream;
}

static void make(struct stream_pair *pair, const void *config)
{
    const struct variant *variant = config;
    struct stream_faults *faults = test_calloc(2, sizeof *faults);
    struct stream *ends[2];

    stream_memory_pair(ends, variant->capacity);
    faults[0] = faults[1] = variant->faults;
    pair->context = faults;
    pair->near = hold_first(stream_fault_new(ends[0], &faults[0]), preamble_turns_near, variant->turns);
    pair->far = hold_first(stream_fault_new(ends[1], &faults[1]), preamble_turns_far, variant->turns);
}

static void fini(struct stream_pair *pair)
{
    struct stream_faults *faults = pair->context;
    assert_int_equal(faults[0].frees, 1);
    assert_int_equal(faults[1].frees, 1);
    test_free(faults);
}

int main(void)
{
    static const struct variant plain = {4096, {0}, PREAMBLE_TURNS};
    static const struct variant narrow = {16, {0}, 2};
    static const struct variant single = {1000, {.piece = 1}, PREAMBLE_TURNS};
    static const struct variant awkward = {1000, {.piece = 10, .want_every = 2, .contrary = true}, 2};
    static const struct variant hoarding = {1000, {.piece = 7, .hoard = true}, PREAMBLE_TURNS};
    static const struct stream_factory factories[] = {
        {.name = "a preamble on memory", .config = &plain},
        {.name = "a preamble on memory of 16 bytes", .config = &narrow, .plenty = 3000},
        {.name = "a preamble byte by byte", .config = &single, .plenty = 3000},
        {.name = "a preamble in pieces, with waits", .config = &awkward, .plenty = 3000},
        {.name = "a preamble above what reads ahead", .config = &hoarding, .plenty = 3000},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof factories / sizeof factories[0]; i++) {
        struct stream_factory factory = factories[i];
        factory.make = make;
        factory.fini = fini;
        failed += stream_contract_run(&factory);
    }
    return failed;
}
