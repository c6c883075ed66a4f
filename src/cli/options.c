#include "tcpgreet/cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hint.h"
#include "line.h"
#include "query.h"
#include "table.h"
#include "tcpgreet/base/edit_distance.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/secret.h"

struct parse {
    struct options *options;
    const char *const *argv;
    int argc;
    int next;
    struct option_given given;
    const bool *base; /* the rows that the command line has given, where this is a line of a list; NULL */
    struct err *err;
};

static const char *shown(const char *word, size_t length, char room[OPTION_SHOWN_BYTES])
{
    return escape_text((struct bytes){word, length}, room, OPTION_SHOWN_BYTES);
}

/* A negative number looks like one only where its first digit is one, as in -4. */
static bool looks_like_option(const char *word)
{
    bool is_digit = word[0] == '-' && word[1] >= '0' && word[1] <= '9';
    return word[0] == '-' && word[1] != '\0' && (!is_digit || option_find_letter(word[1]) != NULL);
}

/* Returns: the next argument; NULL if there is none or it looks like an option. */
static const char *peek_value(const struct parse *parse)
{
    const char *word = parse->next < parse->argc ? parse->argv[parse->next] : NULL;
    return word != NULL && !looks_like_option(word) ? word : NULL;
}

/* The same, consumed. */
static const char *next_value(struct parse *parse)
{
    const char *word = peek_value(parse);
    parse->next += word != NULL;
    return word;
}

static int refuse_missing(struct parse *parse, const struct option_row *row)
{
    char title[OPTION_TITLE_BYTES];
    char argument[OPTION_EXPECTED_BYTES];

    return err_set(parse->err, ERR_USAGE, 0, "%s needs a value: --%s %s", option_title(row, title), row->name,
                   option_argument(row, argument, sizeof(argument)));
}

