#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "contract/stream_contract.h"
#include "support/stream_fault.h"
#include "support/stream_memory.h"

struct variant {
    size_t capacity;
    struct stream_faults faults; /* of both ends */
};

static void make(struct stream_pair *pair, const void *config)
{
    const struct variant *variant = config;
    struct stream *ends[2];
    struct stream_faults *faults = calloc(2, sizeof *faults);

    if (faults == NULL)
        abort();
    stream_memory_pair(ends, variant->capacity);
    faults[0] = faults[1] = variant->faults;
    pair->context = faults;
    pair->near = stream_fault_new(ends[0], &faults[0]);
    pair->far = stream_fault_new(ends[1], &faults[1]);
}

static void fini(struct stream_pair *pair)
{
    free(pair->context);
}

int main(void)
{
    static const struct variant plain = {4096, {0}};
    static const struct variant narrow = {16, {0}};
    static const struct variant awkward = {1000, {.piece = 10, .want_every = 2, .contrary = true}};
    static const struct stream_factory factories[] = {
        {.name = "memory", .make = make, .config = &plain, .fini = fini},
        {.name = "memory of 16 bytes", .make = make, .config = &narrow, .fini = fini, .plenty = 3000},
        {.name = "memory in pieces, with waits",
         .make = make,
         .config = &awkward,
         .fini = fini,
         .plenty = 3000},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof factories / sizeof factories[0]; i++)
        failed += stream_contract_run(&factories[i]);
    return failed;
}
