#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "contract/stream_contract.h"
#include "support/sockets.h"
#include "support/tls_ends.h"
#include "tcpgreet/net/stream_tcp.h"

static void make(struct stream_pair *pair, const void *config)
{
    struct stream *lowers[2];
    int fds[2];
    sockets_open_pair(fds);
    for (size_t i = 0; i < 2; i++)
        lowers[i] = stream_tcp_new(fds[i], NULL);
    tls_ends_make(pair, lowers, config);
}

int main(void)
{
    static const struct tls_ends_config plain = {0};
    static const struct tls_ends_config old = {.version = TLS1_2_VERSION};
    static const struct tls_ends_config reversed = {.near_is_server = true};
    static const struct tls_ends_config awkward = {.faults = {.piece = 999, .want_every = 3}};
    static const struct tls_ends_config hoarding = {
        .faults = {.want_every = 2, .contrary = true, .hoard = true}};
    static const struct stream_factory factories[] = {
        {.name = "TLS on a socketpair", .config = &plain},
        {.name = "TLS 1.2 on a socketpair", .config = &old},
        {.name = "TLS on a socketpair, from the server's side",
         .config = &reversed,
         .abandoned = ERR_DIALOGUE_RESET}, /* its tickets are not read by then */
        {.name = "TLS on a socketpair in pieces, with waits", .config = &awkward},
        {.name = "TLS on a hoard above a socketpair", .config = &hoarding},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof factories / sizeof factories[0]; i++) {
        struct stream_factory factory = factories[i];
        factory.make = make;
        factory.fini = tls_ends_fini;
        if (factory.abandoned == ERR_OK)
            factory.abandoned = ERR_DIALOGUE_TRUNCATED;
        failed += stream_contract_run(&factory);
    }
    return failed;
}
