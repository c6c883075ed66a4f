#include "tcpgreet/cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tcpgreet/base/escape.h"

enum { WORD_BYTES = 64 };

struct parse {
    struct options *options;
    const char *const *argv;
    int argc;
    int next;
    struct option_words words;
    struct err *err;
};

static const char *shown(const char *word, size_t length, char room[WORD_BYTES])
{
    return escape_text((struct bytes){word, length}, room, WORD_BYTES);
}

/* Returns: the next word, taken; NULL where there is none or it looks like an option. */
static const char *next_value(struct parse *parse)
{
    if (parse->next >= parse->argc)
        return NULL;
    const char *word = parse->argv[parse->next];
    if (word[0] == '-' && word[1] != '\0')
        return NULL;
    parse->next++;
    return word;
}

static int refuse_missing(struct parse *parse, const struct option_row *row)
{
    char title[OPTION_TITLE_BYTES];

    return err_set(parse->err, ERR_USAGE, 0, "%s needs a value: --%s %s", option_title(row, title), row->name,
                   row->argument);
}

static int read_target(struct parse *parse, const struct option_row *row, const char *first,
                       struct target *target)
{
    if (target_is_one_word(first))
        return target_parse_word(target, first, parse->err);
    const char *second = next_value(parse);
    if (second != NULL)
        return target_parse(target, first, second, parse->err);
    if (row->kind == OPTION_ENDPOINT)
        return target_parse(target, NULL, first, parse->err);
    return err_set(parse->err, ERR_USAGE, 0, "the port is missing: --%s %s", row->name, row->argument);
}

static int take_endpoint(struct parse *parse, const struct option_row *row, const char *first)
{
    struct options *options = parse->options;
    struct target target;

    if (read_target(parse, row, first, &target) != 0)
        return err_context(parse->err, "--%s", row->name);
    if (row->kind == OPTION_PEER) {
        if (strcmp(target.service, "0") == 0)
            return err_set(parse->err, ERR_USAGE, 0, "--%s: nobody can be reached at port 0", row->name);
        options->target = target;
    } else if (row->mode == MODE_LISTEN) {
        if (options->listen_count == OPTIONS_LISTEN_MAX) {
            return err_set(parse->err, ERR_USAGE, 0, "--%s can be given at most %d times", row->name,
                           OPTIONS_LISTEN_MAX);
        }
        options->listen[options->listen_count++] = target;
    }
    return 0;
}

static int take_mode(struct parse *parse, const struct option_row *row)
{
    bool about = row->group == OPTION_GROUP_ABOUT; /* asks for a text, whatever else is said */

    if (parse->words.mode != NULL && parse->words.mode != row && !about) {
        return err_set(parse->err, ERR_USAGE, 0, "--%s and --%s are both modes: choose one",
                       parse->words.mode->name, row->name);
    }
    parse->words.mode = row;
    parse->options->mode = row->mode;
    return 0;
}

static int take_flag(struct parse *parse, const struct option_row *row)
{
    if (row->field != 0)
        *(bool *)((char *)parse->options + row->field) = true;
    parse->words.given[row - option_rows] = true;
    return 0;
}

/* Shape: value is what stood behind "=", or NULL. */
static int take_option(struct parse *parse, const struct option_row *row, const char *value)
{
    char title[OPTION_TITLE_BYTES];

    if (parse->words.given[row - option_rows] && !row->repeatable)
        return err_set(parse->err, ERR_USAGE, 0, "%s is given twice", option_title(row, title));
    if (row->mode != MODE_NONE && take_mode(parse, row) != 0)
        return -1;
    if (row->kind == OPTION_FLAG) {
        return value == NULL
                   ? take_flag(parse, row)
                   : err_set(parse->err, ERR_USAGE, 0, "%s takes no value", option_title(row, title));
    }
    if (value == NULL)
        value = next_value(parse);
    if (value == NULL || *value == '\0')
        return refuse_missing(parse, row);
    parse->words.given[row - option_rows] = true;
    return row->kind == OPTION_ENDPOINT || row->kind == OPTION_PEER
               ? take_endpoint(parse, row, value)
               : option_value(row, value, parse->options, parse->err);
}

