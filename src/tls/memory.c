#include "memory.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "tcpgreet/tls/tls.h"

static _Thread_local bool is_short;

/* What allocated before; NULL: the C library. */
static CRYPTO_malloc_fn lower_malloc;
static CRYPTO_realloc_fn lower_realloc;
static CRYPTO_free_fn lower_free;

static void *note(void *memory)
{
    is_short = is_short || memory == NULL;
    return memory;
}

static void *take(size_t size, const char *file, int line)
{
    if (size == 0)
        return NULL;
    return note(lower_malloc != NULL ? lower_malloc(size, file, line) : malloc(size));
}

static void give(void *memory, const char *file, int line)
{
    if (lower_free != NULL)
        lower_free(memory, file, line);
    else
        free(memory);
}

static void *retake(void *memory, size_t size, const char *file, int line)
{
    if (size == 0) {
        give(memory, file, line);
        return NULL;
    }
    return note(lower_realloc != NULL ? lower_realloc(memory, size, file, line) : realloc(memory, size));
}

void tls_watch_memory(void)
{
    CRYPTO_malloc_fn allocate;
    CRYPTO_realloc_fn reallocate;
    CRYPTO_free_fn release;

    CRYPTO_get_mem_functions(&allocate, &reallocate, &release);
    if (allocate != CRYPTO_malloc) { /* whose default would call take again */
        lower_malloc = allocate;
        lower_realloc = reallocate;
        lower_free = release;
    }
    (void)CRYPTO_set_mem_functions(take, retake,
                                   give); /* refused once OpenSSL has memory: then none is noted */
}

void tls_memory_begin(void)
{
    is_short = false;
}

bool tls_memory_is_short(void)
{
    return is_short;
}
