#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/stream_contract.h"
#include "support/stream_memory.h"
#include "support/tls_ends.h"

struct variant {
    size_t capacity;
    struct tls_ends_config tls;
};

static void make(struct stream_pair *pair, const void *config)
{
    const struct variant *variant = config;
    struct stream *lowers[2];
    stream_memory_pair(lowers, variant->capacity);
    tls_ends_make(pair, lowers, &variant->tls);
}

int main(void)
{
    enum { MORE_THAN_A_RECORD = 17 * 1000 };
    static const struct variant plain = {.capacity = 64 * 1024};
    static const struct variant narrow = {100, {.version = TLS1_2_VERSION}};
    static const struct variant old = {4096, {.version = TLS1_2_VERSION}};
    static const struct variant reversed = {4096, {.near_is_server = true}};
    static const struct variant single = {1000, {.faults = {.piece = 1}}};
    static const struct variant awkward = {
        1000, {.faults = {.piece = 100, .want_every = 2, .contrary = true}, .near_is_server = true}};
    static const struct stream_factory factories[] = {
        {.name = "TLS on memory", .config = &plain},
        {.name = "TLS 1.2 on memory", .config = &old},
        {.name = "TLS 1.2 on memory of 100 bytes", .config = &narrow, .plenty = MORE_THAN_A_RECORD},
        {.name = "TLS on memory, from the server's side", .config = &reversed},
        {.name = "TLS on memory, byte by byte", .config = &single, .plenty = MORE_THAN_A_RECORD},
        {.name = "TLS on memory in pieces, with waits", .config = &awkward, .plenty = MORE_THAN_A_RECORD},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof factories / sizeof factories[0]; i++) {
        struct stream_factory factory = factories[i];
        factory.make = make;
        factory.fini = tls_ends_fini;
        factory.abandoned = ERR_DIALOGUE_TRUNCATED;
        failed += stream_contract_run(&factory);
    }
    return failed;
}
