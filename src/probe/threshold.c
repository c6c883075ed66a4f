#include "tcpgreet/probe/threshold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/escape.h"

#define NS_PER_S 1e9

enum { WORD_BYTES = 48, NUMBER_BYTES = 24, SECONDS_MAX = 1000000000 };

static const char *const names[] = {"resolve", "connect", "proxy",    "starttls", "tls",   "welcome",
                                    "name",    "close",   "exchange", "volume",   "total", "days"};

enum { NAMES = sizeof names / sizeof names[0], NAMES_BYTES = NAMES * THRESHOLD_NAME_BYTES };

const char *threshold_name(size_t index)
{
    return index < NAMES ? names[index] : NULL;
}

/* "resolve, connect or days". Returns: text. */
static const char *every_name(char text[NAMES_BYTES])
{
    size_t length = 0;

    for (size_t i = 0; i < NAMES; i++)
        length += (size_t)snprintf(text + length, NAMES_BYTES - length, "%s%s",
                                   i == 0          ? ""
                                   : i + 1 < NAMES ? ", "
                                                   : " or ",
                                   names[i]);
    return text;
}

/* What is being parsed, for messages. */
struct spec {
    const char *option;
    struct err *err;
    bool days; /* what is being read limits days, not a time */
};

static const char *shown(struct bytes word, char room[WORD_BYTES])
{
    return escape_quoted(word, room, WORD_BYTES);
}

static bool equals(struct bytes word, const char *text)
{
    return word.length == strlen(text) && memcmp(word.data, text, word.length) == 0;
}

/* Returns: how much of bytes stands before the first c; all of it where there is none. */
static size_t until(struct bytes bytes, char c)
{
    const char *found = bytes.length > 0 ? memchr(bytes.data, c, bytes.length) : NULL;
    return found != NULL ? (size_t)(found - bytes.data) : bytes.length;
}

static const char *find_name(struct bytes word)
{
    for (size_t i = 0; i < NAMES; i++)
        if (equals(word, names[i]))
            return names[i];
    return NULL;
}

/* "0.2", "200ms", "1s", or a number of days; to the nanosecond, which is what is measured and what is written
 * of it. */
static int parse_value(const struct spec *spec, struct bytes word, double *seconds)
{
    char number[NUMBER_BYTES];
    char room[WORD_BYTES];
    size_t n = 0;
    size_t digits = 0;
    size_t dots = 0;

    for (; n < word.length && (word.data[n] == '.' || (word.data[n] >= '0' && word.data[n] <= '9')); n++) {
        dots += word.data[n] == '.';
        digits += word.data[n] != '.';
    }
    struct bytes unit = bytes_skip(word, n);
    bool in_ms = !spec->days && equals(unit, "ms");
    bool has_unit = in_ms || (!spec->days && equals(unit, "s"));
    if (digits == 0 || dots > 1 || n >= sizeof number || !(has_unit || unit.length == 0)) {
        if (spec->days)
            return err_set(spec->err, ERR_USAGE, 0,
                           "%s: \"%s\" is not a number of days: give days=30: or days=7:", spec->option,
                           shown(word, room));
        return err_set(spec->err, ERR_USAGE, 0,
                       "%s: \"%s\" is not a time: give seconds such as 0.2, or a unit such as 200ms or 1s",
                       spec->option, shown(word, room));
    }
    memcpy(number, word.data, n);
    number[n] = '\0';
    *seconds = round(strtod(number, NULL) / (in_ms ? 1000 : 1) * NS_PER_S) / NS_PER_S;
    if (*seconds > (double)SECONDS_MAX)
        return err_set(spec->err, ERR_USAGE, 0, "%s: \"%s\" is more than %d%s", spec->option,
                       shown(word, room), SECONDS_MAX, spec->days ? "" : " s");
    return 0;
}

/* A decimal without an exponent, which not every reader of performance data knows. */
static const char *decimal(double seconds, char text[NUMBER_BYTES])
{
    snprintf(text, NUMBER_BYTES, "%.9f", seconds);
    size_t length = strlen(text);
    while (text[length - 1] == '0')
        text[--length] = '\0';
    if (text[length - 1] == '.')
        text[--length] = '\0';
    return text;
}

