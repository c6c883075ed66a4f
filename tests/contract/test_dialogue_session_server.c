#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "contract/dialogue_contract.h"
#include "tcpgreet/core/session.h"

#define LITERAL(text)                                                                                        \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define HELLO(name) "Server: Hello " name "!\n" QUESTION
#define BYE "Server: Good bye!\n"

static struct dialogue *make(void *storage, const void *config)
{
    session_init_server(storage, config);
    return storage;
}

static struct dialogue *make_refusal(void *storage, const void *config)
{
    (void)config;
    session_init_refusal(storage);
    return storage;
}

int main(void)
{
    enum { LONG = GREETING_NAME_MAX + 80 };
    static const struct session_policy policy = {.idle_ms = 300000, .name_ms = 30000, .pause_ms = 300};
    static char name[LONG + sizeof "\nAnn\n"];
    static const struct dialogue_factory factories[] = {
        {.name = "session server, names and exit",
         .received = LITERAL("Ann\nBob\r\n\nGET /\r\nexit\r\nCid\n"),
         .sent = LITERAL(WELCOME HELLO("Ann") HELLO("Bob") QUESTION HELLO("GET /") BYE)},
        {.name = "session server, the last name without a newline",
         .received = LITERAL("\n\0\xff\x1b[m\r\r\nMichael K"),
         .sent = LITERAL(WELCOME QUESTION HELLO("\0\xff\x1b[m\r") HELLO("Michael K"))},
        {.name = "session server, exit without a newline",
         .received = LITERAL("Ann\nexit"),
         .sent = LITERAL(WELCOME HELLO("Ann") BYE)},
        {.name = "session server, a name that is too long",
         .received = {name, sizeof name - 1},
         .sent = LITERAL(WELCOME "Server: Sorry, a name has at most 1024 bytes.\n" QUESTION HELLO("Ann"))},
        {.name = "session server, a TLS client",
         .received = LITERAL("\x16\x03\x01\x00\xc0\x01\n\nexit\n"),
         .sent = LITERAL(WELCOME)},
        {.name = "session server, an HTTP client",
         .received = LITERAL("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
         .sent = LITERAL(WELCOME)},
        {.name = "session refusal",
         .make = make_refusal,
         .received = LITERAL("Ann\n"),
         .sent = LITERAL("Server: Sorry, too many guests.\n")},
    };
    int failed = 0;

    memset(name, 'x', LONG);
    memcpy(name + LONG, "\nAnn\n", sizeof "\nAnn\n");
    for (size_t i = 0; i < sizeof factories / sizeof factories[0]; i++) {
        struct dialogue_factory factory = factories[i];
        factory.make = factory.make != NULL ? factory.make : make;
        factory.config = &policy;
        factory.size = sizeof(struct session);
        factory.ends = DIALOGUE_OVER;
        factory.room = GREETING_ANSWER_MAX;
        factory.last = BYTES_LITERAL(BYE);
        failed += dialogue_contract_run(&factory);
    }
    return failed;
}
