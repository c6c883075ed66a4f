#include "bench_private.h"

#include <inttypes.h>
#include <string.h>

#include "machine.h"
#include "tcpgreet/escape.h"

/* Each unit takes over where three digits of the one before would round up to 1000. */
struct bench_words bench_time(double seconds)
{
    static const struct {
        double of_second;
        const char *name;
    } units[] = {{1e6, "\u00b5s"}, {1e3, "ms"}, {1, "s"}};
    struct bench_words words;
    size_t i = 0;

    if (!(seconds > 0))
        return (struct bench_words){"0 s"};
    while (i < 2 && seconds * units[i].of_second >= 999.5)
        i++;
    double value = seconds * units[i].of_second;
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    (void)snprintf(words.text, sizeof(words.text), "%.*f %s", decimals, value, units[i].name);
    return words;
}

struct bench_words bench_count(uint64_t count)
{
    struct bench_words words;
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    char *to = words.text;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return words;
}

struct bench_words bench_per_second(double rate)
{
    struct bench_words words;
    if (!(rate < 99.95))
        return bench_count(rate < (double)BENCH_COUNT_MAX ? (uint64_t)(rate + 0.5)
                                                          : (uint64_t)BENCH_COUNT_MAX);
    (void)snprintf(words.text, sizeof(words.text), rate < 0.95 ? "%.2g" : "%.1f", rate);
    return words;
}

struct bench_words bench_plural(uint64_t count, const char *singular, const char *plural)
{
    struct bench_words words;
    if (count == 1)
        (void)snprintf(words.text, sizeof(words.text), "one %.20s", singular);
    else
        (void)snprintf(words.text, sizeof(words.text), "%.26s %.20s", bench_count(count).text, plural);
    return words;
}

double bench_rate(const struct bench_result *result, uint64_t count)
{
    return result->duration_s > 0 ? (double)count / result->duration_s : 0;
}

const char *bench_target(const struct bench_result *result, char room[BENCH_TARGET_ROOM])
{
    if (machine_is_printable(result->target))
        return result->target;
    return escape_text((struct bytes){result->target, strnlen(result->target, sizeof(result->target))}, room,
                       BENCH_TARGET_ROOM);
}

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t bench_columns(const char *text)
{
    size_t columns = 0;
    for (; *text != '\0'; text++)
        columns += starts_character(*text);
    return columns;
}

void bench_cut(char *text, size_t columns)
{
    size_t seen = 0;
    size_t kept = 0;
    size_t i = 0;

    if (bench_columns(text) <= columns)
        return;
    for (; text[i] != '\0'; i++) {
        if (starts_character(text[i]) && seen++ == columns - 3)
            kept = i;
    }
    memcpy(text + kept, "...", sizeof("..."));
}
