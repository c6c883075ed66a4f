#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/dialogue_contract.h"
#include "tcpgreet/core/pipe.h"

static const struct bytes sent[] = {{"GET / ", 6}, {"H", 1}, {"TTP/1.0\r\n\r\n\0", 12}};

static struct dialogue *make(void *storage, const void *config)
{
    pipe_init(storage, *(const int64_t *)config);
    return storage;
}

static void turn(struct dialogue *dialogue, const void *config, unsigned turn, int64_t now_ms)
{
    struct pipe *pipe = (struct pipe *)dialogue;

    (void)config;
    (void)now_ms;
    if (turn < sizeof sent / sizeof sent[0])
        pipe_send(pipe, sent[turn]);
    else
        pipe_end(pipe);
}

int main(void)
{
    static const int64_t linger_ms[] = {500, 0};
    struct dialogue_factory factory = {
        .name = "pipe",
        .config = &linger_ms[0],
        .make = make,
        .size = sizeof(struct pipe),
        .turn = turn,
        .received = BYTES_LITERAL("HTTP/1.0 200 OK\r\n\r\n\0\xff"),
        .sent = BYTES_LITERAL("GET / HTTP/1.0\r\n\r\n\0"),
        .ends = DIALOGUE_OVER,
        .room = 1,
    };
    int failed = dialogue_contract_run(&factory);

    factory.name = "pipe, which does not linger";
    factory.config = &linger_ms[1];
    return failed + dialogue_contract_run(&factory);
}
