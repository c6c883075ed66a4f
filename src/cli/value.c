#include "table.h"

#include <arpa/inet.h>
#include <string.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/target.h"

_Static_assert(offsetof(struct options, mode) == 0, "field 0 says: not kept");
_Static_assert(sizeof(enum options_client_auth) == sizeof(int) &&
                   sizeof(enum options_tls_min) == sizeof(int) &&
                   sizeof(enum options_framing) == sizeof(int) && sizeof(enum log_format) == sizeof(int) &&
                   sizeof(enum options_color) == sizeof(int) && sizeof(enum options_until) == sizeof(int) &&
                   sizeof(enum options_require) == sizeof(int),
               "a choice is kept as an int");

#define NUMBER_CEILING INT64_C(1000000000000)

enum { FRACTION_DIGITS = 9, WORD_BYTES = 64, MISBEHAVE_LEAST_MS = 1, MISBEHAVE_MOST_MS = 20 * 1000 };

/* Reads digits; a number beyond NUMBER_CEILING stays just above it. Returns: how many digits. */
static size_t read_digits(const char *text, int64_t *number)
{
    size_t n = 0;

    for (*number = 0; text[n] >= '0' && text[n] <= '9'; n++)
        if (*number <= NUMBER_CEILING)
            *number = *number * 10 + (text[n] - '0');
    return n;
}

static bool read_integer(const char *text, int64_t *number)
{
    size_t n = read_digits(text, number);
    return n > 0 && text[n] == '\0';
}

static int64_t unit_ms(const char *unit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ms;
    return 0;
}

/* "500ms", "1.5s", "5m", "1h", "0"; whole milliseconds only. */
static bool read_duration(const char *text, int64_t *ms)
{
    int64_t whole;
    int64_t fraction = 0;
    int64_t scale = 1;
    size_t n = read_digits(text, &whole);

    if (n == 0)
        return false;
    if (text[n] == '.') {
        size_t digits = read_digits(text + n + 1, &fraction);
        if (digits == 0 || digits > FRACTION_DIGITS)
            return false;
        for (size_t i = 0; i < digits; i++)
            scale *= 10;
        n += 1 + digits;
    }
    int64_t unit = strcmp(text, "0") == 0 ? 1 : unit_ms(text + n);
    if (unit == 0 || fraction * unit % scale != 0)
        return false;
    *ms = (whole > NUMBER_CEILING ? NUMBER_CEILING : whole) * unit + fraction * unit / scale;
    return true;
}

/* "4096", "64k", "1M": multiples of 1024. */
static bool read_bytes(const char *text, int64_t *bytes)
{
    size_t n = read_digits(text, bytes);
    if (n == 0)
        return false;
    if (*bytes > NUMBER_CEILING)
        *bytes = NUMBER_CEILING; /* times 2^20 it still fits */
    if (text[n] == 'k' || text[n] == 'M')
        *bytes *= text[n++] == 'k' ? INT64_C(1) << 10 : INT64_C(1) << 20;
    return text[n] == '\0';
}

static bool read_number(const struct option_row *row, const char *text, int64_t *number)
{
    switch (row->kind) {
    case OPTION_DURATION:
        return read_duration(text, number);
    case OPTION_BYTES:
        return read_bytes(text, number);
    default:
        return read_integer(text, number);
    }
}

static bool in_range(const struct option_row *row, const char *word, int64_t *number)
{
    int64_t least;
    int64_t most;

    return read_number(row, word, number) && read_number(row, row->least, &least) &&
           read_number(row, row->most, &most) && *number >= least && *number <= most;
}

/* Finds word among the choices "a|b|c". Returns: its place from 0, or -1. */
static int choice_index(const char *choices, const char *word)
{
    size_t length = strlen(word);

    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == length && memcmp(choices, word, n) == 0)
            return i;
        if (choices[n] == '\0')
            return -1;
        choices += n + 1;
    }
}