static int refuse_unknown(struct parse *parse, const char *word, size_t length)
{
    char room[WORD_BYTES];
    size_t dashes = strspn(word, "-");
    const struct option_row *near = option_nearest(word + dashes, length - dashes);

    shown(word, length, room);
    if (near != NULL)
        return err_set(parse->err, ERR_USAGE, 0, "there is no option %s; did you mean --%s?", room,
                       near->name);
    return err_set(parse->err, ERR_USAGE, 0, "there is no option %s%s", room,
                   parse->options->mode == MODE_CONNECT ? " (a NAME that begins with a dash stands behind --)"
                                                        : "");
}

static int take_long(struct parse *parse, const char *word)
{
    size_t length = strcspn(word, "=");
    const struct option_row *row = option_find(word + 2, length - 2);

    if (row == NULL)
        return refuse_unknown(parse, word, length > 2 ? length : strlen(word));
    return take_option(parse, row, word[length] == '=' ? word + length + 1 : NULL);
}

static bool is_answered(const struct parse *parse)
{
    return parse->words.mode != NULL && parse->words.mode->group == OPTION_GROUP_ABOUT;
}

static int take_letters(struct parse *parse, const char *word)
{
    char one[WORD_BYTES];
    char room[WORD_BYTES];

    for (const char *letter = word + 1; *letter != '\0' && !is_answered(parse); letter++) {
        const struct option_row *row = option_find_letter(*letter);
        if (row == NULL && letter == word + 1)
            return refuse_unknown(parse, word, strcspn(word, "="));
        if (row == NULL) {
            return err_set(parse->err, ERR_USAGE, 0, "there is no option -%s in %s", shown(letter, 1, one),
                           shown(word, strlen(word), room));
        }
        if (take_option(parse, row, NULL) != 0)
            return -1;
    }
    return 0;
}

static void take_operand(struct parse *parse, const char *word)
{
    parse->options->operands[parse->options->operand_count++] = word;
}

static int take_words(struct parse *parse)
{
    bool dashes = false;

    while (parse->next < parse->argc && !is_answered(parse)) {
        const char *word = parse->argv[parse->next++];
        int rc = 0;
        if (dashes || word[0] != '-' || word[1] == '\0') {
            take_operand(parse, word);
            parse->words.before_dashes += dashes ? 0 : 1;
        } else if (strcmp(word, "--") == 0) {
            dashes = true;
        } else {
            rc = word[1] == '-' ? take_long(parse, word) : take_letters(parse, word);
        }
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* What stands behind a word that is refused may still say in which form to say so. */
static void find_format(struct parse *parse)
{
    static const char name[] = "--format";
    const struct option_row *row = option_find(name + 2, sizeof(name) - 3);

    for (int i = 1; i < parse->argc && parse->argv[i] != NULL && strcmp(parse->argv[i], "--") != 0; i++) {
        const char *word = parse->argv[i];
        const char *value = strncmp(word, name, sizeof(name) - 1) != 0 ? NULL
                            : word[sizeof(name) - 1] == '='            ? word + sizeof(name)
                            : word[sizeof(name) - 1] == '\0' ? parse->argv[i + 1 < parse->argc ? i + 1 : i]
                                                             : NULL;
        if (value != NULL)
            (void)option_value(row, value, parse->options, NULL);
    }
}

int options_parse(struct options *options, int argc, const char *const *argv, struct err *err)
{
    struct parse parse = {.options = options, .argv = argv, .argc = argc, .next = 1, .err = err};

    *options = (struct options){0};
    for (size_t i = 0; i < OPTION_ROWS; i++)
        option_default(&option_rows[i], options);
    options->operands = calloc((argc > 0 ? (size_t)argc : 0) + 1, sizeof(*options->operands));
    if (options->operands == NULL)
        return err_set(err, ERR_INTERNAL, 0, "memory is exhausted");
    if (take_words(&parse) != 0) {
        find_format(&parse);
        return -1;
    }
    if (is_answered(&parse))
        return 0;
    return options_check(options, &parse.words, err);
}

void options_fini(struct options *options)
{
    free(options->operands);
    options->operands = NULL;
    options->operand_count = 0;
}