static bool is_number(const char *word)
{
    return *word != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static int refuse_order(struct parse *parse, const char *host, const char *port)
{
    char room[OPTION_SHOWN_BYTES];

    return err_set(parse->err, ERR_USAGE, 0, "the order is HOST PORT: %s %s", shown(host, strlen(host), room),
                   port);
}

static int read_two_words(struct parse *parse, const char *first, const char *second, struct target *target)
{
    if (is_number(first) && !is_number(second))
        return refuse_order(parse, second, first);
    return target_parse(target, first, second, parse->err);
}

static int read_one_word(struct parse *parse, const char *word, struct target *target)
{
    char port[OPTION_SHOWN_BYTES];
    size_t first = strcspn(word, ":"); /* there is one: it is one word */
    const char *second = word + first + 1;

    snprintf(port, sizeof(port), "%.*s", (int)first, word);
    if (is_number(port) && !is_number(second) && second[0] != '\0')
        return refuse_order(parse, second, port);
    return target_parse_word(target, word, parse->err);
}

/* Shape: second: the word behind; NULL: there is none, or first is both. */
static int read_target(struct parse *parse, const struct option_row *row, const char *first,
                       const char *second, struct target *target)
{
    if (target_is_one_word(first))
        return read_one_word(parse, first, target);
    if (second != NULL)
        return read_two_words(parse, first, second, target);
    if (row->kind == &option_listener)
        return target_parse(target, NULL, first, parse->err);
    return err_set(parse->err, ERR_USAGE, 0, "the port is missing: --%s %s", row->name, row->argument);
}

static int refuse_port(struct parse *parse)
{
    return err_set(parse->err, ERR_USAGE, 0, "port 0 cannot be connected to");
}

static int take_target(struct parse *parse, const struct option_row *row, const char *first)
{
    const struct option_field *field = &row->fields[row->mode != MODE_NONE ? row->mode : MODE_LISTEN];
    struct target *list = (struct target *)(void *)((char *)parse->options + field->offset);
    size_t most = field->size / sizeof(*list);
    struct target target;
    size_t count = 0;

    if (hint_host(row->name, first, peek_value(parse), parse->err) != 0)
        return -1;
    const char *second = target_is_one_word(first) ? NULL : next_value(parse);
    if (read_target(parse, row, first, second, &target) != 0 ||
        (row->kind == &option_peer && strcmp(target.service, "0") == 0 && refuse_port(parse) != 0))
        return err_context(parse->err, "--%s", row->name);
    while (count < most && list[count].service[0] != '\0')
        count++;
    if (count == most)
        return err_set(parse->err, ERR_USAGE, 0, "--%s can be given at most %zu times", row->name, most);
    list[count] = target;
    return 0;
}

static int take_mode(struct parse *parse, const struct option_row *row)
{
    bool about = row->group == OPTION_GROUP_ABOUT; /* wins over any other mode */

    if (parse->given.mode != NULL && parse->given.mode != row && !about) {
        return err_set(parse->err, ERR_USAGE, 0, "--%s and --%s are both modes: choose one",
                       parse->given.mode->name, row->name);
    }
    parse->given.mode = row;
    parse->options->mode = row->mode;
    return 0;
}

static int take_word(struct parse *parse, const struct option_row *row, const char *word)
{
    if (word == NULL)
        word = next_value(parse);
    if (word == NULL && row->instead != NULL)
        return 0; /* it may be there */
    if (word == NULL || *word == '\0')
        return refuse_missing(parse, row);
    return row->kind->read == NULL ? take_target(parse, row, word)
                                   : option_store(row, word, parse->options, parse->err);
}

static bool shares_field(const struct option_row *a, const struct option_row *b)
{
    return a->fields[MODE_PROBE].offset == b->fields[MODE_PROBE].offset;
}

/* What a line gives replaces what the command line has given, and not a part of it. */
static void replace(struct parse *parse, const struct option_row *row)
{
    char *options = (char *)parse->options;

    for (size_t i = 0; i < option_row_count; i++)
        if (parse->given.rows[i] && shares_field(&option_rows[i], row))
            return; /* by this line, already */
    for (size_t mode = 0; mode < MODE_COUNT; mode++)
        memset(options + row->fields[mode].offset, 0, row->fields[mode].size);
}

/* The one family instead of the other. */
static void replace_family(struct parse *parse, const struct option_row *row)
{
    const struct option_row *v4 = option_find_letter('4'), *v6 = option_find_letter('6');

    if (row == v4 || row == v6)
        replace(parse, row == v4 ? v6 : v4);
}

static int begin_in_line(struct parse *parse, const struct option_row *row)
{
    char title[OPTION_TITLE_BYTES];

    if (row->of_run || row->mode != MODE_NONE)
        return err_set(parse->err, ERR_USAGE, 0, "%s concerns the whole run: give it on the command line",
                       option_title(row, title));
    if ((option_modes(row) & OPTION_IN(MODE_PROBE)) == 0)
        return 0; /* refused with the modes that it is for */
    replace(parse, row);
    replace_family(parse, row);
    return 0;
}

/* Shape: value is what followed "=", or NULL. */
static int take_option(struct parse *parse, const struct option_row *row, const char *value)
{
    bool *given = &parse->given.rows[row - option_rows];
    char title[OPTION_TITLE_BYTES];

    if (*given && !row->repeatable)
        return err_set(parse->err, ERR_USAGE, 0, "%s is given twice", option_title(row, title));
    if (parse->base != NULL ? begin_in_line(parse, row) != 0
                            : row->mode != MODE_NONE && take_mode(parse, row) != 0)
        return -1;
    *given = true;
    if (row->kind != &option_flag)
        return take_word(parse, row, value);
    return value == NULL ? option_store(row, NULL, parse->options, parse->err)
                         : err_set(parse->err, ERR_USAGE, 0, "%s takes no value", option_title(row, title));
}

enum { NEAR_EDITS = 2 };

/* Returns: the row with the name nearest to a mistyped one, or NULL if none is near. */
static const struct option_row *find_nearest(const char *name, size_t length)
{
    const struct option_row *nearest = NULL;
    size_t best = NEAR_EDITS + 1;

    if (length < 2)
        return NULL;
    for (size_t i = 0; i < option_row_count; i++) {
        size_t distance = edit_distance(name, length, option_rows[i].name, strlen(option_rows[i].name));
        if (length > NEAR_EDITS && distance > NEAR_EDITS && strncmp(option_rows[i].name, name, length) == 0)
            distance = NEAR_EDITS;
        if (distance < best && distance < length - 1) {
            best = distance;
            nearest = &option_rows[i];
        }
    }
    return nearest;
}

static int refuse_unknown(struct parse *parse, const char *word, size_t length)
{
    char room[OPTION_SHOWN_BYTES];
    size_t dashes = strspn(word, "-");
    const char *instead = hint_option(word + dashes, length - dashes);
    const struct option_row *near = find_nearest(word + dashes, length - dashes);

    shown(word, length, room);
    if (instead != NULL)
        return err_set(parse->err, ERR_USAGE, 0, "unknown option: %s (%s)", room, instead);
    if (near != NULL)
        return err_set(parse->err, ERR_USAGE, 0, "unknown option: %s (did you mean --%s?)", room, near->name);
    return err_set(parse->err, ERR_USAGE, 0, "unknown option: %s%s", room,
                   parse->options->mode == MODE_CONNECT ? " (put -- before a NAME that begins with a dash)"
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
    return parse->given.mode != NULL && parse->given.mode->group == OPTION_GROUP_ABOUT;
}

/* A word whose first letter is unknown was probably meant as a whole. */
static int refuse_letter(struct parse *parse, const char *word, const char *letter)
{
    char one[OPTION_SHOWN_BYTES], room[OPTION_SHOWN_BYTES];
    size_t length = strcspn(word, "=");
    const char *instead = hint_option(letter, 1);

    if (letter == word + 1 &&
        (word[2] == '\0' || instead == NULL || find_nearest(word + 1, length - 1) != NULL))
        return refuse_unknown(parse, word, length);
    shown(letter, 1, one);
    shown(word, strlen(word), room);
    if (instead != NULL)
        return err_set(parse->err, ERR_USAGE, 0, "unknown option: -%s in %s (%s)", one, room, instead);
    return err_set(parse->err, ERR_USAGE, 0, "unknown option: -%s in %s", one, room);
}

static int take_letters(struct parse *parse, const char *word)
{
    for (const char *letter = word + 1; *letter != '\0' && !is_answered(parse); letter++) {
        const struct option_row *row = option_find_letter(*letter);
        if (row == NULL)
            return refuse_letter(parse, word, letter);
        if (take_option(parse, row, NULL) != 0)
            return -1;
    }
    return 0;
}

static int take_words(struct parse *parse)
{
    struct options *options = parse->options;
    bool dashes = false;

    while (parse->next < parse->argc && !is_answered(parse)) {
        const char *word = parse->argv[parse->next++];
        int rc = 0;
        if (dashes || word[0] != '-' || word[1] == '\0') {
            options->operands[options->operand_count++] = word;
            parse->given.before_dashes += dashes ? 0 : 1;
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

/* Arguments after a rejected one may still select the format of the error. Shape: name with its dashes. */
static void find_format(struct parse *parse, const char *name)
{
    size_t length = strlen(name);
    const struct option_row *row = option_find(name + 2, length - 2);

    for (int i = 1; i < parse->argc && parse->argv[i] != NULL && strcmp(parse->argv[i], "--") != 0; i++) {
        const char *word = parse->argv[i];
        const char *value = strncmp(word, name, length) != 0 ? NULL
                            : word[length] == '='            ? word + length + 1
                            : word[length] == '\0'           ? parse->argv[i + 1 < parse->argc ? i + 1 : i]
                                                             : NULL;
        if (value != NULL)
            (void)option_store(row, value, parse->options, NULL);
    }
}

static void set_defaults(struct options *options)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (option_rows[i].fallback != NULL)
            (void)option_store(&option_rows[i], option_rows[i].fallback, options, NULL);
    options->server.tls.policy.may_ask = options->client.tls.policy.may_ask = true;
    options->probe.tls.policy.may_ask = options->bench.tls.policy.may_ask = true;
}

/* Values that follow from several options. */
static void complete(struct options *options)
{
    struct tls_server_config *tls = &options->server.tls;

    if (tls->client_ca != NULL && tls->client_auth == TLS_CLIENT_AUTH_NONE)
        tls->client_auth = TLS_CLIENT_AUTH_REQUIRE;
    options->client.use_tls = options->client.use_tls || options->client.starttls != STARTTLS_NONE;
    options->client.names = options->merge.files = options->operands;
    options->client.name_count = options->merge.file_count = options->operand_count;
    options->exporter.parser = (struct exporter_parser){query_set, query_complete};
    options->probe.command = options->operand_count > 0 ? options->operands : NULL;
}

static int parse_words(struct parse *parse)
{
    struct options *options = parse->options;

    if (take_words(parse) != 0) {
        find_format(parse, "--format");
        find_format(parse, "--log-format");
        return -1;
    }
    complete(options);
    if (options->targets.file == NULL) /* each line is completed for itself */
        query_imply(&options->probe);
    return is_answered(parse) ? 0 : option_check(options, &parse->given, parse->err);
}

int options_parse(struct options *options, int argc, const char *const *argv, struct err *err)
{
    struct parse parse = {.options = options, .argv = argv, .argc = argc, .next = 1, .err = err};

    set_defaults(options);
    options->operands = calloc((argc > 0 ? (size_t)argc : 0) + 1, sizeof(*options->operands));
    options->given = parse.given.rows = calloc(option_row_count, sizeof(*options->given));
    if (options->operands == NULL || options->given == NULL)
        return err_set(err, ERR_INTERNAL, 0, "not enough memory");
    return parse_words(&parse);
}

/* HOST PORT, or both in one word, at any place among the options. */
static int take_line_target(struct parse *parse)
{
    const struct option_row *row = parse->given.mode;
    const struct options *options = parse->options;
    const char *const *words = options->operands;
    size_t count = options->operand_count;
    char room[OPTION_SHOWN_BYTES];

    if (count == 0)
        return err_set(parse->err, ERR_USAGE, 0, "the target is missing: HOST PORT");
    const char *port = count > 1 ? words[1] : NULL;
    size_t expected = target_is_one_word(words[0]) ? 1 : 2;
    if (hint_host(row->name, words[0], port, parse->err) != 0)
        return -1;
    if (parse->given.before_dashes < count || count > expected)
        return err_set(
            parse->err, ERR_USAGE, 0, "unexpected argument: \"%s\" (a line has HOST PORT [OPTION...])",
            escape_quoted((struct bytes){words[count - 1], strlen(words[count - 1])}, room, sizeof(room)));
    if (count < expected)
        return err_set(parse->err, ERR_USAGE, 0, "the port is missing: HOST PORT");
    if (read_target(parse, row, words[0], port, &parse->options->probe.target) != 0)
        return -1;
    return strcmp(options->probe.target.service, "0") == 0 ? refuse_port(parse) : 0;
}

/* The environment has one password, which was taken for the proxy of the command line. */
static int take_line_password(struct options *options, const struct options *base, struct err *err)
{
    if (!options->probe.proxy.has_user)
        return 0;
    if (!base->probe.proxy.has_user)
        return err_set(
            err, ERR_USAGE, 0,
            "a proxy with a user is given on the command line, and its password in the environment");
    options->probe.proxy.password = base->proxy_password;
    return 0;
}

int option_parse_line(struct options *options, const struct option_line *line, struct err *err)
{
    bool rows[OPTION_ROWS_MAX] = {false};
    struct parse parse = {.options = options,
                          .argv = line->words,
                          .argc = line->count,
                          .given = {.mode = option_find("probe", strlen("probe")), .rows = rows},
                          .base = line->base->given,
                          .err = err};

    *options = *line->base;
    options->operands = line->operands;
    options->operand_count = 0;
    options->exporter.probe = (struct probe_config){0}; /* what a line gives is stored here, too */
    bool is_taken = take_words(&parse) == 0;
    script_free(&options->exporter.probe.script);
    if (!is_taken || take_line_target(&parse) != 0)
        return -1;
    options->operand_count = parse.given.before_dashes = 0;
    if (!rows[option_find("timeout", strlen("timeout")) - option_rows])
        options->probe.timeout_ms = 0;         /* that of the command line is the whole run's */
    options->probe.tls.policy.may_ask = false; /* other targets do not wait for a person */
    if (take_line_password(options, line->base, err) < 0)
        return -1;
    query_imply(&options->probe);
    parse.given.base = line->base->given;
    return option_check(options, &parse.given, err);
}

void option_line_fini(struct probe_config *config, const struct options *base)
{
    if (config->script.steps != base->probe.script.steps)
        script_free(&config->script);
}

int options_take_password(struct options *options, struct err *err)
{
    static const char name[] = "TCPGREET_PROXY_PASSWORD";
    char *value = options->client.proxy.has_user ? getenv(name) : NULL;
    size_t length = value != NULL ? strlen(value) : 0;

    if (!options->client.proxy.has_user)
        return 0;
    if (value == NULL)
        return err_set(err, ERR_USAGE, 0,
                       "--proxy names a user: set its password in the environment variable %s", name);
    if (length >= sizeof(options->proxy_password))
        return err_set(err, ERR_USAGE, 0, "the password in %s is longer than %d bytes", name, PROXY_USER_MAX);
    memcpy(options->proxy_password, value, length + 1);
    secret_wipe(value, length);
    unsetenv(name);
    options->client.proxy.password = options->probe.proxy.password = options->bench.proxy.password =
        options->exporter.probe.proxy.password = options->proxy_password;
    return 0;
}

void options_fini(struct options *options)
{
    script_free(&options->probe.script);
    script_free(&options->exporter.probe.script);
    secret_wipe(options->proxy_password, sizeof(options->proxy_password));
    free(options->operands);
    free(options->given);
    options->operands = NULL;
    options->operand_count = 0;
    options->given = NULL;
}
