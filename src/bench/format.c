#include "format.h"

#include <inttypes.h>
#include <string.h>

#include "tcpgreet/base/escape.h"

struct bench_text bench_count(uint64_t count)
{
    struct bench_text text = {0};
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    char *to = text.text;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    return text;
}

struct bench_text bench_per_second(double rate)
{
    struct bench_text text;
    if (!(rate < 99.95))
        return bench_count(rate < (double)BENCH_COUNT_MAX ? (uint64_t)(rate + 0.5)
                                                          : (uint64_t)BENCH_COUNT_MAX);
    (void)snprintf(text.text, sizeof(text.text), rate < 0.95 ? "%.2g" : "%.1f", rate);
    return text;
}

struct bench_text bench_plural(uint64_t count, const char *singular, const char *plural)
{
    struct bench_text text;
    if (count == 1)
        (void)snprintf(text.text, sizeof(text.text), "one %.20s", singular);
    else
        (void)snprintf(text.text, sizeof(text.text), "%.26s %.20s", bench_count(count).text, plural);
    return text;
}

double bench_rate(const struct bench_result *result, uint64_t count)
{
    return result->duration_s > 0 ? (double)count / result->duration_s : 0;
}

/* In escaped text a backslash stands for itself; everything else is as escape() returns it. */
bool bench_is_printable(const char *text)
{
    size_t length = strlen(text);
    char plain[BENCH_TARGET_BYTES];
    char escaped[BENCH_TARGET_BYTES];
    struct sink sink = {escaped, 0, sizeof(escaped)};

    if (length >= sizeof(plain))
        return false;
    for (size_t i = 0; i <= length; i++)
        plain[i] = (char)(text[i] == '\\' ? '/' : text[i]);
    (void)escape((struct bytes){plain, length}, (struct escape_style){0}, &sink);
    return bytes_equal((struct bytes){plain, length}, (struct bytes){sink.data, sink.length});
}

const char *bench_target(const struct bench_result *result, char room[BENCH_TARGET_ROOM])
{
    if (bench_is_printable(result->target))
        return result->target;
    return escape_text((struct bytes){result->target, strnlen(result->target, sizeof(result->target))}, room,
                       BENCH_TARGET_ROOM);
}
