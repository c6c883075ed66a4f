/* Command lines for tests of options, accepted or rejected. Include cmocka first. */
#ifndef TCPGREET_TESTS_COMMAND_LINE_H
#define TCPGREET_TESTS_COMMAND_LINE_H

#include <string.h>

#include "tcpgreet/cli/options.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { COMMAND_LINE_WORDS = 16 };

struct command_line {
    const char *words[COMMAND_LINE_WORDS]; /* what follows the program's name; ends at NULL */
};

/* What the last line made of it. */
static struct options options;
static struct err err;

static inline int command_line_parse_words(int argc, const char *const *argv)
{
    err = (struct err){0};
    options = (struct options){0};
    return options_parse(&options, argc, argv, &err);
}

static inline int command_line_parse(const struct command_line *line)
{
    const char *argv[COMMAND_LINE_WORDS + 2] = {"tcpgreet"};
    int argc = 1;

    while (argc <= COMMAND_LINE_WORDS && line->words[argc - 1] != NULL) {
        argv[argc] = line->words[argc - 1];
        argc++;
    }
    return command_line_parse_words(argc, argv);
}

/* Fails the test where the line is refused. The caller ends with options_fini. */
static inline void command_line_accept(struct command_line line)
{
    if (command_line_parse(&line) != 0)
        fail_msg("refused: %s", err.text);
    assert_int_equal(err.reason, ERR_OK);
}

/* Fails the test unless the line is a usage error whose text holds part. */
static inline void command_line_refuse(struct command_line line, const char *part)
{
    int rc = command_line_parse(&line);

    options_fini(&options);
    if (rc == 0)
        fail_msg("accepted, but expected: %s", part);
    if (err.reason != ERR_USAGE || strstr(err.text, part) == NULL)
        fail_msg("message \"%s\" (%s), not \"%s\"", err.text, err_word(err.reason), part);
}

#define PARSE(...) command_line_accept((struct command_line){{__VA_ARGS__}})
#define REFUSE(part, ...) command_line_refuse((struct command_line){{__VA_ARGS__}}, part)

#endif
