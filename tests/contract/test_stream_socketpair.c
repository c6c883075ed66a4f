#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "contract/stream_contract.h"
#include "support/stream_fault.h"
#include "tcpgreet/net/stream_tcp.h"

struct variant {
    int (*connect)(int fds[2]);
    struct stream_faults faults; /* of both ends */
};

static int connect_unix(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static int connect_tcp(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    int result = bind(listening, (struct sockaddr *)&at, sizeof at);

    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (result == 0 && listen(listening, 1) == 0 &&
        getsockname(listening, (struct sockaddr *)&at, &length) == 0)
        result = connect(fds[0], (struct sockaddr *)&at, sizeof at);
    fds[1] = result == 0 ? accept(listening, NULL, NULL) : -1;
    close(listening);
    return fds[1] < 0 ? -1 : 0;
}

static void make(struct stream_pair *pair, const void *config)
{
    const struct variant *variant = config;
    struct stream **ends[2] = {&pair->near, &pair->far};
    int fds[2];
    struct stream_faults *faults = calloc(2, sizeof *faults);

    if (faults == NULL || variant->connect(fds) < 0)
        abort();
    pair->context = faults;
    for (size_t i = 0; i < 2; i++) {
        struct stream *stream = stream_tcp_new(fds[i], NULL);
        if (stream == NULL || fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0)
            abort();
        faults[i] = variant->faults;
        *ends[i] = stream_fault_new(stream, &faults[i]);
    }
}

static void fini(struct stream_pair *pair)
{
    struct stream_faults *faults = pair->context;
    assert_int_equal(faults[0].frees, 1);
    assert_int_equal(faults[1].frees, 1);
    free(faults);
}

int main(void)
{
    static const struct variant plain = {connect_unix, {0}};
    static const struct variant tcp = {connect_tcp, {0}};
    static const struct variant awkward = {connect_unix, {.piece = 999, .want_every = 3}};
    static const struct variant hoarding = {connect_unix, {.want_every = 2, .contrary = true, .hoard = true}};
    static const struct stream_factory factories[] = {
        {.name = "stream_tcp on a socketpair", .make = make, .config = &plain, .fini = fini},
        {.name = "stream_tcp on TCP", .make = make, .config = &tcp, .fini = fini},
        {.name = "pieces and waits above a socketpair", .make = make, .config = &awkward, .fini = fini},
        {.name = "a hoard above a socketpair", .make = make, .config = &hoarding, .fini = fini},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof factories / sizeof factories[0]; i++)
        failed += stream_contract_run(&factories[i]);
    return failed;
}
