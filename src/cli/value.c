#include "value.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "table.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/prefix.h"
#include "tcpgreet/core/proxy.h"
#include "tcpgreet/core/script.h"
#include "tcpgreet/core/target.h"

#define NUMBER_CEILING INT64_C(1000000000000)

enum { FRACTION_DIGITS = 9, MISBEHAVE_LEAST_MS = 1, MISBEHAVE_MOST_MS = 20 * 1000 };

/* Reads digits; a number beyond NUMBER_CEILING stays just above it. Returns: how many digits. */
static size_t read_digits(const char *text, int64_t *number)
{
    size_t n = 0;

    for (*number = 0; text[n] >= '0' && text[n] <= '9'; n++)
        if (*number <= NUMBER_CEILING)
            *number = *number * 10 + (text[n] - '0');
    return n;
}

static bool parse_integer(const char *text, int64_t *number)
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
static bool parse_duration(const char *text, int64_t *ms)
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
static bool parse_bytes(const char *text, int64_t *bytes)
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

/* Reads a number within the row's range. */
static int read_number(const struct option_value *value, bool (*parse)(const char *, int64_t *),
                       int64_t *number)
{
    int64_t least;
    int64_t most;

    return parse(value->word, number) && parse(value->row->least, &least) && parse(value->row->most, &most) &&
                   *number >= least && *number <= most
               ? 0
               : -1;
}

static int read_duration(const struct option_value *value)
{
    return read_number(value, parse_duration, value->field);
}

static void expected_duration(const struct option_row *row, char *text, size_t room)
{
    snprintf(text, room, "a time from %s to %s with its unit (such as 500ms, 1.5s, 5m, 1h; resolution 1ms)",
             row->least, row->most);
}

static int read_bytes(const struct option_value *value)
{
    return read_number(value, parse_bytes, value->field);
}

static void expected_bytes(const struct option_row *row, char *text, size_t room)
{
    snprintf(text, room, "a number of bytes from %s to %s (k and M are multiples of 1024)", row->least,
             row->most);
}

static int read_integer(const struct option_value *value)
{
    int64_t number;

    if (read_number(value, parse_integer, &number) != 0)
        return -1;
    *(int *)value->field = (int)number;
    return 0;
}

static void expected_integer(const struct option_row *row, char *text, size_t room)
{
    snprintf(text, room, "a whole number from %s to %s", row->least, row->most);
}

static int read_flag(const struct option_value *value)
{
    *(bool *)value->field = true;
    return 0;
}

static const struct option_word *find_word(const struct option_word *words, const char *word)
{
    while (words->name != NULL && strcmp(words->name, word) != 0)
        words++;
    return words->name != NULL ? words : NULL;
}

static int read_choice(const struct option_value *value)
{
    const struct option_word *word = find_word(value->row->words, value->word);

    if (word == NULL)
        return -1;
    memcpy(value->field, &word->value, sizeof(word->value));
    return 0;
}

static int read_either(const struct option_value *value)
{
    const struct option_word *word = find_word(value->row->words, value->word);

    if (word == NULL)
        return -1;
    *(bool *)value->field = word->value != 0;
    return 0;
}

const char *option_words(const struct option_word *words, const char *between, const char *last, char *text,
                         size_t room)
{
    size_t length = 0;

    text[0] = '\0';
    for (const struct option_word *word = words; word->name != NULL && length < room; word++) {
        const char *before = word == words ? "" : word[1].name == NULL ? last : between;
        int n = snprintf(text + length, room - length, "%s%s", before, word->name);
        length += n > 0 ? (size_t)n : 0;
    }
    return text;
}

static void expected_words(const struct option_row *row, char *text, size_t room)
{
    option_words(row->words, ", ", " or ", text, room);
}

static int keep_text(const struct option_value *value)
{
    memcpy(value->field, &value->word, sizeof(value->word));
    return 0;
}

