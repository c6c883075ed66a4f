#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "contract/dialogue_contract.h"
#include "tcpgreet/core/session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LITERAL(text)                                                                                        \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }
#define LENGTH(text) (sizeof(text) - 1)

#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define HELLO(name) "Server: Hello " name "!\n" QUESTION
#define BYE "Server: Good bye!\n"

enum { STEPS_MAX = 4 };

struct visit {
    const char *name;
    struct session_policy policy;
    const char *names[STEPS_MAX]; /* then exit */
    struct dialogue_step steps[STEPS_MAX];
    size_t step_count; /* 0: the server waits for nothing */
    struct bytes received, sent;
    enum err_reason reason;
};

static struct dialogue *make(void *storage, const void *config)
{
    const struct visit *visit = config;
    session_init_client(storage, &visit->policy);
    return storage;
}

static void send_next(struct dialogue *dialogue, const void *config, unsigned turn, int64_t now_ms)
{
    const struct visit *visit = config;
    const char *name = turn < STEPS_MAX && visit->names[turn] != NULL ? visit->names[turn] : "exit";
    size_t length = 0;
    while (name[length] != '\0')
        length++;
    session_send((struct session *)dialogue, (struct bytes){name, length}, now_ms);
}

#define ALL WELCOME HELLO("Ann") QUESTION BYE
#define BARE WELCOME HELLO("Ann\n") HELLO("Bob") BYE
#define FORCED WELCOME HELLO("exit\n") BYE

static const struct visit visits[] = {
    {.name = "session client, names and exit",
     .names = {"Ann", ""},
     .steps = {{0, LENGTH(WELCOME)},
               {4, LENGTH(WELCOME HELLO("Ann"))},
               {5, LENGTH(WELCOME HELLO("Ann") QUESTION)},
               {10, LENGTH(ALL)}},
     .step_count = 4,
     .received = LITERAL(ALL),
     .sent = LITERAL("Ann\n\nexit\n")},
    {.name = "session client, a server that takes names without a newline",
     .names = {"Ann", "Bob"},
     .steps = {{0, LENGTH(WELCOME)},
               {4, LENGTH(WELCOME HELLO("Ann\n"))},
               {7, LENGTH(WELCOME HELLO("Ann\n") HELLO("Bob"))},
               {11, LENGTH(BARE)}},
     .step_count = 4,
     .received = LITERAL(BARE),
     .sent = LITERAL("Ann\nBobexit")},
    {.name = "session client, exit as the first name of such a server",
     .steps = {{0, LENGTH(WELCOME)}, {5, LENGTH(WELCOME HELLO("exit\n"))}, {9, LENGTH(FORCED)}},
     .step_count = 3,
     .received = LITERAL(FORCED),
     .sent = LITERAL("exit\nexit")},
    {.name = "session client, a wrong answer",
     .names = {"Ann"},
     .steps = {{0, LENGTH(WELCOME)}, {4, LENGTH(WELCOME HELLO("Bob"))}},
     .step_count = 2,
     .received = LITERAL(WELCOME HELLO("Bob")),
     .sent = LITERAL("Ann\n"),
     .reason = ERR_DIALOGUE_WRONG_ANSWER},
    {.name = "session client, an HTTP server",
     .received = LITERAL("HTTP/1.1 400 Bad Request\r\n"),
     .sent = LITERAL(""),
     .reason = ERR_DIALOGUE_WRONG_ANSWER},
    {.name = "session client, a TLS server",
     .received = LITERAL("\x15\x03\x01\0\x02\x02\x28"),
     .sent = LITERAL(""),
     .reason = ERR_DIALOGUE_TLS_PEER},
    {.name = "session client, a server that is full",
     .received = LITERAL("Server: Sorry, too many guests.\n"),
     .sent = LITERAL(""),
     .reason = ERR_DIALOGUE_EARLY_END},
    {.name = "session client, a server that ends",
     .names = {"Ann"},
     .steps = {{0, LENGTH(WELCOME)}, {4, LENGTH(WELCOME BYE)}},
     .step_count = 2,
     .received = LITERAL(WELCOME BYE),
     .sent = LITERAL("Ann\n"),
     .reason = ERR_DIALOGUE_EARLY_END},
};

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < COUNT(visits); i++) {
        const struct visit *visit = &visits[i];
        struct visit limited = *visit;
        limited.policy.answer_ms = 10000;
        const struct dialogue_factory factory = {
            .name = visit->name,
            .make = make,
            .size = sizeof(struct session),
            .config = &limited,
            .turn = send_next,
            .received = visit->received,
            .steps = visit->step_count > 0 ? visit->steps : NULL,
            .step_count = visit->step_count,
            .sent = visit->sent,
            .ends = visit->reason == ERR_OK ? DIALOGUE_OVER : DIALOGUE_FAILED,
            .reason = visit->reason,
            .room = LENGTH("exit\n"),
        };
        failed += dialogue_contract_run(&factory);
    }
    return failed;
}
