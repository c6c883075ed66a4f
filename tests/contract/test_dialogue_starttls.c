#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "contract/dialogue_contract.h"
#include "support/starttls_talks.h"

enum { ROOM = 256 }; /* for the longest that is sent */

static struct dialogue *make(void *storage, const void *config)
{
    const struct starttls_talk *talk = config;
    starttls_init(storage, &(struct starttls_config){.protocol = talk->protocol}, "example.org", NULL);
    return storage;
}

static void append(struct buf *buf, struct bytes bytes)
{
    if (buf_append(buf, bytes) < 0)
        abort();
}

static int run(const struct starttls_talk *talk)
{
    struct buf sent = {0}, received = {0};
    struct dialogue_step steps[STARTTLS_TALK_TURNS];
    for (size_t i = 0; i < STARTTLS_TALK_TURNS; i++) {
        append(&sent, talk->turns[i].sent);
        append(&received, talk->turns[i].received);
        steps[i] = (struct dialogue_step){buf_length(&sent), buf_length(&received)};
    }
    struct dialogue_factory factory = {
        .name = talk->name,
        .make = make,
        .size = sizeof(struct starttls),
        .config = talk,
        .received = buf_bytes(&received),
        .steps = steps,
        .step_count = STARTTLS_TALK_TURNS,
        .sent = buf_bytes(&sent),
        .ends = talk->end == STARTTLS_GOES_ON ? DIALOGUE_OVER : DIALOGUE_FAILED,
        .reason = talk->end == STARTTLS_GOES_ON ? ERR_OK : ERR_TLS_STARTTLS,
        .room = ROOM,
    };
    int failed = dialogue_contract_run(&factory);
    buf_fini(&sent);
    buf_fini(&received);
    return failed;
}

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < starttls_talk_count; i++)
        failed += run(&starttls_talks[i]);
    return failed;
}