static int read_text(const struct option_value *value)
{
    return *value->word != '\0' ? keep_text(value) : -1;
}

static bool is_address(const char *word)
{
    struct target target;

    return word[0] != '[' && target_parse(&target, word, "0", NULL) == 0 &&
           (target.kind == TARGET_IPV4 || target.kind == TARGET_IPV6);
}

/* FIRST-LAST, for --bench; whether it is a range is checked when it is used. */
static int read_source(const struct option_value *value)
{
    char first[INET6_ADDRSTRLEN];
    size_t n = strcspn(value->word, "-");

    if (value->word[n] == '\0' || n >= sizeof(first))
        return is_address(value->word) ? keep_text(value) : -1;
    memcpy(first, value->word, n);
    first[n] = '\0';
    return is_address(first) && is_address(value->word + n + 1) ? keep_text(value) : -1;
}

static int read_proxy(const struct option_value *value)
{
    return proxy_parse(value->field, value->word, value->err);
}

static void expected_source(const struct option_row *row, char *text, size_t room)
{
    (void)row;
    snprintf(text, room, "an IPv4 or IPv6 address (such as 192.0.2.1 or 2001:db8::1)");
}

/* Source: RFC 7301 section 3.1: a protocol name has 1 to 255 bytes. */
static int read_alpn(const struct option_value *value)
{
    for (const char *word = value->word;; word++) {
        size_t n = strcspn(word, ",");
        if (n == 0 || n > 255)
            return -1;
        word += n;
        if (*word == '\0')
            return keep_text(value);
    }
}

static void expected_alpn(const struct option_row *row, char *text, size_t room)
{
    (void)row;
    snprintf(text, room, "protocol names of 1 to 255 bytes, separated by commas");
}

static int read_alert(const struct option_value *value)
{
    *(int *)value->field = tls_alert_parse(value->word);
    return *(int *)value->field > 0 ? 0 : -1;
}

static void expected_alert(const struct option_row *row, char *text, size_t room)
{
    (void)row;
    snprintf(text, room, "a TLS alert's name in RFC 8446 (such as certificate_required)");
}

static int refuse_more(const struct option_value *value, size_t most)
{
    return err_set(value->err, ERR_USAGE, 0, "--%s can be given at most %zu times", value->row->name, most);
}

static int read_pin(const struct option_value *value)
{
    struct tls_pins *pins = value->field;

    if (pins->count == TLS_PINS_MAX)
        return refuse_more(value, TLS_PINS_MAX);
    if (tls_pin_parse(value->word, &pins->list[pins->count]) != 0)
        return -1;
    pins->count++;
    return 0;
}

static void expected_pin(const struct option_row *row, char *text, size_t room)
{
    (void)row;
    snprintf(text, room, "sha256: and 64 hexadecimal digits");
}

static int read_prefix(const struct option_value *value)
{
    struct prefix_list *prefixes = value->field;

    if (prefixes->count == PREFIX_LIST_MAX)
        return refuse_more(value, PREFIX_LIST_MAX);
    struct prefix *prefix = &prefixes->list[prefixes->count];
    enum prefix_result result = prefix_parse(value->word, prefix);
    struct bytes word = {value->word, strlen(value->word)};
    char shown[OPTION_SHOWN_BYTES];
    if (result == PREFIX_HOST)
        return err_set(value->err, ERR_USAGE, 0, "--%s %s has bits set behind its prefix: did you mean %s?",
                       value->row->name, value->word, prefix_format(prefix, shown));
    if (result != PREFIX_OK)
        return err_set(value->err, ERR_USAGE, 0,
                       "--%s takes an address or a network in CIDR notation (such as 192.0.2.0/24, "
                       "2001:db8::/32 or ::1), not \"%s\"; repeat the option for several",
                       value->row->name, escape_quoted(word, shown, sizeof(shown)));
    prefixes->count++;
    return 0;
}

