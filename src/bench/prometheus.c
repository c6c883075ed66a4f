#include "result.h"

#include <inttypes.h>

#include "format.h"
#include "tcpgreet/format/serialize.h"

/* Opens the labels of a sample; every sample has its target. */
static void put_name(FILE *out, const char *name, const struct bench_result *result)
{
    (void)fprintf(out, "tcpgreet_bench_%s{target=", name);
    serialize_quoted(out, result->target);
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
    (void)fprintf(out, "} %s\n", serialize_number(value).text);
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
        const char *name;
    } quantiles[] = {{0, "0"}, {0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}, {0.999, "0.999"}, {1, "1"}};
    struct bench_text full;

    put_head(out, name, "summary", help);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        int64_t ns = quantiles[i].share > 0 ? histogram_quantile_ns(histogram, quantiles[i].share)
                                            : histogram->least_ns;
        put_name(out, name, result);
        (void)fprintf(out, ",quantile=\"%s\"} %s\n", quantiles[i].name,
                      histogram->total > 0 ? serialize_seconds(ns).text : "NaN");
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
    put_head(out, "failures_total", "counter", "Failed dialogues by reason.");
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
    put_head(out, "info", "gauge", "Target and settings of the bench.");
    put_name(out, "info", result);
    (void)fprintf(out, ",tls=\"%s\",loop=\"%s\",proxy=", result->tls ? "yes" : "no",
                  result->open_loop ? "open" : "closed");
    serialize_quoted(out, result->proxy);
    (void)fputs("} 1\n", out);
    put_gauge(out, result, "runs", "Number of merged results.", result->runs);
    put_gauge(out, result, "duration_seconds", "Measured time.", result->duration_s);
    put_gauge(out, result, "connections_asked", "Requested concurrent connections.",
              (double)result->connections_asked);
    put_gauge(out, result, "rate_asked", "Requested names per second; 0 in a closed loop.",
              result->rate_asked);
    put_gauge(out, result, "names_per_second", "Names answered per second of the measured time.",
              bench_rate(result, result->names));
    put_counter(out, result, "names_total", "Names answered, every byte verified.", result->names);
    put_counter(out, result, "connections_total", "Connections opened.", result->connections);
    put_counter(out, result, "connections_resumed_total", "Connections with a resumed TLS session.",
                result->resumed);
    put_counter(out, result, "names_late_total", "Open loop: names scheduled but not sent.", result->late);
    put_failures(out, result);
    put_summary(out, result, "answer_latency_seconds",
                "Time from when a name was sent (open loop: scheduled) to the last byte of its answer.",
                &result->answers);
    put_summary(out, result, "connect_latency_seconds", "Time from connect to the end of the handshake.",
                &result->connects);
}