/* Performance data wants limits in the unit of its values. */
static void write_text(struct threshold_range *range)
{
    char start[NUMBER_BYTES] = "~";
    char end[NUMBER_BYTES] = "";

    if (!isinf(range->start))
        decimal(range->start, start);
    if (!isinf(range->end))
        decimal(range->end, end);
    bool from_zero = range->start == 0 && end[0] != '\0';
    snprintf(range->text, sizeof range->text, "%s%s%s%s", range->inside ? "@" : "", from_zero ? "" : start,
             from_zero ? "" : ":", end);
}

/* Source: Monitoring Plugins Development Guidelines, "Threshold and Ranges". */
static int parse_range(const struct spec *spec, struct bytes word, struct threshold_range *range)
{
    char room[WORD_BYTES];
    struct bytes rest = word;

    *range = (struct threshold_range){.end = INFINITY};
    if (rest.length > 0 && rest.data[0] == '@') {
        range->inside = true;
        rest = bytes_skip(rest, 1);
    }
    size_t colon = until(rest, ':');
    bool has_start = colon < rest.length;
    struct bytes start = {rest.data, has_start ? colon : 0};
    struct bytes end = has_start ? bytes_skip(rest, colon + 1) : rest;
    if (start.length == 0 && end.length == 0)
        return err_set(spec->err, ERR_USAGE, 0,
                       "%s: the range \"%s\" has no number: give 10, 10:, ~:10, 10:20 or @10:20",
                       spec->option, shown(word, room));
    if (equals(start, "~"))
        range->start = -INFINITY;
    else if (start.length > 0 && parse_value(spec, start, &range->start) < 0)
        return -1;
    if (end.length > 0 && parse_value(spec, end, &range->end) < 0)
        return -1;
    if (range->start > range->end)
        return err_set(spec->err, ERR_USAGE, 0, "%s: the range \"%s\" begins above its end", spec->option,
                       shown(word, room));
    write_text(range);
    return 0;
}

static int parse_term(struct spec *spec, struct bytes word, struct threshold_list *list)
{
    char room[WORD_BYTES];
    size_t sign = until(word, '=');
    bool named = sign < word.length;
    struct bytes label = named ? (struct bytes){word.data, sign} : BYTES_LITERAL("total");
    const char *name = find_name(label);

    if (name == NULL) {
        char every[NAMES_BYTES];
        return err_set(spec->err, ERR_USAGE, 0, "%s: unknown time \"%s\": give %s", spec->option,
                       shown(label, room), every_name(every));
    }
    struct threshold_range range;
    spec->days = strcmp(name, "days") == 0;
    if (parse_range(spec, named ? bytes_skip(word, sign + 1) : word, &range) < 0)
        return -1;
    if (threshold_find(list, name) != NULL)
        return err_set(spec->err, ERR_USAGE, 0, "%s limits %s twice", spec->option, name);
    struct threshold_term *term = &list->terms[list->count++]; /* there is room for each name once */
    snprintf(term->name, sizeof term->name, "%s", name);
    term->range = range;
    return 0;
}

_Static_assert((int)NAMES <= (int)THRESHOLD_TERMS_MAX, "a list holds each name once");

int threshold_parse(struct threshold_list *list, const char *option, const char *text, struct err *err)
{
    struct spec spec = {.option = option, .err = err};
    struct bytes rest = {text, strlen(text)};

    *list = (struct threshold_list){0};
    for (;;) {
        size_t comma = until(rest, ',');
        if (parse_term(&spec, (struct bytes){rest.data, comma}, list) < 0)
            return -1;
        if (comma == rest.length)
            return 0;
        rest = bytes_skip(rest, comma + 1);
    }
}

bool threshold_alerts(const struct threshold_range *range, double value)
{
    bool within = value >= range->start && value <= range->end;
    return within == range->inside;
}

const struct threshold_range *threshold_find(const struct threshold_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->terms[i].name, name) == 0)
            return &list->terms[i].range;
    return NULL;
}