/* A field of one is a client's: it keeps the first, and options_check refuses more. */
static int read_file(const struct option_value *value, size_t member)
{
    size_t count = value->size / sizeof(struct tls_files);
    char *files = value->field;

    if (*value->word == '\0')
        return -1;
    for (size_t i = 0; i < count; i++) {
        const char **file = (const char **)(void *)(files + i * sizeof(struct tls_files) + member);
        if (*file == NULL) {
            *file = value->word;
            return 0;
        }
    }
    return count == 1 ? 0 : refuse_more(value, count);
}

static int read_cert(const struct option_value *value)
{
    return read_file(value, offsetof(struct tls_files, cert));
}

static int read_key(const struct option_value *value)
{
    return read_file(value, offsetof(struct tls_files, key));
}

static const struct option_word misbehaviours[] = {{"delay:", STREAM_MISBEHAVE_DELAY},
                                                   {"drip:", STREAM_MISBEHAVE_DRIP},
                                                   {"reset", STREAM_MISBEHAVE_RESET},
                                                   {"half-close", STREAM_MISBEHAVE_HALF_CLOSE},
                                                   {"no-close-notify", STREAM_MISBEHAVE_NO_CLOSE_NOTIFY},
                                                   {"mute", STREAM_MISBEHAVE_MUTE},
                                                   {0}};

/* "KIND" or "KIND:TIME"; a delay is shorter than the time after which the server drops a peer that does not
 * read. */
static int read_misbehaviour(const struct option_value *value)
{
    struct stream_misbehaviour *how = value->field;
    const char *word = value->word;
    size_t name = strcspn(word, ":") + (strchr(word, ':') != NULL ? 1 : 0);

    for (const struct option_word *kind = misbehaviours; kind->name != NULL; kind++) {
        if (strlen(kind->name) != name || memcmp(kind->name, word, name) != 0)
            continue;
        how->kind = (enum stream_misbehave_kind)kind->value;
        if (word[name - 1] != ':')
            return 0;
        return parse_duration(word + name, &how->ms) && how->ms >= MISBEHAVE_LEAST_MS &&
                       how->ms <= MISBEHAVE_MOST_MS
                   ? 0
                   : -1;
    }
    return -1;
}

static void expected_misbehaviour(const struct option_row *row, char *text, size_t room)
{
    (void)row;
    snprintf(text, room, "delay:TIME or drip:TIME (1ms to 20s), reset, half-close, no-close-notify or mute");
}

static int read_limits(const struct option_value *value)
{
    char option[OPTION_TITLE_BYTES];

    snprintf(option, sizeof(option), "--%s", value->row->name);
    return threshold_parse(value->field, option, value->word, value->err);
}

/* WARN[,CRIT] */
static int read_days(const struct option_value *value)
{
    struct threshold_days *days = value->field;
    const char *comma = strchr(value->word, ',');
    char word[24];
    int length = comma != NULL ? (int)(comma - value->word) : (int)strlen(value->word);
    struct option_value part = {value->row, word, &days->warning, sizeof(days->warning), NULL};

    if (snprintf(word, sizeof(word), "%.*s", length, value->word) >= (int)sizeof(word) ||
        read_integer(&part) < 0)
        return -1;
    if (comma == NULL)
        return 0;
    part.word = comma + 1;
    part.field = &days->critical;
    if (read_integer(&part) < 0)
        return -1;
    return days->critical <= days->warning
               ? 0
               : err_set(value->err, ERR_USAGE, 0,
                         "--%s %s: the second number, which is critical, must not be above the first",
                         value->row->name, value->word);
}

static void expected_days(const struct option_row *row, char *text, size_t room)
{
    snprintf(text, room, "WARN or WARN,CRIT, each a whole number from %s to %s", row->least, row->most);
}

static int read_step(const struct option_value *value, enum script_kind kind)
{
    return script_check_built(value->err) < 0 ? -1 : script_add(value->field, kind, value->word, value->err);
}

