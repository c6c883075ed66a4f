#include "summary.h"

#include <inttypes.h>
#include <time.h>

#include "measures.h"
#include "phrases.h"
#include "tcpgreet/format/text.h"

#define NS_PER_S 1e9

/* Writes a line, made fit for the terminal. */
static void put_line(const struct text_line *line, const struct probe_style *style, FILE *out)
{
    char shown[TEXT_PRINTABLE_BYTES];
    (void)fprintf(out, "%s\n", text_printable(line->text, !style->utf8, shown, sizeof(shown)));
}

static void add_clock(struct text_line *line, int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm local;

    if (localtime_r(&when, &local) != NULL)
        text_append(line, "%02d:%02d:%02d ", local.tm_hour, local.tm_min, local.tm_sec);
}

static void put_address(const struct probe_result *result, const struct probe_address *address,
                        const struct probe_style *style, FILE *out)
{
    char peer[ENDPOINT_TEXT_BYTES];
    struct text_line line = {0};
    int64_t total_ns = probe_time_ns(address, PROBE_TOTAL);
    const char *between = ": ";

    add_clock(&line, result->started_s);
    text_append(&line, "%s %s", endpoint_format(&address->peer, peer),
                probe_phrase_reason(address->err.reason));
    if (total_ns >= 0)
        text_append(&line, " %s", text_time((double)total_ns / NS_PER_S).text);
    for (int time = 0; time < PROBE_PHASES; time++) {
        bool is_failed = address->err.reason != ERR_OK && time == (int)address->last;
        int64_t ns = is_failed ? probe_span_ns(&address->spans[time]) : probe_time_ns(address, time);
        if (ns < 0)
            continue;
        text_append(&line, "%s%s %s%s", between, probe_time_name(time), is_failed ? "failed after " : "",
                    text_time((double)ns / NS_PER_S).text);
        between = ", ";
    }
    put_line(&line, style, out);
}

static void put_sentence(const struct probe_result *result, const char *subject, const char *text,
                         const struct probe_style *style, FILE *out)
{
    struct text_line line = {0};

    add_clock(&line, result->started_s);
    text_append(&line, "%s: %s", subject, text);
    put_line(&line, style, out);
}

void probe_summary_round(const struct probe_result *result, const char *changes,
                         const struct probe_style *style, FILE *out)
{
    const struct err *verdict = &result->verdict;

    if (changes[0] != '\0')
        put_sentence(result, result->target, changes, style, out);
    for (size_t i = 0; i < result->address_count; i++)
        if (probe_result_counts(result, &result->addresses[i]))
            put_address(result, &result->addresses[i], style, out);
    if (result->address_count == 0 || verdict->reason == ERR_THRESHOLD)
        put_sentence(result, err_word(verdict->reason), verdict->text, style, out);
}

static void put_times(const char *name, const struct histogram *histogram, const struct probe_style *style,
                      FILE *out)
{
    struct text_line line = {0};

    if (histogram->total == 0)
        return;
    text_append(&line, "  %s: min %s, median %s, p99 %s", name,
                text_time((double)histogram->least_ns / NS_PER_S).text,
                text_time((double)histogram_quantile_ns(histogram, 0.5) / NS_PER_S).text,
                text_time((double)histogram_quantile_ns(histogram, 0.99) / NS_PER_S).text);
    put_line(&line, style, out);
}

static void put_row(const struct probe_summary_row *row, const struct probe_style *style, FILE *out)
{
    char peer[ENDPOINT_TEXT_BYTES];
    struct text_line line = {0};
    uint64_t failed = probe_summary_failed(row);

    text_append(&line, "%s: %" PRIu64 " round%s, %" PRIu64 " failed (%.3g %%)",
                endpoint_format(&row->peer, peer), row->rounds, row->rounds == 1 ? "" : "s", failed,
                row->rounds > 0 ? 100 * (double)failed / (double)row->rounds : 0);
    if (failed > 0)
        text_append(&line, ", mostly %s", err_word(probe_summary_reason(row)));
    put_line(&line, style, out);
    put_times("total", &row->total, style, out);
    put_times("connect", &row->connect, style, out);
}

void probe_summary_text(const struct probe_summary *summary, const struct probe_style *style, FILE *out)
{
    struct text_line line = {0};

    text_append(&line, "%s: %" PRIu64 " round%s, %" PRIu64 " all OK", summary->target, summary->rounds,
                summary->rounds == 1 ? "" : "s", summary->ok);
    if (summary->worst.reason != ERR_OK)
        text_append(&line, ", the worst %s: %s", err_word(summary->worst.reason), summary->worst.text);
    (void)fputc('\n', out);
    put_line(&line, style, out);
    for (size_t i = 0; i < summary->row_count; i++)
        put_row(summary->rows[i], style, out);
    if (summary->nameless > 0)
        (void)fprintf(out, "no address in %" PRIu64 " round%s\n", summary->nameless,
                      summary->nameless == 1 ? "" : "s");
    if (summary->uncounted > 0)
        (void)fprintf(out, "and further addresses, beyond the %d that are counted separately\n",
                      PROBE_SUMMARY_ROWS_MAX);
    for (size_t i = 0; i < summary->remark_count; i++) {
        line = (struct text_line){0};
        text_append(&line, "%s", summary->remarks[i].text);
        put_line(&line, style, out);
    }
}
