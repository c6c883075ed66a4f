#include "tcpgreet/core/script.h"

#include <stdlib.h>
#include <string.h>

#include "pattern.h"
#include "tcpgreet/base/escape.h"

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

const char *script_option(const struct script_step *step)
{
    static const char *const options[] = {
        [SCRIPT_SEND] = "--send", [SCRIPT_EXPECT] = "--expect", [SCRIPT_REJECT] = "--reject"};
    return options[step->kind];
}

static int refuse_escape(const char *text, size_t at, struct err *err)
{
    char shown[32];

    if (text[at + 1] == '\0')
        return err_set(err, ERR_USAGE, 0, "--send: a single \\ at offset %zu (write \\\\ for a backslash)",
                       at);
    if (text[at + 1] == 'x')
        return err_set(err, ERR_USAGE, 0, "--send: \\x at offset %zu needs two hexadecimal digits", at);
    return err_set(err, ERR_USAGE, 0,
                   "--send: unknown escape \\%s at offset %zu (use \\r, \\n, \\t, \\0, \\xHH or \\\\)",
                   escape_text((struct bytes){text + at + 1, 1}, shown, sizeof shown), at);
}

/* Reads the escape at text[at]. Returns: its length; 0: there is none such. */
static size_t read_escape(const char *text, size_t at, char *byte)
{
    static const char letters[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    const char *letter = text[at + 1] != '\0' ? strchr(letters, text[at + 1]) : NULL;

    if (letter != NULL) {
        *byte = bytes[letter - letters];
        return 2;
    }
    if (text[at + 1] != 'x' || hex_value(text[at + 2]) < 0 || hex_value(text[at + 3]) < 0)
        return 0;
    *byte = (char)(hex_value(text[at + 2]) * 16 + hex_value(text[at + 3]));
    return 4;
}

/* In place. Errors: usage. */
static int unescape(struct script_step *step, struct err *err)
{
    const char *text = step->text;
    size_t length = 0;

    for (size_t at = 0; text[at] != '\0'; length++) {
        size_t taken = 1;
        char byte = text[at];
        if (byte == '\\')
            taken = read_escape(text, at, &byte);
        if (taken == 0)
            return refuse_escape(text, at, err);
        step->text[length] = byte;
        at += taken;
    }
    step->length = length;
    return length > 0 ? 0 : err_set(err, ERR_USAGE, 0, "--send needs at least one byte");
}

const char *script_quote(const struct script_step *step, char text[SCRIPT_QUOTE_BYTES])
{
    return escape_quoted((struct bytes){step->text, step->length}, text, SCRIPT_QUOTE_BYTES);
}

static int read_pattern(struct script_step *step, struct err *err)
{
    const char *option = script_option(step);
    char shown[SCRIPT_QUOTE_BYTES];
    struct pattern_fault fault;
    struct pattern_span span;
    size_t from = 0;

    if (script_check_built(err) < 0)
        return -1;
    step->pattern = pattern_new(step->text, &fault);
    if (step->pattern == NULL)
        return err_set(err, fault.exhausted ? ERR_INTERNAL : ERR_USAGE, 0, "%s \"%s\": %s, at offset %zu",
                       option, script_quote(step, shown), fault.words, fault.offset);
    if (pattern_search(step->pattern, (struct bytes){0}, &from, true, &span) != PATTERN_MATCH)
        return 0;
    return err_set(
        err, ERR_USAGE, 0,
        "%s \"%s\" also matches an empty answer, so it proves nothing: make it match at least one byte",
        option, script_quote(step, shown));
}

static struct script_step *append(struct script *script, enum script_kind kind, const char *text,
                                  struct err *err)
{
    struct script_step *steps = realloc(script->steps, (script->count + 1) * sizeof *steps);
    char *copy = strdup(text);

    if (steps != NULL)
        script->steps = steps;
    if (steps == NULL || copy == NULL) {
        free(copy);
        err_set(err, ERR_INTERNAL, 0, "memory is exhausted");
        return NULL;
    }
    steps[script->count] = (struct script_step){.kind = kind, .text = copy, .length = strlen(copy)};
    return &steps[script->count++];
}

int script_add(struct script *script, enum script_kind kind, const char *text, struct err *err)
{
    if (script->count == SCRIPT_STEPS_MAX)
        return err_set(err, ERR_USAGE, 0,
                       "--send, --expect and --reject can be given at most %d times together",
                       SCRIPT_STEPS_MAX);
    struct script_step *step = append(script, kind, text, err);
    if (step == NULL)
        return -1;
    return kind == SCRIPT_SEND ? unescape(step, err) : read_pattern(step, err);
}

void script_free(struct script *script)
{
    for (size_t i = 0; i < script->count; i++) {
        pattern_free(script->steps[i].pattern);
        free(script->steps[i].text);
    }
    free(script->steps);
    *script = (struct script){0};
}

int script_check_built(struct err *err)
{
    char version[96];

    if (pattern_version(version, sizeof version) != NULL)
        return 0;
    return err_set(err, ERR_USAGE, 0,
                   "--send, --expect and --reject are not available in this build (they need PCRE2)");
}

const char *script_pattern_version(char *text, size_t room)
{
    return pattern_version(text, room);
}
