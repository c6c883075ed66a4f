#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/file.h"
#include "tcpgreet/cli/options.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/os/input.h"

enum { TARGETS_MAX = 100 * 1000, REPORTED_MAX = 10, NAME_BYTES = 160 };

/* Where a target stands. */
struct place {
    size_t line; /* from 1 */
    size_t offset;
    size_t length;
};

/* Invariant: lines that have no target have no place. */
struct option_list {
    const struct options *base;
    struct options line; /* as the command line and one line have it */
    struct file text;
    char name[NAME_BYTES]; /* printable */
    struct place *places;
    size_t count, room;
    size_t bad;
    const char *words[OPTION_LINE_WORDS_MAX];
    const char *operands[OPTION_LINE_WORDS_MAX + 1];
};

static bool is_standard_input(const char *file)
{
    return strcmp(file, "-") == 0;
}

static int read_text(struct option_list *list, struct probe_targets *targets, struct err *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8 */
    const char *file = targets->file;
    bool is_standard = is_standard_input(file);
    struct input input = {
        .path = is_standard ? NULL : file, .name = list->name, .timeout_ms = list->base->probe.timeout_ms};

    if (is_standard)
        (void)snprintf(list->name, sizeof(list->name), "standard input");
    else
        escape_text((struct bytes){file, strlen(file)}, list->name, sizeof(list->name));
    int result = is_standard || input_is_fifo(file) ? input_read_all(&input, &list->text, err)
                                                    : file_read("--targets", file, &list->text, err);
    if (result < 0)
        return -1;
    targets->took_ms = input.took_ms;
    if (list->text.length >= sizeof(mark) - 1 && memcmp(list->text.data, mark, sizeof(mark) - 1) == 0)
        memset(list->text.data, ' ', sizeof(mark) - 1);
    return 0;
}

/* Splits and parses one line, in words, which have room for it and a byte more. Returns: 1: list->line has
 * its target; 0: it has none; -1 with err. */
static int parse(struct option_list *list, char *words, size_t length, struct err *err)
{
    int count = option_split_line(words, length, list->words, err);
    const struct option_line line = {list->words, count, list->operands, list->base};

    if (count <= 0)
        return count;
    if (option_parse_line(&list->line, &line, err) == 0)
        return 1;
    option_line_fini(&list->line.probe, list->base);
    return -1;
}

static int add(struct option_list *list, const struct place *place, struct err *err)
{
    enum { ROOM_FIRST = 64 };

    if (list->count == TARGETS_MAX)
        return err_set(err, ERR_USAGE, 0, "%s has more than %d targets", list->name, TARGETS_MAX);
    if (list->count == list->room) {
        size_t room = list->room == 0 ? ROOM_FIRST : 2 * list->room;
        struct place *places = realloc(list->places, room * sizeof(*places));
        if (places == NULL)
            return err_set(err, ERR_INTERNAL, 0, "not enough memory for the list of targets");
        list->places = places;
        list->room = room;
    }
    list->places[list->count++] = *place;
    return 0;
}

/* Reports a wrong line, unless it is the first: that may be the only one, and err has it. */
static void report(struct option_list *list, const struct err *why, const struct err *first)
{
    if (list->bad == 2)
        message_failure(first);
    if (list->bad > 1 && list->bad <= REPORTED_MAX)
        message_failure(why);
}

/* Checks one line. Returns: 0, also for a wrong line, which is counted; -1 with err: no more can be read. */
static int check(struct option_list *list, const struct place *place, struct err *first, struct err *err)
{
    struct err why = {0};
    char *words = malloc(place->length + 1);

    if (words == NULL)
        return err_set(err, ERR_INTERNAL, 0, "not enough memory for a line");
    if (place->length > 0)
        memcpy(words, list->text.data + place->offset, place->length);
    int found = parse(list, words, place->length, &why);
    if (found == 1) {
        found = options_check_system(&list->line, &why) < 0 ? -1 : 1;
        option_line_fini(&list->line.probe, list->base);
    }
    free(words);
    if (found >= 0)
        return found == 1 ? add(list, place, err) : 0;
    err_context(&why, "%s:%zu", list->name, place->line);
    list->bad++;
    report(list, &why, first);
    if (list->bad == 1)
        *first = why;
    return 0;
}

static int check_all(struct option_list *list, struct err *first, struct err *err)
{
    const char *text = list->text.data;
    size_t end;

    for (struct place place = {.line = 1}; place.offset < list->text.length;
         place = (struct place){.line = place.line + 1, .offset = end + 1}) {
        size_t left = list->text.length - place.offset;
        const char *newline = memchr(text + place.offset, '\n', left);
        end = newline != NULL ? (size_t)(newline - text) : list->text.length;
        place.length = end - place.offset;
        place.length -= place.length > 0 && text[end - 1] == '\r';
        if (check(list, &place, first, err) < 0)
            return -1;
    }
    return 0;
}

static int check_text(struct option_list *list, struct err *err)
{
    struct err first = {0};

    if (check_all(list, &first, err) < 0)
        return -1;
    if (list->bad == 1)
        return err_set_from(err, &first, "%s", first.text);
    if (list->bad > REPORTED_MAX)
        return err_set(err, first.reason, 0, "%zu lines of %s are wrong, the first %d are above", list->bad,
                       list->name, REPORTED_MAX);
    if (list->bad > 0)
        return err_set(err, first.reason, 0, "%zu lines of %s are wrong", list->bad, list->name);
    if (list->count == 0)
        return err_set(err, ERR_USAGE, 0, "there is no target in %s: a line has HOST PORT [OPTION...]",
                       list->name);
    return 0;
}

static int read_target(void *context, size_t index, struct probe_target *target, struct err *err)
{
    struct option_list *list = context;
    const struct place *place = &list->places[index];

    target->line = place->line;
    target->words = malloc(place->length + 1);
    if (target->words == NULL)
        return err_set(err, ERR_INTERNAL, 0, "not enough memory for a target");
    memcpy(target->words, list->text.data + place->offset, place->length);
    if (parse(list, target->words, place->length, err) == 1) {
        target->config = list->line.probe;
        return 0;
    }
    free(target->words); /* cannot be, it was checked */
    target->words = NULL;
    return err_context(err, "%s:%zu", list->name, place->line);
}

static void release_target(void *context, struct probe_target *target)
{
    const struct option_list *list = context;

    if (target->words != NULL)
        option_line_fini(&target->config, list->base);
    free(target->words);
    target->words = NULL;
}

int options_read_targets(struct options *options, struct err *err)
{
    const char *file = options->targets.file;

    if (options->mode != MODE_PROBE || file == NULL)
        return 0;
    struct option_list *list = calloc(1, sizeof(*list));
    if (list == NULL)
        return err_set(err, ERR_INTERNAL, 0, "not enough memory for the list of targets");
    options->list = list;
    list->base = options;
    if (read_text(list, &options->targets, err) < 0 || check_text(list, err) < 0)
        return -1;
    options->targets.count = list->count;
    options->targets.read = read_target;
    options->targets.release = release_target;
    options->targets.context = list;
    return 0;
}

void options_free_targets(struct options *options)
{
    struct option_list *list = options->list;

    if (list == NULL)
        return;
    file_free(&list->text);
    free(list->places);
    free(list);
    options->list = NULL;
}