/* Writes "a, b or c" for "a|b|c". Returns: text. */
static const char *choice_list(const char *choices, char *text, size_t room)
{
    size_t length = 0;

    text[0] = '\0';
    for (const char *word = choices; length < room; word += strcspn(word, "|") + 1) {
        size_t n = strcspn(word, "|");
        bool last = word[n] == '\0';
        const char *joint = word == choices ? "" : last ? " or " : ", ";
        int written = snprintf(text + length, room - length, "%s%.*s", joint, (int)n, word);
        length += written > 0 ? (size_t)written : 0;
        if (last)
            break;
    }
    return text;
}

static bool is_address(const char *word)
{
    struct target target;

    return word[0] != '[' && target_parse(&target, word, "0", NULL) == 0 &&
           (target.kind == TARGET_IPV4 || target.kind == TARGET_IPV6);
}

/* FIRST-LAST, for a bench; whether they belong together is seen when they are used. */
static bool is_address_range(const char *word)
{
    char first[INET6_ADDRSTRLEN];
    size_t n = strcspn(word, "-");
    if (word[n] == '\0' || n >= sizeof first)
        return is_address(word);
    memcpy(first, word, n);
    first[n] = '\0';
    return is_address(first) && is_address(word + n + 1);
}

static bool is_pin(const char *word)
{
    static const char prefix[] = "sha256:";
    const size_t digits = 64;
    const char *hex = word + sizeof(prefix) - 1;

    return strncmp(word, prefix, sizeof(prefix) - 1) == 0 && strlen(hex) == digits &&
           strspn(hex, "0123456789abcdefABCDEF") == digits;
}

/* Source: RFC 7301 section 3.1: a protocol name has 1 to 255 bytes. */
static bool is_alpn(const char *word)
{
    for (;; word++) {
        size_t n = strcspn(word, ",");
        if (n == 0 || n > 255)
            return false;
        word += n;
        if (*word == '\0')
            return true;
    }
}

/* "KIND" or "KIND:TIME"; delays stay below the time after which the server drops a peer that takes nothing.
 */
static bool read_misbehaviour(const char *word, struct options *options)
{
    static const struct {
        const char *name;
        enum options_misbehave kind;
    } kinds[] = {{"delay:", MISBEHAVE_DELAY},
                 {"drip:", MISBEHAVE_DRIP},
                 {"reset", MISBEHAVE_RESET},
                 {"half-close", MISBEHAVE_HALF_CLOSE},
                 {"no-close-notify", MISBEHAVE_NO_CLOSE_NOTIFY},
                 {"mute", MISBEHAVE_MUTE}};
    size_t name = strcspn(word, ":") + (strchr(word, ':') != NULL ? 1 : 0);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strlen(kinds[i].name) != name || memcmp(kinds[i].name, word, name) != 0)
            continue;
        options->misbehave = kinds[i].kind;
        return word[name - 1] != ':' ||
               (read_duration(word + name, &options->misbehave_ms) &&
                options->misbehave_ms >= MISBEHAVE_LEAST_MS && options->misbehave_ms <= MISBEHAVE_MOST_MS);
    }
    return false;
}

static void keep(const struct option_row *row, struct options *options, const void *value, size_t size)
{
    if (row->field != 0)
        memcpy((char *)options + row->field, value, size);
}

/* Shape: there is room, options.c has looked. */
static void keep_text(const struct option_row *row, struct options *options, const char *word)
{
    if (row->field == 0)
        return;
    if (!row->repeatable) {
        keep(row, options, &word, sizeof(word));
        return;
    }
    struct options_list *list = (struct options_list *)(void *)((char *)options + row->field);
    list->values[list->count++] = word;
}

static bool list_is_full(const struct option_row *row, const struct options *options)
{
    return row->repeatable && row->field != 0 &&
           ((const struct options_list *)(const void *)((const char *)options + row->field))->count ==
               OPTIONS_LIST_MAX;
}

static bool keep_number(const struct option_row *row, struct options *options, int64_t number)
{
    int narrow = (int)number;

    if (row->kind == OPTION_DURATION || row->kind == OPTION_BYTES)
        keep(row, options, &number, sizeof(number));
    else
        keep(row, options, &narrow, sizeof(narrow));
    return true;
}

