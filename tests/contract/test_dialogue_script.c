#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "contract/dialogue_contract.h"
#include "tcpgreet/core/script_run.h"

enum { ANSWER_MS = 10000, STEPS_MAX = 8 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One script and what its peer sends; `when` is how much of it the peer sends after so many bytes. */
static const struct talk {
    const char *name;
    struct {
        enum script_kind kind;
        const char *text;
    } steps[STEPS_MAX];
    struct bytes received;
    struct dialogue_step when[STEPS_MAX];
    size_t when_count;
    struct bytes sent;
    enum dialogue_state ends;
    enum err_reason reason;
} talks[] = {
    {.name = "script",
     .steps = {{SCRIPT_EXPECT, "^220 "},
               {SCRIPT_SEND, "EHLO probe\\r\\n"},
               {SCRIPT_REJECT, "^5"},
               {SCRIPT_EXPECT, "^250 .*$"},
               {SCRIPT_SEND, "QUIT\\r\\n"},
               {SCRIPT_EXPECT, "^221"}},
     .received = BYTES_LITERAL("220 mail ESMTP\r\n250-mail\r\n250 OK\r\n221 bye\r\n"),
     .when = {{0, 16}, {12, 34}, {18, 43}},
     .when_count = 3,
     .sent = BYTES_LITERAL("EHLO probe\r\nQUIT\r\n"),
     .ends = DIALOGUE_OVER},
    {.name = "script, the peer does not wait",
     .steps = {{SCRIPT_EXPECT, "^2"}, {SCRIPT_SEND, "A\\n"}, {SCRIPT_EXPECT, "^3"}, {SCRIPT_SEND, "B\\n"}},
     .received = BYTES_LITERAL("220 3 \n3\n5\n"),
     .sent = BYTES_LITERAL("A\nB\n"),
     .ends = DIALOGUE_OVER},
    {.name = "script, rejected in the line of the match",
     .steps = {{SCRIPT_REJECT, "fail"}, {SCRIPT_EXPECT, "^2"}, {SCRIPT_SEND, "A\\n"}},
     .received = BYTES_LITERAL("1\n2 failed\n"),
     .sent = BYTES_LITERAL(""),
     .ends = DIALOGUE_FAILED,
     .reason = ERR_DIALOGUE_UNEXPECTED},
    {.name = "script, rejected only behind the line of the match",
     .steps = {{SCRIPT_REJECT, "fail"}, {SCRIPT_EXPECT, "^2"}, {SCRIPT_SEND, "A\\n"}},
     .received = BYTES_LITERAL("1\n2\nfailed\n"),
     .sent = BYTES_LITERAL("A\n"),
     .ends = DIALOGUE_OVER},
    {.name = "script, what a match looks ahead to",
     .steps = {{SCRIPT_REJECT, "x"}, {SCRIPT_EXPECT, "a(?=[^y]*y)"}, {SCRIPT_SEND, "A"}},
     .received = BYTES_LITERAL("a\nb\nxy\n"),
     .sent = BYTES_LITERAL(""),
     .ends = DIALOGUE_FAILED,
     .reason = ERR_DIALOGUE_UNEXPECTED},
    {.name = "script, a pattern that what follows decides",
     .steps = {{SCRIPT_EXPECT, "ab*(?!c)$"}, {SCRIPT_SEND, "A"}, {SCRIPT_EXPECT, "\\Gd|e+$"}},
     .received = BYTES_LITERAL("abbc\nabb\r\nxd\nee"),
     .sent = BYTES_LITERAL("A"),
     .ends = DIALOGUE_OVER},
    {.name = "script, a last reject",
     .steps = {{SCRIPT_SEND, "A"}, {SCRIPT_EXPECT, "b"}, {SCRIPT_REJECT, "c$"}},
     .received = BYTES_LITERAL("b\ncd\nc"),
     .sent = BYTES_LITERAL("A"),
     .ends = DIALOGUE_FAILED,
     .reason = ERR_DIALOGUE_UNEXPECTED},
    {.name = "script, unmet",
     .steps = {{SCRIPT_SEND, "A"}, {SCRIPT_SEND, "B"}, {SCRIPT_EXPECT, "b"}, {SCRIPT_EXPECT, "d"}},
     .received = BYTES_LITERAL("a\nb\nc"),
     .sent = BYTES_LITERAL("AB"),
     .ends = DIALOGUE_FAILED,
     .reason = ERR_DIALOGUE_UNEXPECTED},
};

static struct dialogue *make(void *storage, const void *config)
{
    script_run_init(storage, config, ANSWER_MS);
    return storage;
}

static int run(const struct talk *talk)
{
    struct script script = {0};
    struct err err = {0};

    for (size_t i = 0; i < STEPS_MAX && talk->steps[i].text != NULL; i++)
        if (script_add(&script, talk->steps[i].kind, talk->steps[i].text, &err) < 0)
            abort();
    struct dialogue_factory factory = {
        .name = talk->name,
        .make = make,
        .size = sizeof(struct script_run),
        .config = &script,
        .received = talk->received,
        .steps = talk->when_count > 0 ? talk->when : NULL,
        .step_count = talk->when_count,
        .sent = talk->sent,
        .ends = talk->ends,
        .reason = talk->reason,
        .room = 1,
    };
    int failed = dialogue_contract_run(&factory);
    script_free(&script);
    return failed;
}

int main(void)
{
    struct err err = {0};
    int failed = 0;

    if (script_check_built(&err) < 0)
        return 0; /* there is no pattern to search for */
    for (size_t i = 0; i < COUNT(talks); i++)
        failed += run(&talks[i]);
    return failed;
}
