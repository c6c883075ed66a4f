#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "contract/dialogue_contract.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/volume.h"

enum { TOTAL = 1100, STEPS_MAX = 16, ROOM = 64 * 1024, ANSWER_MS = 10000 };

/* What a real session answers to each burst. */
struct talk {
    struct buf sent, received;
    struct dialogue_step steps[STEPS_MAX];
    size_t step_count;
};

static struct dialogue *make(void *storage, const void *config)
{
    (void)config;
    volume_init(storage, TOTAL, ANSWER_MS);
    return storage;
}

static void append(struct buf *buf, struct bytes bytes)
{
    if (buf_append(buf, bytes) < 0)
        abort();
}

static void note_step(struct talk *talk)
{
    if (talk->step_count == STEPS_MAX)
        abort();
    talk->steps[talk->step_count++] =
        (struct dialogue_step){buf_length(&talk->sent), buf_length(&talk->received)};
}

static void hold(struct talk *talk)
{
    static const struct session_policy policy = {.idle_ms = 1000, .name_ms = 1000};
    static char burst[DIALOGUE_OUT_BYTES], room[ROOM];
    struct session session;
    struct volume volume;
    struct buf names = {0};
    struct sink answers = {room, 0, sizeof room};

    session_init_server(&session, &policy);
    dialogue_begin(&session.dialogue, &answers, 0);
    make(&volume, NULL);
    append(&talk->received, (struct bytes){room, answers.length});
    note_step(talk);
    while (volume.dialogue.state == DIALOGUE_SENDING) {
        struct sink out = {burst, 0, sizeof burst};
        dialogue_receive(&volume.dialogue, (struct bytes){0}, &out, 0);
        append(&talk->sent, (struct bytes){burst, out.length});
        append(&names, (struct bytes){burst, out.length});
        answers.length = 0;
        buf_consume(&names, dialogue_receive(&session.dialogue, buf_bytes(&names), &answers, 0));
        append(&talk->received, (struct bytes){room, answers.length});
        note_step(talk);
    }
    buf_fini(&names);
}

int main(void)
{
    struct talk talk = {0};
    hold(&talk);
    struct dialogue_factory factory = {
        .name = "volume",
        .make = make,
        .size = sizeof(struct volume),
        .received = buf_bytes(&talk.received),
        .steps = talk.steps,
        .step_count = talk.step_count,
        .sent = buf_bytes(&talk.sent),
        .ends = DIALOGUE_OVER,
        .room = DIALOGUE_OUT_BYTES,
    };
    int failed = dialogue_contract_run(&factory);

    char *wrong = (char *)(uintptr_t)factory.received.data;
    wrong[factory.received.length - 30] ^= 1;
    factory.name = "volume, a wrong byte";
    factory.ends = DIALOGUE_FAILED;
    factory.reason = ERR_DIALOGUE_WRONG_ANSWER;
    failed += dialogue_contract_run(&factory);
    buf_fini(&talk.sent);
    buf_fini(&talk.received);
    return failed;
}