static bool is_text(enum option_kind kind, const char *word)
{
    switch (kind) {
    case OPTION_ADDRESS:
        return is_address_range(word);
    case OPTION_PIN:
        return is_pin(word);
    case OPTION_ALPN:
        return is_alpn(word);
    default:
        return *word != '\0';
    }
}

static bool take_value(const struct option_row *row, const char *word, struct options *options)
{
    int64_t number;

    switch (row->kind) {
    case OPTION_DURATION:
    case OPTION_INTEGER:
    case OPTION_BYTES:
        return in_range(row, word, &number) && keep_number(row, options, number);
    case OPTION_CHOICE:
        number = choice_index(row->argument, word);
        return number >= 0 && keep_number(row, options, number);
    case OPTION_ADDRESS:
    case OPTION_TEXT:
    case OPTION_PIN:
    case OPTION_ALPN:
        keep_text(row, options, word);
        return is_text(row->kind, word);
    case OPTION_MISBEHAVE:
        return read_misbehaviour(word, options);
    case OPTION_FLAG:
    case OPTION_LIMITS:
    case OPTION_ENDPOINT:
    case OPTION_PEER:
        break;
    }
    return false;
}

/* Writes what would have been right. Returns: text. */
static const char *expectation(const struct option_row *row, char *text, size_t room)
{
    switch (row->kind) {
    case OPTION_DURATION:
        snprintf(text, room,
                 "a time from %s to %s with its unit (such as 500ms, 1.5s, 5m, 1h; finest is 1ms)",
                 row->least, row->most);
        break;
    case OPTION_INTEGER:
        snprintf(text, room, "a whole number from %s to %s", row->least, row->most);
        break;
    case OPTION_BYTES:
        snprintf(text, room, "a number of bytes from %s to %s (k and M are multiples of 1024)", row->least,
                 row->most);
        break;
    case OPTION_CHOICE:
        choice_list(row->argument, text, room);
        break;
    case OPTION_ADDRESS:
        snprintf(text, room, "an IPv4 or IPv6 address (such as 192.0.2.1 or 2001:db8::1)");
        break;
    case OPTION_PIN:
        snprintf(text, room, "sha256: and 64 hexadecimal digits");
        break;
    case OPTION_ALPN:
        snprintf(text, room, "protocol names of 1 to 255 bytes, separated by commas");
        break;
    case OPTION_MISBEHAVE:
        snprintf(text, room,
                 "delay:TIME or drip:TIME (1ms to 20s), reset, half-close, no-close-notify or mute");
        break;
    default:
        snprintf(text, room, "%s", row->argument);
        break;
    }
    return text;
}

/* threshold_parse finds words of its own for what is wrong. */
static int keep_limits(const struct option_row *row, const char *word, struct options *options,
                       struct err *err)
{
    char title[OPTION_TITLE_BYTES];

    return threshold_parse((struct threshold_list *)(void *)((char *)options + row->field),
                           option_title(row, title), word, err);
}

int option_value(const struct option_row *row, const char *word, struct options *options, struct err *err)
{
    char title[OPTION_TITLE_BYTES];
    char right[128];
    char shown[WORD_BYTES];

    if (list_is_full(row, options))
        return err_set(err, ERR_USAGE, 0, "%s can be given at most %d times", option_title(row, title),
                       OPTIONS_LIST_MAX);
    if (row->kind == OPTION_LIMITS)
        return keep_limits(row, word, options, err);
    if (take_value(row, word, options))
        return 0;
    return err_set(err, ERR_USAGE, 0, "%s takes %s, not \"%s\"", option_title(row, title),
                   expectation(row, right, sizeof(right)),
                   escape_text((struct bytes){word, strlen(word)}, shown, sizeof(shown)));
}

void option_default(const struct option_row *row, struct options *options)
{
    if (row->fallback != NULL)
        take_value(row, row->fallback, options);
    else if (row->kind == OPTION_DURATION)
        keep_number(row, options, -1);
}
