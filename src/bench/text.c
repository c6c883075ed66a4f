#include "format.h"

#include "tcpgreet/base/escape.h"
#include <string.h>

enum { COLUMNS = 80, LABEL = 16, CELL = 10 };

static bool is_ascii(void)
{
    return !escape_is_utf8_environment();
}

/* A right-aligned column of width characters; printf would count bytes. */
static void put_cell(FILE *out, const char *text, size_t width)
{
    char room[BENCH_TARGET_ROOM];
    const char *shown = text_printable(text, is_ascii(), room, sizeof(room));
    size_t columns = text_columns(shown);
    (void)fprintf(out, "%*s%s", columns < width ? (int)(width - columns) : 0, "", shown);
}

static void put_head(const struct bench_result *result, FILE *out)
{
    char room[BENCH_TARGET_ROOM];
    char target[BENCH_TARGET_ROOM];
    char shown[BENCH_TARGET_ROOM];
    const char *over = result->tls ? " over TLS" : "";
    char proxy[BENCH_TARGET_BYTES];

    memcpy(proxy, result->proxy, sizeof(proxy));
    (void)snprintf(target, sizeof(target), "%s", bench_target(result, room));
    text_cut(target, COLUMNS - strlen("Bench of  over TLS"));
    (void)fprintf(out, "Bench of %s%s\n", text_printable(target, is_ascii(), shown, sizeof(shown)), over);
    if (result->proxy[0] != '\0') {
        text_cut(proxy, COLUMNS - strlen("through "));
        (void)fprintf(out, "through %s\n", text_printable(proxy, is_ascii(), shown, sizeof(shown)));
    }
    if (result->runs > 1)
        (void)fprintf(out, "%u results merged, as if they had run at the same time\n", result->runs);
    (void)fputs(bench_plural(result->connections_asked, "connection", "connections").text, out);
    if (result->open_loop)
        (void)fprintf(out, ", open loop: %s names/s\nlatency measured from the scheduled send time\n\n",
                      bench_per_second(result->rate_asked).text);
    else
        (void)fprintf(out, ", closed loop\n\n");
}

static void put_counted(FILE *out, const struct bench_result *result, const char *label, uint64_t count)
{
    size_t over = strlen(label) > LABEL ? strlen(label) - LABEL : 0;

    (void)fprintf(out, "  %-*s", LABEL, label);
    put_cell(out, bench_count(count).text, (size_t)2 * CELL - over);
    if (result->duration_s > 0) {
        put_cell(out, bench_per_second(bench_rate(result, count)).text, (size_t)2 * CELL);
        (void)fputs(" /s", out);
    }
    (void)fputc('\n', out);
}

static void put_counts(const struct bench_result *result, FILE *out)
{
    (void)fprintf(out, "  %-*s", LABEL, "time");
    put_cell(out, text_time(result->duration_s).text, (size_t)2 * CELL);
    (void)fputc('\n', out);
    put_counted(out, result, "names", result->names);
    put_counted(out, result, "connections", result->connections);
    if (result->tls) {
        (void)fprintf(out, "  %-*s", LABEL, "  resumed");
        put_cell(out, bench_count(result->resumed).text, (size_t)2 * CELL);
        if (result->connections > 0) {
            struct bench_text share;
            (void)snprintf(share.text, sizeof(share.text), "%.1f",
                           100.0 * (double)result->resumed / (double)result->connections);
            put_cell(out, share.text, (size_t)2 * CELL);
            (void)fputs(" %", out);
        }
        (void)fputc('\n', out);
    }
    if (result->late > 0)
        put_counted(out, result, "scheduled but not sent", result->late);
}

static void put_latency(FILE *out, const char *label, const struct histogram *histogram)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};

    if (histogram->total == 0)
        return;
    (void)fprintf(out, "  %-*s", LABEL, label);
    put_cell(out, text_time(histogram_mean_ns(histogram) / NS_PER_S).text, CELL);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        put_cell(out, text_time((double)histogram_quantile_ns(histogram, shares[i]) / NS_PER_S).text, CELL);
    (void)fputc('\n', out);
}

static void put_latencies(const struct bench_result *result, FILE *out)
{
    static const char *const heads[] = {"mean", "p50", "p90", "p99", "p99.9", "max"};

    if (result->answers.total == 0 && result->connects.total == 0)
        return;
    (void)fprintf(out, "\n  %-*s", LABEL, "latency");
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        put_cell(out, heads[i], CELL);
    (void)fputc('\n', out);
    put_latency(out, "answer", &result->answers);
    put_latency(out, result->tls ? "connect + TLS" : "connect", &result->connects);
}

/* The most frequent first. */
static void put_failures(const struct bench_result *result, FILE *out)
{
    uint64_t before = UINT64_MAX;
    uint64_t failed = bench_result_failed(result);

    if (failed == 0)
        return;
    (void)fprintf(out, "\n  %-*s", 2 * LABEL - 4, "failures");
    put_cell(out, bench_count(failed).text, CELL);
    while (before > 0) {
        uint64_t most = 0;
        for (size_t i = 0; i < ERR_REASON_COUNT; i++)
            if (result->failures[i] < before && result->failures[i] > most)
                most = result->failures[i];
        for (size_t i = 0; i < ERR_REASON_COUNT && most > 0; i++) {
            if (result->failures[i] != most)
                continue;
            (void)fprintf(out, "\n    %-*s", 2 * LABEL - 6, err_word((enum err_reason)i));
            put_cell(out, bench_count(most).text, CELL);
        }
        before = most;
    }
    (void)fputc('\n', out);
}

void bench_result_text(const struct bench_result *result, FILE *out)
{
    put_head(result, out);
    put_counts(result, out);
    put_latencies(result, out);
    put_failures(result, out);
    if (result->names == 0)
        (void)fprintf(out, "\nNo answer received.\n");
    else if (bench_result_failed(result) == 0)
        (void)fprintf(out, "\nOK: %s, every byte verified\n",
                      bench_plural(result->names, "answer", "answers").text);
}
