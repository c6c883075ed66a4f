#include "result.h"

#include <inttypes.h>

#include "format.h"
#include "tcpgreet/format/serialize.h"

/* Opens the labels of a sample; every sample has its target. */
static void put_name(FILE *out, const char *name, const struct bench_result *result)
{
    (void)fprintf(out, "tcpgreet_bench_%s{target=", name);
    machine_quote(out, result->target);
}

static void put_head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP tcpgreet_bench_%s %s\n# TYPE tcpgreet_bench_%s %s\n", name, help, name, type);
}

static void put_gauge(FILE *out, const struct bench_result *result, const char *name, const char *help,
                      double value)
{
    put_head(out, name, "gauge", help);
    put_name(out, name, result);
    (void)fprintf(out, "} %s\n", machine_number(value).text);
}

static void put_counter(FILE *out, const struct bench_result *result, const char *name, const char *help,
                        uint64_t value)
{
    put_head(out, name, "counter", help);
    put_name(out, name, result);
    (void)fprintf(out, "} %" PRIu64 "\n", value);
}

static void put_summary(FILE *out, const struct bench_result *result, const char *name, const char *help,
                        const struct histogram *histogram)
{
    static const struct {
        double share;
        const char *word;
    } quantiles[] = {{0, "0"}, {0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}, {0.999, "0.999"}, {1, "1"}};
    struct bench_words full;

    put_head(out, name, "summary", help);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        int64_t ns = quantiles[i].share > 0 ? histogram_quantile_ns(histogram, quantiles[i].share)
                                            : histogram->least_ns;
        put_name(out, name, result);
        (void)fprintf(out, ",quantile=\"%s\"} %s\n", quantiles[i].word,
                      histogram->total > 0 ? machine_seconds(ns).text : "NaN");
    }
    (void)snprintf(full.text, sizeof(full.text), "%s_sum", name);
    put_name(out, full.text, result);
    (void)fprintf(out, "} %.9g\n", histogram_mean_ns(histogram) * (double)histogram->total / NS_PER_S);
    (void)snprintf(full.text, sizeof(full.text), "%s_count", name);
    put_name(out, full.text, result);
    (void)fprintf(out, "} %" PRIu64 "\n", histogram->total);
}

static void put_failures(FILE *out, const struct bench_result *result)
{
    put_head(out, "failures_total", "counter", "Dialogues that failed, by reason.");
    for (size_t i = 0; i < ERR_REASON_COUNT; i++) {
        if (i == ERR_OK)
            continue;
        put_name(out, "failures_total", result);
        (void)fprintf(out, ",reason=\"%s\"} %" PRIu64 "\n", err_word((enum err_reason)i),
                      result->failures[i]);
    }
}

void bench_result_prometheus(const struct bench_result *result, FILE *out)
{
    put_head(out, "info", "gauge", "What was driven, and how.");
    put_name(out, "info", result);
    (void)fprintf(out, ",tls=\"%s\",loop=\"%s\"} 1\n", result->tls ? "yes" : "no",
                  result->open_loop ? "open" : "closed");
    put_gauge(out, result, "runs", "Results added up.", result->runs);
    put_gauge(out, result, "duration_seconds", "The measured time.", result->duration_s);
    put_gauge(out, result, "connections_asked", "Connections to hold at a time.",
              (double)result->connections_asked);
    put_gauge(out, result, "rate_asked", "Names a second asked for; 0 where each waits for its answer.",
              result->rate_asked);
    put_gauge(out, result, "names_per_second", "Names greeted in a second of the measured time.",
              bench_rate(result, result->names));
    put_counter(out, result, "names_total", "Names greeted, every byte of the answer checked.",
                result->names);
    put_counter(out, result, "connections_total", "Connections made.", result->connections);
    put_counter(out, result, "connections_resumed_total", "Connections whose TLS session was resumed.",
                result->resumed);
    put_counter(out, result, "names_late_total", "Names that were due and never said.", result->late);
    put_failures(out, result);
    put_summary(out, result, "answer_latency_seconds",
                "From when a name was said, or due, to its whole answer.", &result->answers);
    put_summary(out, result, "connect_latency_seconds", "From connect to the end of the handshake.",
                &result->connects);
}