static int read_send(const struct option_value *value)
{
    return read_step(value, SCRIPT_SEND);
}

static int read_expect(const struct option_value *value)
{
    return read_step(value, SCRIPT_EXPECT);
}

static int read_reject(const struct option_value *value)
{
    return read_step(value, SCRIPT_REJECT);
}

/* These kinds are read by options.c: they may take two arguments. */
static void expected_argument(const struct option_row *row, char *text, size_t room)
{
    snprintf(text, room, "%s", row->argument);
}

static const char *listed_alert(size_t index)
{
    for (int alert = 0; alert <= UINT8_MAX; alert++)
        if (tls_alert_name(alert) != NULL && index-- == 0)
            return tls_alert_name(alert);
    return NULL;
}

const char *option_listed(const struct option_row *row, size_t index)
{
    static const struct option_word proxies[] = {{"http://", PROXY_HTTP}, {"socks5://", PROXY_SOCKS5}, {0}};
    const struct option_word *words = row->kind == &option_misbehave ? misbehaviours
                                      : row->kind == &option_proxy   ? proxies
                                                                     : row->words;

    if (words != NULL)
        return words[index].name;
    return row->kind == &option_alert    ? listed_alert(index)
           : row->kind == &option_limits ? threshold_name(index)
                                         : NULL;
}

_Static_assert(sizeof(enum session_framing) == sizeof(int) && sizeof(enum probe_until) == sizeof(int) &&
                   sizeof(enum tls_client_auth) == sizeof(int) && sizeof(enum log_format) == sizeof(int) &&
                   sizeof(enum format) == sizeof(int) && sizeof(enum proxy_header_version) == sizeof(int) &&
                   sizeof(enum format_color) == sizeof(int),
               "a choice is kept as an int");

const struct option_kind option_flag = {sizeof(bool), read_flag, NULL};
const struct option_kind option_duration = {sizeof(int64_t), read_duration, expected_duration};
const struct option_kind option_integer = {sizeof(int), read_integer, expected_integer};
const struct option_kind option_bytes = {sizeof(int64_t), read_bytes, expected_bytes};
const struct option_kind option_choice = {sizeof(int), read_choice, expected_words};
const struct option_kind option_either = {sizeof(bool), read_either, expected_words};
const struct option_kind option_text = {sizeof(const char *), read_text, expected_argument};
const struct option_kind option_proxy = {sizeof(struct proxy_config), read_proxy, expected_argument};
const struct option_kind option_source = {sizeof(const char *), read_source, expected_source};
const struct option_kind option_alert = {sizeof(int), read_alert, expected_alert};
const struct option_kind option_alpn = {sizeof(const char *), read_alpn, expected_alpn};
const struct option_kind option_pin = {sizeof(struct tls_pins), read_pin, expected_pin};
const struct option_kind option_cert = {sizeof(struct tls_files), read_cert, expected_argument};
const struct option_kind option_key = {sizeof(struct tls_files), read_key, expected_argument};
const struct option_kind option_prefix = {sizeof(struct prefix_list), read_prefix, expected_argument};
const struct option_kind option_misbehave = {sizeof(struct stream_misbehaviour), read_misbehaviour,
                                             expected_misbehaviour};
const struct option_kind option_days = {sizeof(struct threshold_days), read_days, expected_days};
const struct option_kind option_send = {sizeof(struct script), read_send, expected_argument};
const struct option_kind option_expect = {sizeof(struct script), read_expect, expected_argument};
const struct option_kind option_reject = {sizeof(struct script), read_reject, expected_argument};
const struct option_kind option_limits = {sizeof(struct threshold_list), read_limits, expected_argument};
const struct option_kind option_listener = {sizeof(struct target), NULL, NULL};
const struct option_kind option_peer = {sizeof(struct target), NULL, NULL};
