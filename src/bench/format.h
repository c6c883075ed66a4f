/* Number formatting shared by all output formats of a bench result. */
#ifndef TCPGREET_BENCH_FORMAT_H
#define TCPGREET_BENCH_FORMAT_H

#include "result.h"
#include "tcpgreet/format/text.h"

#define BENCH_SCHEMA "tcpgreet.bench.v1"

#define NS_PER_S 1e9

/* The largest count that every JSON reader represents exactly. */
#define BENCH_COUNT_MAX (INT64_C(1) << 53)

enum { BENCH_TARGET_ROOM = BENCH_TARGET_BYTES * 4 };

/* A short text, by value. */
struct bench_text {
    char text[48];
};

/* All digits, in groups of three: "1,234,567". */
struct bench_text bench_count(uint64_t count);

/* A rate: grouped digits; two significant digits below 1, one decimal below 100. */
struct bench_text bench_per_second(double rate);

/* "one name", "2 names". */
struct bench_text bench_plural(uint64_t count, const char *singular, const char *plural);

/* Names a second over the whole time; 0 where no time was measured. */
double bench_rate(const struct bench_result *result, uint64_t count);

/* The target, or, where it is not printable, its escaped text in room. */
const char *bench_target(const struct bench_result *result, char room[BENCH_TARGET_ROOM]);

/* Returns: whether text is printable as escape_text would leave it. */
bool bench_is_printable(const char *text);

#endif
