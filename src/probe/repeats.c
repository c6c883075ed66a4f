#include "repeats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/hash.h"

/* Two texts with one value are as good as impossible, and cost a label that is not needed. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = hash_bytes(HASH_START, text, strlen(text));
    return hash != 0 ? hash : 1;
}

/* Returns: the slot of a text, or the free one where it belongs. */
static struct repeat *find(const struct repeats *repeats, uint64_t hash)
{
    size_t i = (size_t)hash & repeats->mask;

    while (repeats->slots[i].hash != 0 && repeats->slots[i].hash != hash)
        i = (i + 1) & repeats->mask;
    return &repeats->slots[i];
}

int repeats_open(struct repeats *repeats, size_t count, struct err *err)
{
    size_t slots = 2;

    while (slots < 2 * count)
        slots *= 2;
    repeats->slots = calloc(slots, sizeof *repeats->slots);
    repeats->mask = slots - 1;
    return repeats->slots != NULL
               ? 0
               : err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for the names of targets");
}

void repeats_close(struct repeats *repeats)
{
    free(repeats->slots);
    *repeats = (struct repeats){0};
}

void repeats_add(struct repeats *repeats, const char *text)
{
    uint64_t hash = hash_of(text);
    struct repeat *slot = find(repeats, hash);

    slot->is_repeated = slot->hash == hash;
    slot->hash = hash;
}

bool repeats_has(const struct repeats *repeats, const char *text)
{
    return repeats->slots != NULL && find(repeats, hash_of(text))->is_repeated;
}
